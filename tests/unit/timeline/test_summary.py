"""The summary of a timeline, by hand."""

import numpy as np
import pytest
from tests.timelines import CALL, LABELS, analysis, segment, silent

from merkit.timeline.summary import course, summarize


def test_talk_time_and_overlaps_are_those_counted_by_hand() -> None:
    summary = analysis(CALL).summary

    ann, ben = summary.speakers["Ann"], summary.speakers["Ben Li"]
    assert (ann.utterances, ben.utterances) == (4, 2)
    assert ann.talk_ms == 1750 + 2625 + 2000  # of the last two, 250 ms count once
    assert ben.talk_ms == 1750  # without the 1.5 s that have no speech
    assert ann.overlap_ms == ben.overlap_ms == 500  # from 3.5 to 4 s
    assert summary.recording.talk_ms == 6375 + 1750 - 500
    assert summary.recording.labels_ms == {"happy": 2250, "neutral": 1750, "angry": 1750}
    assert (summary.recording.unsure_ms, summary.recording.unlabelled_ms) == (2625, 1500)


def test_three_speakers_at_once_overlap_once() -> None:
    segments = [segment(0, 4, "A", "happy"), segment(1, 3, "B", "happy"), segment(2, 5, "C", "happy")]

    summary = summarize(segments, 5.0, LABELS)

    assert [summary.speakers[who].overlap_ms for who in "ABC"] == [3000, 2000, 2000]
    assert (summary.recording.overlap_ms, summary.recording.talk_ms) == (3000, 5000)


def test_windows_have_what_lies_inside_of_them() -> None:
    windows = summarize([segment(10, 40, "A", "happy"), silent(40, 60)], 60.0, LABELS).windows

    assert [(w.start_ms, w.end_ms, w.labels_ms, w.unlabelled_ms) for w in windows] == [
        (0, 30_000, {"happy": 20_000}, 0),
        (30_000, 60_000, {"happy": 10_000}, 20_000),
    ]


def test_a_course_is_the_weighted_mean_and_its_interval_that_of_a_share() -> None:
    segments = [segment(0, 2, "A", "happy", p=0.9), segment(8, 10, "A", "angry", p=0.7)]

    found = course(segments, "A", 10.0, LABELS, np.array([1.0, 5.0]))

    assert found is not None
    far = np.exp(-((8 / 15) ** 2) / 2)  # at 1 s the second utterance is 8 s away, of a spread of 15 s
    assert found.means[0, 1] == pytest.approx((0.9 + 0.15 * far) / (1 + far))
    assert found.means[1, 1] == pytest.approx((0.9 + 0.15) / 2)
    assert found.counts[1] == pytest.approx(2)
    assert found.half_widths[1, 1] == pytest.approx(1.96 * np.sqrt(0.525 * 0.475 / 2))
    assert course([silent(0, 1, "A")], "A", 10.0, LABELS, np.array([0.5])) is None


def test_a_speaker_who_turns_has_one_turning_point_and_one_who_wavers_has_none() -> None:
    turned = [segment(3 * n, 3 * n + 2, "A", "neutral" if n < 30 else "angry", p=0.9) for n in range(60)]
    wavering = [segment(3 * n, 3 * n + 2, "B", "neutral" if n % 2 else "angry", p=0.6) for n in range(60)]

    points = summarize([*turned, *wavering], 180.0, LABELS).turning_points

    assert [(point.speaker, point.before, point.after) for point in points] == [("A", "neutral", "angry")]
    assert abs(points[0].time_ms - 90_000) <= 6000


def test_a_long_recording_is_summarized_in_bounded_memory() -> None:
    many = [segment(2 * n, 2 * n + 1.5, "A", "neutral" if n < 2000 else "angry", p=0.9) for n in range(4000)]

    assert [point.after for point in summarize(many, 8000.0, LABELS).turning_points] == ["angry"]
    assert len(summarize(many, 8000.0, LABELS).windows) == 24
