"""Words and voice together: two recognizers, whose predictions a rule joins, each kept beside the result."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from merkit.core.errors import CheckpointError
from merkit.core.types import Prediction, Turn
from merkit.encoders.checkpoint import checkpoint_hash
from merkit.inference.decisions import Decisions
from merkit.inference.predictor import ChunkOptions, Predictor
from merkit.inference.recognizer import Recognizer
from merkit.io.decision_rule import DEFAULT_DECISION, DecisionOptions
from merkit.io.joined import VOICE, WORDS, JoinedCheckpoint, is_joined, read_joined
from merkit.weights.models import built_in_model


def load_predictor(
    checkpoint: Path,
    data: Path | None = None,
    device: str | torch.device = "auto",
    *,
    options: DecisionOptions = DEFAULT_DECISION,
    name: str | None = None,
) -> Predictor:
    """Load the checkpoint of one model, or one that joins two; arguments and errors are those of `Recognizer.load`."""
    if not is_joined(checkpoint):
        return Recognizer.load(checkpoint, data, device, options=options, name=name)
    config = read_joined(checkpoint)
    recognizers = {}
    for part, source in ((WORDS, config.words), (VOICE, config.voice)):
        folder = built_in_model(source.checkpoint)
        if checkpoint_hash(folder) != source.hash:
            raise CheckpointError(
                f"{checkpoint} joins '{source.checkpoint}' as it was in another version: install merkit again"
            )
        recognizers[part] = Recognizer.load(folder, None, device, options=options, name=source.checkpoint)
    joined = JoinedRecognizer(recognizers[WORDS], recognizers[VOICE], config)
    joined.folder = checkpoint
    return joined


class JoinedRecognizer(Predictor):
    """A model of words and a model of the voice; see `JoinedCheckpoint` for the rule.

    Where the words say nothing, the prediction is the voice's, and where the speaker's voice has nothing to be compared
    with, it is the words'. ``Prediction.sources`` has both.
    """

    def __init__(self, words: Recognizer, voice: Recognizer, config: JoinedCheckpoint) -> None:
        """Join two models.

        Raises:
            CheckpointError: They read the same modality, the words have no decision rule, or the voice no arousal.
        """
        self._sources = {WORDS: words, VOICE: voice}
        self._config = config
        said, heard = words.decisions.rule, voice.decisions.rule
        if words.reads & voice.reads or said is None or heard is None or not heard.arousal:
            raise CheckpointError(
                "Joined models are one with a decision rule and one that predicts arousal from another modality"
            )
        self.level = "conversation"
        self.labels = words.labels
        self.encoders = {**words.encoders, **voice.encoders}
        self.reads = words.reads | voice.reads
        self.languages = words.languages
        self.request = None
        rule = said.model_copy(
            update={
                "unsure_below": config.unsure_below,
                "least_utterances": heard.least_utterances,
                "least_s": heard.least_s,
                "arousal": True,
            }
        )
        self.decisions = Decisions(words.labels, 1.0, rule)
        self.decisions.calibrated = False  # no labelled speech says how much the voice counts

    @property
    def device(self) -> torch.device:
        return self._sources[WORDS].device

    @property
    def is_causal(self) -> bool:
        return all(source.is_causal for source in self._sources.values())

    @property
    def context_modalities(self) -> frozenset[str]:
        return frozenset().union(*(source.context_modalities for source in self._sources.values()))

    def predict_chunk(self, chunk: Sequence[Sequence[Turn]], options: ChunkOptions) -> list[Prediction]:
        by_source: dict[str, dict[str, Prediction]] = {}
        failures = options.failures
        for name, source in self._sources.items():
            items = chunk if source.level == self.level else [[turn] for item in chunk for turn in item]
            own: dict[str, str] | None = None if failures is None else {}
            most_s = options.batch_seconds if source.hears else None
            predictions = source.predict_chunk(items, replace(options, batch_seconds=most_s, failures=own))
            by_source[name] = {prediction.id: prediction for prediction in predictions}
            if failures is not None and own is not None:
                failures.update(own | failures)
        ids = [turn.utterance.id for item in chunk for turn in item]
        return [
            self._join({name: by_id[id_] for name, by_id in by_source.items()})
            for id_ in ids
            if failures is None or id_ not in failures
        ]

    def answering(self, predictions: Sequence[Prediction]) -> Predictor:
        said = any(each.sources[WORDS].probabilities for each in predictions)
        return self if said else self._sources[VOICE]

    def averaged(self, parts: Sequence[Prediction]) -> Prediction:
        return self._join(
            {name: source.averaged([part.sources[name] for part in parts]) for name, source in self._sources.items()}
        )

    def _join(self, sources: Mapping[str, Prediction]) -> Prediction:
        words, voice = sources[WORDS], sources[VOICE]
        if not words.probabilities:
            return replace(voice, sources=sources)
        probabilities, modalities = words.probabilities, words.modalities
        if voice.probabilities and voice.arousal is not None:
            probabilities = self._config.join(probabilities, voice.arousal)
            modalities = (*modalities, *voice.modalities)
        joint = self.decisions.prediction(words.id, probabilities, modalities, voice.arousal)
        return replace(joint, sources=sources)
