"""A checkpoint predicts what it was saved to predict, or is refused in one line; nothing in it is run."""

import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.checkpoints import reseal
from tests.mutations import mutate
from tests.networks import write_text_network
from tests.tiny import built

from merkit.core.errors import MerkitError
from merkit.core.types import Turn, Utterance
from merkit.inference.recognizer import Recognizer
from merkit.io.checkpoint import load_checkpoint, save_checkpoint

LABELS = ("calm", "cross", "glad")
WORDS = ["good", "bad", "call", "now"]
SAID = ["good call", "bad now bad", "", "call"]
TURNS = [Turn(Utterance(str(number), "c", number, "A", text=text), (), Path()) for number, text in enumerate(SAID)]
DEEP = '{"a":' * 100_000 + "1" + "}" * 100_000


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that reads text by a feature extractor, a fine-tuned network that is a checkpoint itself."""
    folder = tmp_path_factory.mktemp("saved")
    network = write_text_network(folder / "network", WORDS)
    text = {"name": "bert", "weights": str(network), "frozen": False, "max_tokens": 16}
    facts = {"trained_on": {"utterances": ""}}
    torch.manual_seed(0)
    save_checkpoint(folder / "extractor", *built("single", {"text": text}, LABELS), facts, "")
    extractor = {"text": {"name": "checkpoint", "checkpoint": str(folder / "extractor")}}
    save_checkpoint(folder / "checkpoint", *built("bc_lstm", extractor, LABELS), facts, "")
    return folder


@pytest.fixture
def network(saved: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint of the fine-tuned network."""
    return shutil.copytree(saved / "extractor", tmp_path / "checkpoint")


def predict(checkpoint: Path) -> list[list[float]]:
    return [
        list(each.probabilities.values()) for each in Recognizer.load(checkpoint, device="cpu").predict_turns(TURNS)
    ]


def test_forty_damaged_checkpoints_are_refused_in_one_line_or_predict_the_same(saved: Path, tmp_path: Path) -> None:
    rng, expected = random.Random(4), predict(saved / "checkpoint")
    outcomes = Counter(
        outcome(shutil.copytree(saved / "checkpoint", tmp_path / str(number)), rng, expected) for number in range(40)
    )

    assert set(outcomes) == {"refused", "equal"}
    assert outcomes["refused"] >= 20


def outcome(checkpoint: Path, rng: random.Random, expected: list[list[float]]) -> str:
    """Damage a checkpoint, and return what becomes of its predictions."""
    damage = mutate(checkpoint, rng)
    try:
        found = predict(checkpoint)
    except MerkitError as error:
        return f"{damage}: {error}" if "\n" in str(error) else "refused"
    difference = (torch.tensor(found) - torch.tensor(expected)).abs().max()
    return "equal" if difference <= 1e-6 else damage


def test_a_checkpoint_without_hashes_is_still_read(network: Path) -> None:
    expected = predict(network)
    values = json.loads((network / "config.json").read_text())
    del values["files"], values["checksum"]
    (network / "config.json").write_text(json.dumps(values | {"format": 2}))

    assert predict(network) == expected


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"temperature": 0}, "temperature: Input should be greater"),
        ({"temperature": -1.0}, "temperature: Input should be greater"),
        ({"temperature": 1e308}, "temperature: Input should be less"),
        ({"temperature": "1"}, "temperature: Input should be a valid number"),
        ({"temperature": float("nan")}, "NaN is no number"),
        ({"labels": ["calm", "calm", "glad"]}, "labels: two are the same"),
        ({"labels": ["calm", " ", "glad"]}, "labels: one is blank"),
        ({"labels": ["calm", "", "glad"]}, r"labels\.1: String should have"),
        ({"labels": ["calm", 1, "glad"]}, r"labels\.1: Input should be a valid string"),
        ({"labels": []}, "labels: Tuple should have at least 1"),
        ({"labels": ["calm"]}, "of another shape"),
        ({"format": True}, "checkpoint format True"),
        ({"format": 10**400}, "upgrade merkit"),
        ({"model": "../single"}, "expected the name of a model"),
        ({"encoders": {"../../x": {"name": "bert"}}}, "encoders.*: Input should be 'text'"),
        ({"files": None}, "belong to format"),
        ({"model_config": {"hidden_size": 10**9}}, "more memory than its weights explain"),
        ({"model_config": {"hidden_size": 10**30}}, "more memory than its weights explain|cannot be built"),
    ],
)
def test_values_that_no_checkpoint_has_are_refused(network: Path, changes: dict[str, Any], told: str) -> None:
    values = json.loads((network / "config.json").read_text())
    if "model_config" in changes:
        changes = {"model_config": values["model_config"] | changes["model_config"]}
    reseal(network, changes)
    if changes == {"files": None}:
        values = json.loads((network / "config.json").read_text())
        (network / "config.json").write_text(json.dumps(values | changes))

    with pytest.raises(MerkitError, match=told) as caught:
        load_checkpoint(network)

    assert len(str(caught.value)) < 600


def in_network(name: str, **values: Any) -> Callable[[Path], object]:
    """Return what changes keys of a network's file."""

    def change(checkpoint: Path) -> None:
        path = checkpoint / "encoders" / "text" / name
        path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | values))

    return change


def planted(checkpoint: Path) -> None:
    text = checkpoint / "encoders" / "text"
    (text / "planted.py").write_text(f"open({str(checkpoint / 'run')!r}, 'w').close()")
    in_network("config.json", model_type="unheard", auto_map={"AutoConfig": "planted.Planted"})(checkpoint)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "code": (planted, "needs code of its own"),
    "code of a known type": (in_network("config.json", auto_map={"AutoModel": "planted.Planted"}), "code of its own"),
    "code of a tokenizer": (in_network("tokenizer_config.json", auto_map=["p.P", None]), "code of its own"),
    "code of a preprocessor": (in_network("preprocessor_config.json", auto_map={"A": "p.P"}), "code of its own"),
    "code below": (in_network("config.json", text_config={"auto_map": {"A": "p.P"}}), "code of its own"),
    "a kernel": (in_network("config.json", attn_implementation="evil/kernel"), "code from elsewhere"),
    "a kernel inside": (in_network("config.json", _attn_implementation="evil/kernel@1:f"), "code from elsewhere"),
    "a kernel of a part": (in_network("config.json", attn_implementation={"": "evil/k"}), "code from elsewhere"),
    "a quantization": (in_network("config.json", quantization_config={"quant_method": "awq"}), "code from elsewhere"),
    "a type that is a function": (in_network("config.json", torch_dtype="load"), "expected float32"),
    "an unknown type": (in_network("config.json", model_type="unheard"), "no model_type 'unheard'"),
    "a path for a type": (in_network("config.json", model_type="../x"), "expected a name"),
    "no type": (in_network("config.json", model_type=None), "has no model_type"),
    "a path for a class": (
        in_network("tokenizer_config.json", tokenizer_class="os.system"),
        "expected a name|Cannot use",
    ),
    "an adapter": (in_network("adapter_config.json", base_model_name_or_path="x/y"), "belongs to an adapter"),
    "shards elsewhere": (
        in_network("model.safetensors.index.json", weight_map={"a": "../../x.safetensors"}),
        "names other files",
    ),
    "a wide network": (in_network("config.json", hidden_size=10**9), "hidden_size is 1000000000"),
    "a network wider than its weights": (in_network("config.json", hidden_size=1_000_000), "more memory than"),
    "many layers": (in_network("config.json", num_hidden_layers=10_000), "num_hidden_layers is 10000"),
    "more layers than weights": (in_network("config.json", num_hidden_layers=4), "missing"),
    "a large vocabulary": (in_network("config.json", vocab_size=10**9), "vocab_size is 1000000000"),
    "a larger vocabulary than weights": (in_network("config.json", vocab_size=9_000_000), "more memory than"),
    "an activation that is none": (in_network("config.json", hidden_act="evil"), "Cannot (use|build) the network"),
    "fewer layers than none": (in_network("config.json", num_hidden_layers=-1), "num_hidden_layers is -1"),
    "a length that is a list": (in_network("tokenizer_config.json", model_max_length=[]), "model_max_length is "),
    "a length below one": (in_network("tokenizer_config.json", model_max_length=0), "model_max_length is "),
    "a size that is a word": (in_network("config.json", hidden_size="wide"), "Cannot use the network"),
    "nesting": (lambda folder: (folder / "encoders/text/config.json").write_text(DEEP), "nested too deeply"),
    "nesting of its own": (lambda folder: (folder / "config.json").write_text(DEEP), "nested too deeply"),
    "a list": (lambda folder: (folder / "encoders/text/config.json").write_text("[]"), "expected an object"),
    "a key twice": (
        lambda folder: (folder / "encoders/text/config.json").write_text('{"a": 1, "a": 2}'),
        "the key .a. occurs twice",
    ),
    "a pipe": (
        lambda folder: ((folder / "model.safetensors").unlink(), os.mkfifo(folder / "model.safetensors")),
        "is a pipe or device",
    ),
    "a pipe of a tokenizer": (
        lambda folder: (
            (folder / "encoders/text/tokenizer.json").unlink(),
            os.mkfifo(folder / "encoders/text/tokenizer.json"),
        ),
        "is a pipe or device",
    ),
    "a device": (
        lambda folder: (
            (folder / "model.safetensors").unlink(),
            (folder / "model.safetensors").symlink_to("/dev/zero"),
        ),
        "link out of the checkpoint",
    ),
    "a link": (
        lambda folder: (folder / "encoders/text/added_tokens.json").symlink_to("/etc/hostname"),
        "link out of the checkpoint",
    ),
    "a linked folder": (
        lambda folder: (
            shutil.move(folder / "encoders", folder.parent / "elsewhere"),
            (folder / "encoders").symlink_to(folder.parent / "elsewhere"),
        ),
        "link out of the checkpoint",
    ),
    "a link in a circle": (
        lambda folder: (folder / "encoders/text/again").symlink_to(folder / "encoders"),
        "link out of the checkpoint",
    ),
}


@pytest.mark.parametrize(("change", "told"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_checkpoint_is_refused_in_one_line(
    network: Path, change: Callable[[Path], object], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda _: "y")
    change(network)
    if told not in ("nested too deeply", "is a pipe or device", "link out of the checkpoint"):
        reseal(network)

    with pytest.raises(MerkitError, match=told) as caught:
        predict(network)

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert not (network / "run").exists()


def test_a_file_that_was_added_beside_a_network_is_named(network: Path) -> None:
    (network / "encoders" / "text" / "added_tokens.json").write_text('{"good": 7}')

    with pytest.raises(MerkitError, match=r"added_tokens\.json was added since the checkpoint was saved"):
        load_checkpoint(network)


def test_links_of_the_hub_s_cache_are_followed(network: Path, tmp_path: Path) -> None:
    """The hub's client keeps files in ``blobs``, and links to them in ``snapshots/REVISION``."""
    snapshot = tmp_path / "models--me--mine" / "snapshots" / "1"
    (tmp_path / "models--me--mine" / "blobs").mkdir(parents=True)
    for number, path in enumerate(sorted(network.rglob("*.*"))):
        blob = tmp_path / "models--me--mine" / "blobs" / str(number)
        path.rename(blob)
        link = snapshot / path.relative_to(network)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))

    model, _ = load_checkpoint(snapshot)

    assert not model.training


def test_weights_that_changed_are_refused_even_where_they_fit(network: Path) -> None:
    state = load_file(network / "model.safetensors")
    name = sorted(state)[0]
    state[name] = state[name] + 1
    save_file(state, network / "model.safetensors")

    with pytest.raises(MerkitError, match=r"model\.safetensors has changed since the checkpoint was saved"):
        load_checkpoint(network)
