"""The frozen front end of a speech network, computed once: same numbers, size told, refused where it would be wrong."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from tests.networks import KINDS, noise, padded, write_speech_network

from merkit.core.encoder import Encoder, EncoderHome
from merkit.core.errors import MerkitError
from merkit.data.features.sources import open_sources
from merkit.encoders.wav2vec2 import SPEC, CachedFrontEnd, Wav2Vec2Config
from merkit.experiments.features import fill_store


def build(folder: Path, assets: Path | None = None, **settings: object) -> Encoder:
    config = Wav2Vec2Config(weights=str(folder), frozen=False, **settings)
    return SPEC.build(config, "audio", EncoderHome(assets=assets))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", [{}, {"layer": "mix"}, {"trainable_layers": 1}, {"gradient_checkpointing": True}])
def test_training_from_stored_frames_has_the_loss_and_the_gradients_of_training_from_waveforms(
    networks, record, kind, settings
):
    lengths = (4_000, 9_000, 300)
    turns = [record(noise(length, seed), f"u{seed}") for seed, length in enumerate(lengths)]
    losses, gradients = [], []

    for cached in (False, True):
        encoder = build(networks[kind], cache_front_end=cached, **settings).train()
        batch = padded(encoder.extract(turns), steps=60 if cached else 9_500)
        torch.manual_seed(1)
        output = encoder(batch)
        loss = output.data[output.mask].square().mean()
        loss.backward()
        losses.append(loss.detach())
        gradients.append({name: p.grad for name, p in encoder.named_parameters() if p.grad is not None})

    torch.testing.assert_close(losses[1], losses[0], atol=1e-5, rtol=1e-5)
    assert gradients[0].keys() == gradients[1].keys()
    assert gradients[0]
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("samples", [100, 400, 719, 720, 32_000])
def test_stored_frames_take_the_space_that_was_told(networks, record, samples):
    encoder = build(networks["wav2vec2 group"], cache_front_end=True)
    turn = record(noise(samples))

    (array,) = encoder.extract([turn])

    assert encoder.stored
    assert array.dtype == np.float32
    # by hand: (n - 400) // 320 + 1 frames of 16 channels, 4 bytes each
    assert array.nbytes == encoder.stored_bytes(turn) == ((max(samples, 400) - 400) // 320 + 1) * 16 * 4


def test_the_size_is_told_before_the_work_begins_and_once(networks, record, tmp_path, caplog, monkeypatch):
    turns = [record(noise(32_000, seed), f"u{seed}") for seed in range(3)]
    told: list[str] = []
    whole = CachedFrontEnd.extract

    def extract(self, turns):
        told.extend(row.getMessage() for row in caplog.records)
        return whole(self, turns)

    monkeypatch.setattr(CachedFrontEnd, "extract", extract)
    with caplog.at_level(logging.INFO, "merkit"):
        for _ in range(2):
            open_sources({"audio": build(networks["wav2vec2 group"], cache_front_end=True)}, turns, tmp_path / "store")

    # by hand: 99 frames x 16 channels x 4 bytes x 3 = 19,008 bytes
    assert len(told) == len(caplog.records) == 1
    assert told[0].endswith("3 utterances will take 0.000 GB")


def test_a_disk_that_is_too_full_is_told_before_the_work_begins(networks, record, tmp_path, monkeypatch):
    encoder = build(networks["wav2vec2 group"], cache_front_end=True)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    monkeypatch.setattr(CachedFrontEnd, "extract", lambda *_: pytest.fail("extracted all the same"))

    with pytest.raises(MerkitError, match=r"will take 0\.000 GB for 1 utterances, the disk has 0\.000 GB left"):
        open_sources({"audio": encoder}, [record(noise(32_000))], tmp_path / "store")


@pytest.mark.parametrize("kind", ["wav2vec2 group", "wav2vec2 layer"])
def test_the_store_is_known_by_the_front_end_s_weights_alone(networks, tmp_path, kind):
    folder = shutil.copytree(networks[kind], tmp_path / "other")
    weights = load_file(folder / "model.safetensors")
    first = build(networks[kind], cache_front_end=True).fingerprint()

    weights["encoder.layers.0.attention.q_proj.weight"] += 1.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    other_transformer = build(folder, cache_front_end=True, trainable_layers=1).fingerprint()
    weights["feature_extractor.conv_layers.3.conv.weight"] += 1e-3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    other_front_end = build(folder, cache_front_end=True).fingerprint()

    assert other_transformer == first
    assert other_front_end != first
    assert build(networks[kind]).fingerprint() != first


@pytest.mark.parametrize("kind", ["wav2vec2 group", "wav2vec2 layer stable"])
def test_a_checkpoint_reads_recordings_and_stores_nothing(networks, record, tmp_path, kind):
    original = build(networks[kind], cache_front_end=True)
    with torch.no_grad():
        for parameter in original.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01)
    original.eval().save_assets(tmp_path)

    restored = build(Path("gone/away"), tmp_path, cache_front_end=True).eval()
    restored.load_state_dict(original.state_dict(), strict=True)

    turn = record(noise(4_000))
    assert (original.stored, restored.stored) == (True, False)
    assert restored.fingerprint() == original.fingerprint()
    with torch.no_grad():
        found, expected = (encoder(padded(encoder.extract([turn]))).data for encoder in (restored, original))
    # 1e-5: weights read from another file lie elsewhere in memory, for which some processors have other kernels
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"frozen": True}, "cache_front_end needs frozen = false"),
        ({"frozen": False, "freeze_front_end": False}, "cache_front_end needs freeze_front_end = true"),
    ],
)
def test_a_front_end_that_is_trained_or_stored_already_is_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        Wav2Vec2Config(weights="x", cache_front_end=True, **settings)


def test_the_published_front_end_takes_369_megabytes_an_hour(tmp_path, record):
    folder = write_speech_network(tmp_path / "network", "wav2vec2 group", conv_dim=(512,) * 7)
    encoder = build(folder, cache_front_end=True)
    hour = record(noise(16_000))

    # by hand: 57,600,000 samples give 179,999 frames, 512 numbers of 4 bytes each
    object.__setattr__(hour.utterance, "end_s", 3600.0)
    assert encoder.stored_bytes(hour) == 179_999 * 2048 == 368_637_952


def test_merkit_features_fills_the_same_store(networks, record, tmp_path):
    from merkit.data.corpus.manifest import write_manifest

    turn = record(noise(4_000))
    write_manifest(tmp_path, [turn.utterance], name="one", version=1)
    settings = {"weights": str(networks["wav2vec2 group"]), "frozen": False, "cache_front_end": True}

    filled = fill_store(tmp_path, "wav2vec2", None, settings, None, None)
    again = fill_store(tmp_path, "wav2vec2", None, {**settings, "trainable_layers": 1}, None, None)

    assert (filled.new, filled.old) == (1, 0)
    assert (again.new, again.old) == (0, 1)
    assert again.folder == filled.folder
