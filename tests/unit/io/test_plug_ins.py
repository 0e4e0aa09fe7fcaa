"""Code that a checkpoint names is run only if it is the code of training and lies outside the checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.plug_ins import write_file

from merkit.core.errors import CheckpointError
from merkit.core.lookup import PLUGINS, load
from merkit.core.source import read
from merkit.io.checkpoint import read_config
from merkit.io.plug_ins import PlugInRecord, load_recorded, record_plug_ins


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a checkpoint that names a model, an encoder and records, beside a file that must not be run."""
    checkpoint = tmp_path / "snapshots" / "checkpoint"
    (checkpoint / "encoders").mkdir(parents=True)
    (checkpoint / "model.safetensors").write_bytes(b"")

    def write(model: str, *records: dict[str, Any], encoder: str = "bag_of_words") -> Path:
        values = {"model": model, "encoders": {"text": {"name": encoder}}, "plug_ins": records, "model_config": {}}
        values |= {"format": 2, "labels": ["a", "b"], "protocol": "parley", "temperature": 1.0}
        (checkpoint / "config.json").write_text(json.dumps(values))
        return checkpoint

    return write


def evil(path: Path) -> Path:
    path.write_text(f"open({str(path.with_suffix('.run'))!r}, 'w')\n")
    return path


def record_of(path: Path) -> dict[str, Any]:
    """Return what a checkpoint records of a model."""
    return record_plug_ins([load("models", str(path))])[0]


@pytest.mark.parametrize("encoder", [False, True])
def test_a_checkpoint_names_no_file(write: Callable[..., Path], encoder: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = write("concat")
    file = evil(checkpoint / "evil.py")
    monkeypatch.chdir(checkpoint.parent)

    for name in ("checkpoint/evil.py", str(file)):
        write(*(("concat",) if encoder else (name,)), encoder=name if encoder else "bag_of_words")
        with pytest.raises(CheckpointError, match=r"evil\.py' was found, expected the name of a"):
            read_config(checkpoint)

    assert not file.with_suffix(".run").exists()


def test_a_plug_in_that_is_not_recorded_is_not_imported(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLUGINS, str(evil(tmp_path / "evil.py")))

    with pytest.raises(CheckpointError, match=r"expected merkit's own\. No model named 'evil'"):
        read_config(write("evil"))

    assert not (tmp_path / "evil.run").exists()


@pytest.mark.parametrize("way", ["inside", "link out", "link in", "relative"])
def test_a_recorded_file_is_run_from_an_absolute_path_outside_checkpoints(
    write: Callable[..., Path], tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = record_of(write_file(tmp_path, "models", "mine"))
    (tmp_path / "mine.py").rename(tmp_path / "blob.py")
    checkpoint = write("mine")
    paths = {
        "inside": checkpoint / "encoders" / "mine.py",
        "link out": checkpoint / "encoders" / "mine.py",
        "link in": tmp_path / "linked" / "mine.py",
        "relative": Path("mine.py"),
    }
    monkeypatch.chdir(tmp_path)
    if way == "link out":  # as a hub's cache has it
        paths[way].symlink_to(tmp_path / "blob.py")
    elif way == "link in":
        (tmp_path / "linked").symlink_to(checkpoint / "encoders")
        paths[way].symlink_to(tmp_path / "blob.py")
    else:
        (tmp_path / "blob.py").rename(paths[way])

    with pytest.raises(
        CheckpointError, match=r"absolute path|inside a checkpoint, which is never run|link out of the checkpoint"
    ):
        read_config(write("mine", record | {"file": str(paths[way])}))


def test_an_edit_of_a_module_that_a_plug_in_imports_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_file(tmp_path, "models", "assembled")
    path.write_text("import assembled_layers\n" + path.read_text())
    (tmp_path / "assembled_layers.py").write_text("SIGN = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    records = {("models", "assembled"): PlugInRecord(**record_of(path))}

    assert load_recorded("models", "assembled", records, tmp_path / "checkpoint").name == "assembled"
    (tmp_path / "assembled_layers.py").write_text("SIGN = -1\n")
    read.cache_clear()  # as in a new process

    with pytest.raises(CheckpointError, match=r"is another one \(assembled_layers\.py changed\): bring back"):
        load_recorded("models", "assembled", records, tmp_path / "checkpoint")
