"""Results know their code: what counts as an edit, and what a run does after one."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.commandline import Called, call
from tests.tiny import recipe_values, write_corpus, write_recipe

import merkit
from merkit.core import source
from merkit.core.errors import MerkitError
from merkit.core.lookup import Origin, load
from merkit.core.protocol import Fold
from merkit.data.corpus.manifest import read_manifest
from merkit.experiments import run as experiments_run
from merkit.experiments.cell import Cell
from merkit.experiments.code import check_code, code_hashes
from merkit.experiments.recipe_reader import check_recipe
from merkit.experiments.resume import key_of
from merkit.experiments.run import train_recipe
from merkit.experiments.run_cell import run_cell
from merkit.training import loop

MODEL = '''
import torch
from torch import nn

from merkit.core.batch import ModelOutput
from merkit.core.model import Model, ModelConfig, ModelSpec
from merkit.nn.layers import PooledUtterance


class Config(ModelConfig):
    scale: float = 1.0


class Linear(Model):
    """A linear layer on the means of all modalities."""

    def __init__(self, encoders, classes, config):
        super().__init__(encoders)
        self.scale = config.scale
        self.pooled = nn.ModuleDict({name: PooledUtterance(encoder.dim) for name, encoder in encoders.items()})
        self.head = nn.Linear(sum(encoder.dim for encoder in encoders.values()), classes)

    def forward(self, batch):
        vectors = []
        for name, encoder in self.encoders.items():
            frames = encoder(batch.inputs[name])
            vectors.append(self.pooled[name](frames.data, frames.mask, batch.present[name]))
        return ModelOutput(self.scale * self.head(torch.cat(vectors, dim=-1)), {})


def unused():
    return 1


SPEC = ModelSpec(name="gmu", summary="linear", level="utterance", config=Config, build=Linear)
'''


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("code") / "data", conversations=10).root


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model in a file of the user."""
    path = tmp_path / "gmu.py"
    path.write_text(MODEL)
    return path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def hashes(model: Path) -> dict[str, str]:
    return code_hashes([load("models", str(model))])


def test_the_code_of_a_cell_is_its_plug_ins_and_what_they_and_the_runner_import() -> None:
    specs = [load("models", "bc_lstm"), load("encoders", "precomputed"), load("protocols", "meld7")]

    names = set(code_hashes(specs))

    wanted = {"models/bc_lstm", "nn/recurrent", "encoders/precomputed", "protocols/meld7", "protocols/_official"}
    wanted |= {"training/loop", "training/optimisation", "data/dataset", "experiments/run_cell", "core/model"}
    assert names > {f"merkit/{name}.py" for name in wanted}
    assert not [n for n in names if n.startswith(("merkit/cli", "merkit/api", "merkit/reporting", "merkit/evaluation"))]
    assert not names & {"merkit/models/ada2i.py", "merkit/encoders/wav2vec2.py", "merkit/io/card.py"}


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("self.scale = config.scale", "self.scale = config.scale  # of the logits", False),
        ('"""A linear layer on the means of all modalities."""', '"""Another docstring."""', False),
        ("vectors = []", "vectors = (\n            []\n        )", False),
        ("return 1", "return 2", True),
        ("unused", "renamed", True),
        ("float = 1.0", "float = 2.0", True),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(model: Path, old: str, new: str, counts: bool) -> None:
    before = hashes(model)

    edit(model, old, new)

    after = hashes(model)
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] != after[name]] == (["gmu.py"] if counts else [])


def test_modules_beside_a_model_count(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (model.parent / "gmu_layers.py").write_text("SIZE = 1\n")
    edit(model, "import torch\n", "import gmu_layers\nimport torch\n")
    monkeypatch.syspath_prepend(model.parent)
    before = hashes(model)
    (model.parent / "gmu_layers.py").write_text("SIZE = 2\n")
    assert hashes(model) == before  # the process runs what it has loaded

    source.read.cache_clear()  # as in a new process
    after = hashes(model)
    assert [name for name in before if before[name] != after[name]] == ["gmu_layers.py"]


def test_the_code_of_a_plug_in_is_what_was_imported(model: Path) -> None:
    spec = load("models", str(model))
    before = code_hashes([spec])

    edit(model, "return 1", "return 2")

    assert code_hashes([spec]) == before
    assert hashes(model) != before


@pytest.mark.parametrize("imports", ["from thesis import layers", "import thesis.layers", "from .layers import SIZE"])
def test_modules_of_a_models_package_count(tmp_path: Path, imports: str) -> None:
    package = tmp_path / "thesis"
    package.mkdir()
    for name, text in (("__init__", ""), ("gmu", f"{imports}\n{MODEL}"), ("layers", "SIZE = 1\n")):
        (package / f"{name}.py").write_text(text)
    file = package / "gmu.py"
    origin = Origin("models", "gmu", "thesis.gmu", file, file.read_bytes(), {}, "thesis", "1")

    names = code_hashes([replace(load("models", "concat"), origin=origin)])

    assert {"thesis/__init__.py", "thesis/gmu.py", "thesis/layers.py"} <= names.keys()


def outside(*files: Path) -> dict[str, str]:
    return source.code_hashes({file: file.read_bytes() for file in files})


def test_all_that_a_relative_import_runs_counts(tmp_path: Path) -> None:
    package = tmp_path / "thesis"
    (package / "sub").mkdir(parents=True)
    texts = {
        "__init__": "SCALE = 1",
        "gmu": "from . import helper, SCALE\nfrom .sub import Y",
        "helper": "import other",
        "sub/__init__": "from ..deep import Z\nY = 1",
        "deep": "Z = 1",
        "unused": "",
    }
    for name, text in texts.items():
        (package / f"{name}.py").write_text(text)
    (tmp_path / "other.py").write_text("")

    names = outside(package / "gmu.py").keys()

    assert names == {"other.py", *(f"thesis/{name}.py" for name in texts.keys() - {"unused"})}


def test_packages_installed_beside_a_plug_ins_do_not_count(tmp_path: Path) -> None:
    for name, text in (("thesis", "import large, thesis.sub"), ("thesis/sub", ""), ("large", "")):
        folder = tmp_path / "site-packages" / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(text)

    names = outside(tmp_path / "site-packages" / "thesis" / "__init__.py").keys()

    assert names == {"thesis/__init__.py", "thesis/sub/__init__.py"}


def test_files_of_one_name_in_two_folders_both_count(tmp_path: Path) -> None:
    files = [tmp_path / "a" / "gmu.py", tmp_path / "b" / "gmu.py"]
    for number, file in enumerate(files):
        file.parent.mkdir()
        file.write_text(f"X = {number}")

    both = outside(*files)["gmu.py"]

    assert both == outside(*reversed(files))["gmu.py"]
    assert both.split() == sorted(outside(file)["gmu.py"] for file in files)


def test_an_empty_string_in_a_nested_format_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.12.1 parses one that other versions leave out."""
    content = b'f"{x:{w}}"'
    tree = ast.parse(content)
    before = source.source_hash(content)
    source.source_hash.cache_clear()
    tree.body[0].value.values[0].format_spec.values.append(ast.Constant(""))  # type: ignore[attr-defined]
    monkeypatch.setattr(ast, "parse", lambda content: tree)

    assert source.source_hash(content) == before
    monkeypatch.undo()
    assert source.source_hash(b"['']") != source.source_hash(b"[]")


@pytest.fixture
def train(data: Path, model: Path, tmp_path: Path) -> Callable[..., Called]:
    """Train the user's model, two seeds."""
    values = {**recipe_values("gmu", epochs=2), "model": str(model), "seeds": 2}
    recipe = write_recipe(tmp_path / "r.toml", values)
    return lambda *more: call("-q", "train", recipe, "--data", data, "--out", tmp_path / "run", *more)


def made(run: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(run.glob("fold-*/seed-*/cell.json"))}


def test_a_run_of_edited_code_is_refused_and_trained_with_again(
    train: Callable[..., Called], model: Path, tmp_path: Path
) -> None:
    assert train().code == 0
    before = made(tmp_path / "run")
    code = json.loads(next((tmp_path / "run").glob("fold-*/seed-0/checkpoint/provenance.json")).read_text())["code"]
    assert code["gmu.py"] == hashes(model)["gmu.py"]

    edit(model, "self.scale = config.scale", "self.scale = config.scale  # a comment")
    assert train().code == 0
    assert made(tmp_path / "run") == before

    edit(model, "self.scale * self.head", "2 * self.head")
    refused = train()
    assert refused.code == 2
    assert "seed-0' was made by other code, from the same settings and data: gmu.py changed since" in refused.error
    assert refused.error.count("\n") == 1
    assert made(tmp_path / "run") == before
    assert train("--out", tmp_path / "other").code == 0

    assert train("--again").code == 0
    after = made(tmp_path / "run")
    assert [after[name] != before[name] for name in before] == [True, True]
    assert train().code == 0
    assert train("--again").code == 0
    assert made(tmp_path / "run") == after  # what today's code made is complete


def test_an_edit_after_training_began_is_not_in_the_key(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = model.parent / "gmu_early.py"
    helper.write_text("SIZE = 1\n")
    edit(model, "import torch\n", "import gmu_early\nimport torch\n")
    monkeypatch.syspath_prepend(model.parent)
    recipe = check_recipe({**recipe_values("gmu", epochs=1), "model": str(model)}, "r.toml")

    def late(*arguments: Any, **options: Any) -> None:
        """Train a cell whose sources the user edits while its teachers are trained."""
        helper.write_text("SIZE = 2\n")
        run_cell(*arguments, **options)

    monkeypatch.setattr(experiments_run, "run_cell", late)
    before = source.source_hash(helper.read_bytes())
    train_recipe(recipe, data, tmp_path / "run")

    stored = json.loads(next((tmp_path / "run").glob("fold-*/seed-0/cell.json")).read_text())["code"]
    assert stored["gmu_early.py"] == before


def test_the_code_of_a_feature_extractor_named_by_its_checkpoint_counts(data: Path, tmp_path: Path) -> None:
    train_recipe(check_recipe(recipe_values("single", epochs=1), "r.toml"), data, tmp_path / "run")
    checkpoint = next((tmp_path / "run").glob("fold-*/seed-0/checkpoint"))
    values = recipe_values("concat", epochs=1)
    values["encoders"] = {"audio": {"name": "checkpoint", "checkpoint": str(checkpoint)}}

    train_recipe(check_recipe(values, "r.toml"), data, tmp_path / "second")

    code = json.loads(next((tmp_path / "second").glob("fold-*/seed-0/cell.json")).read_text())["code"]
    assert {"merkit/models/single.py", "merkit/encoders/precomputed.py"} <= code.keys()


def test_another_speaker_is_another_input(data: Path, tmp_path: Path) -> None:
    manifest = read_manifest(data)
    recipe = check_recipe(recipe_values("bag_of_words"), "r.toml")
    fold = Fold("split", {}, {}, ())
    cell = Cell(tmp_path, tmp_path, recipe, None, manifest, [], fold, 0, None, tmp_path, tmp_path)  # type: ignore[arg-type]
    turns = list(manifest.turns())
    others = [replace(turn, utterance=replace(turn.utterance, speaker="same")) for turn in turns]

    assert key_of(cell, turns, {}, {}, {}).inputs != key_of(cell, others, {}, {}, {}).inputs


def test_a_changed_encoder_of_merkit_is_refused_with_a_word_about_its_stored_features() -> None:
    with pytest.raises(MerkitError, match="changed since") as refused:
        check_code(Path("c"), {"merkit/models/concat.py": "1"}, {"merkit/models/concat.py": "2"})
    assert "features" not in str(refused.value)
    with pytest.raises(MerkitError, match=r"Stored features are used again unless .* version is raised"):
        check_code(Path("c"), {"merkit/encoders/logmel.py": "1"}, {"merkit/encoders/logmel.py": "2"})


class Killed(BaseException):
    """What a test calls a kill."""


def test_a_killed_cell_is_not_resumed_by_other_code(
    train: Callable[..., Called], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = loop.save_state

    def deadly(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(loop, "save_state", deadly)
        with pytest.raises(Killed):
            train()
    edit(model, "self.scale * self.head", "2 * self.head")

    refused = train()
    assert refused.code == 2
    assert "gmu.py changed since" in refused.error
    assert train("--again").code == 0
    assert len(made(tmp_path / "run")) == 2


def test_an_edited_file_of_merkit_is_named(data: Path, tmp_path: Path) -> None:
    shutil.copytree(Path(merkit.__file__).parent, tmp_path / "merkit", ignore=shutil.ignore_patterns("__pycache__"))
    recipe = write_recipe(tmp_path / "r.toml", recipe_values("concat", epochs=1))

    def train(run: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "merkit", "-q", "train", recipe, "--data", data, "--out", tmp_path / run]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
        return subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, cwd=tmp_path)

    first = train("run")
    assert first.returncode == 0, first.stderr
    edit(tmp_path / "merkit" / "models" / "concat.py", "self.head(embedding)", "2 * self.head(embedding)")
    second = train("run")

    assert second.returncode == 2
    assert "merkit/models/concat.py changed since. Repeat the command with --again" in second.stderr
