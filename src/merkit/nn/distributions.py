"""Gaussians with a diagonal covariance, and divergences between distributions, in nats.

A Gaussian is kept as mean and logarithm of its variance: any real number is a valid one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from merkit.core.precision import at_least_float32


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Independent normal distributions, one for each element."""

    mean: Float[Tensor, "*batch dim"]
    log_variance: Float[Tensor, "*batch dim"]

    def sample(self) -> Float[Tensor, "*batch dim"]:
        """Return a reparameterised sample: gradients reach mean and variance (Kingma and Welling, ICLR 2014, eq. 4)."""
        return self.mean + (0.5 * self.log_variance).exp() * torch.randn_like(self.mean)

    def detach(self) -> "Gaussian":
        """Return the same distribution, detached from the graph."""
        return Gaussian(self.mean.detach(), self.log_variance.detach())


def standard_normal(like: Float[Tensor, "*batch dim"]) -> Gaussian:
    """Return N(0, 1) for each element of a tensor."""
    return Gaussian(torch.zeros_like(like), torch.zeros_like(like))


def gaussian_kl(first: Gaussian, second: Gaussian) -> Float[Tensor, "*batch dim"]:
    """Return KL(first || second) per element; summed over ``dim`` it is that of the joint distributions."""
    log_ratio = first.log_variance - second.log_variance
    distance = (first.mean - second.mean).square() * (-second.log_variance).exp()
    return 0.5 * (torch.expm1(log_ratio) - log_ratio + distance)


def product_of_experts(experts: Sequence[Gaussian], present: Sequence[Bool[Tensor, "*batch"]]) -> Gaussian:
    """Return the normalised product: precisions add up, means are averaged by precision.

    Without any expert present the result is N(0, 1). Wu and Goodman, "Multimodal Generative Models for Scalable
    Weakly-Supervised Learning", NeurIPS 2018, section 2.2, without their prior expert.

    Args:
        experts: At least one, of equal shape ``[*batch, dim]``.
        present: Items for which each expert counts.
    """
    log_precisions = -torch.stack([expert.log_variance for expert in experts])
    means = torch.stack([expert.mean for expert in experts])
    counted = torch.stack(list(present)).unsqueeze(-1)
    none = ~counted.any(dim=0)
    log_precisions = log_precisions.masked_fill(~(counted | none), -torch.inf)
    mean = (torch.softmax(log_precisions, dim=0) * means).sum(dim=0)
    return Gaussian(mean.masked_fill(none, 0.0), -torch.logsumexp(log_precisions, dim=0).masked_fill(none, 0.0))


def categorical_kl(
    teacher: Float[Tensor, "*batch classes"], student: Float[Tensor, "*batch classes"], temperature: float = 1.0
) -> Float[Tensor, "*batch"]:
    """Return KL(softmax(teacher / temperature) || softmax(student / temperature)) of two sets of scores."""
    log_p = torch.log_softmax(at_least_float32(teacher) / temperature, dim=-1)
    log_q = torch.log_softmax(at_least_float32(student) / temperature, dim=-1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)
