"""Conversations as sequences of tokens: the lines of the turns are joined into windows that a network can read.

A window is a begin token and as many lines as fit. The next window begins with the last turns of the one before, as
many as fit into half a window: there they are context, and their vectors are those of the window before.
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
    """The positions of the tokens of a batch of conversations in their windows."""

    mask: Bool[Tensor, "items turns time"]
    """Which tokens are real."""
    tokens: Int[Tensor, " tokens"]
    """The index of each token in the flat batch …"""
    states: Int[Tensor, " tokens"]
    """… and in the flat windows."""

    def put_back(self, states: Float[Tensor, "windows positions dim"]) -> Padded:
        """Return each turn's own states ``[items, turns, time, dim]``; the others are masked zeros."""
        own = states.flatten(0, 1).index_select(0, self.states)
        data = own.new_zeros(self.mask.numel(), own.shape[-1]).index_copy(0, self.tokens, own)
        return Padded(data.reshape(*self.mask.shape, -1), self.mask)


def longest_line(most: int) -> int:
    """Return how many tokens a line may have, so that the last turn fits into half a window of ``most`` tokens."""
    return most // 2 - 1


def cut_windows(lengths: Sequence[int], most: int) -> list[tuple[int, int, int]]:
    """Return a conversation's windows of at most ``most`` tokens as ``(first, own, end)``.

    A window has the lines ``first`` to ``end`` (excluded); those from ``own`` on are its own, the others context.
    ``lengths`` are the tokens of each line, ``longest_line(most)`` at most.
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
    """Join the present lines of each conversation, in order.

    Args:
        lines: ``[items, turns, time, 3]``: of each token its number, its segment and 1.
        most: Tokens of a window at most.
        begins: Number of the begin token.

    Returns:
        The windows of all conversations, ``[windows, positions, 3]`` (token, segment 0, and 1 for the window's own
        tokens or 0 for context), and how to put their states back.
    """
    present = lines.mask.cpu().numpy()
    tokens = np.flatnonzero(present)  # those of a conversation side by side, in order: a window is a slice of them
    first, own, end = _spans(present.sum(-1).tolist(), most)
    position = np.arange((end - first).max(initial=0) + 1)
    token = first + position - 1
    real = token < end
    is_own = (token >= own) & real
    index = tokens[np.clip(token, first, end - 1)]
    numbers = lines.data[..., 0].flatten()[_like(lines, index)]
    numbers[:, 0] = begins
    data = torch.stack([numbers, torch.zeros_like(numbers), _like(lines, is_own).to(numbers.dtype)], dim=-1)
    positions = Positions(lines.mask, _like(lines, tokens), _like(lines, np.flatnonzero(is_own)))
    return Padded(data, _like(lines, real)), positions


def _spans(lengths: Sequence[Sequence[int]], most: int) -> npt.NDArray[np.int64]:
    """Return each window's first, first own and end token (excluded), ``[3, windows, 1]``, as indices of tokens."""
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
