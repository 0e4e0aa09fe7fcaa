"""Two models whose predictions a rule joins: by hand, and each alone where the other has nothing to say."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from scipy.special import logit, softmax
from tests.deciding import LABELS, reader, recognizer

from merkit.core.errors import CheckpointError
from merkit.core.types import Prediction, Utterance
from merkit.data.corpus.manifest import Manifest, write_manifest
from merkit.inference.joined import JoinedRecognizer, load_predictor
from merkit.inference.predictor import ChunkOptions
from merkit.io.joined import JoinedCheckpoint, joined_values, read_joined
from merkit.recordings.decision_notes import describe_decisions

SHARES = {"neutral": -0.5, "happy": 0.5, "sad": -0.5, "angry": 0.5}
SOURCE = {"checkpoint": "builtin:voice", "hash": "0"}
CONFIG: dict[str, Any] = {"words": SOURCE, "voice": SOURCE, "weight": 0.7, "shares": SHARES, "unsure_below": 0.5}
TEXTS = ("sad", "", "happy happy", "well then", "angry", "so it is")
FEWER = "fewer than 5 utterances of this speaker: a voice is compared with the speaker's own average"


def joined(**rule: Any) -> JoinedRecognizer:
    config = JoinedCheckpoint(**joined_values(**CONFIG))
    return JoinedRecognizer(reader(), recognizer({"least_s": 0.0, **rule}), config)


def corpus(folder: Path, speakers: str = "AAAAAA", texts: tuple[str | None, ...] = TEXTS) -> Manifest:
    """Write a conversation of utterances with sound, in different loudness and pitch, and words."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    utterances = []
    for turn, (speaker, text) in enumerate(zip(speakers, texts, strict=True)):
        times = np.arange(32_000) / 16_000
        sound = generator.uniform(0.05, 0.5) * np.sin(2 * np.pi * generator.uniform(100, 2000) * times)
        sf.write(folder / f"{turn}.wav", sound + 0.01 * generator.normal(size=32_000), 16_000)
        utterances.append(Utterance(f"u{turn}", "call", turn, speaker, text=text, audio=f"{turn}.wav"))
    return write_manifest(folder, utterances, name="made_up", version=1)


def predicted(model: JoinedRecognizer, manifest: Manifest) -> list[Prediction]:
    return list(model.predict_turns(list(manifest.turns(None, *model.reach))))


def test_the_rule_is_as_by_hand() -> None:
    config = JoinedCheckpoint(**joined_values(**CONFIG))

    found = config.join({"neutral": 0.5, "happy": 0.2, "fear": 0.3}, arousal=0.8)

    # log odds of .8: ln 4; 4 ** .35 = 1.624505: .5 / 1.624505 = .307786, .2 * 1.624505 = .324901, .3; sum .932687
    assert found == pytest.approx({"neutral": 0.329999, "happy": 0.348350, "fear": 0.321651}, abs=1e-5)
    assert config.join({"neutral": 0.5, "happy": 0.5}, arousal=0.5) == {"neutral": 0.5, "happy": 0.5}
    assert all(np.isfinite(list(config.join({"neutral": 0.5, "happy": 0.5}, arousal=x).values())).all() for x in (0, 1))


def test_both_are_joined_and_each_stands_beside_the_result(tmp_path: Path) -> None:
    manifest = corpus(tmp_path / "data")
    model = joined()
    words = list(reader().predict_turns(list(manifest.turns())))
    voice = list(recognizer({"least_s": 0.0}).predict_turns(list(manifest.turns())))
    assert len({each.arousal > 0.5 for each in voice}) == 2

    found = predicted(model, manifest)

    for both, said, heard in zip(found, words, voice, strict=True):
        assert list(both.sources) == ["words", "voice"]
        assert both.sources["words"] == said
        assert dict(both.sources["voice"].probabilities) == pytest.approx(dict(heard.probabilities), abs=1e-5)
        pull = 0.7 * logit(heard.arousal) * np.array([SHARES.get(label, 0.0) for label in LABELS])
        expected = softmax(np.log(list(said.probabilities.values())) + pull)
        assert list(both.probabilities.values()) == pytest.approx(expected, abs=1e-5)
        assert both.arousal == pytest.approx(heard.arousal, abs=1e-5)
        assert both.modalities == ("text", "audio")
        assert (both.label is None) == both.is_unsure == (max(expected) < 0.5)
    assert found[2].label == "happy"


def test_below_five_utterances_the_words_answer_alone_and_the_voice_says_why(tmp_path: Path) -> None:
    manifest = corpus(tmp_path / "data", "AAAABB")

    found = predicted(joined(), manifest)

    for both in found:
        assert dict(both.probabilities) == dict(both.sources["words"].probabilities)
        assert (both.label, both.modalities) == (both.sources["words"].label, ("text",))
        assert both.sources["voice"].reason == FEWER
        assert both.arousal == both.sources["voice"].arousal


def test_without_words_the_voice_answers_alone(tmp_path: Path) -> None:
    manifest = corpus(tmp_path / "data", texts=(None,) * 6)

    found = predicted(joined(), manifest)

    for both in found:
        assert replace(both, sources={}) == both.sources["voice"]
        assert list(both.probabilities) == ["neutral", "happy", "sad", "angry"]
        assert both.sources["words"].reason == "no input that the model reads"
    notes = describe_decisions(joined(), found, len(found))
    assert "Without the words in 6 of 6 utterances: no input that the model reads." in notes
    assert any("neutral 80 %" in note for note in notes)  # the voice's prior; the words' is 60 %


def test_an_utterance_that_cannot_be_read_has_no_row_and_the_others_have_theirs(tmp_path: Path) -> None:
    manifest = corpus(tmp_path / "data", "AAAAAA")
    whole = predicted(joined(), manifest)
    (tmp_path / "data" / "3.wav").write_bytes(b"no sound")
    model = joined()
    turns = list(manifest.turns())
    (chunk,) = model.chunks(turns, [turn.utterance.id for turn in turns])
    failures: dict[str, str] = {}

    statistics = model.speaker_statistics(turns, tmp_path / "features", failures={})
    found = model.predict_chunk(chunk, ChunkOptions(statistics, tmp_path / "features", failures=failures))

    assert list(failures) == ["u3"]
    assert [each.id for each in found] == ["u0", "u1", "u2", "u4", "u5"]
    assert found[0].sources["words"] == whole[0].sources["words"]


def test_what_is_read_in_pieces_is_averaged_by_source(tmp_path: Path) -> None:
    first, second = predicted(joined(), corpus(tmp_path / "data"))[:2]
    model = joined()

    found = model.averaged([first, second])

    means = {
        label: (first.sources["words"].probabilities[label] + second.sources["words"].probabilities[label]) / 2
        for label in LABELS
    }
    assert dict(found.sources["words"].probabilities) == pytest.approx(means)
    assert found.arousal == pytest.approx((first.arousal + second.arousal) / 2)
    pull = {label: 0.7 * logit(found.arousal) * SHARES.get(label, 0.0) for label in LABELS}
    expected = softmax([np.log(means[label]) + pull[label] for label in LABELS])
    assert list(found.probabilities.values()) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weight": 0.8}, "has changed since it was saved"),
        ({"joined": 2}, "in format 2, this merkit reads format 1"),
        ({"command": "rm"}, "command"),
    ],
)
def test_an_edited_rule_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(joined_values(**CONFIG) | changes))

    with pytest.raises(CheckpointError, match=words):
        read_joined(tmp_path)


def test_models_that_have_changed_since_they_were_joined_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(joined_values(**CONFIG)))

    with pytest.raises(CheckpointError, match="joins 'builtin:voice' as it was in another version"):
        load_predictor(tmp_path)


def test_two_models_of_sound_are_not_joined() -> None:
    config = JoinedCheckpoint(**joined_values(**CONFIG))

    with pytest.raises(CheckpointError, match="from another modality"):
        JoinedRecognizer(recognizer(), recognizer(), config)
