"""Predict turns one after the other, and keep of earlier turns only what the model reads of them.

The prediction of a turn is that of an analysis of a recording that ends with it: the same check for speech, the same
features, the same model. A speaker's average is computed from running sums; a conversation model gets the last turns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from merkit.core.errors import ConfigError, MerkitError
from merkit.core.language import language_code
from merkit.core.types import Prediction, Turn, Utterance, turns_of
from merkit.core.waveform import Waveform
from merkit.data.features.extraction import is_about
from merkit.data.features.sources import (
    HeldFeatures,
    SpeakerKey,
    SpeakerMoments,
    open_sources,
    speaker_moments,
)
from merkit.inference.predictor import IN_MEMORY_S, Predictor
from merkit.recordings.alignment import align_turns
from merkit.recordings.analysis import chosen_modalities
from merkit.recordings.options import RecordingOptions
from merkit.recordings.recognition.engine import RATE_HZ, Engine
from merkit.recordings.recognition.recognise import check_language, recognised_text
from merkit.recordings.speech import without_unheard

MOST_PREVIOUS = 200
"""Previous turns that a conversation model reads at most; of their sound it reads at most ten minutes."""

_CONVERSATION = "live"

Moments = Mapping[str, Mapping[SpeakerKey, SpeakerMoments]]
"""Sums of each speaker's features, by modality."""


@dataclass(frozen=True)
class SpokenTurn:
    """A turn and its sound."""

    start_ms: int
    """Where it begins in the stream: turns are in this order."""
    speaker: str
    sound: Waveform
    start_s: float
    """Where it begins in ``sound``."""
    end_s: float


@dataclass(frozen=True)
class TurnPrediction:
    """The prediction of a turn; the next turns read the turn once it is kept."""

    number: int
    """How many turns were kept before."""
    start_ms: int
    utterance: Utterance
    text: str | None
    language: str | None
    moments: Moments
    """Those of the turns so far, with this one."""
    prediction: Prediction | None
    """``None``: the turn could not be read."""
    reason: str | None
    """Why there is no label; ``None``: there is one."""


class TurnPredictor:
    """Predicts turns, and keeps what the next ones need of them.

    Args:
        recognizer: The model.
        checkpoint: Its name in errors.
        options: What the model may read, and the language of the words.
        engine: Recognises the words; ``None``: there are none.

    Raises:
        MerkitError: The model reads the turns that follow, none of its modalities is live, or a package is missing.
    """

    def __init__(
        self, recognizer: Predictor, checkpoint: str, options: RecordingOptions, engine: Engine | None
    ) -> None:
        reads = chosen_modalities(recognizer, checkpoint, options)
        self._hears = recognizer.hears and "audio" in reads
        self._reads_text = "text" in reads
        if not recognizer.is_causal:
            raise ConfigError(
                f"'{checkpoint}' reads the turns that follow one, and a live turn has none: use a model of utterances, "
                "or one with causal = true"
            )
        if not self._hears and not (self._reads_text and engine is not None):
            hint = ": recognise words (--asr, asr=True)" if self._reads_text else ""
            raise ConfigError(f"'{checkpoint}' reads {' and '.join(sorted(reads))}, and live sound has none{hint}")
        self._recognizer = recognizer
        self._engine = engine
        self._features: HeldFeatures = {}
        self._previous: list[TurnPrediction] = []
        self._moments: Moments = {}
        self._language = language_code(options.language)
        if engine is not None and self._language is not None:
            self._language = check_language(engine, self._language)
        self._number = 0
        self._load()

    @property
    def number(self) -> int:
        """How many turns were kept."""
        return self._number

    def predict(self, turn: SpokenTurn) -> TurnPrediction | None:
        """Return the prediction of a turn that follows those that were kept; ``None``: it has no speech."""
        utterance = Utterance(
            str(self._number), _CONVERSATION, 0, turn.speaker, audio=turn.sound, start_s=turn.start_s, end_s=turn.end_s
        )
        if without_unheard([utterance])[1]:
            return None
        text, language = None, self._language
        if self._engine is not None:
            text, language, _ = recognised_text(self._engine, turn.sound, turn.start_s, turn.end_s, language)
        utterance = replace(
            utterance,
            text=text if self._reads_text else None,
            audio=utterance.audio if self._hears else None,
            language=language,
        )
        return self._predicted(turn.start_ms, utterance, text, language)

    def keep(self, turn: TurnPrediction) -> None:
        """Keep a turn as one that the next turns follow.

        Raises:
            ValueError: Another one was kept since it was predicted.
        """
        if turn.number != self._number:
            raise ValueError(f"turn {turn.number} was predicted before turn {self._number - 1} was kept")
        self._number += 1
        self._language = turn.language
        if turn.prediction is None:
            return
        self._moments = turn.moments
        self._previous = self._bounded([*self._previous, self._as_context(turn)])
        names = {each.utterance.id for each in self._previous}
        for store in self._features.values():
            store.keep(names)

    def _load(self) -> None:
        """Predict a made-up turn, so that all that is loaded on first use is loaded before the first sound."""
        sound, text = _pitched_sound(), None
        if self._engine is not None:
            text = "yes"
            self._engine.find_language(sound.samples)
        utterance = Utterance("0", _CONVERSATION, 0, "", text=text if self._reads_text else None)
        self._predicted(0, replace(utterance, audio=sound if self._hears else None), text, None)

    def _predicted(self, start_ms: int, utterance: Utterance, text: str | None, language: str | None) -> TurnPrediction:
        unread = TurnPrediction(self._number, start_ms, utterance, text, language, self._moments, None, None)
        try:
            prediction, moments = self._predict(unread)
        except MerkitError as error:
            (own,) = turns_of([utterance], Path())
            if not is_about(error, own):
                raise
            return replace(unread, reason=str(error))
        return replace(unread, prediction=prediction, moments=moments, reason=prediction.reason)

    def _predict(self, turn: TurnPrediction) -> tuple[Prediction, Moments]:
        (own,) = turns_of([turn.utterance], Path())
        moments = self._moments_with(own)
        statistics = {
            modality: {speaker: each.statistics for speaker, each in by_speaker.items()}
            for modality, by_speaker in moments.items()
        }
        turns = self._turns(turn)
        segments, _ = align_turns(self._recognizer.request, turns)
        (prediction,) = self._recognizer.predict_turns(
            turns, wanted=[turn.utterance.id], features=self._features, segments=segments, statistics=statistics
        )
        return prediction, moments

    def _turns(self, last: TurnPrediction) -> list[Turn]:
        """Return the turns that the model reads, in order of time."""
        known = sorted([*self._previous, last], key=lambda each: (each.start_ms, each.number))
        utterances = [replace(each.utterance, turn=turn) for turn, each in enumerate(known)]
        turns = list(turns_of(utterances, Path(), *self._recognizer.reach))
        if self._recognizer.level == "conversation":
            return turns
        return [turn for turn in turns if turn.utterance.id == last.utterance.id]

    def _moments_with(self, turn: Turn) -> Moments:
        """Return the sums over the speakers' turns so far and another one."""
        moments = {}
        for modality, source in open_sources(self._recognizer.normalizing_encoders, [turn], self._features).items():
            array = source.extracted(turn)
            new = [] if array is None else [(turn, array)]
            moments[modality] = speaker_moments(new, source.encoder.duration_s, self._moments.get(modality, {}))
        return moments

    def _as_context(self, turn: TurnPrediction) -> TurnPrediction:
        """Return a turn with what the model reads of it as a previous one."""
        reads, utterance = self._recognizer.context_modalities, turn.utterance
        text = utterance.text if "text" in reads else None
        audio = utterance.audio if "audio" in reads else None
        return replace(turn, utterance=replace(utterance, text=text, audio=audio), moments={}, prediction=None)

    def _bounded(self, turns: Sequence[TurnPrediction]) -> list[TurnPrediction]:
        """Return the last turns that a model may read, oldest first."""
        recognizer = self._recognizer
        if not recognizer.context_modalities:
            return []
        most = MOST_PREVIOUS if recognizer.level == "conversation" else min(recognizer.reach[0], MOST_PREVIOUS)
        kept = list(turns[-most:])
        while sum(_seconds(each) for each in kept) > IN_MEMORY_S:
            del kept[0]
        return kept


def _seconds(turn: TurnPrediction) -> float:
    utterance = turn.utterance
    return 0.0 if utterance.audio is None else (utterance.end_s or 0.0) - (utterance.start_s or 0.0)


def _pitched_sound() -> Waveform:
    """Return a second of sound with a pitch, which encoders of prosody need."""
    times = np.arange(RATE_HZ) / RATE_HZ
    return Waveform(0.05 * np.sin(2 * np.pi * 120 * times) ** 15, RATE_HZ)
