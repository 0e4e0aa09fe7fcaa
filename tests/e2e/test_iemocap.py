"""IEMOCAP in miniature, from the release to the report, by the shipped recipes of three systems with tiny encoders."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from tests.commandline import Called, call
from tests.miniature import IEMOCAP_WORDS, write_iemocap
from tests.networks import write_speech_network, write_text_network

from merkit.core.types import Utterance
from merkit.data.corpus.manifest import read_manifest
from merkit.experiments.recipe_reader import read_recipe
from merkit.experiments.run import open_protocol
from merkit.experiments.shipped import shipped_folder
from merkit.experiments.transforms.augmented_views import Maker, ViewsTable

SESSIONS = [f"session{number}" for number in range(1, 6)]
LABELS = ("angry", "happy", "neutral", "sad")
MODELS = ("aux_fusion", "multilevel", "mmer")
SMALLER = {
    "aux_fusion": ["config.dim=24", "config.feed_forward=48", "config.layers=1"],
    "multilevel": ["config.dim=24", "config.feed_forward=48"],
    "mmer": ["views.count=2"],
}
LOSSES = {
    "aux_fusion": {"classification", "own_label", "same_emotion_swap"},
    "multilevel": {
        *("text", "audio_frame", "audio_phone", "audio_syllable", "audio_word"),
        *("early_frame", "early_phone", "early_syllable", "early_word"),
    },
    "mmer": {"classification", "ctc", "supervised", "augmented"},
}
"""All that the recipe trains; each needs what the commands before made: alignments, views."""


def recipe(model: str) -> Path:
    return shipped_folder("recipes") / model / "iemocap4-session.toml"


def overrides(home: Path, model: str) -> list[str]:
    """Return what puts tiny networks in the place of the recipe's, and one epoch in that of many."""
    networks = {"text": ("bert", home / "words"), "audio": ("wav2vec2", home / "speech")}
    encoders = [
        f'encoders.{modality}={{name="{name}", weights="{folder}", frozen=false}}'
        for modality, (name, folder) in networks.items()
    ]
    return [*encoders, "training.epochs=1", "training.batch_size=8", 'training.precision="float32"', *SMALLER[model]]


def settings(home: Path, model: str, *more: str) -> list[str]:
    """Return the overrides as options, and that of one seed."""
    return ["--seeds", "1", *(word for one in (*overrides(home, model), *more) for word in ("--set", one))]


def run(*arguments: object) -> Called:
    done = call("-q", *arguments)
    assert done.code == 0, done.error
    return done


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of 80 utterances in `raw`, prepared in `data`, and two networks."""
    folder = tmp_path_factory.mktemp("iemocap")
    assert write_iemocap(folder / "raw", turns=4, dialogs=("impro01", "script01_1")) == 80
    write_text_network(folder / "words", IEMOCAP_WORDS, hidden_size=48, num_hidden_layers=2)
    write_speech_network(folder / "speech", "wav2vec2 group", num_hidden_layers=2)
    run("prepare", "iemocap", "--raw", folder / "raw", "--out", folder / "data", "--allow-partial")
    return folder


@pytest.fixture(scope="module")
def aligned(home: Path) -> Called:
    return run("align", home / "data", "--with", "files", "--set", f"folder={home / 'raw'}")


@pytest.fixture(scope="module")
def augmented(home: Path) -> list[dict[str, Any]]:
    done = run("augment", home / "data", "--recipe", recipe("mmer"), "--json", *settings(home, "mmer"))
    rows: list[dict[str, Any]] = json.loads(done.out)
    return rows


def views(home: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (home / "data" / "views").rglob("*.*")}


def level(path: Path) -> float:
    samples, _ = soundfile.read(path)
    return float(np.sqrt(np.mean(np.square(samples))))


def level_by_speaker(home: Path) -> dict[str, float]:
    """Return how loud each of the ten is; in the miniature release, no two are alike."""
    spoken = {utterance.speaker: utterance for utterance in read_manifest(home / "data").utterances}
    return {speaker: level(home / "data" / str(utterance.audio)) for speaker, utterance in spoken.items()}


def session_of(utterance: Utterance) -> str:
    return f"session{utterance.attributes['session']}"


def test_the_releases_own_files_align_every_utterance_once(home: Path, aligned: Called) -> None:
    again = run("align", home / "data", "--with", "files", "--set", f"folder={home / 'raw'}")

    assert aligned.out.endswith("segments/files: 80 utterances aligned, 0 already done\n")
    assert again.out.endswith("segments/files: 0 utterances aligned, 80 already done\n")


def test_a_recipe_whose_alignment_is_missing_says_which_command_makes_it(home: Path, tmp_path: Path) -> None:
    sets = settings(home, "multilevel", "config.alignment=ours")
    done = call("-q", "train", recipe("multilevel"), "--data", home / "data", "--out", tmp_path / "run", *sets)

    assert done.code == 2
    assert f"make it with 'merkit align {home / 'data'} --with ALIGNER --name ours'" in done.error


def test_no_view_of_any_fold_is_in_the_voice_of_a_tested_speaker(home: Path, augmented: list[dict[str, Any]]) -> None:
    before, manifest = views(home), read_manifest(home / "data")
    checked = read_recipe(recipe("mmer"), overrides(home, "mmer"))
    choice = checked.transforms["views"]
    assert isinstance(choice, ViewsTable)
    maker = Maker(choice, manifest)
    turns = {turn.utterance.id: turn for turn in manifest.turns()}
    levels = level_by_speaker(home)
    assert len(levels) == 10

    folds = open_protocol(checked, manifest, True).folds(manifest.utterances, 0)
    used: set[Path] = set()
    for fold, row in zip(folds, augmented, strict=True):
        made = maker.make(maker.plan(fold), turns)
        files = [Path(str(turn.utterance.audio)) for turn in made.turns]
        heard = [min(levels, key=lambda name: abs(np.log(levels[name] / level(path)))) for path in files]
        tested = {manifest.by_id[name].speaker for name in fold.test}

        assert made.new == 0  # these are the files that the command wrote
        assert len(files) == 2 * len(fold.train) == row["views"]
        assert row["tested"] == sorted(tested)
        assert len(tested) == 2
        assert row["voices"] == sorted(set(heard)) == sorted(levels.keys() - tested)
        assert heard == [view.voice for view in made.planned]
        assert not tested & {manifest.by_id[view.utterance.id].speaker for view in made.planned}
        used |= set(files)
    assert used == {path for path in before if path.suffix == ".flac"}
    assert views(home) == before


@pytest.fixture(scope="module")
def runs(home: Path, aligned: Called, augmented: list[dict[str, Any]]) -> dict[str, Path]:
    """Return each model's run."""
    assert aligned.code == 0
    assert augmented
    before = views(home)
    for model in MODELS:
        done = run("train", recipe(model), "--data", home / "data", "--out", home / model, *settings(home, model))
        printed = " ".join(done.out.split())
        assert f"{model} on iemocap4-session, 50 test utterances 1 seed, 5 folds" in printed
        assert "Not the published corpus, its counts differ: session 1 neutral" in printed
    assert views(home) == before  # training found all views
    return {model: home / model for model in MODELS}


@pytest.mark.parametrize("model", MODELS)
def test_a_shipped_recipe_tests_each_session_on_what_it_did_not_train_on(
    home: Path, runs: dict[str, Path], model: str
) -> None:
    utterances = read_manifest(home / "data").by_id
    tested: list[str] = []
    assert sorted(path.name for path in runs[model].glob("fold-*")) == [f"fold-{session}" for session in SESSIONS]

    for session in SESSIONS:
        cell = runs[model] / f"fold-{session}" / "seed-0"
        (epoch,) = [json.loads(line) for line in (cell / "history.jsonl").read_text().splitlines()]
        assert epoch["loss"].keys() == LOSSES[model] | {"total"}
        assert all(0.0 < value < 20.0 for value in epoch["loss"].values())

        rows = pq.read_table(cell / "predictions.parquet").to_pylist()
        sessions = {part: set() for part in ("train", "valid", "test")}
        for row in rows:
            sessions[row["split"]].add(session_of(utterances[row["id"]]))
            assert sum(row[f"p:{label}"] for label in LABELS) == pytest.approx(1.0, abs=1e-5)
        assert sessions["test"] == {session}
        assert sessions["train"] == set(SESSIONS) - {session}
        assert sessions["valid"] <= sessions["train"]
        tested += [row["id"] for row in rows if row["split"] == "test"]
    labelled = {"ang", "hap", "exc", "neu", "sad"}
    assert sorted(tested) == sorted(name for name, one in utterances.items() if one.attributes["emotion"] in labelled)


@pytest.mark.parametrize("model", MODELS)
def test_a_folds_checkpoint_repeats_its_predictions(
    home: Path, runs: dict[str, Path], model: str, tmp_path: Path
) -> None:
    cell, out = runs[model] / "fold-session1" / "seed-0", tmp_path / "predictions.parquet"
    run("predict", home / "data", "--checkpoint", cell / "checkpoint", "--out", out)

    answers = {row["id"]: row for row in pq.read_table(out).to_pylist()}
    stored = pq.read_table(cell / "predictions.parquet").to_pylist()
    assert len(answers) == 80
    assert len(stored) == 50
    for row in stored:
        answer = answers[row["id"]]
        assert answer["modalities"] == row["modalities"] == "text,audio"
        assert [answer[f"p:{x}"] for x in LABELS] == pytest.approx([row[f"p:{x}"] for x in LABELS], abs=1e-4)


def test_the_report_shows_the_three_beside_their_papers_scores(runs: dict[str, Path], tmp_path: Path) -> None:
    run("report", *runs.values(), "--out", tmp_path)

    page = (tmp_path / "report.md").read_text()
    for model, folder in runs.items():
        scores = json.loads((folder / "scores.json").read_text())
        score = f"{100 * scores['test']['mean_recall']['mean']:.2f}"
        assert any(
            line.startswith(f"| {model} | ") and score in line and "| text: bert" in line for line in page.splitlines()
        )
        assert f"| {model} *(paper)* |" in page
    assert "±" not in page  # one seed
    assert "test split of 50 utterances. 5 folds" in page
    assert "The corpus is only a part of the published one." in page
    assert "Not the published corpus" in (tmp_path / "report.html").read_text()


def test_json_for_programs_says_that_counts_differ_too(home: Path, runs: dict[str, Path]) -> None:
    sets = settings(home, "multilevel")
    done = run("train", recipe("multilevel"), "--data", home / "data", "--out", runs["multilevel"], "--json", *sets)

    differences = json.loads(done.out)["count_differences"]
    assert "session 1 sad 4 found, 194 expected" in differences  # the fourth turn, and the third, each in two dialogs
