"""Vectors of a frozen network, compared with those of their speaker."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from tests.networks import noise, write_whisper

from merkit.core.encoder import EncoderHome
from merkit.core.types import Turn, Utterance
from merkit.core.waveform import Waveform
from merkit.data.dataset import Dataset
from merkit.data.features.sources import FeatureSource, open_sources
from merkit.encoders.networks.frozen import FrozenNetwork
from merkit.encoders.whisper import SPEC, WhisperConfig


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("whisper"))


def build(folder: Path, **settings: object) -> FrozenNetwork:
    encoder = SPEC.build(WhisperConfig(weights=str(folder), **settings), "audio", EncoderHome())
    assert isinstance(encoder, FrozenNetwork)
    return encoder.eval()


def clips(speakers: str) -> list[Turn]:
    return [
        Turn(Utterance(f"u{n}", f"c{n}", 0, speaker, audio=Waveform(noise(1_600 * (n + 1), n), 16_000)), (), Path())
        for n, speaker in enumerate(speakers)
    ]


def fitted(encoder: FrozenNetwork, turns: list[Turn], training: int) -> FeatureSource:
    """Return the source of all turns after the encoder has learned from the first ones, as the cell runner does it."""
    sources = open_sources({"audio": encoder}, turns, None)
    dataset = Dataset([[turn] for turn in turns[:training]], sources, "utterance")
    encoder.fit_average(dataset.arrays("audio", compared=False))
    encoder.fit(dataset.arrays("audio"))
    return sources["audio"]


@pytest.mark.parametrize("layer", ["last", "mix"])
def test_the_training_mean_counts_as_one_more_clip_of_each_speaker(whisper: Path, layer: str) -> None:
    turns = clips("AABA")
    raw = np.stack(build(whisper, layer=layer, pooled=True).extract(turns)).astype(np.float64)
    encoder = build(whisper, layer=layer, pooled=True, normalize="speaker_mean")

    source = fitted(encoder, turns, training=3)

    average = raw[:3].mean(0)
    for index, own in ((0, [0, 1, 3]), (2, [2]), (3, [0, 1, 3])):
        mean = (raw[own].sum(0) + average) / (len(own) + 1)
        np.testing.assert_allclose(source.get(turns[index]), raw[index] - mean, atol=1e-5)


def test_frames_weigh_alike_within_a_speaker_and_the_training_mean_as_one_clip(whisper: Path) -> None:
    turns = clips("AAB")
    raw = [array.astype(np.float64) for array in build(whisper).extract(turns)]
    assert [len(array) for array in raw] == [5, 10, 15]

    source = fitted(build(whisper, normalize="speaker_mean"), turns, training=3)

    average = np.concatenate(raw).mean(0)
    mean = (2 * np.concatenate(raw[:2]).mean(0) + average) / 3
    np.testing.assert_allclose(source.get(turns[1]), raw[1] - mean, atol=1e-5)


def test_a_speaker_s_vectors_have_mean_0_and_deviation_1(whisper: Path) -> None:
    turns = clips("ABAA")
    source = fitted(build(whisper, pooled="mean_std", normalize="speaker"), turns, training=2)

    own = np.stack([source.get(turns[index]) for index in (0, 2, 3)]).astype(np.float64)

    assert own.shape == (3, 1, 48)
    np.testing.assert_allclose(own.mean(0), 0.0, atol=1e-4)
    np.testing.assert_allclose(own.std(0), 1.0, atol=1e-2)


def test_what_is_standardised_is_the_difference_from_the_speaker(whisper: Path) -> None:
    turns = clips("AABB")
    encoder = build(whisper, pooled=True, normalize="speaker_mean", standardise=True)

    source = fitted(encoder, turns, training=4)

    compared = np.concatenate([source.get(turn) for turn in turns])
    assert encoder.standardizer is not None
    np.testing.assert_allclose(encoder.standardizer.mean, compared.mean(0), atol=1e-5)


def test_a_checkpoint_keeps_the_training_mean(whisper: Path, tmp_path: Path) -> None:
    turns = clips("AAB")
    trained, restored = (build(whisper, pooled=True, normalize="speaker_mean") for _ in range(2))
    expected = fitted(trained, turns, training=3).get(turns[2])
    save_file(trained.state_dict(), tmp_path / "state.safetensors")

    restored.load_state_dict(load_file(tmp_path / "state.safetensors"), strict=True)
    source = open_sources({"audio": restored}, turns, None)["audio"]

    np.testing.assert_allclose(source.get(turns[2]), expected, atol=1e-6)


def test_processes_that_load_batches_ask_no_other_device_for_the_training_mean(whisper: Path) -> None:
    turns = clips("AAB")
    source = fitted(build(whisper, pooled=True, normalize="speaker_mean"), turns, training=3)
    expected = source.get(turns[2])

    source.encoder.average = source.encoder.average.to("meta")  # nothing can be read there, as of a GPU after a fork

    np.testing.assert_array_equal(source.get(turns[2]), expected)


def test_normalisation_is_no_part_of_what_is_extracted(whisper: Path) -> None:
    plain, compared = build(whisper, pooled=True), build(whisper, pooled=True, normalize="speaker_mean")

    assert plain.fingerprint() == compared.fingerprint()
    assert (plain.normalize_by_speaker, compared.normalize_by_speaker) == (False, True)
    assert "average" not in plain.state_dict()
    assert torch.equal(compared.state_dict()["average"], torch.zeros(24))


def test_a_trained_network_cannot_be_compared() -> None:
    with pytest.raises(ValidationError, match="normalize needs frozen = true"):
        WhisperConfig(frozen=False, normalize="speaker")
