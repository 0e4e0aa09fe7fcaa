"""Recognition with an engine that says what a test wants: what reaches it, what is kept, and what is told."""

import json
from itertools import pairwise

import numpy as np
import pytest
from tests.recognition import FakeEngine, passage
from tests.speech import RATE_HZ, speech

from merkit.core.errors import MerkitError
from merkit.core.waveform import Waveform
from merkit.recordings.recognition.checks import compression_ratio, reason_to_drop
from merkit.recordings.recognition.engine import WINDOW_S, Passage, Word
from merkit.recordings.recognition.recognise import padded_stretches, recognise, recognised_text

SILENCE = np.zeros(3 * RATE_HZ, np.float32)


def sound(*parts: np.ndarray) -> Waveform:
    return Waveform(np.concatenate(parts), RATE_HZ)


def test_only_speech_reaches_the_engine_and_times_are_the_recordings() -> None:
    engine = FakeEngine(lambda number: [passage(f"part {number}", 0.5, 1.5)])
    recording = sound(SILENCE, speech(2.0), SILENCE, speech(3.0, seed=1), SILENCE)

    found = recognise(engine, recording)

    assert engine.heard == pytest.approx([2.4, 3.4], abs=0.3)
    assert [line.text for line in found.lines] == ["part 0", "part 1"]
    assert [line.start_s for line in found.lines] == pytest.approx([3.3, 8.3], abs=0.2)
    assert [line.end_s for line in found.lines] == pytest.approx([4.3, 9.3], abs=0.2)


def test_a_recording_without_speech_never_reaches_the_engine() -> None:
    engine = FakeEngine()

    found = recognise(engine, sound(SILENCE, 0.1 * np.random.default_rng(0).standard_normal(5 * RATE_HZ)))

    assert engine.heard == []
    assert engine.asked == 0
    assert (found.lines, found.language) == ([], None)
    assert found.notes == ["Words: none, since no speech was found (fake)."]


def test_no_stretch_is_longer_than_the_window_and_none_overlaps_another() -> None:
    recording = sound(speech(95.0))

    found = padded_stretches(recording, recording.duration_s)

    assert len(found) > 3
    assert max(end - start for start, end in found) <= WINDOW_S
    assert all(one[1] <= other[0] for one, other in pairwise(found))


def test_the_language_is_found_once_or_given() -> None:
    recording = sound(speech(2.0), SILENCE, speech(2.0, seed=1))
    finding, told = FakeEngine(), FakeEngine()

    found, given = recognise(finding, recording), recognise(told, recording, language="PL")

    assert (finding.asked, finding.spoken, found.language, found.language_probability) == (1, ["en", "en"], "en", 0.75)
    assert (told.asked, told.spoken, given.language, given.language_probability) == (0, ["pl", "pl"], "pl", None)
    assert found.notes == ["Words: recognised by fake; language en (found, probability 0.75)."]
    assert given.notes == ["Words: recognised by fake; language pl (as given)."]


def test_a_language_that_the_engine_does_not_know_is_refused() -> None:
    with pytest.raises(MerkitError, match=r"No language named 'polish'\. Known: de, en, pl"):
        recognise(FakeEngine(), sound(speech(2.0)), language="polish")


def test_each_channel_is_a_speaker_and_the_lines_are_in_order_of_time() -> None:
    left = np.concatenate([speech(2.0), SILENCE, SILENCE])
    right = np.concatenate([SILENCE, SILENCE, speech(2.0, seed=1)])
    engine = FakeEngine(lambda number: [passage(("late", "early")[number])])

    found = recognise(engine, Waveform(np.stack([right, left]), RATE_HZ), channels="split")

    assert [(line.speaker, line.text) for line in found.lines] == [("right", "early"), ("left", "late")]


def test_what_is_improbable_or_a_loop_is_left_out_and_counted() -> None:
    loop = "I'm sorry, " * 30
    said = [passage("good"), passage("bad", log_probability=-1.2), passage(loop), passage("noise", 0.1, 1, 0.9, -1.1)]
    recording = sound(*(part for n in range(len(said)) for part in (speech(1.5, seed=n), SILENCE)))

    found = recognise(FakeEngine(lambda number: [said[number]]), recording)

    assert found.text == "good"
    assert found.notes[1] == (
        "Words: 3 passages left out: 1 × improbable words; 1 × the same words again and again within it; "
        "1 × no speech, by the recogniser's own probability."
    )


def test_the_same_text_is_kept_twice_in_a_row_and_not_a_third_time() -> None:
    said = ["Hello.", "Thank you.", "thank you", "Thank you!", "Thank you.", "Bye.", "Thank you."]
    kept: list[Passage] = []
    reasons = []
    for text in said:
        reasons.append(reason_to_drop(passage(text), kept))
        kept.append(passage(text))

    told = "the same text as the two passages before it"
    assert reasons == [None, None, None, told, told, None, None]


def test_an_utterance_has_the_words_that_a_recording_has() -> None:
    said = [passage("yes"), passage("yes"), Passage(0.1, 0.2, " ", (), 0.0, -0.3), passage("yes")]
    recording = sound(*(part for n in range(len(said)) for part in (speech(1.5, seed=n), SILENCE)))

    whole = recognise(FakeEngine(lambda number: [said[number]]), recording)
    text, language, left_out = recognised_text(FakeEngine(lambda number: [said[number]]), recording, None, None, None)

    assert whole.text == "yes yes"
    assert (text, language, left_out) == ("yes yes", "en", 1)


def test_the_compression_ratio_is_that_of_zlib() -> None:
    # by hand: zlib writes 20 letters a in 11 bytes (a header of 2, a block of 5, a checksum of 4)
    assert compression_ratio("a" * 20) == pytest.approx(20 / 11)
    assert compression_ratio("") == 0.0


def test_words_are_lines_until_a_pause() -> None:
    words = tuple(Word(start, start + 0.3, f" {text}", 0.9) for start, text in ((0.2, "a"), (0.6, "b"), (1.7, "c")))
    engine = FakeEngine(lambda _: [Passage(0.2, 2.0, " a b c", words, 0.0, -0.2)])

    found = recognise(engine, sound(speech(2.0)))

    assert [line.text for line in found.lines] == ["a b", "c"]
    assert [word.text for word in found.lines[0].words] == ["a", "b"]


def test_a_passage_without_times_of_words_is_a_line_of_its_own_times() -> None:
    engine = FakeEngine(lambda _: [Passage(0.5, 1.5, " hello there", (), 0.0, -0.2)])

    (line,) = recognise(engine, sound(speech(2.0))).lines

    assert (line.text, line.end_s - line.start_s) == ("hello there", pytest.approx(1.0))


def test_times_outside_of_the_stretch_are_moved_into_it() -> None:
    engine = FakeEngine(lambda _: [Passage(-1.0, 40.0, " a b", (Word(-1, 2, " a", 1), Word(39, 40, " b", 1)), 0, -0.2)])
    recording = sound(speech(2.0))

    (line,) = recognise(engine, recording).lines

    assert 0.0 <= line.start_s < line.end_s <= recording.duration_s
    assert all(word.start_s < word.end_s <= recording.duration_s for word in line.words)


def test_a_recognition_is_json_with_its_words() -> None:
    found = recognise(FakeEngine(), sound(speech(2.0)), name="call")

    content = json.loads(json.dumps(found.to_dict()))

    assert content["recording"] == "call"
    assert content["segments"][0]["words"][0]["text"] == "word0"
    assert content["segments"][0]["words"][0].keys() == {"start_s", "end_s", "text", "probability"}


def test_a_moment_that_sounds_like_speech_is_no_word() -> None:
    engine = FakeEngine()

    found = recognise(engine, sound(SILENCE, speech(0.16), SILENCE))

    assert engine.heard == []
    assert found.lines == []
