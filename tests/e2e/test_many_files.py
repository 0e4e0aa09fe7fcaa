"""Many files: what fails does not stop the others, what is done is not done again, nothing of the user's is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.commandline import Called, call
from tests.miniature import write_tone, write_tones
from tests.tiny import recipe_values, write_recipe

import merkit
from merkit.cli.stopping import Stopped
from merkit.core.errors import MerkitError
from merkit.formats.checkpoint_folder import checksum
from merkit.inference.bulk import predict_corpus

CUES = "1\n00:00:00,000 --> 00:00:00,200\nhello\n\n2\n00:00:00,200 --> 00:00:00,400\nworld\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of tones, and a checkpoint that reads recordings."""
    folder = tmp_path_factory.mktemp("many")
    write_tones(folder / "data")
    values = recipe_values("single", epochs=1)
    values["encoders"] = {"audio": {"name": "logmel", "n_mels": 8, "dim": 4, "layers": 2}}
    values["training"]["learning_rates"] = {"encoders": 1e-3, "head": 1e-3}
    recipe = write_recipe(folder / "ears.toml", {**values, "seeds": 1})
    assert call("-q", "train", recipe, "--data", folder / "data", "--out", folder / "run").code == 0
    next((folder / "run").glob("fold-*/seed-0/checkpoint")).rename(folder / "checkpoint")
    return folder


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Five recordings, one in a sub-folder and one with a transcript, two bad ones, and files to be left out."""
    folder = tmp_path / "calls"
    for number, name in enumerate(("a.wav", "b.WAV", "c.flac", "deeper/a.wav", "deeper/.hidden/x.wav", "d.txt.wav")):
        write_tone(folder / "tone.wav", 200.0 + 50 * number)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tone.wav").rename(folder / name)
    (folder / "a.srt").write_text(CUES)
    (folder / "bad.wav").write_text("no sound")
    (folder / "empty.mp3").touch()
    (folder / "notes.pdf").write_text("no recording")
    return folder


def analyze(home: Path, *arguments: object) -> Called:
    return call("-q", "analyze", "--checkpoint", home / "checkpoint", *arguments)


def contents(folder: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_analyzed_but_for_its_bad_files_which_are_listed(home: Path, calls: Path, tmp_path: Path) -> None:
    done = analyze(home, calls, "--out", tmp_path / "out")

    assert done.code == 1
    assert sorted(contents(tmp_path / "out")) == sorted(
        ["index.html"]
        + [f"{name}.{ending}" for name in ("a", "b", "c", "d.txt", "deeper/a") for ending in ("json", "csv", "html")]
    )
    lines = done.error.splitlines()
    assert [line.partition(": ")[2].partition(": ")[0] for line in lines[:2]] == [
        str(calls / "bad.wav"),
        str(calls / "empty.mp3"),
    ]
    assert lines[2] == "merkit: 2 of 7 recordings failed, as listed; 5 are done."
    segments = json.loads((tmp_path / "out" / "a.json").read_text())["segments"]
    assert [segment["text"] for segment in segments] == ["hello", "world"]


def test_what_is_done_is_left_out_until_its_recording_transcript_checkpoint_or_option_changes(
    home: Path, calls: Path, tmp_path: Path
) -> None:
    def counts(*options: object) -> str:
        return analyze(home, calls, "--out", tmp_path / "out", *options).out.splitlines()[-1]

    analyze(home, calls, "--out", tmp_path / "out")
    before = contents(tmp_path / "out")

    assert counts().endswith("0 analyzed, 5 already done")
    assert contents(tmp_path / "out") == before
    write_tone(calls / "c.flac.wav", 900.0)
    (calls / "c.flac.wav").rename(calls / "c.flac")
    assert counts().endswith("1 analyzed, 4 already done")
    (calls / "a.srt").write_text(CUES.replace("world", "moon"))
    assert counts().endswith("1 analyzed, 4 already done")
    shutil.copy(calls / "a.wav", calls / "bad.wav")
    assert counts().endswith("1 analyzed, 5 already done")
    (tmp_path / "out" / "b.csv").unlink()
    assert counts().endswith("1 analyzed, 5 already done")
    shutil.copytree(home / "checkpoint", tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    other = {**{key: value for key, value in config.items() if key != "checksum"}, "temperature": 2.0}
    (tmp_path / "other" / "config.json").write_text(json.dumps({**other, "checksum": checksum(other)}))
    assert counts("--checkpoint", tmp_path / "other").endswith("6 analyzed, 0 already done")


def test_results_beside_the_recordings_are_no_transcripts(home: Path, calls: Path) -> None:
    given = contents(calls)

    first = analyze(home, calls, "--out", calls)
    second = analyze(home, calls, "--out", calls)

    assert first.out.splitlines()[-1].endswith("5 analyzed, 0 already done")
    assert second.out.splitlines()[-1].endswith("0 analyzed, 5 already done")
    assert given.items() <= contents(calls).items()


def test_two_transcripts_for_one_recording_are_told_and_the_others_go_on(
    home: Path, calls: Path, tmp_path: Path
) -> None:
    (calls / "a.txt").write_text("hello")

    done = analyze(home, calls, "--out", tmp_path / "out")

    assert done.code == 1
    assert f"failed: {calls / 'a.wav'}: 2 files in '{calls}' may be its transcript: a.srt, a.txt." in done.error
    assert (tmp_path / "out" / "b.json").exists()


def test_transcripts_are_found_by_name_in_a_folder_of_their_own(home: Path, calls: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    (texts / "deeper").mkdir(parents=True)
    (texts / "deeper" / "a.vtt").write_text(f"WEBVTT\n\n{CUES.replace(',', '.')}")
    (texts / "b.txt").write_text("one two")

    done = analyze(home, calls, "--out", tmp_path / "out", "--transcript", texts)

    assert done.code == 1
    words = {
        name: [segment["text"] for segment in json.loads((tmp_path / "out" / f"{name}.json").read_text())["segments"]]
        for name in ("a", "b", "deeper/a")
    }
    assert words == {"a": [None], "b": ["one two"], "deeper/a": ["hello", "world"]}
    (texts / "deeper" / "a.vtt").rename(texts / "a.vtt")
    assert "has the name of 2 recordings" in analyze(home, calls, "--transcript", texts).error
    (texts / "a.vtt").rename(texts / "z.vtt")
    (texts / "b.txt").unlink()
    assert "has no transcript with the name of a recording" in analyze(home, calls, "--transcript", texts).error


def test_nothing_done_is_exit_2_and_fail_fast_stops_at_the_first(home: Path, calls: Path, tmp_path: Path) -> None:
    only_bad = tmp_path / "bad"
    only_bad.mkdir()
    for name in ("bad.wav", "empty.mp3"):
        shutil.copy(calls / name, only_bad)
    (tmp_path / "nothing").mkdir()

    assert analyze(home, only_bad).code == 2
    fast = analyze(home, calls, "--fail-fast", "--out", tmp_path / "out")
    assert (fast.code, len(fast.error.splitlines())) == (2, 1)
    assert not (tmp_path / "out" / "c.json").exists()
    assert "has no file that ends like audio or video" in analyze(home, tmp_path / "nothing").error


def test_json_has_a_line_for_each_recording_also_for_one_that_failed_or_is_done(
    home: Path, calls: Path, tmp_path: Path
) -> None:
    first, second = (analyze(home, calls, "--out", tmp_path / "out", "--json") for _ in range(2))

    rows = [json.loads(line) for line in first.out.splitlines()]
    assert [sorted(row) for row in rows if "error" in row] == [["error", "recording"]] * 2
    assert rows == [json.loads(line) for line in second.out.splitlines()]
    assert len(rows) == 7


@pytest.mark.parametrize("options", [("--transcript", "call.json"), ()], ids=["input", "foreign"])
def test_a_transcript_of_the_users_is_not_replaced_by_the_analysis(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    write_tone(tmp_path / "call.wav", 300.0)
    (tmp_path / "call.json").write_text('[{"start_s": 0, "end_s": 0.3, "text": "mine"}]')
    before = contents(tmp_path)
    monkeypatch.chdir(tmp_path)

    done = analyze(home, "call.wav", *options, "--out", ".")

    assert done.code == 2
    assert done.error.startswith("merkit: 'call.json' ")
    assert contents(tmp_path) == before


def test_prediction_goes_on_without_bad_recordings_and_its_record_says_so(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "data", tmp_path / "data", ignore=shutil.ignore_patterns("features"))
    (tmp_path / "data" / "1.wav").write_text("no sound")
    (tmp_path / "data" / "5.wav").unlink()
    command = ("-q", "predict", tmp_path / "data", "--checkpoint", home / "checkpoint", "--out", tmp_path / "p.csv")

    first = call(*command)
    written = contents(tmp_path)
    second = call(*command)

    assert first.code == second.code == 1
    assert "6 predictions, 0 of them already done, 2 utterances without one" in first.out
    assert "6 predictions, 6 of them already done" in second.out
    assert contents(tmp_path) == written
    record = json.loads((tmp_path / "p.csv.json").read_text())
    assert (record["complete"], record["utterances"], sorted(record["failures"])) == (False, 8, ["u1", "u5"])
    assert [line.split(":")[1].strip() for line in first.error.splitlines()[:2]] == ["u1", "u5"]
    assert call(*command[:-1], tmp_path / "fast.csv", "--fail-fast").code == 2
    assert not (tmp_path / "fast.csv").exists()
    write_tone(tmp_path / "data" / "5.wav", 450.0, 0.1)
    assert "7 predictions" in call(*command).out


def test_features_are_extracted_of_all_that_can_be_read(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "data", tmp_path / "data", ignore=shutil.ignore_patterns("features"))
    (tmp_path / "data" / "1.wav").write_text("no sound")
    command = ("-q", "features", tmp_path / "data", "--encoder", "logmel")

    first, second = call(*command), call(*command)

    assert first.code == second.code == 1
    assert "7 utterances extracted, 0 already done" in first.out
    assert "0 utterances extracted, 7 already done" in second.out
    assert first.error.startswith("failed: u1: ")
    assert call(*command, "--fail-fast").code == 2
    incomplete = call("-q", "train", home / "ears.toml", "--data", tmp_path / "data", "--out", tmp_path / "run")
    assert incomplete.code == 2
    assert "1.wav" in incomplete.error


def test_a_prediction_leaves_a_folder_alone_that_it_did_not_make(home: Path, tmp_path: Path) -> None:
    parts = tmp_path / "p.csv.parts"
    parts.mkdir()
    (parts / "part-00000-0123456789ab.parquet").write_text("mine")
    command = ("predict", home / "data", "--checkpoint", home / "checkpoint", "--out", tmp_path / "p.csv")

    done = call(*command)

    assert done.code == 2
    assert "p.csv.parts' is where parts of the prediction would be kept, and merkit did not make it" in done.error
    assert list(contents(tmp_path)) == ["p.csv.parts/part-00000-0123456789ab.parquet"]


def test_of_two_predictions_into_one_file_the_second_is_refused(home: Path, tmp_path: Path) -> None:
    hold = (
        "import sys\nfrom pathlib import Path\nfrom merkit.inference.parts import locked_parts\n"
        "with locked_parts(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()"
    )
    command = ("-q", "predict", home / "data", "--checkpoint", home / "checkpoint", "--out", tmp_path / "p.csv")
    arguments = [sys.executable, "-c", hold, str(tmp_path / "p.csv")]

    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        refused = call(*command)
        other.kill()

    assert refused.code == 2
    assert refused.error.startswith("merkit: Another process is working in ")
    assert "give another file with --out" in refused.error
    assert len(refused.error.splitlines()) == 1
    assert call(*command).code == 0
    assert sorted(contents(tmp_path)) == ["p.csv", "p.csv.json"]


def test_analysis_killed_again_and_again_ends_as_an_undisturbed_one(home: Path, calls: Path, tmp_path: Path) -> None:
    arguments = ("-q", "analyze", str(calls), "--checkpoint", str(home / "checkpoint"), "--out")
    calm = call(*arguments, tmp_path / "calm")

    killed = (
        "import os, signal, sys\nleft = int(sys.argv.pop(1))\nfrom pathlib import Path\nreal = Path.replace\n"
        "def replace(path, target):\n    global left\n    left -= 1\n"
        "    if left == 0:\n        os.kill(os.getpid(), signal.SIGKILL)\n    return real(path, target)\n"
        "Path.replace = replace\nfrom merkit.cli.main import run\nrun()\n"
    )
    kept: list[Mapping[str, int]] = []

    for moment in (2, 7):  # between a record and its table; before the record of the third recording
        process = [sys.executable, "-c", killed, str(moment), *arguments, str(tmp_path / "stormy")]
        assert subprocess.run(process, capture_output=True, check=False).returncode == -signal.SIGKILL
        kept.append({str(path): path.stat().st_ino for path in (tmp_path / "stormy").glob("[!.]*.csv")})
    last = call(*arguments, tmp_path / "stormy")

    assert [len(files) for files in kept] == [0, 2]
    assert last.out.splitlines()[-1].endswith("3 analyzed, 2 already done")
    assert all(Path(path).stat().st_ino == number for path, number in kept[-1].items())
    assert contents(tmp_path / "stormy") == contents(tmp_path / "calm")
    assert not list((tmp_path / "stormy").rglob(".tmp-*"))
    assert last.error == calm.error


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("command", ["predict", "report"])
def test_a_signal_ends_a_command_as_ctrl_c_does_and_promises_only_what_is_true(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int, command: str
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise Stopped(number)

    monkeypatch.setattr("merkit.inference.bulk.predict_corpus", stopped)
    monkeypatch.setattr("merkit.reporting.report.write_report", stopped)
    options = ("--checkpoint", home / "checkpoint") if command == "predict" else ()

    done = call(command, home / "data", *options, "--out", tmp_path / "p.csv")

    assert done.code == code
    promise = " Give the same command again to resume." if command == "predict" else ""
    assert done.error == f"merkit: stopped.{promise}\n"


def test_sigterm_reaches_a_command_and_leaves_a_worker_that_was_forked_alone() -> None:
    code = (
        "import os, signal\nfrom merkit.cli.stopping import Stopped, raise_at_signals\nraise_at_signals()\n"
        "child = os.fork()\n"
        "if child == 0:\n    os.kill(os.getpid(), signal.SIGTERM)\n"
        "print(os.waitpid(child, 0)[1])\n"
        "try:\n    os.kill(os.getpid(), signal.SIGTERM)\nexcept Stopped as error:\n    print(error.number)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [str(int(signal.SIGTERM))] * 2


@pytest.mark.parametrize("output", ["pipe", "full"])
def test_a_closed_pipe_ends_a_command_quietly_and_a_full_disk_in_one_line(output: str) -> None:
    if output == "full" and not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    reader, writer = os.pipe() if output == "pipe" else (-1, os.open("/dev/full", os.O_WRONLY))
    if reader >= 0:
        os.close(reader)

    arguments = [sys.executable, "-m", "merkit", "list", "recipes"]  # imports nothing heavy
    done = subprocess.run(arguments, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)

    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines)) == ((1, 0) if output == "pipe" else (2, 1))
    assert all(line.startswith("merkit: no space is left to write to") for line in lines)


def test_in_a_model_of_conversations_no_prediction_is_made_without_a_turn_that_failed(
    tmp_path: Path, home: Path
) -> None:
    manifest_rows = ["id,conversation,turn,audio,text,label,split"]
    for number in range(12):
        write_tone(tmp_path / "data" / f"{number}.wav", 200.0 + 100 * (number % 2), 0.1)
        split = ("train", "train", "train", "valid", "test", "test")[number // 2]
        manifest_rows.append(f"u{number},c{number // 2},{number % 2},{number}.wav,words,{'ab'[number % 2]},{split}")
    (tmp_path / "data" / "utterances.csv").write_text("\n".join(manifest_rows))
    values = recipe_values("single_conversation", epochs=1)
    values["encoders"] = {"audio": {"name": "logmel", "n_mels": 8, "dim": 4, "layers": 2}}
    values["training"]["learning_rates"] = {"encoders": 1e-3, "head": 1e-3}
    recipe = write_recipe(tmp_path / "r.toml", {**values, "seeds": 1})
    assert call("-q", "train", recipe, "--data", tmp_path / "data", "--out", tmp_path / "run").code == 0
    checkpoint = next((tmp_path / "run").glob("fold-*/seed-0/checkpoint"))
    (tmp_path / "data" / "3.wav").write_text("no sound")

    done = call("-q", "predict", tmp_path / "data", "--checkpoint", checkpoint, "--out", tmp_path / "p.parquet")

    assert done.code == 1
    assert pq.read_table(tmp_path / "p.parquet")["id"].to_pylist() == [f"u{n}" for n in range(12) if n not in (2, 3)]
    assert "failed: u2: 'u3' of its conversation failed" in done.error


def test_in_python_too_a_file_of_another_origin_is_refused(home: Path, tmp_path: Path) -> None:
    from merkit.data.corpus.manifest import read_manifest

    (tmp_path / "p.csv").write_text("mine")

    with pytest.raises(MerkitError, match="merkit did not write it"):
        predict_corpus(home / "checkpoint", read_manifest(home / "data"), tmp_path / "p.csv")

    assert list(contents(tmp_path)) == ["p.csv"]


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("rep/report.md", ("report", "{home}/run", "--out", "rep")),
        ("rep/report.json", ("report", "{home}/run", "--out", "rep")),
        ("kept.csv", ("report", "{home}/run", "--out", "rep", "--results", "kept.csv")),
        ("run/recipe.toml", ("train", "{home}/ears.toml", "--data", "{home}/data", "--out", "run")),
        ("corpus/corpus.json", ("prepare", "table", "--raw", "my.csv", "--out", "corpus")),
        ("corpus/utterances.parquet", ("prepare", "table", "--raw", "my.csv", "--out", "corpus")),
        ("corpus/findings.json", ("prepare", "table", "--raw", "my.csv", "--out", "corpus")),
        ("calls/audio/c0000.wav", ("prepare", "parley", "--out", "calls")),
        ("demo/report.html", ("demo", "demo")),
        ("mine.toml", ("copy", "concat/parley", "mine.toml")),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_no_command_writes_over_a_file_of_another_origin(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, command: tuple[str, ...]
) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text('{"mine": 1}')
    (tmp_path / "my.csv").write_text("id,text,label\nu1,hello,a\nu2,there,b\n")
    before = contents(tmp_path)
    monkeypatch.chdir(tmp_path)

    done = call("-q", *(word.format(home=home) for word in command))

    assert done.code == 2
    assert (len(done.error.splitlines()), done.error[:8]) == (1, "merkit: ")
    assert Path(file).name in done.error or str(Path(file).parent) in done.error
    assert {name: content for name, content in contents(tmp_path).items() if name in before} == before
    assert [name for name in contents(tmp_path) if name not in before and not name.endswith(".lock")] == []


def test_a_report_is_renewed_and_one_that_was_edited_is_kept(home: Path, tmp_path: Path) -> None:
    command = ("-q", "report", home / "run", "--out", tmp_path / "rep")

    assert [call(*command).code for _ in range(2)] == [0, 0]
    page = tmp_path / "rep" / "report.md"
    page.write_text(f"{page.read_text()}My remark.\n")
    edited = call(*command)

    assert edited.code == 2
    assert "report.md' was changed after merkit wrote it" in edited.error
    assert page.read_text().endswith("My remark.\n")


def test_the_prepared_corpus_and_a_damaged_one_are_made_again(tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_text("id,text,label\nu1,hello,a\nu2,there,b\n")
    command = ("-q", "prepare", "table", "--raw", tmp_path / "my.csv", "--out", tmp_path / "corpus")

    codes = [call(*command).code]
    for name in ("corpus.json", "findings.json", "utterances.parquet"):
        (tmp_path / "corpus" / name).write_bytes(b"{half")
        codes.append(call(*command).code)

    assert codes == [0] * 4


def test_python_replaces_its_own_pages_and_json_and_nothing_else(home: Path, tmp_path: Path) -> None:
    result = merkit.load(home / "checkpoint")(home / "data" / "0.wav")

    for write, name in ((result.to_json, "a.json"), (result.to_html, "a.html")):
        assert [write(tmp_path / name) for _ in range(2)] == [tmp_path / name] * 2
        (tmp_path / name).write_text('["mine"]')
        with pytest.raises(MerkitError, match="merkit did not write it"):
            write(tmp_path / name)
