"""Live turns have the labels of an analysis of the same turns, from what was known when each ended."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.deciding import reader, recognizer
from tests.networks import write_text_network
from tests.recognition import FakeEngine, passage
from tests.speech import RATE_HZ, speech
from tests.tiny import built

from merkit.core.errors import ConfigError, MediaError
from merkit.core.waveform import Waveform
from merkit.inference.predictor import Predictor
from merkit.inference.recognizer import Recognizer
from merkit.recordings.analysis import analyze_recording
from merkit.recordings.live import segments, turn_predictor
from merkit.recordings.live.segments import live_segments
from merkit.recordings.live.sources import ArraySource
from merkit.recordings.live.turn_predictor import SpokenTurn, TurnPrediction, TurnPredictor
from merkit.recordings.options import RecordingOptions
from merkit.recordings.transcripts import Line
from merkit.timeline.analysis import LiveSegment, Segment

LABELS = ("calm", "cross", "glad")
LOGMEL = {"name": "logmel", "n_mels": 8, "dim": 4, "layers": 2}
COMPARING = {"unsure_below": 0.0, "least_utterances": 3, "least_s": 0.0}


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def mono(turns: int = 4) -> Waveform:
    """Return a voice that speaks so many times, each time for a little longer."""
    parts = [part for n in range(turns) for part in (speech(0.8 + 0.1 * n, seed=n), silence(0.5))]
    return Waveform(np.concatenate(parts), RATE_HZ)


def stereo() -> Waveform:
    """Return two voices in turn, a channel each."""
    parts = [speech(1.0 + 0.1 * n, seed=n) for n in range(5)]
    gap = silence(0.5)
    left = [part for n, own in enumerate(parts) for part in (own if n % 2 == 0 else np.zeros_like(own), gap)]
    right = [part for n, own in enumerate(parts) for part in (own if n % 2 else np.zeros_like(own), gap)]
    return Waveform(np.stack([np.concatenate(left), np.concatenate(right)]), RATE_HZ)


def stream(sound: Waveform, clock: Callable[[], float] | None = None, size: int = 1600) -> ArraySource:
    """Return a waveform as it is spoken."""
    samples = np.atleast_2d(sound.samples)
    blocks = (samples[:, begin : begin + size] for begin in range(0, samples.shape[1], size))
    return ArraySource(blocks, sound.rate_hz, len(samples), **({} if clock is None else {"clock": clock}))


def listen(model: Predictor, sound: Waveform, **options: Any) -> list[LiveSegment]:
    engine = options.pop("engine", None)
    return list(live_segments(model, stream(sound), "model", RecordingOptions(**options), engine=engine))


def offline(model: Predictor, sound: Waveform, turns: list[LiveSegment]) -> list[Segment]:
    """Return the analysis of the same turns."""
    lines = [Line(turn.start_s, turn.end_s, turn.speaker, turn.text) for turn in turns]
    options = RecordingOptions("mix" if sound.channels == 1 else "split")
    return list(analyze_recording(model, sound, lines, "model", options).segments)


def values(segments: list[Any]) -> np.ndarray:
    """Return probabilities, and arousal where there is one; NaN where there are none."""
    rows = []
    for segment in segments:
        assert segment.prediction is not None
        own = list(segment.prediction.probabilities.values()) or [np.nan] * 4
        rows.append([*own, segment.prediction.arousal or 0.0])
    return np.array(rows)


def untrained(name: str, encoders: dict[str, Any], **settings: Any) -> Recognizer:
    torch.manual_seed(0)
    return Recognizer(*built(name, encoders, LABELS, **settings))


def of_utterances() -> Recognizer:
    return untrained("single", {"audio": LOGMEL})


def of_conversations() -> Recognizer:
    return untrained("bc_lstm", {"audio": LOGMEL}, causal=True)


class Speaking:
    """A voice that is heard in blocks of 20 ms, and the time since it began."""

    def __init__(self, sound: Waveform) -> None:
        self.now_s = 0.0
        self._samples = sound.samples

    def __iter__(self) -> Iterator[np.ndarray]:
        for begin in range(0, len(self._samples), 320):
            block = self._samples[begin : begin + 320]
            self.now_s += len(block) / RATE_HZ
            yield block


@pytest.fixture
def predictors(monkeypatch: pytest.MonkeyPatch) -> list[TurnPredictor]:
    """Return the predictors of turns, as they are made."""
    made: list[TurnPredictor] = []
    monkeypatch.setattr(segments, "TurnPredictor", lambda *options: made.append(TurnPredictor(*options)) or made[-1])
    return made


def test_turns_of_a_model_of_utterances_are_labelled_as_in_a_recording() -> None:
    model, sound = of_utterances(), mono()

    turns = listen(model, sound)

    assert [turn.start_s for turn in turns] == pytest.approx([0.0, 1.3, 2.7, 4.2], abs=0.13)
    assert values(turns) == pytest.approx(values(offline(model, sound, turns)), abs=1e-5)
    assert np.ptp(values(turns), axis=0).max() > 1e-5


def test_turns_of_a_causal_model_of_conversations_are_labelled_as_in_a_recording() -> None:
    model, sound = of_conversations(), stereo()

    turns = listen(model, sound)

    assert [turn.speaker for turn in turns] == ["left", "right", "left", "right", "left"]
    assert values(turns) == pytest.approx(values(offline(model, sound, turns)), abs=1e-5)
    alone = values(offline(model, sound, turns[-1:]))
    assert np.abs(values(turns)[-1] - alone).max() > 1e-4  # the past counts


def test_a_voice_is_compared_with_the_speakers_average_so_far() -> None:
    model, sound = recognizer(COMPARING), stereo()

    turns = listen(model, sound)

    assert len(turns) == 5
    for count in range(1, 6):
        last = offline(model, sound, turns[:count])[-1]
        assert turns[count - 1].reason == last.reason
        assert values([turns[count - 1]]) == pytest.approx(values([last]), abs=1e-4, nan_ok=True)
    assert [turn.label is not None for turn in turns] == [False, False, False, False, True]  # the third one of the left


def test_words_are_recognised_turn_by_turn_and_read_with_those_before(tmp_path: Path) -> None:
    network = write_text_network(tmp_path / "bert", [f"word{n}" for n in range(5)])
    text = {"name": "bert", "weights": str(network), "frozen": True}
    model, sound = untrained("words", {"text": text}), stereo()
    engine = FakeEngine(lambda number: [passage(f"word{number % 5}", 0.2, 0.9)])

    turns = listen(model, sound, engine=engine)

    assert len({turn.text for turn in turns}) == 5
    assert engine.asked == 2  # once to load, once for the stream
    assert len(engine.heard) == 5  # a turn that may be over is not recognised yet
    assert values(turns) == pytest.approx(values(offline(model, sound, turns)), abs=1e-5)
    assert [turn.text for turn in listen(model, mono(1), engine=engine, redact=True)] == [None]


def test_words_in_a_language_that_the_model_was_not_trained_on_are_no_words_to_it(tmp_path: Path) -> None:
    network = write_text_network(tmp_path / "bert", ["word0"])
    model = untrained("words", {"text": {"name": "bert", "weights": str(network), "frozen": True}})
    model.languages = frozenset({"en"})
    engine = FakeEngine()

    (turn,) = listen(model, mono(1), engine=engine, language="pl")

    assert engine.spoken == ["pl"]
    assert turn.label is None
    assert turn.reason is not None
    assert "the words are in the language 'pl'" in turn.reason
    with pytest.raises(ConfigError, match="No language named 'fr'"):
        listen(model, mono(1), engine=engine, language="fr")


def test_a_turn_is_late_by_the_pause_that_ends_it() -> None:
    speaking = Speaking(mono(2))

    source = ArraySource(speaking, RATE_HZ, 1, lambda: speaking.now_s)
    turns = list(live_segments(of_utterances(), source, "model"))

    assert len(turns) == 2
    for turn in turns:
        assert 0.28 <= turn.delay_s <= 0.34


def test_a_label_is_ready_before_the_pause_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    speaking = Speaking(mono(2))
    predict = TurnPredictor.predict
    predicted_s: list[float] = []

    def timed(self: TurnPredictor, turn: SpokenTurn) -> TurnPrediction | None:
        predicted_s.append(speaking.now_s)
        return predict(self, turn)

    monkeypatch.setattr(TurnPredictor, "predict", timed)

    source = ArraySource(speaking, RATE_HZ, 1)
    turns = [(turn, speaking.now_s) for turn in live_segments(recognizer(COMPARING), source, "model")]

    assert len(turns) == 2
    for turn, yielded_s in turns:
        own = [moment_s for moment_s in predicted_s if turn.end_s < moment_s <= yielded_s]
        assert own
        assert max(own) <= turn.end_s + 0.14


def test_a_turn_is_predicted_again_where_another_one_has_ended_meanwhile() -> None:
    """The left voice ends while the pause of the right one passes; later each is heard alone."""
    left = [speech(1.0, seed=0), silence(1.0), speech(1.2, seed=2), silence(2.3)]
    right = [silence(0.3), speech(0.8, seed=1), silence(2.6), speech(1.3, seed=3), silence(0.5)]

    turns, differs = compared_with_a_recording(left, right)

    assert [turn.speaker for turn in turns] == ["left", "right"] * 2
    assert turns[1].end_s - turns[0].end_s < 0.2
    assert not any(differs)


def test_previous_turns_are_in_the_order_in_which_they_began() -> None:
    """The right voice speaks within the first turn of the left one, so that its turn is over first."""
    left = [speech(2.0, seed=0), silence(1.0), speech(1.0, seed=2), silence(2.5)]
    right = [silence(0.5), speech(0.7, seed=1), silence(3.3), speech(1.5, seed=3), silence(0.5)]

    turns, differs = compared_with_a_recording(left, right)

    assert [turn.speaker for turn in turns] == ["right", "left", "left", "right"]
    assert differs == [True, False, False, False]  # the one that did not know the turn around it


def compared_with_a_recording(left: list[np.ndarray], right: list[np.ndarray]) -> tuple[list[LiveSegment], list[bool]]:
    """Return the turns of two voices by a conversation model, and of which the recording has other probabilities."""
    sound = Waveform(np.stack([np.concatenate(left), np.concatenate(right)]), RATE_HZ)
    turns = listen(of_conversations(), sound)
    by_start = sorted(turns, key=lambda turn: turn.start_s)
    expected = dict(zip(map(id, by_start), values(offline(of_conversations(), sound, by_start)), strict=True))
    return turns, [
        bool(np.abs(own - expected[id(turn)]).max() > 1e-5) for turn, own in zip(turns, values(turns), strict=True)
    ]


def test_sound_without_speech_is_no_turn() -> None:
    seconds = np.arange(4 * RATE_HZ) / RATE_HZ
    sounds = [
        np.zeros(4 * RATE_HZ),
        0.3 * np.random.default_rng(0).standard_normal(4 * RATE_HZ),
        0.5 * np.sin(2 * np.pi * 440 * seconds),
        0.5 * np.sin(2 * np.pi * 425 * seconds) * (seconds % 1.0 < 0.5),
    ]

    model = of_utterances()

    assert [listen(model, Waveform(sound, RATE_HZ)) for sound in sounds] == [[]] * 4
    one = mono(1).samples
    assert listen(model, Waveform(np.stack([one, -0.9 * one]), RATE_HZ), channels="mix") == []  # they cancel out


def test_what_is_kept_of_turns_does_not_grow(monkeypatch: pytest.MonkeyPatch, predictors: list[TurnPredictor]) -> None:
    monkeypatch.setattr(turn_predictor, "MOST_PREVIOUS", 3)

    listen(recognizer(COMPARING), mono(5))
    listen(of_conversations(), mono(5))

    utterances, conversations = predictors
    assert utterances.number == conversations.number == 5
    assert utterances._previous == []
    assert [len(store._arrays) for store in utterances._features.values()] == [0]
    assert [turn.number for turn in conversations._previous] == [2, 3, 4]
    assert [sorted(store._arrays) for store in conversations._features.values()] == [["2", "3", "4"]]


def test_ten_minutes_of_sound_are_kept_at_most(
    monkeypatch: pytest.MonkeyPatch, predictors: list[TurnPredictor]
) -> None:
    monkeypatch.setattr(turn_predictor, "IN_MEMORY_S", 2.8)

    listen(of_conversations(), mono(5))  # the last two have 1.1 and 1.2 s

    assert [turn.number for turn in predictors[0]._previous] == [3, 4]


def test_models_that_cannot_be_live_are_refused_before_the_sound_is_read(tmp_path: Path) -> None:
    network = write_text_network(tmp_path / "bert", ["hello"])
    text = {"name": "bert", "weights": str(network), "frozen": True}
    never = ArraySource(iter([None]), RATE_HZ, 1)

    with pytest.raises(ConfigError, match=r"'model' reads the turns that follow one.*causal = true"):
        live_segments(untrained("bc_lstm", {"audio": LOGMEL}), never, "model")
    with pytest.raises(ConfigError, match=r"reads text, and live sound has none: recognise words"):
        live_segments(untrained("single", {"text": text}), never, "model")
    with pytest.raises(ConfigError, match="reads the turns that follow"):
        live_segments(reader(), never, "model", engine=FakeEngine())


@pytest.mark.parametrize(
    ("channels", "options", "message"),
    [
        (1, {"channels": "split"}, "channels='split' needs two channels, samples has 1"),
        (3, {"channels": "left"}, "needs two channels, samples has 3"),
        (1, {"exclude_speakers": ("Ann",)}, "'Ann' is excluded, and the speakers are none by name"),
        (2, {"exclude_speakers": ("Ann",)}, "'Ann' is excluded, and the speakers are left, right"),
        (2, {"exclude_speakers": ("left", "right")}, "All speakers are excluded"),
        (1, {"window_s": 8.0}, "window_s is for recordings"),
        (1, {"speech_check": False}, "speech_check is for recordings"),
        (1, {"modalities": ("text",)}, "reads audio, and --modalities text leaves nothing"),
    ],
)
def test_options_that_do_not_fit_are_refused(channels: int, options: dict[str, Any], message: str) -> None:
    never = ArraySource(iter([None]), RATE_HZ, channels)

    with pytest.raises(ConfigError, match=message):
        live_segments(of_utterances(), never, "model", RecordingOptions(**options))


def test_channels_are_chosen_as_of_a_recording() -> None:
    model, sound = of_utterances(), stereo()

    assert [turn.speaker for turn in listen(model, sound, channels="mix")] == [""] * 5
    assert {turn.speaker for turn in listen(model, sound, exclude_speakers=("left",))} == {"right"}


@pytest.mark.parametrize("options", [{}, {"exclude_speakers": ("left",)}], ids=["two", "one excluded"])
@pytest.mark.parametrize("pause_s", [0.5, 0.0])
def test_the_same_sound_on_both_channels_is_no_second_speaker(options: dict[str, Any], pause_s: float) -> None:
    one = np.concatenate([speech(0.8), silence(pause_s)])

    with pytest.raises(MediaError, match="the same sound, not two speakers"):
        listen(of_utterances(), Waveform(np.stack([one, one]), RATE_HZ), **options)


def test_a_turn_that_cannot_be_read_has_the_reason_and_the_next_one_its_label(monkeypatch: pytest.MonkeyPatch) -> None:
    model = of_utterances()
    encoder = model.encoders["audio"]
    extract = encoder.extract

    def failing(turns: Any) -> Any:
        if any(turn.utterance.id == "1" for turn in turns):
            raise MediaError("utterance '1' is too short")
        return extract(turns)

    monkeypatch.setattr(encoder, "extract", failing)

    turns = listen(model, mono(3))

    assert [turn.reason for turn in turns] == [None, "utterance '1' is too short", None]
    assert [turn.label is None for turn in turns] == [False, True, False]
