"""The language of the words of a recording: where it is from, and what follows for the labels."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.deciding import reader
from tests.networks import write_text_network
from tests.recognition import FakeEngine, passage
from tests.speech import RATE_HZ, speech
from tests.tiny import built

import merkit
from merkit.api.recognition import EmotionRecognizer
from merkit.core.errors import ConfigError
from merkit.inference.recognizer import Recognizer
from merkit.recordings.analysis import analyze_recording
from merkit.recordings.options import RecordingOptions
from merkit.recordings.transcripts import Line, Transcript, read_transcript

SOUND = merkit.Waveform(speech(4.0), RATE_HZ)
LINES = [Line(0.0, 2.0, "Ann", "sad sad"), Line(2.0, 4.0, "Ben", "happy")]
POLISH = "the words are in the language 'pl', the model was trained on 'en'"


def words_model() -> Recognizer:
    model = reader()
    return Recognizer(model.model, replace(model.config, languages=("en",)))


class Polish(FakeEngine):
    def find_language(self, samples: np.ndarray) -> tuple[str, float]:
        super().find_language(samples)
        return "pl", 0.98


def analyzed(model: Recognizer, lines: Any = None, engine: FakeEngine | None = None, **options: Any) -> Any:
    return analyze_recording(model, SOUND, lines, "m", RecordingOptions(**options), engine=engine)


def test_words_that_are_recognised_in_another_language_get_no_label_and_the_reason() -> None:
    result = analyzed(words_model(), engine=Polish(lambda _: [passage("sad sad")]))

    assert [(each.label, each.reason, each.text) for each in result.segments] == [(None, POLISH, "sad sad")]
    assert f"It has no label: {POLISH}." in result.notes
    assert result.stages["words"] == "Recognised by fake; language pl (found, probability 0.98)."
    assert result.stages["model"] == "m reads text; 0 of 1 utterance labelled."
    assert not any("missing" in note for note in result.notes)


def test_a_language_that_is_given_is_recognised_and_takes_the_place_of_what_is_found_or_stated() -> None:
    engine = Polish(lambda _: [passage("sad sad")])

    recognised = analyzed(words_model(), engine=engine, language="en-US")
    stated = analyzed(words_model(), Transcript(tuple(LINES), language="pl"), language="en")

    assert (engine.spoken, engine.asked) == (["en"], 0)
    assert [each.label for each in recognised.segments] == ["sad"]
    assert [each.label for each in stated.segments] == ["sad", "sad"]  # its words so far
    assert stated.stages["words"] == "Those of the transcript; language en (as given)."


def test_a_transcript_that_states_its_language_is_taken_at_its_word_and_another_one_is_not_checked() -> None:
    stated = analyzed(words_model(), Transcript(tuple(LINES), language="pl"))
    silent = analyzed(words_model(), LINES)
    given = analyzed(words_model(), LINES, language="pl")

    assert [each.reason for each in stated.segments] == [POLISH] * 2
    assert [each.reason for each in given.segments] == [POLISH] * 2
    assert f"2 of 2 utterances have no label: {POLISH}." in stated.notes
    assert stated.stages["words"] == "Those of the transcript; language pl (as it says)."
    assert [each.label for each in silent.segments] == ["sad", "sad"]
    assert silent.stages["words"] == "Those of the transcript."


def test_the_reason_is_in_json_and_rows() -> None:
    result = analyzed(words_model(), LINES, language="pl")

    assert [each["reason"] for each in result.to_dict()["segments"]] == [POLISH] * 2
    assert [each["reason"] for each in result.rows()] == [POLISH] * 2


def test_a_model_that_reads_audio_too_predicts_from_it_and_no_note_asks_for_a_transcript(tmp_path: Path) -> None:
    result = analyzed(words_and_sound(tmp_path), LINES, language="pl")

    assert [(each.modalities, each.reason) for each in result.segments] == [(("audio",), None)] * 2
    assert not any("is missing" in note for note in result.notes)


def test_a_transcript_without_words_has_none_in_another_language(tmp_path: Path) -> None:
    both = words_and_sound(tmp_path)
    silent = [replace(line, text=None) for line in LINES]

    result = analyzed(both, silent, language="pl")

    assert any(note.startswith("The model also reads text, which is missing") for note in result.notes)


def words_and_sound(folder: Path) -> Recognizer:
    """Return a model of words, in English, and sound."""
    text = {"name": "bert", "weights": str(write_text_network(folder / "bert", ["hello"])), "frozen": True}
    model, config = built("concat", {"text": text, "audio": {"name": "logmel", "n_mels": 8, "dim": 4}}, ("a", "b"))
    return Recognizer(model, replace(config, languages=("en",)))


@pytest.mark.parametrize("language", ["polish", "", "eng"])
def test_a_language_that_is_no_code_is_refused(language: str) -> None:
    with pytest.raises(ConfigError, match=f"language is '{language}', expected a code such as en"):
        RecordingOptions(language=language)


def test_a_language_in_python_is_that_of_the_text() -> None:
    model = EmotionRecognizer(words_model(), "m")

    (segment,) = model(np.zeros(RATE_HZ, np.float32), rate_hz=RATE_HZ, text="sad", language="pl").segments

    assert segment.reason == POLISH


SEGMENTS = [{"start": 0.0, "end": 1.0, "text": "Nie."}]
SEGMENTS_AS_TEXT = [{"start_time": "0.0", "end_time": "1.0", "transcript": "Nie."}]


def heard(language: str) -> dict[str, Any]:
    """Return a channel of Deepgram's."""
    return {"detected_language": language, "alternatives": [{"words": [{"word": "Nie", "start": 0, "end": 1}]}]}


@pytest.mark.parametrize(
    ("content", "language"),
    [
        ({"segments": SEGMENTS, "language": "pl"}, "pl"),  # Whisper, WhisperX, and what wraps faster-whisper
        ({"text": "Nie.", "language": "pl"}, "pl"),
        ([{"segments": SEGMENTS, "language": "pl"}], "pl"),
        ({"segments": SEGMENTS, "language": "Polish"}, "pl"),  # OpenAI's service
        ({"segments": SEGMENTS, "language": "english"}, "en"),
        ({"segments": SEGMENTS, "language": ""}, None),
        ({"segments": SEGMENTS, "language": "Klingon"}, None),
        ({"segments": SEGMENTS, "language": None}, None),
        ({"segments": SEGMENTS, "language": 3}, None),
        ({"segments": SEGMENTS}, None),
        (SEGMENTS, None),
        (
            {"utterances": [{"start": 0, "end": 1000, "text": "Nie.", "words": []}], "language_code": "en_us"},
            "en",
        ),  # AssemblyAI
        (
            {
                "result": {"language": "pl"},
                "transcription": [{"offsets": {"from": 0, "to": 1000}, "text": "Nie."}],
            },
            "pl",
        ),  # whisper.cpp
        ({"results": {"channels": [heard("pl")]}}, "pl"),  # Deepgram
        ({"results": {"channels": [heard("pl"), heard("en")]}}, None),
        ({"results": {"channels": [3], "utterances": [{"start": 0, "end": 1, "transcript": "Nie."}]}}, None),
        ({"results": {"language_code": "pl-PL", "audio_segments": SEGMENTS_AS_TEXT}}, "pl"),  # AWS
    ],
)
def test_json_states_its_language_where_the_tools_write_it(tmp_path: Path, content: Any, language: str | None) -> None:
    (tmp_path / "t.json").write_text(json.dumps(content))

    found = read_transcript(tmp_path / "t.json")

    assert found.language == language


def test_what_merkit_transcribes_states_its_language_to_the_analysis(tmp_path: Path) -> None:
    from merkit.recordings.recognition.recognise import recognise
    from merkit.recordings.subtitles import whisper_json

    (tmp_path / "t.json").write_text(whisper_json(recognise(Polish(), SOUND)))

    result = analyze_recording(words_model(), SOUND, tmp_path / "t.json", "m")

    assert {each.reason for each in result.segments} == {POLISH}
