"""Conversations as sequences of tokens: the lines of their turns are joined to windows that a network can read.

A window is one token that begins it and as many lines as fit. A full one is followed by one that begins with the last
turns, as many as fit into half a window: they are context there, and their vectors are those of the window before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from merkit.core.batch import Padded


@dataclass(frozen=True)
class Positions:
    """Where the tokens of a batch of conversations stand in their windows."""

    mask: Bool[Tensor, "items turns time"]
    """Which tokens there are."""
    tokens: Int[Tensor, " tokens"]
    """Each token's number in the flat batch …"""
    states: Int[Tensor, " tokens"]
    """… and in the flat windows."""

    def put_back(self, states: Float[Tensor, "windows steps dim"]) -> Padded:
        """Return each turn's own states ``[items, turns, time, dim]``; what is absent is masked zeros."""
        own = states.flatten(0, 1).index_select(0, self.states)
        data = own.new_zeros(self.mask.numel(), own.shape[-1]).index_copy(0, self.tokens, own)
        return Padded(data.reshape(*self.mask.shape, -1), self.mask)


def longest_line(most: int) -> int:
    """Return how many tokens a line may have, so that the last turn always fits into half a window of ``most``."""
    return most // 2 - 1


def cut_windows(lengths: Sequence[int], most: int) -> list[tuple[int, int, int]]:
    """Return a conversation's windows of at most ``most`` tokens as ``(first, own, end)``.

    A window reads the lines ``first`` to ``end`` (excluded), of which those from ``own`` on are its own and the others
    context. ``lengths`` are the tokens of each line, ``longest_line(most)`` at most.
    """
    windows = []
    first = own = 0
    size = 1
    for line, length in enumerate(lengths):
        if size + length > most:
            windows.append((first, own, line))
            first = own = line
            size = 1
            while first > 0 and size + lengths[first - 1] <= most // 2:
                first -= 1
                size += lengths[first]
        size += length
    if lengths:
        windows.append((first, own, len(lengths)))
    return windows


def join_lines(lines: Padded, most: int, begins: int) -> tuple[Padded, Positions]:
    """Join the lines of each conversation that are there, in order.

    Args:
        lines: ``[items, turns, time, 3]``, of each token its number, segment and 1.
        most: How many tokens a window has at most.
        begins: Number of the token that begins a window.

    Returns:
        The windows of all conversations, ``[windows, steps, 3]`` (token, segment 0, and 1 for the window's own tokens
        or 0 for what is context), and how to put their states back.
    """
    there = lines.mask.cpu().numpy()
    tokens = np.flatnonzero(there)  # of one conversation side by side, in order: a window is a part of them
    first, own, end = _spans(there.sum(-1).tolist(), most)
    step = np.arange((end - first).max(initial=0) + 1)
    token = first + step - 1
    real = token < end
    is_own = (token >= own) & real
    place = tokens[np.clip(token, first, end - 1)]
    numbers = lines.data[..., 0].flatten()[_like(lines, place)]
    numbers[:, 0] = begins
    data = torch.stack([numbers, torch.zeros_like(numbers), _like(lines, is_own).to(numbers.dtype)], dim=-1)
    places = Positions(lines.mask, _like(lines, tokens), _like(lines, np.flatnonzero(is_own)))
    return Padded(data, _like(lines, real)), places


def _spans(lengths: Sequence[Sequence[int]], most: int) -> npt.NDArray[np.int64]:
    """Return the windows' first, first own and last token (excluded), ``[3, windows, 1]``, as numbers of tokens."""
    spans: list[tuple[int, int, int]] = []
    start = 0
    for turns in lengths:
        lines = [length for length in turns if length]
        bounds = np.cumsum([start, *lines]).tolist()
        spans += [(bounds[first], bounds[own], bounds[end]) for first, own, end in cut_windows(lines, most)]
        start = bounds[-1]
    return np.array(spans, dtype=np.int64).reshape(-1, 3).T[..., np.newaxis]


def _like(lines: Padded, array: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(array).to(lines.data.device, non_blocking=True)
