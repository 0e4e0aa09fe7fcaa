"""Layers in NumPy for one sequence at a time: no batches, no masks, one head and one query after the other.

A sequence is an array ``[length, dim]`` of real vectors alone; what is absent is left out of it by the caller.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Array = npt.NDArray[np.float64]


class Weights:
    """A model's parameters by name, below a prefix."""

    def __init__(self, values: Mapping[str, Array], prefix: str = "") -> None:
        self.values, self.prefix = values, prefix

    def __getitem__(self, name: str) -> Array:
        """Return a parameter."""
        return self.values[self.prefix + name]

    def __contains__(self, name: str) -> bool:
        """Whether there is such a parameter."""
        return self.prefix + name in self.values

    def below(self, name: str) -> "Weights":
        """Return the parameters of a submodule."""
        return Weights(self.values, f"{self.prefix}{name}.")


def weights_of(model: nn.Module, seed: int) -> Weights:
    """Give a float64 model weights drawn by name and seed, none of them 0 or 1, and return them."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            drawn = normal(name, parameter.shape, seed)
            drawn = drawn / math.sqrt(parameter.shape[-1]) if parameter.ndim > 1 else 0.3 * drawn
            parameter.copy_(torch.from_numpy(drawn + (1.0 if "norm" in name and name.endswith("weight") else 0.0)))
    return Weights({name: parameter.detach().numpy() for name, parameter in model.named_parameters()})


def normal(name: str, shape: Sequence[int], seed: int) -> Array:
    """Return standard normal numbers that depend on name and seed."""
    return np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32).standard_normal(tuple(shape))


def linear(w: Weights, x: Array) -> Array:
    """Return ``W x + b`` of one vector or of each vector of a sequence."""
    product: Array = x @ w["weight"].T
    return product + w["bias"] if "bias" in w else product


def layer_norm(w: Weights, x: Array, epsilon: float = 1e-5) -> Array:
    """Return each vector minus its mean, divided by its standard deviation, times gain, plus bias."""
    rows = []
    for row in np.atleast_2d(x):
        variance = ((row - row.mean()) ** 2).mean()
        rows.append((row - row.mean()) / math.sqrt(variance + epsilon) * w["weight"] + w["bias"])
    return np.array(rows).reshape(x.shape)


def gelu(x: Array) -> Array:
    """Return ``x Phi(x)``, exact."""
    return np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x.ravel()]).reshape(x.shape)


def sigmoid(x: Array) -> Array:
    """Return the logistic function."""
    return 1.0 / (1.0 + np.exp(-x))


def softmax(x: Array) -> Array:
    """Return a distribution from scores."""
    exponents = np.exp(x - x.max())
    return exponents / exponents.sum()


def attention(w: Weights, queries: Array, source: Array, heads: int) -> Array:
    """Return what each query reads from the source; zeros where there is nothing to read."""
    if not len(source):
        return np.zeros_like(queries)
    size = queries.shape[1] // heads
    keys, values = linear(w.below("key"), source), linear(w.below("value"), source)
    rows = []
    for query in linear(w.below("query"), queries):
        parts = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            shares = softmax(np.array([query[part] @ key[part] / math.sqrt(size) for key in keys]))
            parts.append(sum(share * value[part] for share, value in zip(shares, values, strict=True)))
        rows.append(linear(w.below("output"), np.concatenate(parts)))
    return np.array(rows).reshape(queries.shape)


def feed_forward(w: Weights, x: Array) -> Array:
    """Return linear, GELU, linear."""
    return linear(w.below("3"), gelu(linear(w.below("0"), x)))


def post_norm_layer(w: Weights, queries: Array, source: Array, heads: int) -> Array:
    """Return ``y = LN(x + A(x, s)); LN(y + F(y))``."""
    x = layer_norm(w.below("attention_norm"), queries + attention(w.below("attention"), queries, source, heads))
    return layer_norm(w.below("feed_forward_norm"), x + feed_forward(w.below("feed_forward"), x))


def positions(length: int, dim: int) -> Array:
    """Return sines and cosines of the position, by turns (Vaswani et al. 2017, section 3.5)."""
    code = np.zeros((length, dim))
    for position in range(length):
        for column in range(dim):
            angle = position / 10000 ** ((column - column % 2) / dim)
            code[position, column] = math.sin(angle) if column % 2 == 0 else math.cos(angle)
    return code


def cross_entropy(pairs: Sequence[tuple[Array, int]]) -> float:
    """Return the mean of ``-log p(label)``."""
    return float(np.mean([-math.log(softmax(logits)[label]) for logits, label in pairs]))


def assert_equal(found: Any, expected: Any) -> None:
    """Compare within 1e-6; positions and the prior of the model are float32 numbers."""
    found = found.detach().numpy() if isinstance(found, torch.Tensor) else found
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
