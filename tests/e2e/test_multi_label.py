"""Several labels per utterance, from the table to the report and to predictions; every mistake is one line."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from sklearn.metrics import f1_score, precision_recall_fscore_support
from tests.checkpoints import reseal
from tests.commandline import call
from tests.tiny import WIDTH, write_recipe

import merkit
from merkit.core.corpus import PublishedFeatures
from merkit.core.errors import CheckpointError, MerkitError
from merkit.core.lookup import load
from merkit.data.corpus.manifest import read_manifest
from merkit.data.features.published import write_published
from merkit.evaluation.stored import join
from merkit.io.checkpoint import read_config

WORDS = {"sad": "alas", "angry": "stop this", "glad": "how lovely"}
LABELS = ("angry", "glad", "sad")
HEADER = "id,conversation,turn,text,label,split\n"


def lines(count: int = 120) -> list[str]:
    """Rows of one label or two, told by words that are left out now and then."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(count):
        labels = sorted(generator.choice(LABELS, size=int(generator.integers(1, 3)), replace=False))
        text = " ".join(WORDS[label] for label in labels if generator.random() < 0.85) or "so it is"
        split = ("train", "train", "valid", "test")[number % 4]
        rows.append(f"u{number:03d},c{number // 8},{number % 8},{text},{'; '.join(labels)},{split}")
    return rows


def recipe(model: str, **more: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"model": model, "protocol": "table", "seeds": 2, "options": {"separator": ";"}}
    if model != "bag_of_words":
        values["encoders"] = {"audio": {"name": "precomputed", "features": "sound"}}
        values["training"] = {"epochs": 3, "batch_size": 8, "learning_rates": {"head": 1e-2}}
    return values | more


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus ``data`` whose published vectors tell the labels too, and the runs ``words`` and ``turns`` on it."""
    folder = tmp_path_factory.mktemp("several")
    (folder / "mine.csv").write_text(HEADER + "\n".join(lines()))
    assert call("prepare", "table", "--raw", folder / "mine.csv", "--out", folder / "data").code == 0
    generator = np.random.default_rng(1)
    arrays = {
        u.id: generator.normal(size=(2, WIDTH))
        + 2 * sum(np.eye(WIDTH)[LABELS.index(name.strip())] for name in str(u.attributes["label"]).split(";"))
        for u in read_manifest(folder / "data").utterances
    }
    write_published(folder / "data" / "precomputed" / "sound", PublishedFeatures("sound", "audio", arrays))
    for name, model, more in (("words", "bag_of_words", {}), ("turns", "bc_lstm", {"seeds": 1})):
        path = write_recipe(folder / f"{name}.toml", recipe(model, **more))
        options = ("--legacy-best-on-test",) if name == "turns" else ()
        done = call("-q", "train", path, "--data", folder / "data", "--out", folder / name, *options)
        assert done.code == 0, done.error
    return folder


def truth(folder: Path) -> dict[str, list[int]]:
    return {
        u.id: [int(label in str(u.attributes["label"])) for label in LABELS]
        for u in read_manifest(folder / "data").utterances
    }


@pytest.mark.parametrize("name", ["words", "turns"])
def test_scores_are_those_of_scikit_learn_on_the_stored_predictions(folder: Path, name: str) -> None:
    scores = json.loads((folder / name / "scores.json").read_text())
    labels, f1, micro, by_label = truth(folder), [], [], []
    for seed in scores["seeds"]:
        table = pq.read_table(folder / name / "fold-split" / f"seed-{seed}" / "predictions.parquet").to_pylist()
        rows = [row for row in table if row["split"] == "test"]
        true = np.array([labels[row["id"]] for row in rows])
        found = np.array([[int(label in row["labels"]) for label in LABELS] for row in rows])
        f1.append(f1_score(true, found, average="macro"))
        micro.append(f1_score(true, found, average="micro"))
        by_label.append(precision_recall_fscore_support(true, found, zero_division=0))

    assert scores["test"]["macro_f1"]["mean"] == pytest.approx(np.mean(f1))
    assert scores["test"]["micro_f1"]["mean"] == pytest.approx(np.mean(micro))
    for place, key in enumerate(("precision", "recall", "f1")):
        expected = np.mean([each[place] for each in by_label], axis=0)
        assert [row[key]["mean"] for row in scores["per_class"]] == pytest.approx(expected.tolist())
    assert [row["support"] for row in scores["per_class"]] == by_label[0][3].tolist()
    assert scores["support"] == 30
    assert scores["test"]["macro_f1"]["mean"] > 0.75  # the words tell 85 % of the labels


def test_thresholds_are_the_best_ones_of_the_validation_split_and_in_the_checkpoint(folder: Path) -> None:
    cell = folder / "words" / "fold-split" / "seed-0"
    config = read_config(cell / "checkpoint")
    rows = [row for row in pq.read_table(cell / "predictions.parquet").to_pylist() if row["split"] == "valid"]
    labels = truth(folder)

    assert config.thresholds is not None
    for number, label in enumerate(LABELS):
        true = [labels[row["id"]][number] for row in rows]
        values = np.array([row[f"p:{label}"] for row in rows])
        tried = [f1_score(true, values >= step, zero_division=0) for step in np.linspace(0, 1, 41)]
        assert f1_score(true, values >= config.thresholds[number]) >= max(tried) - 1e-12
        assert [label in row["labels"] for row in rows] == (values >= config.thresholds[number]).tolist()
    assert f"angry {config.thresholds[0]:.2f}, glad" in (cell / "checkpoint" / "README.md").read_text()


def test_training_tells_scores_by_label_and_the_leaky_ones_apart(folder: Path) -> None:
    done = call("train", folder / "turns.toml", "--data", folder / "data", "--out", folder / "turns")

    assert done.code == 0, done.error
    assert "macro_f1" in done.out
    assert "LEAKY, best epoch on test, not a result: macro_f1" in done.out
    history = [json.loads(line) for line in next(folder.glob("turns/fold-*/*/history.jsonl")).read_text().splitlines()]
    assert history[-1]["loss"]["classification"] < history[0]["loss"]["classification"]
    assert {"macro_f1", "micro_f1", "macro_precision", "macro_recall", "loss"} == set(history[0]["valid"])


def test_a_report_has_scores_by_label_with_thresholds_and_a_comparison(folder: Path, tmp_path: Path) -> None:
    done = call("-q", "report", folder / "words", folder / "turns", "--out", tmp_path)

    assert done.code == 0, done.error
    markdown = (tmp_path / "report.md").read_text()
    assert "| System | Macro F1 | Micro F1 | Macro precision | Macro recall |" in markdown
    assert "| System | Label | Utterances | Threshold | Precision | Recall | F1 |" in markdown
    assert "### Macro F1 compared with words" in markdown
    assert "F1 by class" not in markdown
    for ending in ("Confusion", "Reliability"):
        assert ending not in (tmp_path / "report.html").read_text()
    with (tmp_path / "report.csv").open() as file:
        assert {row["metric"] for row in csv.DictReader(file)} == {
            "macro_f1", "micro_f1", "macro_precision", "macro_recall",
        }  # fmt: skip


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_predictions_list_the_labels_in_every_format(folder: Path, tmp_path: Path, ending: str) -> None:
    checkpoint, out = folder / "words" / "fold-split" / "seed-0" / "checkpoint", tmp_path / f"p.{ending}"
    (tmp_path / "new.csv").write_text("id,text\na,alas stop this\nb,how lovely\nc,zebra\n")
    reseal_high(checkpoint, tmp_path / "strict")

    done = call("predict", tmp_path / "new.csv", "--checkpoint", tmp_path / "strict", "--out", out)

    assert done.code == 0, done.error
    assert "3 predictions, 0 of them already done, 1 without a label (column reason)" in done.out
    if ending == "csv":
        with out.open() as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        found = [(row["label"], set(row["labels"].split(";")), row["reason"]) for row in rows]
        nothing: Any = ""
    else:
        rows = (
            pq.read_table(out).to_pylist()
            if ending == "parquet"
            else [json.loads(line) for line in out.read_text().splitlines()]
        )
        found = [(row["label"], set(row["labels"] or [""]), row["reason"]) for row in rows]
        nothing = None
    assert found[0][1] == {"sad", "angry"}
    assert found[1] == ("glad", {"glad"}, nothing)
    assert found[2] == (nothing, {""}, "no label reaches its threshold")
    record = json.loads((tmp_path / f"p.{ending}.json").read_text())
    assert record["without_label"] == 1


def reseal_high(checkpoint: Path, copy: Path) -> None:
    """Copy a checkpoint with thresholds that texts without a known word do not reach."""
    shutil.copytree(checkpoint, copy)
    reseal(copy, {"thresholds": [0.75, 0.75, 0.75]})


def test_python_gives_labels_a_table_and_notes(folder: Path, tmp_path: Path) -> None:
    reseal_high(folder / "words" / "fold-split" / "seed-0" / "checkpoint", tmp_path / "strict")
    recognizer = merkit.load(tmp_path / "strict")

    found = recognizer.texts(["alas stop this", "zebra"])

    assert recognizer.labels == LABELS
    assert set(found[0].labels or ()) == {"sad", "angry"}
    assert (found[1].labels, found[1].label) == ((), None)
    assert sum(found[0].probabilities.values()) > 1.2
    assert set(found.to_pandas()["labels"][0].split(";")) == {"sad", "angry"}
    assert found.notes == ("1 of 2 utterances have no label: no label reaches its threshold.",)
    run = merkit.Run(folder / "words")
    stored = run.predictions().rows()[0]
    assert {"true_labels", "labels"} <= stored.keys()
    assert run.rows()[0]["metric"] == "macro_f1"


def test_a_transcript_is_labelled_with_all_labels(folder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "call.wav", 0.1 * np.sin(np.arange(32_000) / 20), 16_000)
    (tmp_path / "call.srt").write_text("1\n00:00:00,000 --> 00:00:01,500\nalas stop this\n")
    checkpoint = folder / "words" / "fold-split" / "seed-0" / "checkpoint"
    options = ("--transcript", tmp_path / "call.srt", "--checkpoint", checkpoint, "--out", tmp_path / "out")

    done = call("analyze", tmp_path / "call.wav", *options)

    assert done.code == 0, done.error
    (segment,) = json.loads((tmp_path / "out" / "call.json").read_text())["segments"]
    assert set(segment["labels"]) >= {"sad", "angry"}
    assert ", ".join(segment["labels"]) in done.out
    with (tmp_path / "out" / "call.csv").open() as file:
        assert next(csv.DictReader(file))["labels"] == ";".join(segment["labels"])


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("", "merkit: table: utterance 'u120' has no label in column 'label'"),
        ("sad;;glad", "merkit: table: utterance 'u120' has 'sad;;glad' in column 'label': a label is missing"),
    ],
)
def test_a_row_without_labels_or_with_a_hole_is_one_line(folder: Path, tmp_path: Path, cell: str, message: str) -> None:
    (tmp_path / "mine.csv").write_text(HEADER + "\n".join([*lines(), f"u120,c20,0,well,{cell},train"]))

    done = call("train", folder / "words.toml", "--data", tmp_path / "mine.csv", "--out", tmp_path / "run")

    assert (done.code, done.error.count("\n")) == (2, 1)
    assert done.error.startswith(message)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"options": {"separator": ";", "labels": ["sad", "glad", "agnry"]}},
            "labels names 'agnry', which is no label",
        ),
        ({"options": {"separator": ";", "labels": ["sad", "glad"]}}, "has label 'angry'; labels names sad, glad"),
        ({"options": {"separator": ";", "metrics": ["accuracy"]}}, "no metric named 'accuracy'"),
        ({"model": "text_lookup"}, "'text_lookup' learns one label per utterance, protocol 'table' has several"),
        ({"loss": {"kind": "focal"}}, "loss: protocol 'table' has several labels per utterance"),
        ({"training": {"balanced": True}}, "training.balanced = true: protocol 'table' has several labels"),
        ({"teacher": {"recipe": "words.toml"}}, "teacher: protocol 'table' has several labels per utterance"),
    ],
)
def test_what_is_for_one_label_is_refused_in_one_line(
    folder: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = write_recipe(folder / "changed.toml", recipe("bag_of_words") | change)

    done = call("train", path, "--data", folder / "data", "--out", tmp_path / "run")

    assert (done.code, done.error.count("\n")) == (2, 1), done.error
    assert message in done.error


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [([0.5, 0.5], "2 found, one for each of 3 labels"), ([0.5, 1.5, 0.5], "less than or equal to 1")],
)
def test_thresholds_that_do_not_fit_the_labels_are_refused(
    folder: Path, tmp_path: Path, thresholds: list[float], message: str
) -> None:
    shutil.copytree(folder / "words" / "fold-split" / "seed-0" / "checkpoint", tmp_path / "c")
    reseal(tmp_path / "c", {"thresholds": thresholds})

    with pytest.raises(CheckpointError, match=message):
        merkit.load(tmp_path / "c")


def test_stored_predictions_of_other_labels_are_refused(folder: Path) -> None:
    spec = load("protocols", "table")
    protocol = spec.build(spec.options(separator=";", labels=LABELS), True)
    table = pq.read_table(folder / "words" / "fold-split" / "seed-0" / "predictions.parquet").slice(0, 1)
    (name,), known = table.column("id").to_pylist(), {table.column("id")[0].as_py(): (0,)}

    def joined(column: str, value: Any) -> None:
        changed = table.set_column(table.column_names.index(column), column, [value])
        join(changed, protocol, known, [name], "p")

    with pytest.raises(MerkitError, match=f"'{name}' has a label that is none of the protocol's"):
        joined("labels", [["calm"]])
    with pytest.raises(MerkitError, match=f"'{name}' has a probability that is not between 0 and 1"):
        joined("p:sad", [1.5])
    with pytest.raises(MerkitError, match="no column 'labels'"):
        join(table.drop_columns(["labels"]), protocol, known, [name], "p")
