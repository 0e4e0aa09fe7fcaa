"""A run with the transcript and with what a recogniser heard, side by side."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score
from tests.commandline import call
from tests.tiny import LABELS, WORDS, recipe_values, write_corpus

from merkit.data.corpus.manifest import write_manifest
from merkit.evaluation.scores import score
from merkit.evaluation.stored import open_run
from merkit.evaluation.text_columns import FILE, plain_conditions, text_conditions
from merkit.experiments.recipe_reader import check_recipe
from merkit.experiments.run import train_recipe
from merkit.inference.recognizer import Recognizer
from merkit.io.predictions import read_stamped_table
from merkit.reporting.report import write_report


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with what a poor recogniser heard, and a run of a model that reads words alone."""
    folder = tmp_path_factory.mktemp("texts")
    manifest = write_corpus(folder / "plain", conversations=20)
    generator = np.random.default_rng(0)
    utterances = []
    for utterance in manifest.utterances:
        heard = utterance.text if generator.random() < 0.5 else list(WORDS.values())[generator.integers(3)]
        cell = None if utterance.id == "c000_0" else heard
        utterances.append(replace(utterance, attributes={**utterance.attributes, "asr_text": cell}))
    write_manifest(folder / "data", utterances, name="tiny", version=1)
    for name, model in (("words", "bag_of_words"), ("ears", "single")):
        values = recipe_values(model)
        if model == "single":
            (folder / "data" / "precomputed").symlink_to(folder / "plain" / "precomputed")
        train_recipe(check_recipe(values, "r.toml"), folder / "data", folder / name)
    return folder


def test_both_conditions_are_scored_and_the_loss_is_their_difference(home: Path) -> None:
    run = open_run(home / "words")

    text, heard = text_conditions(run, "asr_text")

    assert (text.name, heard.name) == ("text", "asr_text")
    assert (text.missing, heard.missing) == (0, 1)
    assert text.drops == {}
    for name, value in text.scores.items():
        assert value["mean"] == pytest.approx(score(run)["test"][name]["mean"])
        assert heard.drops[name].mean == pytest.approx(value["mean"] - heard.scores[name]["mean"])
        assert heard.drops[name].interval[0] <= heard.drops[name].mean <= heard.drops[name].interval[1]
    assert heard.drops["mean_recall"].mean > 0.1


def test_a_figure_is_what_scikit_learn_says_of_a_corpus_whose_transcript_the_column_is(
    home: Path, tmp_path: Path
) -> None:
    run = open_run(home / "words")
    heard = [replace(u, text=u.attributes["asr_text"] or "nothing heard") for u in run.manifest.utterances]
    truth = dict(zip(run.cells[0].splits["test"].ids, run.cells[0].splits["test"].labels.tolist(), strict=True))
    assert truth
    checkpoint = next((home / "words").glob("fold-*/seed-0/checkpoint"))

    row = text_conditions(run, "asr_text")[1]

    other = write_manifest(tmp_path, heard, name="tiny", version=1)
    recognizer = Recognizer.load(checkpoint)
    predictions = recognizer.predict_turns(list(other.turns(None, *recognizer.reach)))
    answers = {p.id: LABELS.index(p.label) for p in predictions}
    silent = read_stamped_table(checkpoint.parent, FILE).to_pylist()
    answers |= {r["id"]: LABELS.index(r["label"]) for r in silent if r["id"] == "c000_0"}
    expected = balanced_accuracy_score(list(truth.values()), [answers[id_] for id_ in truth])
    assert row.scores["mean_recall"]["mean"] == pytest.approx(expected)


def test_answers_are_kept_and_made_anew_for_another_column_or_another_content(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(home / "words")
    text_conditions(run, "asr_text")
    asked: list[Path] = []
    load = Recognizer.load
    monkeypatch.setattr(Recognizer, "load", lambda *arguments: asked.append(arguments[0]) or load(*arguments))

    text_conditions(run, "asr_text")
    kept = len(asked)
    text_conditions(run, "split")
    other_column = len(asked)
    text_conditions(run, "asr_text")

    assert (kept, other_column, len(asked)) == (0, 1, 2)


def test_the_report_prints_both_conditions_and_passes_over_runs_that_read_no_text(home: Path, tmp_path: Path) -> None:
    done = call("-q", "report", home / "words", home / "ears", "--out", tmp_path, "--text-column", "asr_text")

    assert done.code == 0, done.error
    rows = list(csv.DictReader((tmp_path / "text-column.csv").read_text().splitlines()))
    assert {(row["run"], row["text_column"]) for row in rows} == {("words", "text"), ("words", "asr_text")}
    first = [row for row in rows if row["metric"] == "mean_recall"]
    assert float(first[1]["drop"]) == pytest.approx(float(first[0]["mean"]) - float(first[1]["mean"]), abs=2e-4)
    for page in (done.out, (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()):
        assert "asr_text" in page
        assert "utterances without a text: text: 0; asr_text: 1" in " ".join(page.split())


def test_predictions_with_the_column_are_those_of_the_report(home: Path, tmp_path: Path) -> None:
    checkpoint = next((home / "words").glob("fold-*/seed-0/checkpoint"))
    text_conditions(open_run(home / "words"), "asr_text")
    options = ("predict", home / "data", "--checkpoint", checkpoint)

    heard = call("-q", *options, "--out", tmp_path / "heard.jsonl", "--text-column", "asr_text")
    plain = call("-q", *options, "--out", tmp_path / "plain.jsonl")

    assert (heard.code, plain.code) == (0, 0), heard.error
    found, other = (
        {row["id"]: row for row in map(json.loads, (tmp_path / name).read_text().splitlines())}
        for name in ("heard.jsonl", "plain.jsonl")
    )
    stored = read_stamped_table(checkpoint.parent, FILE).to_pylist()
    assert stored
    for row in stored:
        assert found[row["id"]]["label"] == row["label"]
        assert found[row["id"]]["confidence"] == pytest.approx(row["confidence"], abs=1e-6)
    assert any(found[id_]["label"] != other[id_]["label"] for id_ in found)
    assert (found["c000_0"]["modalities"], other["c000_0"]["modalities"]) == ("", "text")


@pytest.mark.parametrize(
    ("run", "column", "words"),
    [
        ("words", "asr_txt", "No column named 'asr_txt'. Did you mean 'asr_text'?"),
        ("ears", "asr_text", "reads audio, no text; leave the option out"),
    ],
)
def test_predict_refuses_a_column_that_is_not_there_or_not_read(
    home: Path, tmp_path: Path, run: str, column: str, words: str
) -> None:
    checkpoint = next((home / run).glob("fold-*/seed-0/checkpoint"))

    done = call(
        "predict", home / "data", "--checkpoint", checkpoint, "--out", tmp_path / "p.csv", "--text-column", column
    )

    assert done.code == 2
    assert words in done.error
    assert len(done.error.strip().splitlines()) == 1
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize(
    ("runs", "column", "words"),
    [
        (["words"], "asr_txt", "No column named 'asr_txt'"),
        (["words"], "text", "the runs read it already"),
        (["ears"], "asr_text", "none of the runs reads text"),
    ],
)
def test_a_report_refuses_a_column_that_is_not_there_or_not_read(
    home: Path, tmp_path: Path, runs: list[str], column: str, words: str
) -> None:
    paths = [home / run for run in runs]

    done = call("report", *paths, "--out", tmp_path / "out", "--text-column", column)

    assert done.code == 2
    assert words in done.error
    assert len(done.error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def shouting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a model that knows whole sentences alone, on sentences with capital letters and marks."""
    folder = tmp_path_factory.mktemp("shouting")
    manifest = write_corpus(folder / "quiet", conversations=20)
    loud = [replace(utterance, text=f"{utterance.text.capitalize()}!") for utterance in manifest.utterances]
    write_manifest(folder / "data", loud, name="tiny", version=1)
    train_recipe(check_recipe(recipe_values("text_lookup"), "r.toml"), folder / "data", folder / "known")
    return folder / "known"


def test_in_plain_text_a_model_that_knows_sentences_by_their_marks_knows_none(shouting: Path) -> None:
    written, plain = plain_conditions(open_run(shouting))

    assert (written.name, plain.name, plain.missing) == ("text", "plain", 0)
    assert written.scores["mean_recall"]["mean"] > 0.6
    assert plain.scores["mean_recall"]["mean"] == pytest.approx(1 / 3)  # one label for all
    assert plain.drops["mean_recall"].mean == pytest.approx(written.scores["mean_recall"]["mean"] - 1 / 3)


def test_the_report_has_plain_text_beside_the_transcript_and_another_column(
    home: Path, shouting: Path, tmp_path: Path
) -> None:
    both = call(
        *("-q", "report", home / "words", "--out", tmp_path / "both", "--text-column", "asr_text"),
        *("--text-condition", "plain"),
    )
    alone = call("-q", "report", shouting, "--out", tmp_path / "alone", "--text-condition", "plain")
    wrong = call("report", shouting, "--out", tmp_path / "none", "--text-condition", "loud")

    assert (both.code, alone.code, wrong.code) == (0, 0, 2), both.error + alone.error
    results, others = (
        list(csv.DictReader((tmp_path / "alone" / name).read_text().splitlines()))
        for name in ("report.csv", "text-column.csv")
    )
    plain = {row["metric"]: float(row["mean"]) for row in others if row["text_column"] == "plain"}
    assert {row["metric"]: float(row["plain_text"]) for row in results} == pytest.approx(plain)
    for name, conditions in (("both", ["text", "asr_text", "plain"]), ("alone", ["text", "plain"])):
        rows = list(csv.DictReader((tmp_path / name / "text-column.csv").read_text().splitlines()))
        assert list(dict.fromkeys(row["text_column"] for row in rows)) == conditions
    assert "found 'loud', expected 'plain'" in wrong.error


def test_without_the_option_nothing_is_said_of_it(home: Path, tmp_path: Path) -> None:
    files = write_report([home / "words"], tmp_path)

    assert not (tmp_path / "text-column.csv").exists()
    assert "Other texts" not in files.markdown.read_text() + files.html.read_text()
