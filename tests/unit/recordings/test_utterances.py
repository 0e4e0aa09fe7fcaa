"""Utterances from speech alone: where it is cut, and that nothing of it is lost."""

from itertools import pairwise

import numpy as np
import pytest
from tests.speech import RATE_HZ, speech

from merkit.core.waveform import Waveform
from merkit.recordings import utterances
from merkit.recordings.utterances import groups, speech_stretches


def test_a_pause_ends_a_group_and_a_shorter_gap_does_not() -> None:
    spans = [(0.0, 1.0), (1.5, 2.0), (2.6, 3.0)]

    found = groups(spans, pause_s=0.6, longest_s=15.0)

    assert found == [(0, 2), (2, 3)]


def test_a_long_group_is_cut_at_the_longest_gap_of_its_middle_half() -> None:
    spans = [(0.0, 1.0), (1.5, 8.0), (8.1, 9.5), (9.8, 20.0)]  # gaps of 0.5, 0.1, 0.3; the first is near the beginning

    found = groups(spans, pause_s=0.6, longest_s=12.0)

    assert found == [(0, 3), (3, 4)]


def test_a_long_group_without_a_central_gap_is_cut_at_the_gap_that_is_nearest_to_its_middle() -> None:
    spans = [(0.0, 0.5), (0.7, 14.0), (14.1, 16.0)]

    found = groups(spans, pause_s=0.6, longest_s=15.0)

    assert found == [(0, 2), (2, 3)]


def test_a_single_span_is_never_divided_and_no_span_is_no_group() -> None:
    assert groups([(0.0, 40.0)], pause_s=0.6, longest_s=15.0) == [(0, 1)]
    assert groups([], pause_s=0.6, longest_s=15.0) == []


def test_speech_without_a_pause_is_cut_where_it_is_quietest(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, 20 * RATE_HZ)
    samples[9 * RATE_HZ : round(9.2 * RATE_HZ)] *= 0.01
    monkeypatch.setattr(utterances, "speech_regions", lambda *_: [(0.5, 19.5)])

    found = speech_stretches(Waveform(samples, RATE_HZ), pause_s=0.6, longest_s=12.0)

    assert [each for stretch in found for each in stretch] == pytest.approx([0.5, 9.1, 9.1, 19.5], abs=0.06)


def test_speech_of_any_length_is_cut_to_the_longest_and_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(1).uniform(-0.3, 0.3, 100 * RATE_HZ)
    monkeypatch.setattr(utterances, "speech_regions", lambda *_: [(0.0, 100.0)])

    found = speech_stretches(Waveform(samples, RATE_HZ), pause_s=0.6, longest_s=15.0)

    assert (found[0][0], found[-1][1]) == (0.0, 100.0)
    assert all(one[1] == other[0] for one, other in pairwise(found))
    assert max(end - start for start, end in found) <= 15.0
    assert min(end - start for start, end in found) > 3.0  # cuts lie in the middle half


def test_stretches_are_the_speech_and_nothing_else() -> None:
    silence = np.zeros(2 * RATE_HZ, np.float32)
    sound = Waveform(np.concatenate([silence, speech(3.0), silence, speech(2.0, seed=1), silence]), RATE_HZ)

    found = speech_stretches(sound, pause_s=0.6, longest_s=15.0)

    assert [each for stretch in found for each in stretch] == pytest.approx([2, 5, 7, 9], abs=0.3)
    assert speech_stretches(Waveform(silence, RATE_HZ), pause_s=0.6, longest_s=15.0) == []
