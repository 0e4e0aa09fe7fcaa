"""From a model's output to predictions: temperature, the decision rule, and the reasons why there is no label."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import torch

from merkit.core.batch import Batch, ModelOutput
from merkit.core.errors import MerkitError
from merkit.core.phrases import number_of
from merkit.core.types import Prediction, Turn
from merkit.data.features.sources import SpeakerKey, SpeakerStatistics, speaker_key
from merkit.io.decision_rule import DecisionRule

AROUSAL = "arousal"
"""A model's auxiliary output ``[*batch]``: the logit of high arousal against low, calibrated by the model."""

NONE_REACHED = "no label reaches its threshold"
"""The reason of a multi-label model that predicts none."""

NO_INPUT = "no input that the model reads"
"""The reason of an utterance that has nothing which the model reads."""

_COMPARED = "a voice is compared with the speaker's own average"


class Decisions:
    """How the output of a model becomes predictions.

    Args:
        labels: All labels of the model, in the order of class numbers.
        temperature: Logits are divided by it.
        rule: What a prediction says; ``None``: the probabilities of all labels, and the label of the highest.
        thresholds: Of a multi-label model, by label: each label is predicted where its probability, the sigmoid of its
            logit, is that high. ``None``: one label per utterance, probabilities are the softmax of all logits.
    """

    def __init__(
        self,
        labels: Sequence[str],
        temperature: float,
        rule: DecisionRule | None = None,
        thresholds: Sequence[float] | None = None,
    ) -> None:
        self.rule = rule
        self._thresholds = None if thresholds is None else dict(zip(labels, thresholds, strict=True))
        self.labels = tuple(labels) if rule is None else rule.shown(labels)
        self._temperature = temperature
        self.calibrated = temperature != 1.0 or rule is not None
        """Whether probabilities were calibrated on other data than the training's, as for a rule they must be."""
        self._columns: list[int] | None = None
        self._log_prior = torch.zeros(())
        if rule is not None:
            self._columns = [labels.index(label) for label in self.labels]
            self._log_prior = torch.tensor(list(rule.priors(labels).values()), dtype=torch.float64).log()

    @property
    def always_labels(self) -> bool:
        """Whether every utterance that has input gets a label."""
        return self.rule is None and self._thresholds is None

    @property
    def multi_label(self) -> bool:
        """Whether an utterance may have several labels."""
        return self._thresholds is not None

    def predictions(
        self,
        batch: Batch,
        output: ModelOutput,
        reasons: Mapping[str, str],
        failures: dict[str, str] | None = None,
        missing: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[Prediction]:
        """Yield the predictions of a batch.

        Args:
            batch: The utterances.
            output: The model's, of this batch.
            reasons: By id why an utterance can have no label, whatever its logits.
            failures: As in `ChunkOptions`.
            missing: By id why input that an utterance has is missing to the model. Where it has no other input, that is
                why it has no label.

        Raises:
            MerkitError: Without ``failures``: a probability is not finite.
        """
        logits = output.logits.cpu()[batch.mask].double() / self._temperature
        if self._columns is not None:
            logits = logits[:, self._columns] + self._log_prior
        probabilities = (logits.softmax(dim=-1) if self._thresholds is None else logits.sigmoid()).tolist()
        arousals = self._arousals(batch, output)
        present = {name: flags[batch.mask].tolist() for name, flags in batch.present.items()}
        if batch.texts:
            present["text"] = [text is not None for text in batch.texts]
        for row, (utterance, values) in enumerate(zip(batch.ids, probabilities, strict=True)):
            modalities = tuple(name for name, flags in present.items() if flags[row])
            if not all(map(math.isfinite, [*values, arousals[row] or 0.0])):
                error = (
                    f"The model gives utterance '{utterance}' a probability that is not finite: lower "
                    "training.learning_rates, or check the utterance with 'merkit doctor'."
                )
                if failures is None:
                    raise MerkitError(error)
                failures[utterance] = error
            else:
                by_label = dict(zip(self.labels, values, strict=True))
                if not modalities and utterance in missing:
                    yield Prediction(utterance, None, {}, None, (), missing[utterance])
                else:
                    yield self.prediction(utterance, by_label, modalities, arousals[row], reasons.get(utterance))

    def _arousals(self, batch: Batch, output: ModelOutput) -> Sequence[float | None]:
        if self.rule is None or not self.rule.arousal:
            return [None] * len(batch.ids)
        if AROUSAL not in output.auxiliary:
            raise MerkitError("The model's decision rule has arousal, and its output has none: was config.json edited?")
        values: list[float | None] = output.auxiliary[AROUSAL].cpu()[batch.mask].double().sigmoid().tolist()
        return values

    def prediction(
        self,
        utterance: str,
        probabilities: Mapping[str, float],
        modalities: tuple[str, ...],
        arousal: float | None = None,
        reason: str | None = None,
    ) -> Prediction:
        """Return what is said of one utterance.

        Args:
            utterance: Its id.
            probabilities: Of the shown labels.
            modalities: Those that were present.
            arousal: As in `Prediction`.
            reason: Why it can have no label and no probabilities.
        """
        if self.rule is not None and not modalities:
            return Prediction(utterance, None, {}, None, (), NO_INPUT)
        if reason is not None:
            return Prediction(utterance, None, {}, None, modalities, reason, arousal)
        if self._thresholds is not None:
            return self._several(utterance, probabilities, modalities, self._thresholds)
        label = max(probabilities, key=probabilities.__getitem__)
        confidence = probabilities[label]
        if self.rule is not None and confidence < self.rule.unsure_below:
            below = math.floor(100 * confidence + 1e-9) / 100  # never printed as reached
            reason = f"unsure: the highest probability, {below:.2f}, is below {self.rule.unsure_below:g}"
            return Prediction(utterance, None, probabilities, confidence, modalities, reason, arousal)
        return Prediction(utterance, label, probabilities, confidence, modalities, None, arousal)

    def _several(
        self,
        utterance: str,
        probabilities: Mapping[str, float],
        modalities: tuple[str, ...],
        thresholds: Mapping[str, float],
    ) -> Prediction:
        reached = [label for label, value in probabilities.items() if value >= thresholds[label]]
        labels = tuple(sorted(reached, key=probabilities.__getitem__, reverse=True))
        if not labels:
            highest = max(probabilities.values())
            return Prediction(utterance, None, probabilities, highest, modalities, NONE_REACHED, labels=())
        return Prediction(utterance, labels[0], probabilities, probabilities[labels[0]], modalities, labels=labels)

    def joined(self, parts: Sequence[Prediction]) -> Prediction:
        """Return the prediction of an utterance that was read in parts: the mean of theirs."""
        first = parts[0]
        if len(parts) == 1:
            return first
        modalities = tuple(dict.fromkeys(name for each in parts for name in each.modalities))
        arousals = [each.arousal for each in parts if each.arousal is not None]
        arousal = math.fsum(arousals) / len(arousals) if arousals else None
        known = [each for each in parts if each.probabilities]
        if not known:
            return replace(first, modalities=modalities, arousal=arousal)
        means = {label: math.fsum(each.probabilities[label] for each in known) / len(known) for label in self.labels}
        return self.prediction(first.id, means, modalities, arousal)

    def reasons(
        self, turns: Iterable[Turn], statistics: Mapping[str, Mapping[SpeakerKey, SpeakerStatistics]]
    ) -> dict[str, str]:
        """Return by id why an utterance can have no label: too little sound of its speaker.

        Args:
            turns: The utterances.
            statistics: Of the speakers, by modality.
        """
        rule = self.rule
        if rule is None or not rule.compares:
            return {}
        reasons = {}
        for turn in turns:
            for by_speaker in statistics.values():
                reason = _too_little(rule, by_speaker.get(speaker_key(turn)))
                if reason is not None:
                    reasons[turn.utterance.id] = f"{reason} of this speaker: {_COMPARED}"
        return reasons


def _too_little(rule: DecisionRule, own: SpeakerStatistics | None) -> str | None:
    least = max(rule.least_utterances, 1)
    if own is None or own.utterances < least:
        return f"fewer than {number_of(least, 'utterance')}"
    if round(own.seconds, 3) < rule.least_s:  # recordings end between two samples
        return f"less than {rule.least_s:g} s"
    return None
