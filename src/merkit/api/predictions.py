"""Predictions of utterances as a sequence that is also a table."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

from merkit.core.phrases import number_of
from merkit.core.types import Prediction, Utterance
from merkit.io.decision_rule import DecisionRule
from merkit.timeline.tabular import Tabular, prediction_row


@dataclass(frozen=True)
class Predictions(Tabular, Sequence[Prediction]):
    """Predictions of utterances, in the order in which they were given."""

    labels: tuple[str, ...]
    predictions: tuple[Prediction, ...]
    utterances: tuple[Utterance, ...]
    notes: tuple[str, ...] = ()
    rule: DecisionRule | None = None
    """The model's decision rule; ``None``: it has none."""
    multi_label: bool = False
    """Whether an utterance may have several labels."""

    @property
    def title(self) -> str:
        return number_of(len(self), "prediction")

    def rows(self) -> list[dict[str, Any]]:
        has_reasons = self.rule is not None or self.multi_label or any(each.reason for each in self.predictions)
        shown = [name for name in ("speaker", "text") if any(getattr(utterance, name) for utterance in self.utterances)]
        return [
            {
                "id": prediction.id,
                **{name: getattr(utterance, name) for name in shown},
                **prediction_row(
                    prediction, self.labels, self.rule is not None and self.rule.arousal, self.multi_label
                ),
                **({"reason": prediction.reason} if has_reasons else {}),
            }
            for utterance, prediction in zip(self.utterances, self.predictions, strict=True)
        ]

    @overload
    def __getitem__(self, index: int) -> Prediction: ...

    @overload
    def __getitem__(self, index: slice) -> "Predictions": ...

    def __getitem__(self, index: int | slice) -> "Prediction | Predictions":
        if isinstance(index, slice):
            return replace(self, predictions=self.predictions[index], utterances=self.utterances[index])
        return self.predictions[index]

    def __len__(self) -> int:
        return len(self.predictions)
