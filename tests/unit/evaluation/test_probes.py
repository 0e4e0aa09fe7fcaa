"""Linear probes: what a trained network's representation of each modality still knows, predicted, scored, shown."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler
from tests.commandline import call
from tests.tiny import LABELS, WIDTH, recipe_values, write_corpus

from merkit.core.corpus import PublishedFeatures
from merkit.core.errors import MerkitError
from merkit.data.corpus.manifest import Manifest
from merkit.data.dataset import Dataset, items_of
from merkit.data.features.published import write_published
from merkit.data.features.sources import open_sources
from merkit.evaluation.probes import FILE, _predict, probe_scores
from merkit.evaluation.stored import open_run
from merkit.experiments.recipe_reader import check_recipe
from merkit.experiments.run import train_recipe
from merkit.inference.recognizer import Recognizer
from merkit.io.predictions import read_stamped_table

SMALL = {"hidden_size": 8, "rank": 2, "feed_forward": 16, "encoder_layers": 1, "dropout": 0.1}
SILENT = "c000_1"
"""A test utterance without words."""


def three_streams(folder: Path) -> Manifest:
    """The tiny corpus with words that depend on the class, its sound, and video that is noise."""
    manifest = write_corpus(folder, conversations=20)
    generator = np.random.default_rng(1)
    words, video = {}, {}
    for u in manifest.utterances:
        signal = 3 * np.eye(5)[LABELS.index(str(u.attributes["label"]))]
        words[u.id], video[u.id] = signal + generator.normal(size=(1, 5)), generator.normal(size=(1, 5))
    del words[SILENT]
    write_published(folder / "precomputed" / "words", PublishedFeatures("words", "text", words))
    write_published(folder / "precomputed" / "video", PublishedFeatures("video", "video", video))
    return manifest


def train(data: Path, run: Path, model: str = "ada2i", seeds: int = 2, **config: object) -> Path:
    values = {**recipe_values(model, epochs=2), "seeds": seeds, "config": config}
    if model == "ada2i":
        values["config"] = {**SMALL, **config}
        values["encoders"]["text"] = {"name": "precomputed", "features": "words"}
        values["encoders"]["video"] = {"name": "precomputed", "features": "video"}
    train_recipe(check_recipe(values, "r.toml"), data, run)
    return run


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probes")
    three_streams(folder / "data")
    train(folder / "data", folder / "run")
    train(folder / "data", folder / "single", "single", seeds=1)
    probe_scores(open_run(folder / "run"))
    return folder


def cell(home: Path, seed: int) -> Path:
    return next((home / "run").glob(f"fold-*/seed-{seed}"))


def stored(folder: Path, probe: str) -> dict[str, dict[str, float]]:
    rows = [row for row in read_stamped_table(folder, FILE).to_pylist() if row["probe"] == probe]
    assert rows
    return {row["id"]: row for row in rows}


def test_a_probe_is_scikit_learns_on_what_the_checkpoint_makes_of_training_and_test_part(home: Path) -> None:
    run = open_run(home / "run")
    recognizer = Recognizer.load(cell(home, 0) / "checkpoint", home / "data")
    recognizer.model.eval()
    members = [utterance.id for utterance in run.manifest.utterances]
    vectors = {}
    sources = open_sources(recognizer.encoders, list(run.manifest.turns(members)), home / "data" / "features")
    for item in items_of(
        run.manifest.turns(members), "conversation", members
    ):  # one conversation at a time: no padding
        batch = Dataset([item], sources, "conversation").batch([0])
        features = recognizer.model(batch).auxiliary["feature.audio"][0].detach().numpy()
        vectors |= dict(zip(batch.ids, features, strict=True))
    train, test = run.cells[0].splits["train"], run.cells[0].splits["test"]
    scaler = StandardScaler().fit([vectors[id_] for id_ in train.ids])
    probe = LogisticRegression(C=1.0, max_iter=1000)
    probe.fit(scaler.transform([vectors[id_] for id_ in train.ids]), train.labels)
    expected = probe.predict_proba(scaler.transform([vectors[id_] for id_ in test.ids]))

    predicted = stored(cell(home, 0), "feature.audio")

    assert set(predicted) == set(test.ids)
    for id_, row in zip(test.ids, expected, strict=True):
        assert [predicted[id_][f"p:{label}"] for label in LABELS] == pytest.approx(row, abs=1e-3)
        assert predicted[id_]["modalities"] == "audio"


def test_an_utterance_without_the_modality_gets_the_training_splits_class_shares(home: Path) -> None:
    train = open_run(home / "run").cells[0].splits["train"]
    shares = np.bincount(train.labels, minlength=3) / len(train.labels)

    predicted = stored(cell(home, 0), "encoded.text")[SILENT]

    assert [predicted[f"p:{label}"] for label in LABELS] == pytest.approx(shares)
    assert predicted["modalities"] == ""
    assert stored(cell(home, 0), "encoded.audio")[SILENT]["modalities"] == "audio"


def test_figures_and_chance_are_those_of_the_stored_predictions(home: Path) -> None:
    run = open_run(home / "run")
    truth = dict(zip(run.cells[0].splits["test"].ids, run.cells[0].splits["test"].labels, strict=True))
    by_seed = []
    for seed in (0, 1):
        predicted = stored(cell(home, seed), "encoded.text")
        by_seed.append(
            balanced_accuracy_score(list(truth.values()), [LABELS.index(predicted[id_]["label"]) for id_ in truth])
        )

    rows = {row.name: row for row in probe_scores(run)}

    assert list(rows) == [f"{kind}.{name}" for kind in ("encoded", "feature") for name in ("text", "audio", "video")]
    value, above = rows["encoded.text"].scores["mean_recall"], rows["encoded.text"].above
    assert value["mean"] == pytest.approx(np.mean(by_seed))
    assert value["std"] == pytest.approx(np.std(by_seed, ddof=1))
    assert above.mean == pytest.approx(np.mean(by_seed) - 1 / 3)
    assert above.interval == pytest.approx([end - 1 / 3 for end in value["interval"]])


def test_words_that_depend_on_the_class_are_above_chance_and_noise_is_not_before_streams_meet(home: Path) -> None:
    rows = {row.name: row for row in probe_scores(open_run(home / "run"))}

    assert rows["encoded.text"].above_chance
    assert rows["encoded.text"].above.mean > 0.4
    assert not rows["encoded.video"].above_chance


def test_labels_of_the_test_split_change_no_prediction(home: Path) -> None:
    run = open_run(home / "run")
    before = {path: path.read_bytes() for path in (home / "run").glob(f"fold-*/seed-*/{FILE}-*.parquet")}
    assert len(before) == 2
    other = {label: LABELS[number - 1] for number, label in enumerate(LABELS)}
    turned = replace(
        run.manifest,
        utterances=tuple(
            replace(u, attributes={**u.attributes, "label": other[str(u.attributes["label"])]})
            if u.attributes["split"] == "test"
            else u
            for u in run.manifest.utterances
        ),
    )
    blind = replace(
        run,
        cells=tuple(
            replace(c, splits={"test": replace(c.splits["test"], labels=np.zeros_like(c.splits["test"].labels))})
            for c in run.cells
        ),
    )
    for path in before:
        path.unlink()

    probe_scores(replace(blind, manifest=turned))

    assert {path: path.read_bytes() for path in before} == before


def test_probes_are_fitted_once_unless_the_cell_has_changed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(home / "run")
    asked = []
    load = Recognizer.load
    monkeypatch.setattr(Recognizer, "load", lambda *arguments: asked.append(arguments[0]) or load(*arguments))

    probe_scores(run)
    assert asked == []

    first, *others = run.cells
    probe_scores(replace(run, cells=(replace(first, facts={**first.facts, "key": "another"}), *others)))
    assert [path.parent.name for path in asked] == ["seed-0"]

    probe_scores(run)  # as it was
    assert len(asked) == 2


def test_a_model_without_representations_is_not_asked(home: Path) -> None:
    run = open_run(home / "single")

    assert probe_scores(run) == []
    assert not list((home / "single").rglob(FILE))


def test_a_modality_whose_training_utterances_are_of_one_class_is_an_error() -> None:
    vectors = {"a": np.zeros(2), "b": np.ones(2), "z": np.ones(2)}

    with pytest.raises(MerkitError, match=r"encoded\.video cannot be probed: 2 training utterances .*: 1, .*--probes"):
        _predict(Path("a-run"), "encoded.video", vectors, {"a": 1, "b": 1, "c": 0}, ("z",), LABELS)


def test_a_class_that_no_training_utterance_has_gets_probability_0() -> None:
    generator = np.random.default_rng(0)
    vectors = {name: generator.normal(size=WIDTH) for name in "abcdyz"}

    predicted = _predict(
        Path("a-run"), "encoded.text", vectors, {"a": 0, "b": 2, "c": 0, "d": 2}, ("y", "z", "absent"), LABELS
    )

    assert [prediction.id for prediction in predicted] == ["y", "z", "absent"]
    for prediction in predicted:
        assert prediction.probabilities["cross"] == 0.0
        assert sum(prediction.probabilities.values()) == pytest.approx(1)
    assert list(predicted[2].probabilities.values()) == [0.5, 0.0, 0.5]
    assert [prediction.modalities for prediction in predicted] == [("text",), ("text",), ()]


def test_report_shows_the_probes_everywhere_and_names_the_runs_without_any(home: Path, tmp_path: Path) -> None:
    done = call("-q", "report", home / "run", home / "single", "--out", tmp_path, "--probes")

    assert done.code == 0, done.error
    page, markdown = (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()
    rows = {row.name: row for row in probe_scores(open_run(home / "run"))}
    for text in (page, markdown, " ".join(done.out.split())):
        for row in rows.values():
            assert f"{100 * row.scores['mean_recall']['mean']:.2f}" in text
        assert "C = 1" in text
        assert "without a representation of a single modality: single" in text
    mean, std = (f"{100 * rows['encoded.text'].scores['mean_recall'][name]:.2f}" for name in ("mean", "std"))
    assert f"| run | encoded.text | {mean} ± {std}" in markdown
    assert str(tmp_path / "probes.csv") in done.out.splitlines()

    with (tmp_path / "probes.csv").open(newline="") as file:
        predicted = list(csv.DictReader(file))
    metrics = open_run(home / "run").protocol.metrics
    assert len(predicted) == len(rows) * len(metrics)
    for line, (row, metric) in zip(predicted, [(row, m) for row in rows.values() for m in metrics], strict=True):
        assert (line["run"], f"{line['representation']}.{line['modality']}") == ("run", row.name)
        assert line["metric"] == metric
        assert float(line["mean"]) == pytest.approx(100 * row.scores[metric]["mean"], abs=1e-4)
        assert float(line["above_chance"]) == pytest.approx(100 * row.above.mean, abs=1e-4)
        assert line["verdict"] == ("above chance" if row.above_chance else "not above chance")


def test_a_report_on_runs_without_representations_says_so(home: Path, tmp_path: Path) -> None:
    done = call("-q", "report", home / "single", "--out", tmp_path, "--probes")

    assert done.code == 0, done.error
    words = "without a representation of a single modality: single"
    assert words in " ".join(done.out.split())
    assert words in (tmp_path / "report.html").read_text()
    assert words in (tmp_path / "report.md").read_text()


def test_a_report_that_was_not_asked_for_probes_has_none(home: Path, tmp_path: Path) -> None:
    assert call("-q", "report", home / "run", "--out", tmp_path).code == 0

    assert "inear probe" not in (tmp_path / "report.html").read_text()
    assert not (tmp_path / "probes.csv").exists()
