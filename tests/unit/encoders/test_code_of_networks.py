"""Code that comes with a network is never run, and nobody is asked whether it may be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.networks import write_speech_network, write_text_network

from merkit.aligners.ctc import Ctc, CtcConfig
from merkit.core.errors import MerkitError
from merkit.encoders.networks.files import NetworkFiles
from merkit.encoders.networks.loading import read_network_config, read_tokenizer
from merkit.views.translate import Translate, TranslateConfig

AUTO = ["AutoConfig", "AutoModelForCTC", "AutoModelForSeq2SeqLM"]


def plant(folder: Path, model_type: str | None = None) -> Path:
    """Let a network's files name code of their own."""
    (folder / "planted.py").write_text(f"open({str(folder / 'run')!r}, 'w').close()\n")
    names = dict.fromkeys(AUTO, "planted.Planted")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"auto_map": names, "model_type": model_type or config["model_type"]})
    )
    if (folder / "tokenizer_config.json").exists():
        tokenizer = {"tokenizer_class": "Planted", "auto_map": {"AutoTokenizer": [None, "planted.Planted"]}}
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return folder


def of_config(folder: Path) -> Any:
    return read_network_config(NetworkFiles(str(plant(write_text_network(folder, ["a"]), "unheard")), None, None))


def of_tokenizer(folder: Path) -> Any:
    return read_tokenizer(NetworkFiles(str(plant(write_text_network(folder, ["a"]), "unheard")), None, None))


def of_translation(folder: Path) -> Any:
    network = str(plant(write_text_network(folder, ["a"])))
    return Translate(TranslateConfig(forward=network, backward=network))._networks


def of_letters(folder: Path) -> Any:
    plant(write_speech_network(folder, "wav2vec2 group", conv_stride=(5, 2, 2, 2, 2, 2, 2)), "bert")
    (folder / "vocab.json").write_text(json.dumps({"a": 1}))
    return Ctc(CtcConfig(weights=str(folder)))._network


@pytest.mark.parametrize("load", [of_config, of_tokenizer, of_translation, of_letters])
def test_code_beside_a_network_is_refused_in_one_line(
    load: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "y")

    with pytest.raises(MerkitError, match="it needs code of its own, which merkit does not run") as caught:
        load(tmp_path)

    assert "\n" not in str(caught.value)
    assert asked == []
    assert not (tmp_path / "run").exists()
