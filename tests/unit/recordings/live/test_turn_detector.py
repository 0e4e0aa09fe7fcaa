"""Turns of a stream: where they begin and end, for blocks of any size and any rate."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from tests.speech import RATE_HZ, speech

from merkit.core.waveform import Waveform
from merkit.recordings.live.turn_detector import FRAME_MS, PAUSE_S, DetectedTurn, TurnDetector
from merkit.recordings.utterances import speech_stretches


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def stream() -> np.ndarray:
    """Return turns from 0.5 to 2, from 2.6 to 3.6 with a short gap inside, and from 5 to 6 s."""
    second = [speech(0.5, seed=1), silence(0.15), speech(0.5, seed=2)]
    third = [silence(1.25), speech(1.0, seed=3), silence(0.5)]
    return np.concatenate([silence(0.5), speech(1.5), silence(0.6), *second, *third])


def detected(samples: np.ndarray, size: int = 1600, rate_hz: int = RATE_HZ) -> list[DetectedTurn]:
    """Return all turns that a detector reports."""
    detector = TurnDetector(rate_hz)

    def turns() -> Iterator[DetectedTurn]:
        for begin in range(0, len(samples), size):
            yield from detector.feed(samples[begin : begin + size])
        yield from detector.finish()

    return list(turns())


def over(turns: list[DetectedTurn]) -> list[tuple[int, int]]:
    return [(turn.start_ms, turn.end_ms) for turn in turns if turn.is_over]


def test_turns_are_the_stretches_of_speech_of_the_recording() -> None:
    samples = stream()
    expected = speech_stretches(Waveform(samples, RATE_HZ), pause_s=PAUSE_S, longest_s=15.0)

    turns = over(detected(samples))

    assert len(expected) == 3
    assert np.array(turns) == pytest.approx(1000 * np.array(expected), abs=3 * FRAME_MS)
    assert np.array(turns).ravel() == pytest.approx([500, 2000, 2600, 3750, 5000, 6000], abs=130)


@pytest.mark.parametrize("size", [333, 10**6])
def test_blocks_of_any_size_give_the_same_turns(size: int) -> None:
    samples = stream()

    assert detected(samples, size) == detected(samples, 1600)


@pytest.mark.parametrize("rate_hz", [8000, 44_100])
def test_another_rate_gives_the_same_times(rate_hz: int) -> None:
    resampled = soxr.resample(stream(), RATE_HZ, rate_hz)

    turns = over(detected(resampled, rate_hz // 50, rate_hz))

    assert np.array(turns) == pytest.approx(np.array(over(detected(stream()))), abs=2 * FRAME_MS)


def test_a_turn_that_may_be_over_is_reported_before_the_pause_has_passed() -> None:
    turns = detected(stream())

    early = [turn for turn in turns if not turn.is_over]
    assert len(early) >= 3
    for turn in turns:
        if turn.is_over:
            assert DetectedTurn(turn.start_ms, turn.end_ms, False) in early


def test_speech_without_a_pause_ends_after_15_s_and_goes_on_where_it_ended() -> None:
    turns = over(detected(speech(18.0)))

    assert len(turns) == 2
    assert turns[0][0] <= 2 * FRAME_MS
    assert turns[-1][1] == 18_000
    assert [one[1] for one in turns[:-1]] == [other[0] for other in turns[1:]]
    for start_ms, end_ms in turns[:-1]:
        assert 14_700 <= end_ms - start_ms <= 15_000


@pytest.mark.parametrize(
    ("rate_hz", "count"),
    [(RATE_HZ, 24_048), (44_100, 66_282)],  # of the latter the resampler returns more than it got
)
def test_the_end_of_the_stream_ends_the_open_turn_within_it(rate_hz: int, count: int) -> None:
    samples = soxr.resample(np.concatenate([silence(0.5), speech(1.1)]), RATE_HZ, rate_hz)[:count]

    ((start_ms, end_ms),) = over(detected(samples, rate_hz=rate_hz))

    assert start_ms == pytest.approx(500, abs=2 * FRAME_MS)
    assert 1400 <= end_ms <= 1000 * count / rate_hz


def test_quiet_speech_is_heard_after_a_minute_of_loud() -> None:
    loud = np.concatenate([np.concatenate([speech(2.0, seed=n), silence(1.0)]) for n in range(3)])
    quiet = np.concatenate([silence(60.0), 0.01 * loud])

    turns = over(detected(np.concatenate([loud, quiet]), 16_000))

    assert len(turns) == 6


def test_nothing_is_kept_of_what_was_heard() -> None:
    detector = TurnDetector(RATE_HZ)
    sizes = []

    for number in range(8):
        list(detector.feed(np.concatenate([speech(1.0, seed=number), silence(1.0)])))
        sizes.append(detector.needed_ms)

    assert sizes == [2000 * (number + 1) // FRAME_MS * FRAME_MS for number in range(8)]


@pytest.mark.data
@pytest.mark.parametrize("corpus", ["nemo/samples", "ravdess", "emodb", "emovo"])
def test_turns_of_real_speech_are_those_of_the_recording_even_where_it_is_faint(real_data: Path, corpus: str) -> None:
    files = sorted((real_data / corpus).rglob("*.flac"))[3::97][:5]
    pieces = [piece for file in files for piece in (silence(0.8), soundfile.read(file, dtype="float32")[0])]
    noise = np.random.default_rng(0).standard_normal(sum(map(len, pieces))).astype(np.float32)
    samples = 0.03 * np.concatenate(pieces) + 1e-5 * noise
    expected = speech_stretches(Waveform(samples, RATE_HZ), pause_s=PAUSE_S, longest_s=15.0)

    turns = over(detected(samples, 16_000))

    assert len(files) == 5
    assert len(expected) >= 5
    assert np.array(turns) == pytest.approx(1000 * np.array(expected), abs=200)
