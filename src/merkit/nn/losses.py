"""Classification losses for unequal classes. All take scores and class numbers, skip -100 and return one number.

`MultiLabelLoss` takes a number for each label of an item instead of a class number: 1 or 0.

The mean is weighted as in PyTorch: the sum of the weighted terms divided by the sum of the counted labels' weights.
With nothing to count the loss is 0 and so are its gradients.

``q`` below is the target distribution: 1 at the label, or ``1 - s + s / classes`` at the label and ``s / classes``
elsewhere with label smoothing ``s``. The loss of one item is ``-sum_c q_c w_c f_c log p_c``, ``w`` the class weights.

| kind | p | f | source |
|---|---|---|---|
| ``cross_entropy`` | softmax(scores) | 1 | |
| ``focal`` | softmax(scores) | (1 - p_c)^gamma | Lin et al., ICCV 2017, eq. 5 |
| ``logit_adjusted`` | softmax(scores + tau log prior) | 1 | Menon et al., ICLR 2021, eq. 10 |
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

Kind = Literal["cross_entropy", "focal", "logit_adjusted"]
ClassWeights = Literal["none", "inverse", "effective"]

IGNORED = -100
"""The class number of an item without a label."""


class ClassificationLoss(nn.Module):
    """One of the losses of this module; its tensors are not part of a model's state or checkpoint."""

    weights: Tensor
    shift: Tensor

    def __init__(
        self,
        weights: Float[Tensor, " classes"],
        shift: Float[Tensor, " classes"],
        *,
        gamma: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        """Keep the weight of each class, what is added to its score, the focal exponent and the smoothing."""
        super().__init__()
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("shift", shift, persistent=False)
        self.gamma = gamma
        self.label_smoothing = label_smoothing

    def forward(self, logits: Float[Tensor, "items classes"], labels: Int[Tensor, " items"]) -> Float[Tensor, ""]:
        """Return the weighted mean over the items whose label is not -100."""
        counted = labels != IGNORED
        logits, labels = logits[counted], labels[counted]
        weights, shift = self.weights.to(logits), self.shift.to(logits)
        log_p = torch.log_softmax(logits + shift, dim=-1)
        classes = logits.shape[-1]
        target = torch.full_like(log_p, self.label_smoothing / classes)
        target.scatter_(1, labels.unsqueeze(1), 1.0 - self.label_smoothing + self.label_smoothing / classes)
        terms = -target * weights * log_p
        if self.gamma > 0.0:
            # expm1 keeps the digits of 1 - p near p = 1; at 0 a power below 1 would have an infinite slope
            terms = terms * (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).eps).pow(self.gamma)
        return terms.sum() / weights[labels].sum().clamp(min=torch.finfo(logits.dtype).tiny)


class MultiLabelLoss(nn.Module):
    """Binary cross entropy of each label, in nats; -100 is not counted."""

    def forward(
        self, logits: Float[Tensor, "items classes"], labels: Float[Tensor, "items classes"]
    ) -> Float[Tensor, ""]:
        """Return the mean over labels and the items that are counted; 0 with nothing to count."""
        counted = labels != IGNORED
        terms = binary_cross_entropy_with_logits(logits[counted], labels[counted].to(logits), reduction="sum")
        return terms / counted.sum().clamp(min=1)


def distillation_loss(
    logits: Float[Tensor, "items classes"], teacher: Float[Tensor, "items classes"]
) -> Float[Tensor, ""]:
    """Return the mean cross entropy of the softmax of the scores against a teacher's probabilities, in nats.

    Its gradient is that of the divergence KL(teacher || student). Items whose teacher is all zeros are not counted;
    with nothing to count the loss is 0 and so are its gradients. Source: Hinton et al., 2015 (arXiv 1503.02531), at
    temperature 1.
    """
    terms = -(teacher * torch.log_softmax(logits, dim=-1)).sum(dim=-1)
    return terms.sum() / (teacher > 0.0).any(dim=-1).sum().clamp(min=1)


def build_criterion(
    kind: Kind,
    class_counts: Sequence[int],
    class_weights: ClassWeights = "none",
    label_smoothing: float = 0.0,
    *,
    focal_gamma: float = 2.0,
    prior_exponent: float = 1.0,
    effective_beta: float = 0.999,
) -> ClassificationLoss:
    """Return a loss for a training split with the given number of items per class.

    ``focal_gamma`` is Lin's gamma (2 is best in that paper), ``prior_exponent`` Menon's tau, ``effective_beta`` Cui's
    beta.

    Raises:
        ValueError: Smoothing or beta outside [0, 1), a negative exponent or count, or no class.
    """
    if not class_counts or min(class_counts) < 0:
        raise ValueError(f"class counts must be a list of numbers >= 0, found {list(class_counts)}")
    if not 0.0 <= label_smoothing < 1.0 or not 0.0 <= effective_beta < 1.0:
        raise ValueError(
            f"label_smoothing ({label_smoothing}) and effective_beta ({effective_beta}) must lie in [0, 1)"
        )
    if focal_gamma < 0.0 or prior_exponent < 0.0:
        raise ValueError(f"focal_gamma ({focal_gamma}) and prior_exponent ({prior_exponent}) must be >= 0")
    weights = weights_of_classes(class_counts, class_weights, effective_beta)
    shift = torch.zeros(len(class_counts))
    if kind == "logit_adjusted":
        # a class without training items counts as one item, because the logarithm of 0 is infinite
        counts = torch.tensor(class_counts, dtype=torch.float64).clamp(min=1.0)
        shift = (prior_exponent * (counts / counts.sum()).log()).float()
    return ClassificationLoss(
        weights, shift, gamma=focal_gamma if kind == "focal" else 0.0, label_smoothing=label_smoothing
    )


def weights_of_classes(
    class_counts: Sequence[int], how: ClassWeights, effective_beta: float = 0.999
) -> Float[Tensor, " classes"]:
    """Return a weight per class.

    ``none``: 1. ``inverse``: ``items / (seen classes * n_c)``, so that each seen class weighs the same in all
    (scikit-learn's "balanced"). ``effective``: ``(1 - beta) / (1 - beta^n_c)``, scaled to sum to the number of seen
    classes (Cui et al., CVPR 2019, eq. 2 and section 4). A class without training items has weight 0 under the latter
    two.
    """
    counts = torch.tensor(class_counts, dtype=torch.float64)
    if how == "none":
        return torch.ones(len(class_counts))
    seen = counts > 0
    safe = torch.where(seen, counts, 1.0)
    if how == "inverse":
        weights = counts.sum() / (seen.sum() * safe)
    else:
        weights = (1.0 - effective_beta) / (1.0 - effective_beta**safe)
        weights = weights * seen.sum() / torch.where(seen, weights, 0.0).sum().clamp(min=1e-300)
    return torch.where(seen, weights, 0.0).float()
