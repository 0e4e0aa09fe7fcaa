"""The words models that come with merkit, and words with voice: their files, and what they say."""

import html
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from safetensors.torch import load_file
from tests.commandline import call

import merkit
from merkit.io.checkpoint import load_checkpoint
from merkit.io.joined import read_joined
from merkit.weights.known import KNOWN
from merkit.weights.models import DEFAULT, built_in_model, built_in_models
from weights.conversation import HERE, _relative
from weights.words_figures import bars_missed

WORDS = ("builtin:words-en", "builtin:words-en-clean")
SHOWN = ("neutral", "happy", "sad", "angry", "surprise")
SAID = ["Did you call them?", "That is wonderful, I am so happy!", "I am so sorry, I miss her.", "Leave me alone!"]


def test_all_models_are_known_and_together_small() -> None:
    assert set(built_in_models()) == {name for name, weights in KNOWN.items() if weights.kind == "model"}
    files = [path for folder in built_in_models().values() for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8_000_000


@pytest.mark.parametrize("name", WORDS)
def test_the_files_are_those_that_were_saved_in_half_precision(name: str) -> None:
    folder = built_in_model(name)
    model, config = load_checkpoint(folder)  # strict: every hash, every tensor

    assert {str(tensor.dtype) for tensor in load_file(folder / "model.safetensors").values()} == {"torch.float16"}
    assert config.labels == ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise")
    assert config.languages == ("en",)
    assert config.decision_rule is not None
    assert config.decision_rule.shown(config.labels) == SHOWN
    assert all(parameter.isfinite().all() for parameter in model.state_dict().values())


@pytest.mark.parametrize("name", WORDS)
def test_the_data_are_named_and_the_bars_are_those_of_the_settings(name: str) -> None:
    folder = built_in_model(name)
    settings = tomllib.loads((HERE / "words.toml").read_text())
    provenance = json.loads((folder / "provenance.json").read_text())
    short = name.removeprefix("builtin:")

    assert provenance["settings"] == settings
    assert provenance["bars_missed"] == bars_missed(provenance["figures"], settings["bars"].get(short, {}))
    for text in ((folder / "LICENSE").read_text(), (folder / "README.md").read_text()):
        assert "GoEmotions" in text
        assert ("MELD" in text) or name.endswith("clean")
    assert ("Poria" in (folder / "LICENSE").read_text()) == (name == "builtin:words-en")
    assert provenance["trained_on_corpora"] == settings["models"][short]


@pytest.mark.parametrize("name", WORDS)
def test_plain_sentences_have_the_labels_that_anyone_would_give(name: str) -> None:
    model = merkit.load(name, "cpu", prior="even")

    found = model.texts(SAID[1:3])

    assert [prediction.label for prediction in found] == ["happy", "sad"]
    assert model.labels == SHOWN
    assert set(merkit.load(name, "cpu", labels="all").labels) > set(SHOWN)


def test_a_turn_depends_on_the_past_alone_and_not_on_batch_mates() -> None:
    model = merkit.load("builtin:words-en", "cpu")
    rows = [{"conversation": c, "text": text} for c in "ab" for text in (SAID if c == "a" else SAID[:2])]

    whole = list(model.texts(SAID))
    begun = list(model.texts(SAID[:2]))
    together = list(model.predict(rows, batch_size=2))

    for one, other in zip(begun, whole, strict=False):
        assert dict(one.probabilities) == pytest.approx(dict(other.probabilities), abs=1e-4)
    for one, other in zip(together, [*whole, *begun], strict=True):
        assert dict(one.probabilities) == pytest.approx(dict(other.probabilities), abs=1e-4)


def test_words_and_voice_are_the_default_and_stand_side_by_side(tmp_path: Path) -> None:
    folder = built_in_model(DEFAULT)
    joined, card = read_joined(folder), (folder / "README.md").read_text()
    assert (joined.words.checkpoint, joined.voice.checkpoint) == ("builtin:words-en", "builtin:voice")
    assert joined.weight == 0.7
    assert "guess" in card
    sf.write(tmp_path / "call.wav", np.zeros(16_000 * 6), 16_000)
    lines = "".join(f'{n},{n + 1},{"AB"[n % 2]},"{text}"\n' for n, text in enumerate(SAID))
    (tmp_path / "call.csv").write_text(f"start_s,end_s,speaker,text\n{lines}")

    done = call("analyze", tmp_path / "call.wav", "--transcript", tmp_path / "call.csv", "--json")
    in_python = merkit.load()(tmp_path / "call.wav", transcript=tmp_path / "call.csv")

    assert done.code == 0, done.error
    written = json.loads(done.out)
    assert written["checkpoint"] == DEFAULT
    assert [segment.label for segment in in_python.segments] == [each["label"] for each in written["segments"]]
    for segment in in_python.segments:
        assert list(segment.sources) == ["words", "voice"]
        assert dict(segment.prediction.probabilities) == dict(segment.sources["words"].probabilities)
        assert segment.sources["voice"].reason == "no input that the model reads"  # it is silent
        assert segment.modalities == ("text",)
    assert "Without the voice in 4 of 4 utterances: no input that the model reads." in in_python.notes


@pytest.mark.parametrize("name", [*WORDS, DEFAULT])
def test_italian_words_say_nothing_and_the_reason_is_in_every_output(tmp_path: Path, name: str) -> None:
    reason = "the words are in the language 'it', the model was trained on 'en'"
    sf.write(tmp_path / "call.wav", np.zeros(16_000 * 2), 16_000)
    lines = [{"start": n, "end": n + 1, "text": text} for n, text in enumerate(("Che bello!", "Vattene!"))]
    (tmp_path / "call.json").write_text(json.dumps({"language": "it", "segments": lines}))
    words = ("--transcript", tmp_path / "call.json", "--checkpoint", name)

    shown = call("analyze", tmp_path / "call.wav", *words)
    done = call("analyze", tmp_path / "call.wav", *words, "--out", tmp_path / "out", "--format", "json,csv,html")

    assert (shown.code, done.code) == (0, 0), shown.error + done.error
    written = json.loads((tmp_path / "out" / "call.json").read_text())
    assert [each["label"] for each in written["segments"]] == [None, None]
    for each in written["segments"]:
        assert (each["sources"]["words"] if name == DEFAULT else each)["reason"] == reason
    assert any(reason in note for note in written["notes"])
    assert reason in " ".join(shown.out.split())
    assert html.escape(reason) in (tmp_path / "out" / "call.html").read_text()
    if name != DEFAULT:
        assert (tmp_path / "out" / "call.csv").read_text().count(reason) == 2


def test_without_words_and_without_a_recogniser_the_voice_answers_and_a_note_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merkit.recordings.recognition.models._can_run", lambda: False)
    sf.write(tmp_path / "call.wav", np.zeros(16_000), 16_000)

    result = merkit.load(device="cpu")(tmp_path / "call.wav")

    assert [(segment.label, segment.reason) for segment in result.segments] == [(None, "no speech")]


def test_prosody_is_relative_to_the_speaker_and_0_where_there_are_few() -> None:
    rows = np.array([[1.0], [3.0], [np.nan], [10.0]])

    relative, known = _relative(rows, ["A", "A", "A", "B"], least=2)

    assert relative[:, 0].tolist() == [-1.0, 1.0, 0.0, 0.0]  # mean 2, standard deviation 1
    assert known.tolist() == [True, True, True, False]
