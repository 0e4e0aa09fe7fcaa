"""``merkit analyze --live``: a line of JSON for each turn, one line of what is wrong, and a clean end."""

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.commandline import call
from tests.speech import RATE_HZ, speech
from tests.tiny import built

from merkit.cli.stopping import Stopped, stop_at_signals
from merkit.io.checkpoint import save_checkpoint
from merkit.recordings.live import sources
from merkit.timeline.document import TimelineSegment

LOGMEL = {"name": "logmel", "n_mels": 8, "dim": 4, "layers": 2}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("live") / "checkpoint"
    save_checkpoint(folder, *built("single", {"audio": LOGMEL}, ("calm", "cross")), {}, "")
    return folder


def pcm(*seconds: float, end_s: float = 0.5) -> bytes:
    """Return speech of so many seconds each, with half a second between, as raw PCM."""
    parts = [part for n, s in enumerate(seconds) for part in (speech(s, seed=n), np.zeros(RATE_HZ // 2))]
    joined = np.concatenate([*parts[:-1], np.zeros(round(end_s * RATE_HZ))])
    return (32767 * joined).astype("<i2").tobytes()


def turns(out: str) -> list[TimelineSegment]:
    """Return the lines that were printed, each a segment of a timeline with its delay."""
    lines = [json.loads(line) for line in out.splitlines()]
    assert all(line.pop("delay_ms") >= 0 for line in lines)
    return [TimelineSegment.model_validate(line) for line in lines]


def test_each_turn_of_standard_input_is_a_line_of_json(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    result = call("analyze", "--live", "-", "--checkpoint", checkpoint, stdin=pcm(1.0, 1.5))

    assert result.code == 0
    first, second = turns(result.out)
    assert (first.start_ms, first.end_ms) == (pytest.approx(0, abs=100), pytest.approx(1000, abs=160))
    assert (second.start_ms, second.end_ms) == (pytest.approx(1500, abs=100), pytest.approx(3000, abs=160))
    assert first.label in ("calm", "cross")
    assert first.probabilities is not None
    assert sum(first.probabilities.values()) == pytest.approx(1.0)
    assert first.modalities == ["audio"]
    assert "listens to standard input (16000 Hz, 1 channel): a turn ends at a pause of 0.3 s" in caplog.text
    assert "2 turns in 3.5 s of sound" in caplog.text


def test_two_channels_are_two_speakers_at_the_rate_that_is_given(checkpoint: Path) -> None:
    samples = np.frombuffer(pcm(1.0), "<i2")[::2]  # 8 kHz
    both = np.stack([samples, samples[::-1]], axis=1)

    arguments = ("--checkpoint", checkpoint, "--rate", 8000, "--channel-count", 2)
    result = call("-q", "analyze", "--live", "-", *arguments, stdin=both.tobytes())

    assert sorted(turn.speaker for turn in turns(result.out)) == ["left", "right"]
    assert result.error == ""


def test_the_end_of_the_input_ends_the_open_turn(checkpoint: Path) -> None:
    result = call("analyze", "--live", "-", "--checkpoint", checkpoint, stdin=pcm(1.0, 1.5, end_s=0.0))

    assert result.code == 0
    assert [turn.end_ms for turn in turns(result.out)][-1] == pytest.approx(3000, abs=60)


def test_an_input_that_is_cut_off_is_one_line_after_its_turns(checkpoint: Path) -> None:
    result = call("analyze", "--live", "-", "--checkpoint", checkpoint, stdin=pcm(1.0) + b"\x00")

    assert result.code == 2
    assert len(turns(result.out)) == 1
    last = result.error.splitlines()[-1]
    assert last.startswith("merkit: standard input ends with 1 of the 2 bytes of a sample")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--live", "call.wav"], "'call.wav': --live labels the microphone, or with - what is piped in"),
        (["--live", "-", "-"], "'-': --live labels the microphone"),
        (["--live", "-", "--out", "x"], "--out is for recordings, not for --live: leave it out"),
        (["--live", "-", "--track", "1"], "--track is for recordings"),
        (["--live", "-", "--no-speech-check"], "--no-speech-check is for recordings"),
        (["--live", "-", "--rate", "0"], "a rate of 0 Hz, expected 1000 to 768000"),
        (["--live", "-", "--channels", "split"], "channels='split' needs two channels, standard input has 1"),
        (["call.wav", "--rate", "8000"], "--rate is for live sound (--live): leave it out"),
        ([], "Name audio or video files, or folders of them; --live labels the microphone"),
    ],
)
def test_what_does_not_go_with_live_sound_is_one_line(checkpoint: Path, arguments: list[str], message: str) -> None:
    result = call("analyze", *arguments, "--checkpoint", checkpoint, stdin=b"")

    assert result.code == 2
    assert result.error.startswith(f"merkit: {message}")
    assert len(result.error.splitlines()) == 1


def test_without_the_extra_the_microphone_is_one_line(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)

    result = call("analyze", "--live", "--checkpoint", checkpoint)

    assert result.code == 2
    assert result.error == "merkit: A microphone is read with the extra 'live': pip install 'merkit[live]'\n"


@pytest.fixture
def _signals_are_heard() -> Iterator[None]:
    """Undo what a shell does to the commands that it runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_signals_are_heard")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_open_turn_and_prints_it(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    arrived = sources.WaitingSource.arrived

    def interrupted(source: sources.WaitingSource) -> Iterator[sources.Block]:
        """As a signal in the middle of the second turn does, with all of the sound behind it still to come."""
        seconds = 0.0
        for block in arrived(source):
            before, seconds = seconds, seconds + block.samples.shape[1] / RATE_HZ
            if before < 2.0 <= seconds:
                signal.raise_signal(number)
                source._waiting = type(source._waiting)()
                source._waiting.put(None)
            yield block

    monkeypatch.setattr(sources.WaitingSource, "arrived", interrupted)

    result = call("analyze", "--live", "-", "--checkpoint", checkpoint, stdin=pcm(1.0, 1.5))

    assert result.code == code
    assert [turn.end_ms for turn in turns(result.out)] == [pytest.approx(1000, abs=160), pytest.approx(2000, abs=60)]
    assert result.error.splitlines()[-1] == "merkit: stopped."


@pytest.mark.usefixtures("_signals_are_heard")
def test_a_second_signal_is_not_waited_for() -> None:
    stops: list[bool] = []
    waited: list[bool] = []

    with pytest.raises(Stopped):
        _receive_two(stops, waited)

    assert stops == [True]
    assert waited == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _receive_two(stops: list[bool], waited: list[bool]) -> None:
    with stop_at_signals(lambda: stops.append(True)):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        waited.append(True)
