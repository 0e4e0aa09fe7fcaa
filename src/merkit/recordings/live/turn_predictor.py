"""Labels of turns one after the other, by what a model needs of the turns before: no sound is kept for longer.

A turn is answered as in the analysis of a recording that ends with it: the same check for speech, the same features,
the same model. A speaker's average is one of sums; of previous turns a model of conversations gets the last ones.
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
"""Previous turns that a model of conversations gets at most; of one that reads their sound, ten minutes of it."""

_CONVERSATION = "live"

Moments = Mapping[str, Mapping[SpeakerKey, SpeakerMoments]]
"""Of the speakers, by modality."""


@dataclass(frozen=True)
class HeardTurn:
    """A turn as it was spoken."""

    start_ms: int
    """Where it begins in the stream: turns are in this order."""
    speaker: str
    sound: Waveform
    start_s: float
    """In the sound."""
    end_s: float


@dataclass(frozen=True)
class TurnPrediction:
    """What is said of a turn; it counts once it is kept."""

    number: int
    """Of turns that were kept before."""
    start_ms: int
    utterance: Utterance
    text: str | None
    language: str | None
    moments: Moments
    """With this turn."""
    prediction: Prediction | None
    """``None``: it could not be read."""
    reason: str | None
    """Why it has no label; ``None``: it has one."""


class TurnPredictor:
    """TurnPredictor turns, and remembers of those that are kept what the next ones need.

    Args:
        recognizer: The model.
        checkpoint: What errors call it.
        options: What the model may read.
        engine: Recognises the words; ``None``: there are none.

    Raises:
        MerkitError: The model reads the turns that follow, or nothing that is live, or needs what is not installed.
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

    def predict(self, turn: HeardTurn) -> TurnPrediction | None:
        """Return what is said of a turn, by those that were kept; ``None``: it has no speech."""
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

    def keep(self, answer: TurnPrediction) -> None:
        """Let the next turns know of this one.

        Raises:
            ValueError: Another one was kept since it was answered.
        """
        if answer.number != self._number:
            raise ValueError(f"turn {answer.number} was answered before turn {self._number - 1} was kept")
        self._number += 1
        self._language = answer.language
        if answer.prediction is None:
            return
        self._moments = answer.moments
        self._previous = self._bounded([*self._previous, self._remembered(answer)])
        names = {each.utterance.id for each in self._previous}
        for store in self._features.values():
            store.keep(names)

    def _load(self) -> None:
        """Load what is loaded when it is first needed: nobody waits for it later."""
        sound, text = _buzz(), None
        if self._engine is not None:
            text = "yes"
            self._engine.find_language(sound.samples)
        utterance = Utterance("0", _CONVERSATION, 0, "", text=text if self._reads_text else None)
        self._predicted(0, replace(utterance, audio=sound if self._hears else None), text, None)

    def _predicted(self, start_ms: int, utterance: Utterance, text: str | None, language: str | None) -> TurnPrediction:
        answer = TurnPrediction(self._number, start_ms, utterance, text, language, self._moments, None, None)
        try:
            prediction, moments = self._predict(answer)
        except MerkitError as error:
            (own,) = turns_of([utterance], Path())
            if not is_about(error, own):
                raise
            return replace(answer, reason=str(error))
        return replace(answer, prediction=prediction, moments=moments, reason=prediction.reason)

    def _predict(self, answer: TurnPrediction) -> tuple[Prediction, Moments]:
        recognizer, name = self._recognizer, answer.utterance.id
        (own,) = turns_of([answer.utterance], Path())
        moments = self._with(own)
        statistics = {
            modality: {speaker: each.statistics for speaker, each in by_speaker.items()}
            for modality, by_speaker in moments.items()
        }
        turns = self._turns(answer)
        segments, _ = align_turns(recognizer.request, turns)
        (prediction,) = recognizer.predict_turns(
            turns, wanted=[name], features=self._features, segments=segments, statistics=statistics
        )
        return prediction, moments

    def _turns(self, answer: TurnPrediction) -> list[Turn]:
        """Return the turns that the model reads, in order of time."""
        known = sorted([*self._previous, answer], key=lambda each: (each.start_ms, each.number))
        utterances = [replace(each.utterance, turn=turn) for turn, each in enumerate(known)]
        turns = list(turns_of(utterances, Path(), *self._recognizer.reach))
        if self._recognizer.level == "conversation":
            return turns
        return [turn for turn in turns if turn.utterance.id == answer.utterance.id]

    def _with(self, turn: Turn) -> Moments:
        """Return the sums over the speakers' turns with another one."""
        moments = {}
        for modality, source in open_sources(self._recognizer.comparing, [turn], self._features).items():
            array = source.extracted(turn)
            new = [] if array is None else [(turn, array)]
            moments[modality] = speaker_moments(new, source.encoder.duration_s, self._moments.get(modality, {}))
        return moments

    def _remembered(self, answer: TurnPrediction) -> TurnPrediction:
        """Return a turn with what is read of it later."""
        reads, utterance = self._recognizer.remembers, answer.utterance
        text = utterance.text if "text" in reads else None
        audio = utterance.audio if "audio" in reads else None
        return replace(answer, utterance=replace(utterance, text=text, audio=audio), moments={}, prediction=None)

    def _bounded(self, answers: Sequence[TurnPrediction]) -> list[TurnPrediction]:
        """Return the last turns that a model may read, oldest first."""
        recognizer = self._recognizer
        if not recognizer.remembers:
            return []
        most = MOST_PREVIOUS if recognizer.level == "conversation" else min(recognizer.reach[0], MOST_PREVIOUS)
        kept = list(answers[-most:])
        while sum(_seconds(each) for each in kept) > IN_MEMORY_S:
            del kept[0]
        return kept


def _seconds(answer: TurnPrediction) -> float:
    utterance = answer.utterance
    return 0.0 if utterance.audio is None else (utterance.end_s or 0.0) - (utterance.start_s or 0.0)


def _buzz() -> Waveform:
    """Return a second of a sound with a pitch."""
    times = np.arange(RATE_HZ) / RATE_HZ
    return Waveform(0.05 * np.sin(2 * np.pi * 120 * times) ** 15, RATE_HZ)
