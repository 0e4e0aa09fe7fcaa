"""Fusion by cosines: each modality adds to the scores, independently of the norm of its vectors."""

from collections.abc import Mapping
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from merkit.core.precision import at_least_float32


class CosineFusion(nn.Module):
    """For each modality the cosines of its feature with its block of output weights.

    MMCosine (Xu et al., ICASSP 2023). A vector of zeros (an absent modality) adds only its share of the bias.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        hidden: int,
        classes: int,
        *,
        cosine: bool,
        weight_norm: Literal["hidden", "classes"],
        scale: float,
        bias: bool,
    ) -> None:
        super().__init__()
        self.names = names
        self.cosine = cosine
        self.axis = -1 if weight_norm == "hidden" else 0
        self.scale = scale
        whole = nn.Linear(len(names) * hidden, classes, bias=bias)
        self.weight = whole.weight
        self.bias = whole.bias if bias else None

    def forward(
        self, features: Mapping[str, Float[Tensor, "*batch hidden"]]
    ) -> dict[str, Float[Tensor, "*batch classes"]]:
        """Return each modality's summand of the fused scores."""
        return {
            name: self._cosines(name, feature) if self.cosine else self.product(name, feature)
            for name, feature in features.items()
        }

    def product(self, name: str, feature: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch classes"]:
        """Return inner products with a modality's block of weights, and its share of the bias."""
        return linear(feature, self._block(name), self._share())

    def _cosines(self, name: str, feature: Tensor) -> Tensor:
        # float32: half precision cannot represent the small number by which normalize avoids a division by 0
        unit = normalize(at_least_float32(feature), dim=-1)
        weight = normalize(at_least_float32(self._block(name)), dim=self.axis)
        return linear(unit, self.scale * weight, self._share())

    def _block(self, name: str) -> Tensor:
        return self.weight.chunk(len(self.names), dim=1)[self.names.index(name)]

    def _share(self) -> Tensor | None:
        return None if self.bias is None else self.bias / len(self.names)
