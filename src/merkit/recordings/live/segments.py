"""Label live sound: from a stream to its speakers, their turns, and a prediction of each turn."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

from merkit.core.errors import ConfigError, MediaError
from merkit.inference.predictor import Predictor
from merkit.recordings.channels import ChannelDifference, channel_names
from merkit.recordings.live.buffer import SoundBuffer
from merkit.recordings.live.sources import Block, Source
from merkit.recordings.live.turn_detector import PAUSE_S, DetectedTurn, TurnDetector
from merkit.recordings.live.turn_predictor import SpokenTurn, TurnPrediction, TurnPredictor
from merkit.recordings.options import DEFAULT_OPTIONS, RecordingOptions
from merkit.recordings.recognition.engine import Engine
from merkit.timeline.analysis import LiveSegment

_OPTIONS = ("channels", "exclude_speakers", "language", "modalities", "redact")
"""The options of recordings that live sound has too."""

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

    Two channels are two speakers, unless the options say otherwise: a recording's channels are compared first, which is
    impossible here. The end of the stream ends the open turn.

    Args:
        recognizer: The model.
        source: The sound.
        checkpoint: The model's name in errors and messages.
        options: How the sound is read: ``channels``, ``exclude_speakers``, ``language``, ``modalities`` and ``redact``.
        engine: Recognises the words of each turn; ``None``: none are recognised.

    Raises:
        MerkitError: The model or an option is not for live sound, or the sound cannot be read.
    """
    for each in fields(options):
        if each.name not in _OPTIONS and getattr(options, each.name) != getattr(DEFAULT_OPTIONS, each.name):
            raise ConfigError(f"{each.name} is for recordings, not for live sound: leave it out")
    speakers = _speakers(source, options)
    predictor = TurnPredictor(recognizer, checkpoint, options, engine)
    session = _Session(recognizer, source, speakers, predictor, options.redact, early=engine is None)
    return session.segments(checkpoint)


class _Speaker:
    """A speaker of a stream: the last seconds of the sound, and its turns.

    Args:
        name: The speaker's name.
        channels: Numbers of the channels that are read, as their mean.
        rate_hz: Samples per second.
    """

    def __init__(self, name: str, channels: Sequence[int], rate_hz: int) -> None:
        self.name = name
        self.sound = SoundBuffer(rate_hz)
        self.early: tuple[DetectedTurn | None, TurnPrediction | None] = (None, None)
        """A turn that may be over, and its prediction."""
        self._channels = list(channels)
        self._detector = TurnDetector(rate_hz)

    def feed(self, block: Block) -> Iterator[DetectedTurn]:
        own = Block(block.samples[self._channels], block.arrived_s)
        self.sound.append(own)
        yield from self._detector.feed(own.samples.mean(axis=0))
        self.sound.discard(self._detector.needed_ms)

    def finish(self) -> Iterator[DetectedTurn]:
        return self._detector.finish()


@dataclass
class _Session:
    recognizer: Predictor
    source: Source
    speakers: Sequence[_Speaker]
    predictor: TurnPredictor
    redact: bool
    early: bool
    """Whether a turn is predicted as soon as it may be over, so that its label is ready when the pause has passed."""
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
        for speaker, turn in self._turns():
            yield from self._segment(speaker, turn)
        _log.info("%d turns in %.1f s of sound.", self.predictor.number, self.samples / rate_hz)

    def _turns(self) -> Iterator[tuple[_Speaker, DetectedTurn]]:
        """Yield the turns of the stream, each before the sound behind it is read.

        Raises:
            MediaError: Channels are a speaker each, and the same sound.
        """
        difference = ChannelDifference()
        for block in self.source:
            self.samples += block.samples.shape[1]
            if self.speakers[0].name:  # channels are speakers, of which one may be excluded
                difference.add(block.samples.T)
            for speaker in self.speakers:
                for turn in speaker.feed(block):
                    _refuse_equal(difference)
                    yield speaker, turn
        for speaker in self.speakers:
            for turn in speaker.finish():
                _refuse_equal(difference)
                yield speaker, turn

    def _segment(self, speaker: _Speaker, turn: DetectedTurn) -> Iterator[LiveSegment]:
        """Yield a turn that is over and has speech; predict one that may be over."""
        if turn.is_over:
            predicted = self._predict(speaker, turn)
            speaker.early = (None, None)
            if predicted is not None:
                self.predictor.keep(predicted)
                yield self._labelled(speaker, turn, predicted)
        elif self.early:
            speaker.early = (turn, self._predict(speaker, turn))

    def _predict(self, speaker: _Speaker, turn: DetectedTurn) -> TurnPrediction | None:
        """Return the prediction of a turn: the early one, unless the turn or those before it have changed."""
        early, predicted = speaker.early
        if early == replace(turn, is_over=False) and (predicted is None or predicted.number == self.predictor.number):
            return predicted
        excerpt = speaker.sound.excerpt(turn.start_ms, turn.end_ms)
        return self.predictor.predict(
            SpokenTurn(turn.start_ms, speaker.name, excerpt.sound, excerpt.start_s, excerpt.end_s)
        )

    def _labelled(self, speaker: _Speaker, turn: DetectedTurn, predicted: TurnPrediction) -> LiveSegment:
        decisions = self.recognizer.decisions
        return LiveSegment(
            start_s=turn.start_ms / 1000,
            end_s=turn.end_ms / 1000,
            speaker=speaker.name,
            text=None if self.redact else predicted.text,
            prediction=predicted.prediction,
            reason=predicted.reason,
            delay_s=self.source.clock() - speaker.sound.arrival_s(turn.end_ms),
            multi_label=decisions.multi_label,
            has_arousal=decisions.rule is not None and decisions.rule.arousal,
        )


def _refuse_equal(difference: ChannelDifference) -> None:
    equal = difference.equal_channel()
    if difference.energy and equal is not None:
        raise MediaError(
            f"Channels 1 and {equal} are the same sound, not two speakers: use channels='mix' (--channels mix)"
        )


def _speakers(source: Source, options: RecordingOptions) -> list[_Speaker]:
    """Return the speakers of a stream that are not excluded; the name is empty where channels are mixed or chosen.

    Raises:
        ConfigError: There are too few channels, or an excluded name is no speaker's.
    """
    count, how = source.channels, options.channels
    if how == "auto":
        how = "split" if count == 2 else "mix"
    if how != "mix" and (count < 2 or (how != "split" and count > 2)):
        raise ConfigError(f"channels='{options.channels}' needs two channels, {source.name} has {count}")
    channels: dict[str, Sequence[int]] = {"": range(count)}
    if how == "split":
        channels = {name: [number] for number, name in enumerate(channel_names(count))}
    elif how != "mix":
        channels = {"": [("left", "right").index(how)]}
    for name in options.exclude_speakers:
        if name not in channels or not name:
            known = ", ".join(filter(None, channels)) or "none by name"
            raise ConfigError(f"'{name}' is excluded, and the speakers are {known}: name one of two channels")
    kept = {name: numbers for name, numbers in channels.items() if name not in options.exclude_speakers}
    if not kept:
        raise ConfigError("All speakers are excluded: nothing is left to listen to")
    return [_Speaker(name, numbers, source.rate_hz) for name, numbers in kept.items()]
