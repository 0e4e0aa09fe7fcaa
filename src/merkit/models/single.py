"""One encoder, its frames pooled, a linear head: a baseline for fusion, and a feature extractor."""

from merkit.core.model import ModelSpec
from merkit.models._single import Single, SingleConfig

__all__ = ["SPEC", "Single"]

SPEC = ModelSpec(
    name="single",
    summary="one encoder, pooled over time, with a linear head",
    level="utterance",
    config=SingleConfig,
    build=Single,
    multi_label=True,
    modalities=(1, 1),
)
