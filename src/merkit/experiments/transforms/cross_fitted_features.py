"""Cross-fitted features: vectors of training conversations from extractors that have not learned from them.

The extractors lie below ``<feature-extractors>/<modality>/cross-fit/fold-<f>/seed-<s>/part-<p>-of-<k>/``. All of them
begin with the same weights, as they have the same seed.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from merkit.core.encoder import Array, Encoder
from merkit.core.types import Turn
from merkit.data.dataset import Dataset
from merkit.data.features.sources import FeatureSource, open_sources, open_store
from merkit.encoders.checkpoint import ExtractorConfig
from merkit.experiments.cell import Cell
from merkit.experiments.cross_fit import cross_fit, train_parts
from merkit.experiments.extractors import side_by_side
from merkit.experiments.recipe import CheckOther, Recipe
from merkit.experiments.transform import Resources, TrainCell, Transform
from merkit.io.checkpoint import build_encoders


class CrossFittedSource(FeatureSource):
    """Arrays of training conversations, each from a model that has not learned from that conversation."""

    def __init__(self, encoder: Encoder, by_conversation: Mapping[str, FeatureSource]) -> None:
        super().__init__(encoder, None)
        self._by_conversation = by_conversation

    def extracted(self, turn: Turn) -> Array | None:
        """Return the array ``[time, *dim]`` of a turn, or ``None`` where the turn lacks the modality."""
        return self._by_conversation[turn.utterance.conversation].get(turn)

    def length(self, turn: Turn) -> int:
        """Return the length that batches are sorted by."""
        return self._by_conversation[turn.utterance.conversation].length(turn)


class CrossFittedFeatures(Transform):
    """Replaces the feature sources of the modalities with ``cross_fit``."""

    name = "cross_fit"
    summary = "Vectors of training conversations from feature extractors that have not learned from them."

    @classmethod
    def check_table(cls, table: None, recipe: Recipe, check_other: CheckOther, mistakes: list[str]) -> None:
        for modality in _cross_fitted(recipe.encoders):
            if modality in recipe.extractors and "teacher" in recipe.extractors[modality].transforms:
                mistakes.append(
                    f"encoders.{modality}.cross_fit: its recipe has a teacher, which has learned from the parts that "
                    "are held out; leave cross_fit or the teacher out"
                )

    @classmethod
    def of(cls, cell: Cell) -> Self | None:
        return cls(cell) if _cross_fitted(cell.recipe.encoders) else None

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.parts = {
            modality: cross_fit(
                cell,
                cell.recipe.extractors[modality],
                cell.extractor_folder / modality / "cross-fit",
                config.cross_fit,
                config.ensemble,
                f"encoders.{modality}.cross_fit",
            )
            for modality, config in _cross_fitted(cell.recipe.encoders).items()
        }

    def prepare(self, train: TrainCell) -> None:
        for modality, parts in self.parts.items():
            train_parts(parts, train, f"encoders.{modality}.cross_fit")

    def identity(self) -> Any:
        return {modality: [part.identity() for part in parts] for modality, parts in self.parts.items()}

    def describe(self) -> Mapping[str, Any]:
        return {modality: f"{len(parts)} parts" for modality, parts in self.parts.items()}

    def apply(self, dataset: Dataset, resources: Resources) -> Dataset:
        sources = {modality: self._source(modality, dataset, resources) for modality in self.parts}
        return replace(dataset, sources={**dataset.sources, **sources})

    def _source(self, modality: str, dataset: Dataset, resources: Resources) -> CrossFittedSource:
        cell, encoder = self.cell, resources.encoders[modality]
        by_conversation: dict[str, FeatureSource] = {}
        for part in self.parts[modality]:
            checkpoint = side_by_side(part.checkpoints, cell.extractor_folder / modality / "ensemble")
            choice = {modality: cell.recipe.encoders[modality]}
            extractor = build_encoders(choice, cell.manifest.root, None, {modality: checkpoint})[modality]
            extractor.to(resources.device)
            turns = [turn for turn in dataset.turns() if turn.utterance.conversation in part.conversations]
            open_sources({modality: extractor}, turns, cell.features, resources.progress)
            source = FeatureSource(encoder, open_store(extractor, cell.features))
            by_conversation |= dict.fromkeys(part.conversations, source)
        return CrossFittedSource(encoder, by_conversation)


def _cross_fitted(encoders: Mapping[str, tuple[Any, Any]]) -> dict[str, ExtractorConfig]:
    return {
        m: config for m, (_, config) in encoders.items() if isinstance(config, ExtractorConfig) and config.cross_fit
    }
