"""Balance between modalities in training: slower learning for modalities that are ahead of the others.

After Peng et al., "Balanced Multimodal Learning via On-the-fly Gradient Modulation", CVPR 2022, in the form that Nguyen
et al., "Ada2I", ACM MM 2024, gave it for more than two modalities. The device is only synchronised for
the logged values at the end of an epoch. All processes of a distributed run apply the same coefficients and noise.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, distributed, nn

from merkit.core.precision import at_least_float32
from merkit.nn.noise import GaussianNoise

Target = Literal["gradient", "update", "none"]
"""What the coefficient multiplies: gradients, or the step that the optimiser made of them."""
Noise = Literal["before", "after", "none"]
"""Whether the noise has the standard deviation of the gradient before or after it was multiplied."""


def true_class_scores(
    logits: Float[Tensor, "*batch classes"], labels: Int[Tensor, "*batch"], counted: Bool[Tensor, "*batch"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the sum of the true classes' probabilities over the counted items, and their number; builds no graph.

    Items whose label is negative are not counted.
    """
    counted = counted & (labels >= 0)
    probabilities = at_least_float32(logits.detach()).softmax(dim=-1)
    truth = probabilities.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return torch.where(counted, truth, 0.0).sum(), counted.sum().to(probabilities.dtype)


def disparity_ratios(
    sums: Float[Tensor, " modalities"], counts: Float[Tensor, " modalities"]
) -> Float[Tensor, " modalities"]:
    """Return ``rho_m = s_m / min_n s_n`` with ``s`` the mean score; 1 for a modality that no item has.

    Where every item has every modality, means have the ratio of sums.
    """
    means = sums / counts.clamp(min=1.0)
    lowest = torch.where(counts > 0, means, torch.inf).amin().clamp(min=torch.finfo(means.dtype).tiny)
    return torch.where(counts > 0, means / lowest, 1.0)


def coefficients(ratios: Float[Tensor, " modalities"], alpha: float) -> Float[Tensor, " modalities"]:
    """Return ``k_m = 1 - tanh(alpha rho_m)`` where ``rho_m > 1`` and 1 elsewhere."""
    return torch.where(ratios > 1.0, 1.0 - torch.tanh(alpha * ratios), 1.0)


class Modulation:
    """Observes a model's modalities and slows down the parameters of those that are ahead.

    A step: ``watch`` once per batch, ``before_step`` with complete gradients, ``after_step`` with changed weights.
    """

    def __init__(self, names: Sequence[str], *, alpha: float, target: Target, noise: Noise, first_epoch: int) -> None:
        """Keep the settings.

        Args:
            names: Modalities, in the order of all vectors here.
            alpha: Steepness of the coefficient.
            target: What the coefficient multiplies.
            noise: Gaussian noise on the gradients, and whose standard deviation it has.
            first_epoch: Epochs before it are observed and not changed.
        """
        self.names = tuple(names)
        self.alpha = alpha
        self.target = target
        self.noise = noise
        self.first_epoch = first_epoch
        self._active = False
        self._gaussian = GaussianNoise(0, torch.device("cpu"))
        self._scores: Tensor | None = None  # of this step: sums and counts [2, modalities]
        self._total: Tensor | None = None  # of this epoch
        self._applied: Tensor | None = None  # sum of the coefficients of this epoch's steps
        self._steps = 0
        self._current: Tensor | None = None
        self._before: dict[str, list[Tensor]] = {}

    def start_epoch(self, epoch: int, device: torch.device) -> None:
        """Reset the observed values, and draw the seed of this epoch's noise from torch's generator."""
        self._active = self.target != "none" and epoch >= self.first_epoch
        self._scores = self._total = self._applied = self._current = None
        self._steps = 0
        seed = torch.randint(2**62, (), device="cpu").to(device)
        if _several_processes():
            distributed.broadcast(seed, src=0)
        self._gaussian = GaussianNoise(int(seed), device)

    def watch(
        self,
        logits: Mapping[str, Float[Tensor, "*batch classes"]],
        labels: Int[Tensor, "*batch"],
        present: Mapping[str, Bool[Tensor, "*batch"]],
    ) -> None:
        """Add a batch to the step's scores.

        Args:
            logits: Each modality's own logits.
            labels: Class numbers; negative: not counted.
            present: Items that have the modality.
        """
        pairs = [true_class_scores(logits[name], labels, present[name]) for name in self.names]
        scores = torch.stack([torch.stack(column) for column in zip(*pairs, strict=True)])
        self._scores = scores if self._scores is None else self._scores + scores

    def before_step(self, parameters: Mapping[str, Sequence[nn.Parameter]]) -> None:
        """Compute the step's coefficients; multiply gradients and add noise, or keep the weights for ``after_step``."""
        self._current = self._close()
        if not self._active or self._current is None:
            return
        for number, name in enumerate(self.names):
            coefficient = self._current[number]
            for gradient in (parameter.grad for parameter in parameters[name] if parameter.grad is not None):
                std = standard_deviation(gradient) if self.noise != "none" else None
                if self.target == "gradient":
                    gradient.mul_(coefficient)
                if std is not None:
                    scaled = std * coefficient if self.noise == "after" and self.target == "gradient" else std
                    self._gaussian.add(gradient, scaled)
        if self.target == "update":
            self._before = {name: [p.detach().clone() for p in parameters[name]] for name in self.names}

    def after_step(self, parameters: Mapping[str, Sequence[nn.Parameter]]) -> None:
        """Shorten the step to the coefficient's share, if ``target`` is ``update``."""
        if not self._before or self._current is None:
            return
        with torch.no_grad():
            for number, name in enumerate(self.names):
                for parameter, before in zip(parameters[name], self._before[name], strict=True):
                    parameter.copy_(torch.lerp(before, parameter, self._current[number].to(parameter.dtype)))
        self._before = {}

    def logged_values(self) -> dict[str, float]:
        """Return ``disparity.<name>`` over the epoch's items and the mean applied ``coefficient.<name>``.

        Empty if no batch was observed.
        """
        if self._total is None or self._applied is None:
            return {}
        ratios = disparity_ratios(self._total[0], self._total[1]).tolist()
        applied = (self._applied / self._steps).tolist()
        return {f"disparity.{name}": ratio for name, ratio in zip(self.names, ratios, strict=True)} | {
            f"coefficient.{name}": value for name, value in zip(self.names, applied, strict=True)
        }

    def _close(self) -> Tensor | None:
        """Return the step's coefficients, the same on all processes, and begin the next step's scores."""
        scores, self._scores = self._scores, None
        if scores is None:
            return None
        if _several_processes():
            distributed.all_reduce(scores)
        current = coefficients(disparity_ratios(scores[0], scores[1]), self.alpha)
        applied = current if self._active else torch.ones_like(current)
        self._total = scores if self._total is None else self._total + scores
        self._applied = applied if self._applied is None else self._applied + applied
        self._steps += 1
        return current


def standard_deviation(values: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    """Return the standard deviation of all values (divided by n); many times faster than ``Tensor.std``."""
    mean_square: Tensor = torch.linalg.vector_norm(values).square() / values.numel()
    return (mean_square - values.mean().square()).clamp(min=0.0).sqrt()


def _several_processes() -> bool:
    return distributed.is_available() and distributed.is_initialized()
