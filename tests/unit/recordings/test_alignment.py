"""Turns that are aligned in memory: where that can be done; the others are read frame by frame, with a note."""

from pathlib import Path

import pytest

from merkit.core.alignment import SegmentRequest
from merkit.core.types import Turn, Utterance, turns_of
from merkit.core.waveform import Waveform
from merkit.corpora._parley_voice import RATE_HZ, Manner, Voice, speak
from merkit.recordings.alignment import align_turns


@pytest.fixture(scope="module")
def turns() -> list[Turn]:
    speech = speak(["good", "morning"], Voice("en-us+m3", "male"), Manner(50, 50, 150, 100))
    sound = Waveform(0.5 * speech.samples, RATE_HZ)
    texts = ["Good morning!", "Good moorning!", None]
    rows = [Utterance(str(n), "call", n, "s", text=text, audio=sound) for n, text in enumerate(texts)]
    return list(turns_of(rows, Path()))


def test_what_pocketsphinx_can_align_has_segments_and_a_note_names_the_rest(turns: list[Turn]) -> None:
    pytest.importorskip("pocketsphinx")

    segments, note = align_turns(SegmentRequest("pocketsphinx", ("word",)), turns)

    assert note is not None
    assert note.startswith("1 of 2 utterances cannot be aligned: '1': 'moorning' is not in the dictionary")
    assert note.endswith("They were read frame by frame.")
    times = segments["word"]("0")
    assert times is not None
    assert times.shape == (2, 2)
    assert segments["word"]("1") is None
    assert segments["word"]("2") is None


def test_a_note_names_an_alignment_that_a_checkpoint_cannot_repeat(turns: list[Turn]) -> None:
    segments, note = align_turns(SegmentRequest("files", ("word",)), turns)

    assert note is not None
    assert note.startswith("2 of 2 utterances cannot be aligned: '0': an alignment like the checkpoint's 'files'")
    assert segments["word"]("0") is None


def test_a_model_that_reads_no_segments_gets_none(turns: list[Turn]) -> None:
    assert align_turns(None, turns) == ({}, None)
