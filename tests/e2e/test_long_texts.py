"""Texts that are longer than the encoder reads are told by every command that reads them."""

from pathlib import Path

import pytest
import soundfile
from tests.networks import noise, write_text_network
from tests.tiny import built
from typer.testing import CliRunner

from merkit.cli.main import app
from merkit.io.checkpoint import save_checkpoint

TOLD = "1 of 2 texts are longer than the text encoder reads (long): 3,985 of their 3,999 tokens (100 %) are not read"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    network = write_text_network(folder / "network", ["good", "call"])
    text = {"name": "bert", "weights": str(network), "max_tokens": 16}
    save_checkpoint(folder / "checkpoint", *built("concat", {"text": text}, ("glad", "sad")), {}, "")
    (folder / "t.csv").write_text(f"id,text\nlong,{'good ' * 3999}\nshort,good call\n")
    assert (
        CliRunner().invoke(app, ["prepare", "table", "--raw", f"{folder}/t.csv", "--out", f"{folder}/data"]).exit_code
        == 0
    )
    return folder


def output(*words: object) -> str:
    """Return what a command prints, in one line."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_doctor_counts_texts_and_the_share_of_words(folder: Path) -> None:
    told = output("doctor", folder / "data")

    assert "1 texts have more than 126 words: 97 % of their words or more are not read" in told


def test_features_and_predict_count_texts_and_tokens(folder: Path) -> None:
    settings = ["--set", f"weights={folder / 'network'}", "--set", "max_tokens=16"]

    assert TOLD in output("features", folder / "data", "--encoder", "bert", *settings)
    assert TOLD in output("predict", folder / "data", "--checkpoint", folder / "checkpoint", "--out", folder / "p.csv")
    assert TOLD in output("predict", folder / "data", "--checkpoint", folder / "checkpoint", "--out", folder / "p.csv")


def test_analyze_notes_it(folder: Path) -> None:
    soundfile.write(folder / "call.wav", noise(16_000), 16_000)
    (folder / "call.txt").write_text("good " * 3999)

    told = output(
        "analyze", folder / "call.wav", "--transcript", folder / "call.txt", "--checkpoint", folder / "checkpoint"
    )

    assert TOLD.replace("of 2", "of 1").replace("long)", "from 0.00 s)") in told


def test_the_long_texts_of_the_cases_are_told(cases: Path, tmp_path: Path) -> None:
    output("prepare", "table", "--raw", cases / "tables" / "15-lt.csv", "--out", tmp_path / "data")

    assert "texts have more than 126 words: 97 % of their words or more" in output("doctor", tmp_path / "data")
