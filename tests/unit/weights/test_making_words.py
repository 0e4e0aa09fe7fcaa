"""`make weights` for the words: its parts by hand, and the whole of it on releases of a few lines."""

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.special import softmax
from sklearn.metrics import f1_score
from tests.networks import write_text_network

from merkit.core.types import Utterance
from merkit.io.checkpoint import build_encoders, choose_encoders, load_checkpoint
from merkit.models.words import Words, WordsConfig
from weights.head import fit_temperature
from weights.texts import Texts, heard, misheard, read_texts
from weights.words import HERE, make
from weights.words_figures import Scored, bars_missed, of_calls, of_several, of_single
from weights.words_head import Examples, alone, evidence, log_shares, train

TRAINING = {
    "steps": 150,
    "warmup": 10,
    "conversations": 4,
    "cut": 0.35,
    "comments": 8,
    "written": 1.0,
    "learning_rate": 1e-2,
    "weight_decay": 0.0,
    "average": 0.9,
}


def model(dropout: float = 0.0) -> Words:
    torch.manual_seed(0)
    encoders = build_encoders(choose_encoders({"audio": {"name": "logmel", "n_mels": 8, "dim": 8}}), None, None)
    return Words(encoders, 3, WordsConfig(projection=8, hidden_size=8, dense=8, dropout=dropout))


def texts(labels: list[set[int]], turns: int = 1) -> Texts:
    """Return texts in conversations of so many turns."""
    utterances = [Utterance(f"u{n}", f"c{n // turns}", n % turns, "", text=f"Line {n}!") for n in range(len(labels))]
    return Texts("made_up", tuple(utterances), tuple(map(frozenset, labels)))


def test_a_misheard_text_has_as_many_errors_as_its_rate_says_and_none_at_0() -> None:
    generator = np.random.default_rng(0)
    said = "one two three four five six seven eight nine ten " * 200

    assert misheard("Don't go, ANN!", 0.0, ["x"], generator) == "don't go ann"
    assert misheard("Go!", 1.0, ["x"], generator) in {"x", "go", "go x"}  # never empty
    found = misheard(said, 0.2, ["x"], generator).split()
    kept = sum(word != "x" for word in found)
    # .2 of 2,000 words are wrong; of these .6 replaced, .25 left out, .15 followed by another
    assert 2000 - kept == pytest.approx(2000 * 0.2 * 0.85, rel=0.15)
    assert found.count("x") == pytest.approx(2000 * 0.2 * 0.75, rel=0.15)


def test_what_is_heard_follows_from_the_id_and_some_of_it_is_right() -> None:
    many = texts([{0}] * 200)

    first = list(heard(many, "heard 0", ["x"], (1.0, 1.0), 0.5))
    again = list(heard(many, "heard 0", ["x"], (1.0, 1.0), 0.5))
    other = list(heard(many, "heard 1", ["x"], (1.0, 1.0), 0.5))

    assert first == again != other
    assert sum(text == f"line {n}" for n, text in enumerate(first)) == pytest.approx(100, abs=25)


def test_the_prior_of_a_corpus_is_in_the_loss_and_not_in_the_evidence() -> None:
    """Texts that are all alike say nothing: what was learned of them is no label, whatever their shares."""
    labels = [{0}] * 64 + [{1}] * 12 + [{2}] * 4
    own = texts(labels)
    examples = Examples(own, [np.ones((80, 8), dtype=np.float32)], own.shares(3))
    head = model()

    train(head, {"made_up": examples}, np.random.default_rng(0), **TRAINING)

    logits = evidence(head, np.ones((1, 8), dtype=np.float32), [np.array([0])])[0]
    assert softmax(logits) == pytest.approx([1 / 3] * 3, abs=0.08)
    assert np.exp(log_shares(own.shares(3))) == pytest.approx([65 / 83, 13 / 83, 5 / 83])


def test_evidence_is_of_the_past_alone_and_a_single_turn_has_none() -> None:
    vectors = np.random.default_rng(0).normal(scale=3.0, size=(6, 8)).astype(np.float32)
    changed = vectors.copy()
    changed[4] += 5.0 * np.arange(8)
    own = texts([{0}] * 6, turns=3)
    head = model()

    whole, other, single = (
        evidence(head, rows, conversations)
        for rows, conversations in (
            (vectors, own.conversations),
            (changed, own.conversations),
            (vectors, alone(own)),
        )
    )

    assert np.abs(whole - other).max(axis=1)[:4] == pytest.approx(0.0, abs=1e-6)
    assert (np.abs(whole - other).max(axis=1)[4:] > 1e-3).all()
    assert single[[0, 3]] == pytest.approx(whole[[0, 3]], abs=1e-6)
    assert (np.abs(single - whole).max(axis=1)[[1, 2, 4, 5]] > 1e-3).all()


def test_the_temperature_of_evidence_leaves_its_prior_alone() -> None:
    # three of four are 0 and evidence is silent: with the right prior any temperature is as good; with a factor, 5
    logits = 5 * np.array([[np.log(2.0), 0.0]] * 9)
    prior = np.log([0.8, 0.2])  # evidence of ln 2 and a prior of 4 to 1: 8 to 1

    found = fit_temperature(logits, np.array([0] * 8 + [1]), np.full(9, 1 / 9), prior)

    assert found == pytest.approx(5.0, rel=1e-3)


def test_scores_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels = [set(generator.choice(3, size=generator.integers(1, 3), replace=False).tolist()) for _ in range(60)]
    probabilities = generator.dirichlet(np.ones(3), size=60)
    scored = Scored(texts(labels), probabilities)

    single, several = of_single(scored), of_several(scored, scored)

    rows = [row for row, own in enumerate(labels) if len(own) == 1]
    truth, found = [min(labels[row]) for row in rows], probabilities[rows].argmax(axis=1)
    assert single["texts"] == len(rows)
    assert single["weighted_f1"]["value"] == pytest.approx(f1_score(truth, found, average="weighted"))
    assert single["macro_f1"]["value"] == pytest.approx(f1_score(truth, found, average="macro"))
    sure = np.argsort(-probabilities[rows].max(axis=1))[: round(len(rows) / 2)]
    assert single["accuracy_of_surest_half"] == pytest.approx(np.mean(found[sure] == np.array(truth)[sure]))
    best = 0.0
    for label in range(3):
        true = np.array([label in own for own in labels])
        cuts = np.unique(probabilities[:, label])
        best += max(f1_score(true, probabilities[:, label] >= cut) for cut in cuts) / 3
    assert several == pytest.approx(best)


def test_a_call_is_weighted_to_its_share_of_neutral_and_a_bar_is_missed_from_the_right_side() -> None:
    # neutral .5 here; its texts have no evidence, the others a little: the right prior of .75 makes all of them neutral
    logits = np.array([[0.0, 0.1, -9.0], [0.0, -0.1, -9.0], [0.0, 0.5, -9.0], [0.0, 0.5, -9.0]])
    own = np.log([0.5, 0.5, 1e-9])

    found = of_calls(texts([{0}, {0}, {1}, {1}]), logits, 1.0, own, neutral=0)

    assert found == pytest.approx({"own prior": 0.75 * 0.5 + 0.25 * 1.0, "right prior": 0.75})
    figures = {"meld": {"f1": {"value": 0.5}, "calibration_error": 0.04}}
    assert bars_missed(figures, {"meld/f1": 0.5, "meld/calibration_error": 0.04}) == []
    assert bars_missed(figures, {"meld/f1": 0.51, "meld/calibration_error": 0.03}) == [
        "meld/f1: 0.500, bar 0.51",
        "meld/calibration_error: 0.040, bar 0.03",
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Releases of a few lines."""
    folder = tmp_path_factory.mktemp("releases")
    (folder / "meld").mkdir()
    (folder / "goemotions").mkdir()
    head = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
    said = {"joy": "How lovely!", "anger": "Stop this!", "neutral": "It is Monday."}
    for split in ("train", "dev", "test"):
        lines = [head]
        for number in range(12):
            emotion = list(said)[number % 3]
            times = f'"00:00:0{number % 4},000","00:00:0{number % 4 + 1},000"'
            place = f"{number // 4},{number % 4},1,1"
            lines.append(f'{number},"{said[emotion]}",Ann,{emotion},neutral,{place},{times}')
        (folder / "meld" / f"{split}_sent_emo.csv").write_text("\n".join(lines) + "\n")
        rows = "".join(
            f"{text}\t{label}\t{split}{number}{label}\n"
            for number in range(6)
            for text, label in (("What a joy!", "1"), ("It is Monday.", "2"), ("A joy, and fine.", "0,1"))
        )
        (folder / "goemotions" / f"{split}.tsv").write_text(rows)
    (folder / "goemotions" / "labels.txt").write_text("anger\njoy\nneutral\n")
    return folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The shipped models' settings, with a tiny network and a few steps."""
    values = tomllib.loads((HERE / "words.toml").read_text())
    words = ["how", "lovely", "stop", "this", "it", "is", "monday", "what", "a", "joy", "and", "fine", "!", ".", ","]
    values["encoder"]["weights"] = str(write_text_network(tmp_path_factory.mktemp("network"), words))
    values["encoder"]["layer"] = [1, 3]
    values["training"] |= {"steps": 20, "warmup": 2, "conversations": 2, "comments": 4}
    values["versions"]["heard"] = {"meld": 1, "goemotions": 1}
    return values


def test_the_same_settings_and_data_give_the_same_checkpoints_in_half_precision(
    settings: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    made = make(settings, data, tmp_path / "features", tmp_path / "first")
    make(settings, data, tmp_path / "features", tmp_path / "second")

    assert list(made) == ["words-en", "words-en-clean"]
    for name, provenance in made.items():
        first, second = (load_file(tmp_path / each / name / "model.safetensors") for each in ("first", "second"))
        assert {tensor.dtype for tensor in first.values()} == {torch.float16}
        assert all(bool((first[key] == second[key]).all()) for key in first)
        loaded, config = load_checkpoint(tmp_path / "first" / name)
        assert config.temperature == provenance["temperature"]
        assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
        stored = json.loads((tmp_path / "first" / name / "provenance.json").read_text())
        assert stored["figures"] == json.loads(json.dumps(provenance["figures"]))
        assert "NaN" not in json.dumps(stored["figures"])
        licence = (tmp_path / "first" / name / "LICENSE").read_text()
        assert "GoEmotions" in licence
        assert ("Poria" in licence) == (name == "words-en")
    clean = made["words-en-clean"]["trained_on"]["utterances"].split()
    assert len(clean) == 18
    assert set(clean) < set(made["words-en"]["trained_on"]["utterances"].split())


def test_labels_are_grouped_and_an_unknown_emotion_is_an_error(settings: dict[str, Any], data: Path) -> None:
    read = read_texts("goemotions", data / "goemotions", settings["labels"], settings["emotions"])

    assert list(read) == ["train", "dev", "test"]
    assert read["dev"].labels[:3] == ({1}, {0}, {1, 3})  # happy; neutral; happy and angry
    assert read["dev"].single.tolist()[:3] == [True, True, False]
    assert read["dev"].shares(7)[2].tolist() == [0, 0.5, 0, 0.5, 0, 0, 0]
    with pytest.raises(Exception, match="has the emotion 'joy'"):
        read_texts("goemotions", data / "goemotions", settings["labels"], {"neutral": ["neutral"], "angry": ["anger"]})
