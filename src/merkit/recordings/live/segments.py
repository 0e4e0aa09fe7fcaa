"""From live sound to labelled turns: a stream, its voices, their turns, what is said of each."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from merkit.core.errors import ConfigError, MediaError
from merkit.inference.predictor import Predictor
from merkit.recordings.channels import are_equal, channel_names
from merkit.recordings.live.finder import PAUSE_S, FoundTurn, TurnFinder
from merkit.recordings.live.held import HeldSound
from merkit.recordings.live.sources import Block, Source
from merkit.recordings.live.turn_predictor import HeardTurn, TurnPrediction, TurnPredictor
from merkit.recordings.options import DEFAULT_OPTIONS, RecordingOptions
from merkit.recordings.recognition.engine import Engine
from merkit.timeline.analysis import LiveSegment

_OPTIONS = ("channels", "exclude_speakers", "language", "modalities", "redact")
"""Those of a recording's options that live sound has too."""

_log = logging.getLogger(__name__)


def live_segments(
    recognizer: Predictor,
    source: Source,
    checkpoint: str,
    options: RecordingOptions = DEFAULT_OPTIONS,
    *,
    engine: Engine | None = None,
) -> Iterator[LiveSegment]:
    """Yield each turn of a stream, labelled, soon after it ends; the model is loaded before the first sound is read.

    Two channels are two speakers, unless the options say otherwise: unlike a recording's they cannot be compared first.
    The end of the stream ends the turn that is open.

    Args:
        recognizer: The model.
        source: The sound.
        checkpoint: What errors and messages call the model.
        options: How it is read: ``channels``, ``exclude_speakers``, ``language``, ``modalities`` and ``redact``.
        engine: Recognises the words of each turn; ``None``: none are recognised.

    Raises:
        MerkitError: The model is not for live sound, an option is not, or the sound cannot be read.
    """
    for each in fields(options):
        if each.name not in _OPTIONS and getattr(options, each.name) != getattr(DEFAULT_OPTIONS, each.name):
            raise ConfigError(f"{each.name} is for recordings, not for live sound: leave it out")
    voices = _voices(source, options)
    answers = TurnPredictor(recognizer, checkpoint, options, engine)
    return _Session(recognizer, source, voices, answers, options.redact, early=engine is None).segments(checkpoint)


class _Voice:
    """A speaker, and what is known of the sound."""

    def __init__(self, speaker: str, channels: Sequence[int], rate_hz: int) -> None:
        self.speaker = speaker
        self.sound = HeldSound(rate_hz)
        self.early: TurnPrediction | None = None
        """What is said of a turn that may be over."""
        self.early_turn: tuple[int, int] | None = None
        self._channels = list(channels)
        self._finder = TurnFinder(rate_hz)

    def hear(self, block: Block) -> Iterator[FoundTurn]:
        own = Block(block.samples[self._channels], block.arrived_s)
        self.sound.append(own)
        yield from self._finder.hear(own.samples.mean(axis=0))
        self.sound.forget(self._finder.needed_ms)

    def finish(self) -> Iterator[FoundTurn]:
        return self._finder.finish()


@dataclass
class _Session:
    recognizer: Predictor
    source: Source
    voices: Sequence[_Voice]
    answers: TurnPredictor
    redact: bool
    early: bool
    """Whether a turn is answered when it may be over, so that the answer is there when it is."""
    samples: int = 0
    """How many were read of each channel."""

    def segments(self, checkpoint: str) -> Iterator[LiveSegment]:
        rate_hz, channels = self.source.rate_hz, self.source.channels
        _log.info(
            "%s listens to %s (%d Hz, %d channel%s): a turn ends at a pause of %g s.",
            checkpoint,
            self.source.name,
            rate_hz,
            channels,
            "" if channels == 1 else "s",
            PAUSE_S,
        )
        for voice, turn in self._turns():
            yield from self._segment(voice, turn)
        _log.info("%d turns in %.1f s of sound.", self.answers.number, self.samples / rate_hz)

    def _turns(self) -> Iterator[tuple[_Voice, FoundTurn]]:
        """Yield the turns of the stream, each before the sound behind it is read.

        Raises:
            MediaError: The first two channels are a speaker each, and the same sound.
        """
        difference = _Difference()
        for block in self.source:
            self.samples += block.samples.shape[1]
            if self.voices[0].speaker:  # one of the channels may be excluded
                difference.add(block)
            for voice in self.voices:
                for turn in voice.hear(block):
                    difference.refuse_equal()
                    yield voice, turn
        for voice in self.voices:
            for turn in voice.finish():
                difference.refuse_equal()
                yield voice, turn

    def _segment(self, voice: _Voice, turn: FoundTurn) -> Iterator[LiveSegment]:
        """Yield the turn that is over and has speech, or answer one that may be over."""
        if turn.is_over:
            answer = self._answer(voice, turn)
            voice.early = voice.early_turn = None
            if answer is not None:
                self.answers.keep(answer)
                yield self._labelled(voice, turn, answer)
        elif self.early:
            voice.early = self._answer(voice, turn)
            voice.early_turn = (turn.start_ms, turn.end_ms)

    def _answer(self, voice: _Voice, turn: FoundTurn) -> TurnPrediction | None:
        if voice.early_turn == (turn.start_ms, turn.end_ms) and (
            voice.early is None or voice.early.number == self.answers.number
        ):
            return voice.early
        part = voice.sound.excerpt(turn.start_ms, turn.end_ms)
        return self.answers.predict(HeardTurn(turn.start_ms, voice.speaker, part.sound, part.start_s, part.end_s))

    def _labelled(self, voice: _Voice, turn: FoundTurn, answer: TurnPrediction) -> LiveSegment:
        decisions = self.recognizer.decisions
        return LiveSegment(
            start_s=turn.start_ms / 1000,
            end_s=turn.end_ms / 1000,
            speaker=voice.speaker,
            text=None if self.redact else answer.text,
            prediction=answer.prediction,
            reason=answer.reason,
            delay_s=self.source.clock() - voice.sound.arrival_s(turn.end_ms),
            multi_label=decisions.multi_label,
            has_arousal=decisions.rule is not None and decisions.rule.arousal,
        )


class _Difference:
    """By how much the first two channels differ: the same sound twice is no second speaker."""

    def __init__(self) -> None:
        self._first = self._different = 0.0

    def add(self, block: Block) -> None:
        first = block.samples[0].astype(np.float64)
        self._first += float(np.square(first).sum())
        self._different += float(np.square(block.samples[1] - first).sum())

    def refuse_equal(self) -> None:
        if self._first and are_equal(self._different, self._first):
            raise MediaError("The channels are the same sound, not two speakers: use channels='mix' (--channels mix)")


def _voices(source: Source, options: RecordingOptions) -> list[_Voice]:
    """Return the speakers of a stream that are not excluded.

    Raises:
        ConfigError: There are too few channels, or no such speaker is known.
    """
    count, how = source.channels, options.channels
    if how == "auto":
        how = "split" if count == 2 else "mix"
    if how != "mix" and (count < 2 or (how != "split" and count > 2)):
        raise ConfigError(f"channels='{options.channels}' needs two channels, {source.name} has {count}")
    own: dict[str, Sequence[int]] = {"": range(count)}
    if how == "split":
        own = {name: [number] for number, name in enumerate(channel_names(count))}
    elif how != "mix":
        own = {"": [("left", "right").index(how)]}
    for name in options.exclude_speakers:
        if name not in own or not name:
            known = ", ".join(filter(None, own)) or "none by name"
            raise ConfigError(f"'{name}' is excluded, and the speakers are {known}: name one of two channels")
    kept = {name: numbers for name, numbers in own.items() if name not in options.exclude_speakers}
    if not kept:
        raise ConfigError("All speakers are excluded: nothing is left to listen to")
    return [_Voice(name, numbers, source.rate_hz) for name, numbers in kept.items()]
