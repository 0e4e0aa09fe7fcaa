"""Words in a language that a model was not trained on: no label from them, the reason, and nothing else changes."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.deciding import reader, recognizer
from tests.networks import write_text_network
from tests.tiny import built
from tests.unit.inference.test_joined import corpus, predicted
from tests.unit.inference.test_joined import joined as joined_models

from merkit.api.recognition import EmotionRecognizer
from merkit.core.errors import ConfigError
from merkit.core.language import language_code
from merkit.core.types import Prediction, Turn, Utterance, turns_of
from merkit.inference.recognizer import Recognizer

ITALIAN = "the words are in the language 'it', the model was trained on 'en'"


def trained_on(*languages: str, model: Recognizer | None = None) -> Recognizer:
    model = model or reader()
    return Recognizer(model.model, replace(model.config, languages=languages or None))


def said(*texts: tuple[str, str | None]) -> list[Turn]:
    """Return the turns of a conversation, each a text with its language."""
    utterances = [Utterance(f"u{n}", "c", n, "A", text=text, language=code) for n, (text, code) in enumerate(texts)]
    return list(turns_of(utterances, Path(), 9))


def predictions_of(model: Recognizer, turns: list[Turn]) -> list[Prediction]:
    return list(model.predict_turns(turns))


@pytest.mark.parametrize(
    ("tag", "code"),
    [("en", "en"), ("en-GB", "en"), (" EN_us ", "en"), ("yue", "yue"), ("haw", "haw")]
    + [(tag, None) for tag in (None, "", "eng", "english", "und", "e", "e-n", "unknown")],
)
def test_only_codes_that_can_be_compared_are_codes(tag: str | None, code: str | None) -> None:
    assert language_code(tag) == code


def test_foreign_words_get_no_label_and_do_not_move_those_of_other_turns() -> None:
    turns = said(("sad sad", "it"), ("happy", "en"), ("well", "en-US"))

    first, second, third = predictions_of(trained_on("en"), turns)
    alone = predictions_of(trained_on("en"), said(("happy", None), ("well", None)))

    assert first == Prediction("u0", None, {}, None, (), ITALIAN)
    assert second.probabilities == pytest.approx(alone[0].probabilities)  # 'sad' of the turn before is not heard
    assert third.probabilities == pytest.approx(alone[1].probabilities)
    assert second.label == "happy"


@pytest.mark.parametrize(
    ("trained", "language"), [((), "it"), (("en",), None), (("en",), "ita"), (("en", "it"), "it-IT")]
)
def test_what_is_not_known_to_differ_is_read(trained: tuple[str, ...], language: str | None) -> None:
    (found,) = predictions_of(trained_on(*trained), said(("sad sad", language)))

    assert found.label == "sad"


def test_a_model_of_several_languages_names_them_all() -> None:
    (found,) = predictions_of(trained_on("en", "de"), said(("sad", "it")))

    assert found.reason == "the words are in the language 'it', the model was trained on 'de', 'en'"


def test_a_model_without_a_decision_rule_gives_no_label_either() -> None:
    model = reader()
    bare = Recognizer(model.model, replace(model.config, decision_rule=None, languages=("en",)))

    predictions = EmotionRecognizer(bare, "m").predict([{"text": "sad", "language": "it"}, {"text": "sad"}])

    assert [each.label for each in predictions] == [None, "sad"]
    assert [row["reason"] for row in predictions.rows()] == [ITALIAN, None]
    assert predictions.notes == (f"1 of 2 utterances have no label: {ITALIAN}.",)
    alone = EmotionRecognizer(bare, "m").predict([{"text": "sad", "language": "it"}])
    assert (alone[0].reason, alone.notes) == (ITALIAN, (f"It has no label: {ITALIAN}.",))


def test_a_language_without_words_is_no_reason() -> None:
    with pytest.raises(ConfigError, match="reads text, which no row has"):
        EmotionRecognizer(trained_on("en"), "m").predict([{"language": "it"}])


def test_a_model_that_reads_audio_too_predicts_from_the_audio(tmp_path: Path) -> None:
    text = {"name": "bert", "weights": str(write_text_network(tmp_path / "bert", ["hello"])), "frozen": True}
    both = Recognizer(*built("concat", {"text": text, "audio": {"name": "logmel", "n_mels": 8, "dim": 4}}, ("a", "b")))
    manifest = corpus(tmp_path / "data")
    turns = list(manifest.turns(None, *both.reach))
    italian = [replace(turn, utterance=replace(turn.utterance, language="it")) for turn in turns]
    silent = [replace(turn, utterance=replace(turn.utterance, text=None)) for turn in turns]

    found = predictions_of(trained_on("en", model=both), italian)
    expected = predictions_of(both, silent)

    for one, other in zip(found, expected, strict=True):
        assert (one.label, one.modalities, one.reason) == (other.label, ("audio",), None)
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


def test_of_joined_models_the_voice_predicts_alone_and_the_words_have_the_reason(tmp_path: Path) -> None:
    manifest = corpus(tmp_path / "data")
    model = joined_models()
    model._sources["words"] = trained_on("en")
    turns = [
        replace(turn, utterance=replace(turn.utterance, language="it")) for turn in manifest.turns(None, *model.reach)
    ]

    found = list(model.predict_turns(turns))
    averaged = model.averaged(found[:2])
    spoken = predicted(joined_models(), corpus(tmp_path / "silent", texts=(None,) * 6))

    for both, voice in zip(found, spoken, strict=True):
        assert replace(both, sources={}) == both.sources["voice"]
        assert both.probabilities == pytest.approx(voice.probabilities, abs=1e-5)
        assert both.sources["words"].reason == ITALIAN
    assert averaged.sources["words"].reason == ITALIAN


def test_arousal_of_a_voice_is_not_a_language() -> None:
    assert recognizer().languages is None
