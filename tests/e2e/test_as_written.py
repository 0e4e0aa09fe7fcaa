"""Words, names, labels and paths of users' files are printed as written by every command, and files come first."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.commandline import Called, call
from tests.tiny import recipe_values, write_recipe

from merkit.api.demo import Call
from merkit.cli import analyze as analyze_command
from merkit.cli.demo import print_call
from merkit.core.types import Prediction
from merkit.timeline.analysis import Analysis, Segment

LABELS = ("[joy]", "[/joy]\x1b[31m")
SHOWN = ("[joy]", r"[/joy]\x1b[31m")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of sentences with labels that look like markup, a run on it in a folder that does, and a recording."""
    folder = tmp_path_factory.mktemp("as-written")
    (folder / "my [data]").mkdir()
    with (folder / "my [data]" / "utterances.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "label", "split"])
        for number in range(12):
            label = number % 2
            split = ("train", "train", "valid", "test")[number // 2 % 4]
            writer.writerow([f"[u{number}]", ("how lovely", "stop this")[label], LABELS[label], split])
    recipe = write_recipe(folder / "words.toml", recipe_values("bag_of_words"))
    done = call("-q", "train", recipe, "--data", folder / "my [data]", "--out", folder / "run [final]")
    assert done.code == 0, done.error
    (folder / "trained.txt").write_text(done.out)
    soundfile.write(folder / "call [final].wav", 0.1 * np.sin(np.arange(48000)), 16000)
    return folder


def checked(done: Called) -> str:
    """Return what was printed, which holds no character that a terminal obeys."""
    assert done.code == 0, done.error
    assert (done.out + done.error).replace("\n", "").isprintable()
    return done.out


def test_train_prints_labels_and_the_runs_path(home: Path) -> None:
    printed = (home / "trained.txt").read_text()

    assert printed.replace("\n", "").isprintable()
    for label in SHOWN:
        assert label in printed
    assert f"run:  {home}/run [final]\n" in printed
    assert f"merkit report '{home}/run [final]' --out report" in printed
    checkpoint = f"'{home}/run [final]/fold-split/seed-0/checkpoint'"
    assert f"merkit analyze RECORDING --transcript TRANSCRIPT --checkpoint {checkpoint}\n" in printed


def test_report_prints_the_paths_of_its_files(home: Path) -> None:
    printed = checked(call("report", home / "run [final]", "--out", home / "report [1]"))

    assert f"{home}/report [1]/report.html" in printed.splitlines()


def test_doctor_prints_ids_and_labels(home: Path, tmp_path: Path) -> None:
    (tmp_path / "utterances.csv").write_text("id,audio,label,split\n[/u1],none [1].wav,a,train\n")

    done = call("doctor", tmp_path)

    assert done.code == 1
    assert "[/u1]" in done.out


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        ([("[agent]", "[laughs] I hate it [/laughs]"), ("b", "ok")], ["[agent]", "[laughs] I hate it [/laughs]"]),
        ([("agent", "I hate it [/laughs]"), ("b", "see [/usr/bin] ok")], ["I hate it [/laughs]", "see [/usr/bin] ok"]),
        ([("[/b]", "\x1b]0;pwn\x07\x1b[31mhello"), ("b", "\u202eyawa :smile:")],
         [r"\x1b]0;pwn\x07\x1b[31mhello", r"\u202eyawa :smile:"]),
    ],
)  # fmt: skip
def test_analyze_prints_speakers_words_and_the_file(
    home: Path, tmp_path: Path, lines: list[tuple[str, str]], shown: list[str]
) -> None:
    rows = [{"start": i, "end": i + 1, "speaker": speaker, "text": text} for i, (speaker, text) in enumerate(lines)]
    (tmp_path / "t.json").write_text(json.dumps(rows))
    checkpoint = next((home / "run [final]").glob("fold-*/seed-0/checkpoint"))
    command = ["analyze", home / "call [final].wav", "--checkpoint", checkpoint, "--transcript", tmp_path / "t.json"]

    table = checked(call(*command, "--out", tmp_path / "out"))
    line = checked(call(*command, "--json"))

    assert "call [final].wav" in table
    for words in shown:
        assert words in table
    texts = [text for _, text in lines]
    for values in (json.loads(line), json.loads((tmp_path / "out" / "call [final].json").read_text())):
        assert [segment["text"] for segment in values["segments"]] == texts


def test_files_are_written_before_anything_is_printed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.txt").write_text("how lovely")
    checkpoint = next((home / "run [final]").glob("fold-*/seed-0/checkpoint"))

    def broken(_: Analysis) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(analyze_command, "print_analysis", broken)
    with pytest.raises(BrokenPipeError):
        call(
            "analyze", home / "call [final].wav", "--checkpoint", checkpoint, "--transcript", tmp_path / "t.txt",
            "--out", tmp_path / "out",
        )  # fmt: skip

    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".json", ".csv", ".html"}


def test_errors_are_printed_as_written(home: Path, tmp_path: Path) -> None:
    shutil.copy(home / "words.toml", tmp_path / "[red]x\x1b[31m.toml")

    done = call("train", tmp_path / "[red]x\x1b[31m.toml", "--data", tmp_path / "[/none]\x07")

    assert done.code == 2
    assert r"[/none]\x07" in done.error
    assert done.error.count("\n") == 1
    assert done.error.replace("\n", "").isprintable()


def test_demo_prints_its_call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    prediction = Prediction(id="0", label=LABELS[1], probabilities={LABELS[1]: 1.0}, confidence=1.0, modalities=())
    segments = [Segment(0.0, 1.0, "[agent]", "[laughs] hello [/laughs]", prediction)]
    analysis = Analysis(Path("call [1].wav"), 1.0, "checkpoint", LABELS, segments, [])

    print_call(Call([LABELS[0]], analysis, analysis, analysis))

    printed = capsys.readouterr().out
    assert printed.replace("\n", "").isprintable()
    for text in ("call [1].wav", "[agent]", "[laughs] hello [/laughs]", *SHOWN):
        assert text in printed
