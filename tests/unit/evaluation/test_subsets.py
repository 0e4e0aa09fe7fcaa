"""Every subset of a run's modalities on the test split: predicted from the stored checkpoints, scored, shown."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.commandline import call
from tests.tiny import LABELS, recipe_values, write_corpus

from merkit.core.corpus import PublishedFeatures
from merkit.data.corpus.manifest import read_manifest, write_manifest
from merkit.data.dataset import Dataset, items_of
from merkit.data.features.published import read_published, write_published
from merkit.evaluation.scores import score
from merkit.evaluation.stored import open_run
from merkit.evaluation.subsets import (
    FILE,
    _with_only,
    modalities_of,
    subset_conditions,
    subsets_of,
    training_note,
)
from merkit.experiments.recipe_reader import check_recipe
from merkit.experiments.run import train_recipe
from merkit.inference.recognizer import Recognizer
from merkit.io.predictions import read_stamped_table
from merkit.reporting.report import write_report

FIRST = "mean_recall"


def two_modalities(folder: Path, conversations: int = 20) -> Path:
    """The tiny corpus with word vectors beside its sound vectors."""
    manifest = write_corpus(folder, conversations=conversations)
    generator = np.random.default_rng(1)
    arrays = {
        u.id: generator.normal(size=(2, 4)) + 2 * np.eye(4)[LABELS.index(str(u.attributes["label"]))]
        for u in manifest.utterances
    }
    write_published(folder / "precomputed" / "words", PublishedFeatures("words", "text", arrays))
    return folder


def train(data: Path, run: Path, model: str = "bc_lstm", seeds: int = 2, **config: float) -> Path:
    values = {**recipe_values(model, epochs=2), "seeds": seeds, "config": {"modality_dropout": 0.3, **config}}
    values["encoders"]["text"] = {"name": "precomputed", "features": "words"}
    train_recipe(check_recipe(values, "r.toml"), data, run)
    return run


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("subsets")
    two_modalities(folder / "data")
    train(folder / "data", folder / "run")
    subset_conditions(open_run(folder / "run"))
    return folder


def stored(cell: Path, given: str) -> dict[str, dict[str, float]]:
    rows = [row for row in read_stamped_table(cell, FILE).to_pylist() if row["given"] == given]
    assert rows
    return {row["id"]: row for row in rows}


def test_subsets_are_all_but_the_empty_one_and_the_whole() -> None:
    assert subsets_of(("text", "audio", "video")) == [
        ("text", "audio"), ("text", "video"), ("audio", "video"), ("text",), ("audio",), ("video",),
    ]  # fmt: skip
    assert subsets_of(("text",)) == []


@pytest.mark.parametrize("model", ["bc_lstm", "concat"])
def test_an_answer_without_a_modality_is_that_of_a_corpus_that_lacks_it(model: str, tmp_path: Path) -> None:
    data = two_modalities(tmp_path / "data", conversations=10)
    run = open_run(train(data, tmp_path / "run", model, seeds=1))
    subset_conditions(run)
    cell = next((tmp_path / "run").glob("fold-*/seed-0"))
    test = set(run.cells[0].splits["test"].ids)
    manifest = read_manifest(data)
    write_manifest(tmp_path / "deaf", [u for u in manifest.utterances if u.id in test], name="tiny", version=1)
    for name, modality in (("sound", "audio"), ("words", "text")):
        arrays = read_published(data / "precomputed" / name).arrays
        kept = {id_: array for id_, array in arrays.items() if id_ in test and modality == "text"}
        write_published(
            tmp_path / "deaf" / "precomputed" / name,
            PublishedFeatures(name, modality, kept or {"nobody": next(iter(arrays.values()))}),
        )

    recognizer = Recognizer.load(cell / "checkpoint", tmp_path / "deaf")
    expected = {p.id: p for p in recognizer.predict_turns(list(read_manifest(tmp_path / "deaf").turns()))}

    predicted = stored(cell, "text")
    assert set(predicted) == test == set(expected)
    for id_, prediction in expected.items():
        assert prediction.modalities == ("text",)
        assert predicted[id_]["modalities"] == "text"
        for label in LABELS:
            assert predicted[id_][f"p:{label}"] == pytest.approx(prediction.probabilities[label], abs=1e-5)


def test_rows_begin_with_the_runs_own_scores_and_count_the_drop_from_them(home: Path) -> None:
    run = open_run(home / "run")
    scores = score(run)

    rows = subset_conditions(run)

    assert [row.name for row in rows] == ["text+audio", "text", "audio"]
    for name, value in rows[0].scores.items():
        assert value["mean"] == pytest.approx(scores["test"][name]["mean"])
        assert value["std"] == pytest.approx(scores["test"][name]["std"])
        assert value["interval"] == pytest.approx(scores["test"][name]["interval"])
    assert rows[0].drops == {}
    for row in rows[1:]:
        assert list(row.drops) == list(run.protocol.metrics)
        for name, drop in row.drops.items():
            assert drop.mean == pytest.approx(rows[0].scores[name]["mean"] - row.scores[name]["mean"])
            assert drop.interval[0] <= drop.mean <= drop.interval[1]


def test_a_score_is_what_scikit_learn_computes_from_the_stored_predictions(home: Path) -> None:
    from sklearn.metrics import balanced_accuracy_score

    run = open_run(home / "run")
    truth = dict(zip(run.cells[0].splits["test"].ids, run.cells[0].splits["test"].labels, strict=True))
    by_seed = []
    for seed in (0, 1):
        predicted = stored(next((home / "run").glob(f"fold-*/seed-{seed}")), "audio")
        by_seed.append(
            balanced_accuracy_score(list(truth.values()), [LABELS.index(predicted[id_]["label"]) for id_ in truth])
        )

    row = next(row for row in subset_conditions(run) if row.name == "audio")

    assert row.scores[FIRST]["mean"] == pytest.approx(np.mean(by_seed))
    assert row.scores[FIRST]["std"] == pytest.approx(np.std(by_seed, ddof=1))


def test_stored_predictions_are_used_again_unless_the_cell_has_changed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(home / "run")
    asked = []
    load = Recognizer.load
    monkeypatch.setattr(Recognizer, "load", lambda *arguments: asked.append(arguments[0]) or load(*arguments))

    subset_conditions(run)
    assert asked == []

    first, *others = run.cells
    changed = replace(run, cells=(replace(first, facts={**first.facts, "key": "another"}), *others))
    subset_conditions(changed)
    assert [path.parent.name for path in asked] == ["seed-0"]

    subset_conditions(run)  # as it was
    assert len(asked) == 2


def test_predicting_subsets_reads_no_label(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (home / "run").glob(f"fold-*/seed-*/{FILE}"):
        path.unlink()
    run = open_run(home / "run")
    blind = replace(
        run.manifest,
        utterances=tuple(replace(u, attributes={"split": u.attributes["split"]}) for u in run.manifest.utterances),
    )
    monkeypatch.setattr(type(run.protocol), "members", lambda self, utterances: list(utterances))

    assert len(subset_conditions(replace(run, manifest=blind))) == 3


def test_the_note_says_whether_training_ever_took_a_modality_away(home: Path) -> None:
    run = open_run(home / "run")

    def note(config: dict[str, float]) -> str:
        return training_note(replace(run, recipe={**run.recipe, "config": config}))

    assert training_note(run) == "trained with modality dropout 0.3"
    assert note({"modality_dropout": 0.0}) == "trained without modality dropout"
    assert note({}) == "the model has no modality dropout"


def test_a_run_with_one_modality_has_no_subsets(home: Path, tmp_path: Path) -> None:
    train_recipe(check_recipe(recipe_values("single", epochs=1), "r.toml"), home / "data", tmp_path / "one")
    run = open_run(tmp_path / "one")

    assert subset_conditions(run) == []
    done = call("-q", "report", run.path, "--out", tmp_path / "report", "--subsets")
    assert done.code == 2
    assert "none of the runs has more than one modality" in done.error
    assert not (tmp_path / "report").exists()
    assert not list((tmp_path / "one").rglob(FILE))


def test_a_model_that_reads_words_as_they_are_is_given_none_where_the_text_is_taken_away(home: Path) -> None:
    manifest = read_manifest(home / "data")
    members = [utterance.id for utterance in manifest.utterances]
    dataset = Dataset(items_of(manifest.turns(members), "utterance", members), {}, "utterance", with_texts=True)

    assert set(_with_only(dataset, ("audio",)).batch([0, 1, 2]).texts) == {None}
    assert None not in _with_only(dataset, ("text",)).batch([0, 1, 2]).texts
    assert modalities_of(replace(open_run(home / "run"), model="bag_of_words", recipe={})) == ("text",)


def test_report_prints_the_table_and_puts_it_on_the_page(home: Path, tmp_path: Path) -> None:
    done = call("-q", "report", home / "run", "--out", tmp_path, "--subsets")

    assert done.code == 0, done.error
    page, markdown = (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()
    row = subset_conditions(open_run(home / "run"))[2]
    mean, std = (f"{100 * row.scores[FIRST][name]:.2f}" for name in ("mean", "std"))
    for text in (page, markdown, " ".join(done.out.split())):
        assert mean in text
        assert std in text
        assert "trained with modality dropout 0.3" in text
    assert f"| run | audio | {mean} ± {std}" in markdown

    plain = call("-q", "report", home / "run", "--out", tmp_path / "plain")

    assert "drop" not in plain.out
    assert "modality dropout" not in (tmp_path / "plain" / "report.html").read_text()
    assert str(tmp_path / "subsets.csv") in done.out.splitlines()
    assert "subsets.csv" not in plain.out
    assert not (tmp_path / "plain" / "subsets.csv").exists()


def test_the_csv_holds_every_score_and_drop_in_percent_and_how_the_run_was_trained(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "run", tmp_path / "again")
    files = write_report([home / "run", tmp_path / "again"], tmp_path / "report", subsets=True)

    assert tmp_path / "report" / "subsets.csv" in files.written
    with (tmp_path / "report" / "subsets.csv").open(newline="") as file:
        predicted = list(csv.DictReader(file))
    run = open_run(home / "run")
    rows, metrics = subset_conditions(run), run.protocol.metrics
    expected = [(name, row, metric) for name in ("run", "again") for row in rows for metric in metrics]
    assert len(predicted) == len(expected) == 2 * 3 * 4
    for line, (name, row, metric) in zip(predicted, expected, strict=True):
        value, drop = row.scores[metric], row.drops.get(metric)
        assert (line["protocol"], line["run"], line["metric"]) == ("table", name, metric)
        assert line["modalities"] == row.name
        assert line["training"] == "trained with modality dropout 0.3"
        for column, share in zip(
            ("mean", "std", "low", "high"), (value["mean"], value["std"], *value["interval"]), strict=True
        ):
            assert float(line[column]) == pytest.approx(100 * share, abs=1e-4)
        for column, share in zip(
            ("drop", "drop_low", "drop_high"), (drop.mean, *drop.interval) if drop else 3 * (None,), strict=True
        ):
            assert line[column] == "" if share is None else float(line[column]) == pytest.approx(100 * share, abs=1e-4)
