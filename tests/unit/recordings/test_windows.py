"""Long speech in windows, and what the timeline shows of them."""

from itertools import pairwise

import numpy as np
import pytest
from tests.deciding import recognizer
from tests.speech import RATE_HZ, speech

import merkit
from merkit.core.errors import ConfigError
from merkit.recordings.analysis import analyze_recording
from merkit.recordings.options import RecordingOptions
from merkit.recordings.transcripts import Line
from merkit.recordings.windows import window_times, windows_of

SOUND = merkit.Waveform(speech(20.0), RATE_HZ)


def test_windows_have_one_length_overlap_by_half_and_reach_both_ends() -> None:
    assert window_times(1.0, 4.0, 4.0) == [(1.0, 4.0)]
    found = window_times(1.0, 10.0, 4.0)

    assert (found[0][0], found[-1][1]) == (1.0, pytest.approx(10.0))
    assert [end - start for start, end in found] == pytest.approx([4.0] * 4)
    assert all(0 < other[0] - one[0] <= 2.0 for one, other in pairwise(found))


def test_the_timeline_has_lines_that_do_not_overlap_and_rest_on_the_windows_over_them() -> None:
    found = windows_of([(Line(0.0, 10.0, "A", None), SOUND), (Line(11.0, 12.0, "B", None), SOUND)], 4.0)

    assert [(line.start_s, line.end_s) for line, _ in found.read] == [(0, 4), (2, 6), (4, 8), (6, 10), (11, 12)]
    assert [(line.start_s, line.end_s, list(numbers)) for line, numbers in found.shown] == [
        (0.0, 2.0, [0]),
        (2.0, 4.0, [0, 1]),
        (4.0, 6.0, [1, 2]),
        (6.0, 8.0, [2, 3]),
        (8.0, 10.0, [3]),
        (11.0, 12.0, [4]),
    ]


def test_lines_with_words_and_without_times_stay_whole() -> None:
    lines = [(Line(0.0, 10.0, "A", "so it is"), SOUND), (Line(None, None, "", None), SOUND)]

    assert windows_of(lines, 4.0).read == lines == windows_of(lines, None).read


def test_probabilities_are_the_mean_of_those_of_the_windows() -> None:
    model = recognizer({"unsure_below": 0.0, "least_s": 1.0, "least_utterances": 1})

    result = analyze_recording(model, SOUND, None, "voice", RecordingOptions(window_s=8.0))

    spans = [(segment.start_s, segment.end_s) for segment in result.segments]
    assert all(one[1] == pytest.approx(other[0]) for one, other in pairwise(spans))
    assert (spans[0][0], spans[-1][1]) == (pytest.approx(0.0, abs=0.1), pytest.approx(20.0, abs=0.1))
    rows = np.array(
        [list(segment.prediction.probabilities.values()) for segment in result.segments if segment.prediction]
    )
    assert len(rows) == len(spans) == 5  # of windows from 0, 4, 8 and 12 s
    first, last = rows[0], rows[-1]  # those of a single window each
    second = 2 * rows[1] - first
    third = 2 * rows[2] - second
    np.testing.assert_allclose(2 * rows[3] - third, last, atol=1e-6)
    assert np.abs(rows - rows.mean(axis=0)).max() > 1e-3
    assert result.stages["utterances"].endswith("Longer than 8 s: in windows of that length, which overlap by half.")


def test_a_window_has_a_length_that_a_model_can_read() -> None:
    with pytest.raises(ConfigError, match=r"a window of 0\.5 s, expected 1 to 600"):
        RecordingOptions(window_s=0.5)


def test_windows_without_speech_are_counted_as_the_lines_that_are_shown() -> None:
    model = recognizer({"unsure_below": 0.0, "least_s": 1.0, "least_utterances": 1})
    silence = merkit.Waveform(np.zeros(20 * RATE_HZ, np.float32), RATE_HZ)
    half = merkit.Waveform(np.concatenate([speech(10.0), np.zeros(10 * RATE_HZ, np.float32)]), RATE_HZ)
    line, options = Line(0.0, 20.0, "A", None), RecordingOptions(window_s=8.0)

    silent, spoken = (analyze_recording(model, sound, [line], "voice", options) for sound in (silence, half))

    assert len(silent.segments) == 5
    assert silent.stages["speech"] == "Silero VAD found speech in 0 of 5 utterances."
    assert silent.notes[0].startswith("5 of 5 utterances have no label: no speech was found")
    without = sum(segment.prediction is None for segment in spoken.segments)
    assert 0 < without < 5
    assert spoken.stages["speech"] == f"Silero VAD found speech in {5 - without} of 5 utterances."
    assert spoken.notes[0].startswith(f"{without} of 5 utterances have no label: no speech")
