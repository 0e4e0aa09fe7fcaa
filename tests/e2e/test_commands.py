"""Every command does what its help says."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from tests.commandline import call
from tests.tiny import LABELS, recipe_values, write_corpus, write_recipe


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of vectors with runs of two models, and a corpus of recordings with a run on log-mels."""
    folder = tmp_path_factory.mktemp("commands")
    write_corpus(folder / "data", conversations=10)
    for model in ("majority", "bc_lstm"):
        recipe = write_recipe(folder / f"{model}.toml", {**recipe_values(model, epochs=2), "seeds": 2})
        assert call("-q", "train", recipe, "--data", folder / "data", "--out", folder / "runs" / model).code == 0
    rows = ["id,audio,start_s,end_s,speaker,label,split"]
    (folder / "calls").mkdir()
    for number in range(8):
        label = ("low", "high")[number % 2]
        tone = np.sin(2 * np.pi * (200 + 600 * (number % 2)) * np.arange(24000) / 16000)
        soundfile.write(folder / "calls" / f"{number}.wav", 0.1 * tone, 16000)
        split = ("train", "train", "train", "train", "valid", "valid", "test", "test")[number]
        rows += [
            f"u{number}-{half},{number}.wav,{0.5 * half},{0.5 * half + 0.5},s{number},{label},{split}"
            for half in range(3)
        ]
    (folder / "calls" / "utterances.csv").write_text("\n".join(rows))
    values = recipe_values("single", epochs=2)
    values["encoders"] = {"audio": {"name": "logmel", "normalize": "speaker"}}
    values["training"]["learning_rates"] = {"encoders": 1e-3, "head": 1e-3}
    recipe = write_recipe(folder / "ears.toml", values)
    assert call("-q", "train", recipe, "--data", folder / "calls", "--out", folder / "runs" / "ears").code == 0
    return folder


def checkpoint(home: Path, run: str) -> Path:
    return next((home / "runs" / run).glob("fold-*/seed-0/checkpoint"))


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys\nsys.argv = ['merkit', '--help']\nfrom merkit.cli.main import run\n"
        "try:\n    run()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'numpy', 'transformers', 'pyarrow', 'pydantic', 'sklearn'} & set(sys.modules)))"
    )

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.splitlines()[-1] == "[]"
    for command in ("demo", "prepare", "doctor", "features", "train", "report", "predict", "analyze", "list", "cite"):
        assert f"  {command}" in printed
    assert call("--version").out.startswith("merkit 0.")


def test_train_prints_one_json_object_as_its_last_line(home: Path) -> None:
    done = call(
        "-q", "train", home / "bc_lstm.toml", "--data", home / "data", "--out", home / "runs" / "bc_lstm", "--json"
    )

    values = json.loads(done.out.splitlines()[-1])
    assert set(values) == {
        "model",
        "protocol",
        "selection",
        "seeds",
        "folds",
        "count_differences",
        "warnings",
        "test",
        "seconds",
        "peak_memory_bytes",
        "run",
    }
    assert values["seeds"] == [0, 1]
    assert set(values["test"]["accuracy"]) >= {"mean", "std", "interval"}
    scores = json.loads((home / "runs" / "bc_lstm" / "scores.json").read_text())
    assert scores["test"] == values["test"]
    assert [row["label"] for row in scores["per_class"]] == list(LABELS)


def test_train_prints_tables_and_more_seeds_go_on_from_fewer(home: Path) -> None:
    first = (home / "runs" / "bc_lstm").glob("fold-*/seed-0/cell.json")
    before = next(first).read_text()

    done = call(
        "-q", "train", home / "bc_lstm.toml", "--data", home / "data", "--out", home / "runs" / "bc_lstm", "--seeds", 3
    )

    assert "3 seeds" in done.out
    assert "95 % interval" in done.out
    assert "calm" in done.out
    assert next((home / "runs" / "bc_lstm").glob("fold-*/seed-0/cell.json")).read_text() == before
    last = done.out.splitlines()[-4:]
    assert last[0] == f"run:  {home}/runs/bc_lstm"
    assert re.fullmatch(r"test: mean_recall \d+\.\d %, 95 % interval \d+\.\d to \d+\.\d", last[1])
    assert last[2] == f"next: merkit report {home}/runs/bc_lstm --out report"
    assert last[3] == "note: the checkpoints read published features (sound) and cannot read recordings"
    card = (checkpoint(home, "bc_lstm") / "README.md").read_text()
    assert "cannot read recordings" in card
    assert "merkit analyze" not in card


def test_a_checkpoint_that_reads_recordings_is_shown_how_to(home: Path) -> None:
    done = call("-q", "train", home / "ears.toml", "--data", home / "calls", "--out", home / "runs" / "ears")

    assert done.out.splitlines()[-1] == f"      merkit analyze RECORDING --checkpoint {checkpoint(home, 'ears')}"
    assert "merkit analyze recording.wav" in (checkpoint(home, "ears") / "README.md").read_text()


def test_epochs_are_logged_with_verbose_and_kept_in_the_history_anyway(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command = ["train", home / "bc_lstm.toml", "--data", home / "data", "--seeds", 1, "--out"]

    call(*command, tmp_path / "silent")
    silent = caplog.text
    call("-v", *command, tmp_path / "verbose")

    assert "epoch" not in silent
    assert re.search(r"epoch 2: loss \d\.\d+, validation loss \d\.\d+, mean_recall 0\.\d+", caplog.text)
    rows = next((tmp_path / "silent").glob("fold-*/seed-0/history.jsonl")).read_text().splitlines()
    assert [json.loads(row)["epoch"] for row in rows] == [1, 2]


def test_ctrl_c_ends_with_130_and_says_how_to_resume(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("merkit.api.training.train_and_score", interrupted)

    done = call("train", home / "bc_lstm.toml", "--data", home / "data", "--out", tmp_path)

    assert done.code == 130
    assert done.error == "merkit: stopped. Give the same command again to resume.\n"


def test_debug_prints_the_traceback_before_the_line(home: Path) -> None:
    done = call("--debug", "train", home / "none.toml", "--data", home / "data")

    assert done.code == 2
    assert done.error.startswith("Traceback")
    assert done.error.splitlines()[-1].startswith("merkit: ")


def test_folds_by_a_group_and_the_leaky_score_are_requested_by_option(home: Path) -> None:
    done = call(
        "-q", "train", home / "bc_lstm.toml", "--data", home / "data", "--out", home / "runs" / "folds",
        "--group", "conversation", "--folds", 2, "--seeds", 1, "--legacy-best-on-test",
    )  # fmt: skip

    assert done.code == 0, done.error
    assert "2 folds" in done.out
    assert "LEAKY, best epoch on test, not a result" in done.out


def test_report_writes_html_markdown_csv_and_renews_a_readme(home: Path) -> None:
    readme = home / "README.md"
    readme.write_text("before\n<!-- results:begin -->\n<!-- results:end -->\nafter\n")
    runs = [home / "runs" / "majority", home / "runs" / "bc_lstm"]

    done = call("report", *runs, "--out", home / "report", "--results", home / "ours.csv", "--readme", readme)

    assert done.code == 0, done.error
    assert "bc_lstm" in (home / "report" / "report.html").read_text()
    assert "| bc_lstm" in readme.read_text() or "bc_lstm" in readme.read_text()
    rows = read_csv(home / "ours.csv")
    assert {row["model"] for row in rows} == {"majority", "bc_lstm"}
    assert call("report", *runs, "--out", home / "report", "--readme", readme).code == 2


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_predict_gives_the_runs_stored_test_predictions(home: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"p.{ending}"

    done = call("-q", "predict", home / "calls", "--checkpoint", checkpoint(home, "ears"), "--out", out)

    assert done.code == 0, done.error
    if ending == "parquet":
        rows = {row["id"]: row for row in pq.read_table(out).to_pylist()}
    elif ending == "csv":
        rows = {row["id"]: row for row in read_csv(out)}
    else:
        rows = {row["id"]: row for row in map(json.loads, out.read_text().splitlines())}
    stored = pq.read_table(checkpoint(home, "ears").parent / "predictions.parquet").to_pylist()
    assert len(rows) == len(stored) == 24
    for row in stored:
        assert float(rows[row["id"]]["p:low"]) == pytest.approx(row["p:low"], abs=1e-4)
    assert (
        call("predict", home / "calls", "--checkpoint", checkpoint(home, "ears"), "--out", tmp_path / "p.xls").code == 2
    )


def test_analyze_labels_a_whole_file_or_cuts_it_by_a_transcript(home: Path, tmp_path: Path) -> None:
    recording = home / "calls" / "6.wav"
    (tmp_path / "t.csv").write_text("start_s,end_s,speaker,text\n0,0.5,Ann,one\n0.5,1.0,Ann,two\n1.0,1.5,Ann,three\n")
    ears = checkpoint(home, "ears")
    options = "--checkpoint", ears, "--no-speech-check"  # it labels tones

    whole = call("-q", "analyze", recording, *options, "--json")
    cut = call("-q", "analyze", recording, *options, "--transcript", tmp_path / "t.csv", "--out", tmp_path / "out")

    analysis = json.loads(whole.out)
    assert len(analysis["segments"]) == 1
    assert analysis["segments"][0]["end_ms"] == 1500
    assert analysis["segments"][0]["modalities"] == ["audio"]
    assert sum(analysis["segments"][0]["probabilities"].values()) == pytest.approx(1)
    assert "three" in cut.out
    stored = {r["id"]: r for r in pq.read_table(ears.parent / "predictions.parquet").to_pylist()}
    written = json.loads((tmp_path / "out" / "6.json").read_text())
    for half, segment in enumerate(written["segments"]):
        assert segment["probabilities"]["low"] == pytest.approx(stored[f"u6-{half}"]["p:low"], abs=1e-4)
    rows = read_csv(tmp_path / "out" / "6.csv")
    assert [row["text"] for row in rows] == ["one", "two", "three"]
    assert call("analyze", recording, recording, "--checkpoint", ears, "--transcript", tmp_path / "t.csv").code == 2


def test_analyze_reads_the_channels_that_are_chosen(home: Path, tmp_path: Path) -> None:
    samples, rate_hz = soundfile.read(home / "calls" / "6.wav")
    soundfile.write(tmp_path / "stereo.wav", np.stack([samples, -0.5 * samples], axis=1), rate_hz)
    options = "--checkpoint", checkpoint(home, "ears"), "--json"

    split = call("-q", "analyze", tmp_path / "stereo.wav", *options, "--channels", "split")
    refused = call("-q", "analyze", tmp_path / "stereo.wav", *options, "--channels", "both")

    assert [segment["speaker"] for segment in json.loads(split.out)["segments"]] == ["left", "right"]
    assert refused.code == 2
    assert "channels is 'both', expected one of auto, split, mix, left, right" in refused.error


def test_recordings_of_one_name_do_not_overwrite_each_others_analysis(home: Path, tmp_path: Path) -> None:
    recordings = [home / "calls" / "6.wav", tmp_path / "6.wav"]
    shutil.copy(*recordings)

    done = call("analyze", *recordings, "--checkpoint", checkpoint(home, "ears"), "--out", tmp_path / "out")

    assert done.code == 2
    assert "6 would be written more than once" in done.error
    assert not (tmp_path / "out").exists()


def test_words_alone_need_a_transcript(home: Path) -> None:
    values = recipe_values("bag_of_words")
    recipe = write_recipe(home / "words.toml", values)
    assert call("-q", "train", recipe, "--data", home / "data", "--out", home / "runs" / "words").code == 0

    done = call("analyze", home / "calls" / "6.wav", "--checkpoint", checkpoint(home, "words"))

    card = (checkpoint(home, "words") / "README.md").read_text()
    assert "\nmerkit analyze recording.wav --transcript words.srt --checkpoint THIS_FOLDER\n" in card
    assert done.code == 2
    assert "give a transcript" in done.error


def test_features_fill_the_store_once(home: Path) -> None:
    first = call("-q", "features", home / "calls", "--encoder", "logmel", "--features", home / "store")
    second = call("-q", "features", home / "calls", "--encoder", "logmel", "--features", home / "store")

    assert "24 utterances extracted, 0 already done" in first.out
    assert "0 utterances extracted, 24 already done" in second.out
    assert call("features", home / "calls", "--encoder", "precomputed").code == 2
    assert call("features", home / "calls", "--encoder", "precomputed", "--modality", "smell").code == 2
    assert call("features", home / "calls", "--encoder", "logmel", "--set", "n_mel=3").code == 2


def test_doctor_speaks_in_words_and_json(tmp_path: Path) -> None:
    (tmp_path / "utterances.csv").write_text('id,text\na,words\nb," "\n')

    words = call("doctor", tmp_path)
    findings = json.loads(call("doctor", tmp_path, "--json").out)

    assert words.code == 0
    assert "error: 0, warning: 1" in words.out
    assert [(finding["code"], finding["ids"]) for finding in findings] == [("empty-text", ["b"])]
    assert all({"level", "code", "message", "ids"} == set(finding) for finding in findings)


def test_doctor_ends_with_1_where_something_is_broken(home: Path, tmp_path: Path) -> None:
    (tmp_path / "utterances.csv").write_text("id,audio\na,none.wav\n")

    assert call("doctor", tmp_path).code == 1


def test_prepare_reads_a_table(home: Path, tmp_path: Path) -> None:
    done = call("prepare", "table", "--raw", home / "calls" / "utterances.csv", "--out", tmp_path / "mine")

    assert done.code == 0, done.error
    assert "utterances 24" in done.out
    assert call("-q", "doctor", tmp_path / "mine").code == 0


@pytest.mark.parametrize("kind", ["models", "encoders", "corpora", "protocols", "views", "recipes", "grids"])
def test_list_names_what_there_is(kind: str) -> None:
    names = [row["name"] for row in json.loads(call("list", kind, "--json").out)]

    assert len(names) > 4
    assert all(name in call("list", kind).out for name in names)


def test_cite_prints_the_paper_and_the_differences() -> None:
    printed = call("cite", "bc_lstm").out

    assert printed.startswith("@")
    assert "% differs:" in printed
    assert "no publication" in call("cite", "majority").out
    assert "% compared with: https://github.com/butterfliesss/SDT at 60af921" in call("cite", "sdt").out
