"""A model, an encoder, a corpus and a protocol outside merkit: prepared, trained, predicted with and contract-tested.

The files are those of adding-a-paper.md, adding-an-encoder.md, adding-a-corpus.md and adding-a-protocol.md, the ways to
name them those of plug-ins-outside-merkit.md.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.checkpoints import reseal
from tests.commandline import Called, call
from tests.plug_ins import PAGE_OF, source, write_file, write_package

from merkit.core import lookup

ROOT = Path(__file__).parents[2]

RECIPE = """
model = "{model}"
protocol = "{protocol}"
seeds = 1

[encoders.text]
name = "{encoder}"

[training]
epochs = 2
learning_rates = {{ encoders = 0.01, head = 0.05 }}
"""


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A release of the made-up corpus."""
    folder = tmp_path / "raw"
    folder.mkdir()
    space: dict[str, object] = {}
    exec(source("corpora", "sentences"), space)
    space["example"](folder)  # type: ignore[operator]
    return folder


def train(folder: Path, raw: Path, names: dict[str, str]) -> Called:
    prepared = call("prepare", names["corpora"], "--raw", raw, "--out", folder / "data")
    assert prepared.code == 0, prepared.error
    recipe = RECIPE.format(model=names["models"], protocol=names["protocols"], encoder=names["encoders"])
    (folder / "recipe.toml").write_text(recipe)
    return call("train", folder / "recipe.toml", "--data", folder / "data", "--out", folder / "run", "--json")


def predict(folder: Path) -> Called:
    checkpoint = next(folder.glob("run/fold-*/seed-0/checkpoint"))
    return call("predict", folder / "data", "--checkpoint", checkpoint, "--out", folder / "predictions.parquet")


@pytest.fixture
def files(tmp_path: Path, raw: Path) -> Path:
    """A folder with a file of each kind beside a recipe that was trained."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for kind in PAGE_OF:
        write_file(folder, kind, f"my_{kind}")
    names = {kind: f"./my_{kind}.py" for kind in PAGE_OF} | {"corpora": str(folder / "my_corpora.py")}
    done = train(folder, raw, names)  # from another folder than the recipe's
    assert done.code == 0, done.error
    assert json.loads(done.out)["model"] == "my_models"
    assert json.loads(done.out)["protocol"] == "my-protocols"
    return folder


def test_files_of_the_user_are_trained_and_predicted_with(files: Path) -> None:
    done = predict(files)

    assert done.code == 0, done.error
    config = json.loads(next(files.glob("run/fold-*/seed-0/checkpoint/config.json")).read_text())
    assert {record["file"] for record in config["plug_ins"]} == {
        str(files / "my_models.py"),
        str(files / "my_encoders.py"),
    }
    card = next(files.glob("run/fold-*/seed-0/checkpoint/README.md")).read_text()
    assert f"* encoder my_encoders: {files / 'my_encoders.py'} " in card
    again = call("train", files / "run" / "recipe.toml", "--data", files / "data", "--out", files / "run")
    assert again.code == 0, again.error


def test_the_resolved_recipe_is_not_bound_to_a_folder(files: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.toml").write_text((files / "run" / "recipe.toml").read_text())

    done = call("train", tmp_path / "elsewhere.toml", "--data", files / "data", "--out", tmp_path / "run", "--json")

    assert done.code == 0, done.error


@pytest.mark.parametrize("file", ["my_models.py", "my_encoders.py"])
def test_a_checkpoint_needs_its_plug_ins_unchanged(
    files: Path, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (files / file).read_text()
    (files / file).write_text(source + "\nraise SystemExit('never run')\n")
    changed = predict(files)
    (files / file).unlink()
    missing = predict(files)
    (tmp_path / file).write_text(source)
    monkeypatch.setenv(lookup.PLUGINS, str(tmp_path / file))
    moved = predict(files)
    (tmp_path / file).write_text(source + "\n# a comment\n")
    commented = predict(files)
    (tmp_path / file).write_text(source + "\nEDITED = True\n")
    edited = predict(files)

    assert (changed.code, missing.code, edited.code) == (2, 2, 2)
    assert (moved.code, commented.code) == (0, 0), (moved.error, commented.error)
    assert f"comes from {files / file}; the code in {files / file} is another one ({file} changed)" in changed.error
    assert f"comes from {files / file}, which is missing: put it back, or name the file's new path" in missing.error
    assert f"the code in {tmp_path / file} is another one ({file} changed)" in edited.error


def test_a_file_inside_a_checkpoint_is_never_run(files: Path) -> None:
    checkpoint = next(files.glob("run/fold-*/seed-0/checkpoint"))
    hidden = checkpoint / "encoders" / "text" / "my_models.py"
    hidden.write_text((files / "my_models.py").read_text())
    config = json.loads((checkpoint / "config.json").read_text())
    for record in config["plug_ins"]:
        record["file"] = record["file"].replace(str(files / "my_models.py"), str(hidden))
    reseal(checkpoint, {"plug_ins": config["plug_ins"]})

    done = predict(files)

    assert done.code == 2
    assert "a file inside a checkpoint, which is never run" in done.error


def test_a_checkpoint_that_records_no_plug_in_takes_none(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reseal(next(files.glob("run/fold-*/seed-0/checkpoint")), {"plug_ins": []})
    monkeypatch.setenv(lookup.PLUGINS, str(files / "my_models.py"))

    done = predict(files)

    assert done.code == 2
    assert "records no code from elsewhere, expected merkit's own. No model named 'my_models'" in done.error


def test_plug_ins_of_an_installed_package_are_trained_and_predicted_with(
    tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {kind: f"wheel{'-' if kind == 'protocols' else '_'}{kind}" for kind in PAGE_OF}
    site = write_package(tmp_path / "site", "wheel_pack", names)
    folder = tmp_path / "work"
    folder.mkdir()
    with monkeypatch.context() as there:
        there.syspath_prepend(site)
        trained, predicted, listed = train(folder, raw, names), predict(folder), call("list", "models", "--json")
    gone = predict(folder)

    assert trained.code == 0, trained.error
    assert predicted.code == 0, predicted.error
    rows = {row["name"]: row["source"] for row in json.loads(listed.out)}
    assert (rows["wheel_models"], rows["concat"]) == ("wheel_pack 1.5", "merkit")
    assert gone.code == 2
    assert "comes from wheel_pack 1.5 (module wheel_pack.wheel_models), which is not installed" in gone.error


def contract_tests(chosen: str, **environment: str) -> str:
    """Run the contract tests of plug-ins with these names, as their author would, and return what pytest says."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contract", "-k", chosen]
    known = {name: value for name, value in os.environ.items() if name != "COVERAGE_FILE"}
    return subprocess.run(command, cwd=ROOT, env={**known, **environment}, capture_output=True, text=True).stdout


def test_the_contract_tests_cover_files_of_the_user_and_installed_packages(tmp_path: Path) -> None:
    files = [write_file(tmp_path, kind, f"fileplug{kind}") for kind in PAGE_OF]
    site = write_package(tmp_path / "site", "contract_pack", {kind: f"packplug{kind}" for kind in PAGE_OF})
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])

    said = contract_tests("fileplug or packplug", PYTHONPATH=path, **{lookup.PLUGINS: os.pathsep.join(map(str, files))})

    passed = re.search(r"^(\d+) passed, \d+ deselected", said, re.MULTILINE)
    assert passed is not None, said[-5000:]
    assert int(passed.group(1)) > 2 * 45


def test_the_contract_tests_see_a_model_that_reads_padding(tmp_path: Path) -> None:
    broken = write_file(tmp_path, "models", "careless")
    broken.write_text(broken.read_text().replace("frames.mask, batch", "torch.ones_like(frames.mask), batch"))

    said = contract_tests("careless", **{lookup.PLUGINS: str(broken)})

    assert "FAILED tests/contract/test_models.py::test_padding_and_what_stands_in_it_change_nothing[careless-1]" in said
