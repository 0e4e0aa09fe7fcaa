"""`make weights`: its parts by hand, and the whole of it on corpora of a few tones."""

import json
import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from tests.miniature import write_emodb, write_emovo, write_ravdess
from tests.networks import write_whisper

from merkit.core.types import Utterance
from merkit.io.checkpoint import load_checkpoint
from weights.figures import Measured, arousal_recall, call_figures, coverage, mean_recall
from weights.head import (
    Examples,
    Head,
    balanced_weights,
    centre,
    fit_head,
    fit_temperature,
    random_references,
)
from weights.vectors import Clips, loudest_second, mu_law
from weights.voice import HERE, main, make


def clips(labels: list[int], speakers: str) -> Clips:
    utterances = tuple(Utterance(f"u{i}", f"u{i}", 0, speaker) for i, speaker in enumerate(speakers))
    return Clips("made_up", utterances, None, np.array(labels))  # type: ignore[arg-type]


def test_the_training_mean_counts_as_one_more_clip_of_a_reference() -> None:
    reference, average = np.array([[1.0, 0.0], [3.0, 0.0]]), np.array([5.0, 3.0])

    centred = centre(np.array([[4.0, 4.0]]), reference, average)

    assert centred.tolist() == [[1.0, 3.0]]  # (1 + 3 + 5) / 3 = 3, (0 + 0 + 3) / 3 = 1


def test_references_come_from_the_same_speaker_and_in_number() -> None:
    corpus = clips([0, 1, 0, 1, -1], "aabbb")
    vectors = np.array([[1.0], [1.0], [10.0], [10.0], [999.0]])  # a speaker's clips are alike: so is every reference

    rows, labels = random_references(vectors, corpus, np.zeros(1), np.random.default_rng(0), copies=2, fewest=3, most=3)

    assert sorted(labels.tolist()) == [0] * 4 + [1] * 4
    assert sorted(rows[:, 0].tolist()) == pytest.approx([0.25] * 4 + [2.5] * 4)  # x - 3 x / 4


def test_every_corpus_weighs_the_same_and_in_it_every_label() -> None:
    corpora, labels = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 0, 1, 2])

    weights = balanced_weights([corpora, labels])

    assert weights.tolist() == pytest.approx([1 / 8, 1 / 8, 1 / 4, 1 / 6, 1 / 6, 1 / 6])


def test_the_fit_is_that_of_scikit_learn_on_standardised_columns() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(300, 4)).astype(np.float32) * np.array([1, 5, 0.1, 2], dtype=np.float32)
    labels = np.array([0, 1, 2] * 100)
    vectors[:, 0] += labels
    examples = Examples(vectors, labels, np.zeros(300, dtype=np.int64))
    penalty = 0.1

    head = fit_head(examples, 3, np.array([0.0, 1.0, np.nan]), np.zeros(4), penalty=penalty, iterations=500)

    scale = np.sqrt(np.mean(np.square(vectors, dtype=np.float64), axis=0))
    # scikit-learn's C weighs the sum of the losses against half the squared weights
    theirs = LogisticRegression(C=1 / (penalty * 300), max_iter=2000, tol=1e-8).fit(vectors / scale, labels)
    mine, other = head.logits(vectors), theirs.decision_function(vectors / scale)
    assert np.abs(mine - mine.mean(1, keepdims=True) - (other - other.mean(1, keepdims=True))).max() < 2e-3
    known = labels < 2
    sides = LogisticRegression(C=1 / (penalty * 200), max_iter=2000, tol=1e-8).fit(
        (vectors / scale)[known], labels[known]
    )
    assert np.abs(head.arousal(vectors) - sides.decision_function(vectors / scale)).max() < 2e-3


def test_a_label_that_a_corpus_lacks_does_not_compete_there() -> None:
    vectors = np.array([[1.0], [-1.0], [1.0]] * 20, dtype=np.float32)
    labels, corpora = np.array([0, 1, 2] * 20), np.array([0, 0, 1] * 20)

    head = fit_head(
        Examples(vectors, labels, corpora), 3, np.array([1.0, 0.0, np.nan]), np.zeros(1), penalty=0.01, iterations=200
    )

    assert head.weight[0, 0] > 0.5  # label 2, at the same place in a corpus of its own, takes nothing from it
    assert abs(head.weight[0, 2]) < 1e-6


def test_the_temperature_undoes_a_factor() -> None:
    # three of four right: calibrated logits are ±log(3) / 2
    logits = 5 * np.array([[math.log(3), 0.0]] * 4)

    temperature = fit_temperature(logits, np.array([0, 0, 0, 1]), np.full(4, 0.25))

    assert temperature == pytest.approx(5.0, rel=1e-3)


def test_damage_by_hand() -> None:
    # ln(1 + 255 · .1) / ln 256 = .59105; (.59105 + 1) / 2 · 255 = 202.86, coded as 203, which stands for .10068
    assert mu_law(np.array([0.1, -0.1, 0.0])) == pytest.approx([0.10068, -0.10068, -0.0000852], abs=2e-4)
    quiet_loud_quiet = np.concatenate([np.full(16_000, 0.1), np.full(16_000, 0.9), np.full(8_000, 0.1)])
    assert loudest_second(quiet_loud_quiet.astype(np.float32), np.random.default_rng(0)).min() == np.float32(0.9)
    assert len(loudest_second(np.ones(100, dtype=np.float32), np.random.default_rng(0))) == 100


def measured(labels: list[int], speakers: str, vectors: list[float]) -> Measured:
    """Return clips with one number each, which is the logit of label 1 and of high arousal; label 0 has 0."""
    head = Head(np.array([[0.0, 1.0]]), np.zeros(2), np.array([1.0]), 0.0, np.zeros(1))
    return Measured(clips(labels, speakers), {None: np.array(vectors)[:, None]}, head, 1.0, 1.0)


def test_recall_by_hand() -> None:
    corpus = measured([0, 1, 1, 0, 1, -1], "aaabbb", [-4.0, 2.0, -1.0, 3.0, 9.0, -100.0])

    scored = corpus.score(lambda own: [own[:0]])  # an empty reference: the training mean, here 0
    found = mean_recall(corpus.clips, scored, [0, 1])
    sides = arousal_recall(corpus.clips, scored, np.array([0.0, 1.0]), [0, 1])

    assert found["by_label"] == [0.5, 2 / 3]  # of label 0: -4 right, 3 wrong; of label 1: 2 and 9 right, -1 wrong
    assert found["mean_recall"] == pytest.approx(7 / 12)
    assert found["interval"][0] <= 7 / 12 <= found["interval"][1]
    assert sides["by_label"] == found["by_label"]


def test_coverage_keeps_the_most_confident() -> None:
    corpus = measured([0, 1, 0, 1], "aabb", [-9.0, 8.0, 1.0, 0.5])

    found = coverage(corpus.clips, corpus.score(lambda own: [own[:0]]), [0, 1])

    assert found["100 %"] == {"accuracy": 0.75, "mean_recall": 0.75, "labels": 2}
    assert found["50 %"] == {"accuracy": 1.0, "mean_recall": 1.0, "labels": 2}
    assert found["25 %"]["labels"] == 1


def test_a_call_is_weighted_to_its_share_of_neutral() -> None:
    corpus = measured([0, 0, 1, 1], "aabb", [-3.0, 3.0, 3.0, -3.0])
    scored = corpus.score(lambda own: [own[:0]])

    even = call_figures(corpus.clips, scored, [0, 1], None, 0, 1, 0.5)
    prior = call_figures(corpus.clips, scored, [0, 1], {"neutral": 0.99, "angry": 0.01}, 0, 1, 0.5)

    assert even["accuracy"] == pytest.approx(0.8 * 0.5 + 0.2 * 0.5)
    assert (even["alarm_recall"], even["alarm_precision"]) == pytest.approx((0.5, 0.1 / 0.5))
    assert prior["accuracy"] == pytest.approx(0.8)  # logit 3 - log 99 < 0: everything is neutral
    assert prior["alarm_recall"] == 0.0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three corpora of tones."""
    folder = tmp_path_factory.mktemp("releases")
    write_ravdess(folder / "ravdess", (1, 2))
    write_emovo(folder / "emovo", ("f1", "m2"))
    write_emodb(folder / "emodb", ("03", "16"))
    return folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The shipped model's settings, on these corpora, with a tiny network and a few copies."""
    values = tomllib.loads((HERE / "voice.toml").read_text())
    values["corpora"] = {"training": ["ravdess", "emovo"], "unseen": ["emodb"]}
    values["encoder"]["weights"] = str(write_whisper(tmp_path_factory.mktemp("whisper")))
    values["references"] |= {"copies": 2, "damaged_copies": 1}
    values["fit"]["iterations"] = 20
    return values


@pytest.fixture(scope="module")
def made(
    settings: dict[str, Any], data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], Path]:
    """A checkpoint, its provenance, and the folder of its vectors."""
    folder = tmp_path_factory.mktemp("made")
    return folder / "voice", make(settings, data, folder / "features", folder / "voice"), folder / "features"


def test_the_same_settings_and_data_give_the_same_checkpoint(
    settings: dict[str, Any], data: Path, made: tuple[Path, dict[str, Any], Path], tmp_path: Path
) -> None:
    folder, first, features = made

    second = make(settings, data, features, tmp_path / "second")
    other = make({**settings, "seed": 1}, data, features, tmp_path / "other")

    assert first["figures"] == second["figures"]
    assert "NaN" not in json.dumps(first["figures"])
    states = [load_file(path / "model.safetensors") for path in (folder, tmp_path / "second", tmp_path / "other")]
    assert all(bool((states[0][name] == states[1][name]).all()) for name in states[0])
    assert not bool((states[0]["head.weight"] == states[2]["head.weight"]).all())
    assert other["temperatures"] != first["temperatures"]


def test_what_is_made_is_an_ordinary_checkpoint(made: tuple[Path, dict[str, Any], Path]) -> None:
    folder, provenance, _ = made

    _, config = load_checkpoint(folder)

    figure = provenance["figures"]["emodb"]["recall"]["all of the speaker's clips"]["all"]["mean_recall"]
    assert config.decision_rule is not None
    assert config.temperature == provenance["temperatures"]["labels"]
    assert provenance["data"]["emodb"]["labelled"] == 12  # boredom has no place among the labels
    assert f"{figure:.3f}".removeprefix("0") in (folder / "README.md").read_text()
    assert (folder / "LICENSE").is_file()


def test_a_missing_corpus_is_one_line_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--features", str(tmp_path / "features")])

    assert code == 2
    assert capsys.readouterr().err.startswith(f"make weights: {tmp_path / 'ravdess'}: no such folder")
    assert not (tmp_path / "features").exists()
