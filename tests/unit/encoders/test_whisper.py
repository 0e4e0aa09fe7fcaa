"""Whisper's encoder: its input and states are the library's own, and neither batch mates nor length move them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.networks import noise, padded, write_speech_network, write_whisper

from merkit.core.encoder import Encoder, EncoderHome
from merkit.core.errors import ConfigError, MediaError, MerkitError
from merkit.core.types import Turn, Utterance
from merkit.core.waveform import Waveform
from merkit.encoders.whisper import SPEC, WhisperConfig, log_mel

SECOND = 16_000


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("whisper"))


def build(folder: Path, assets: Path | None = None, **settings: object) -> Encoder:
    encoder: Encoder = SPEC.build(WhisperConfig(weights=str(folder), **settings), "audio", EncoderHome(assets=assets))
    return encoder.eval()


def turn(samples: np.ndarray, name: str = "u") -> Turn:
    return Turn(Utterance(name, "c", 0, "anna", audio=Waveform(samples, SECOND)), (), Path())


def with_silence(samples: np.ndarray) -> np.ndarray:
    """Return whole states of 20 ms and one second of silence."""
    return np.pad(samples, (0, -len(samples) % 320 + SECOND))


def library_bands(samples: np.ndarray, mels: int = 80) -> torch.Tensor:
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor(feature_size=mels)
    found = extractor(samples, padding="longest", sampling_rate=SECOND, return_tensors="pt", truncation=False)
    return found.input_features[0]


def library_states(folder: Path, bands: torch.Tensor) -> list[torch.Tensor]:
    """Return the states of the library's own layers; its ``forward`` takes 3,000 frames alone."""
    from transformers import WhisperModel

    encoder = WhisperModel.from_pretrained(folder).eval().encoder
    with torch.no_grad():
        hidden = torch.nn.functional.gelu(encoder.conv1(bands[None]))
        hidden = torch.nn.functional.gelu(encoder.conv2(hidden)).transpose(1, 2)
        states = [hidden + encoder.embed_positions.weight[: hidden.shape[1]]]
        for layer in encoder.layers:
            states.append(layer(states[-1], None))
        return [*states[:-1], encoder.layer_norm(states[-1])]


@pytest.mark.parametrize("mels", [80, 128])
@pytest.mark.parametrize("samples", [noise(3 * SECOND + 77), noise(1), np.zeros(1_600, np.float32)])
def test_the_input_is_the_library_s(mels: int, samples: np.ndarray) -> None:
    from merkit.encoders.whisper import _mel_filters

    found = log_mel(samples, _mel_filters(mels))

    np.testing.assert_allclose(found.T, library_bands(with_silence(samples), mels), atol=1e-4)


@pytest.mark.parametrize("layer", ["last", 0, 2, (1, 3)])
def test_the_states_are_the_library_s_without_those_of_the_silence(whisper: Path, layer: object) -> None:
    wave = noise(SECOND // 2 + 1)

    (array,) = build(whisper, layer=layer).extract([turn(wave)])

    states = library_states(whisper, library_bands(with_silence(wave)))
    numbers = [3] if layer == "last" else [layer] if isinstance(layer, int) else layer
    expected = torch.cat([states[number][0] for number in numbers], dim=-1)
    assert array.shape == (26, 24 * len(numbers))  # frames of 20 ms, the last one of a single sample
    np.testing.assert_allclose(array, expected[:26], atol=1e-4)


def test_thirty_seconds_give_what_the_library_s_own_forward_gives(whisper: Path) -> None:
    from transformers import WhisperModel

    wave = noise(29 * SECOND)

    (array,) = build(whisper, layer=(0, 2, 3)).extract([turn(wave)])

    network = WhisperModel.from_pretrained(whisper).eval().encoder
    with torch.no_grad():
        states = network(library_bands(with_silence(wave))[None], output_hidden_states=True).hidden_states
    np.testing.assert_allclose(array, torch.cat([states[n][0, :1450] for n in (0, 2, 3)], dim=-1), atol=1e-3)


def test_only_as_many_layers_are_loaded_as_the_states_need(whisper: Path) -> None:
    some, all_of_them = build(whisper, layer=(1, 2), combine="mean"), build(whisper)

    assert [len(encoder.network.layers) for encoder in (some, all_of_them)] == [2, 3]
    assert some.frozen_parameters() < all_of_them.frozen_parameters()
    assert not any("decoder" in name for name in all_of_them.network.state_dict())


def test_a_folder_with_the_spelling_head_is_the_same_network(whisper: Path, tmp_path: Path) -> None:
    whole = write_whisper(tmp_path, whole=True)
    states = library_states(whole, library_bands(with_silence(noise(900))))

    (array,) = build(whole).extract([turn(noise(900))])

    np.testing.assert_allclose(array, states[-1][0, :3], atol=1e-4)


@pytest.mark.parametrize("layer", ["mean", (1, 2)])
@pytest.mark.parametrize("pooled", [False, "mean", "mean_std"])
def test_states_are_averaged_after_mean_and_deviation_over_time(whisper: Path, layer: object, pooled: object) -> None:
    combine = None if layer == "mean" else "mean"
    wave = noise(SECOND)
    numbers = range(4) if layer == "mean" else layer
    states = np.stack([build(whisper, layer=number).extract([turn(wave)])[0] for number in numbers])

    (array,) = build(whisper, layer=layer, combine=combine, pooled=pooled).extract([turn(wave)])

    expected = states.mean(0)
    if pooled:
        mean, std = states.mean(1).mean(0), states.std(1).mean(0)
        expected = np.concatenate([mean, std] if pooled == "mean_std" else [mean])[None]
    np.testing.assert_allclose(array, expected, atol=1e-4)


@pytest.mark.parametrize("layer", ["mean", "mix"])
def test_frames_are_averaged_by_stride_and_keep_their_times(whisper: Path, layer: str) -> None:
    one, three = build(whisper, layer=layer), build(whisper, layer=layer, stride=3)
    wave = noise(7 * 320)

    (frames,), (means,) = one.extract([turn(wave)]), three.extract([turn(wave)])

    assert (one.hop_s, one.centre_s, three.hop_s) == (0.02, 0.0, pytest.approx(0.06))
    assert three.centre_s == pytest.approx(0.02)  # of three frames the second is the middle
    assert len(frames) == 7
    for found, own in zip(means, (frames[:3], frames[3:6], frames[6:]), strict=True):
        np.testing.assert_allclose(found, own.mean(0), rtol=1e-5)
    assert one.fingerprint() != three.fingerprint()


def test_a_learned_mix_weighs_means_and_deviations_alike(whisper: Path) -> None:
    encoder = build(whisper, layer="mix", pooled="mean_std")
    averaged = build(whisper, layer="mean", pooled="mean_std")

    with torch.no_grad():
        found = encoder(padded(encoder.extract([turn(noise(SECOND))]))).data

    assert encoder.dim == 48
    np.testing.assert_allclose(found[0], averaged.extract([turn(noise(SECOND))])[0], atol=1e-5)


@pytest.mark.parametrize("pooled", [False, "mean_std"])
def test_a_long_recording_is_read_in_windows_that_overlap(whisper: Path, pooled: object) -> None:
    wave = noise(62 * SECOND + 100)

    (array,) = build(whisper, layer=2, pooled=pooled).extract([turn(wave)])

    # windows of 29 s that begin every 20 s; the inner ones own all but 4.5 s on either side
    windows = [build(whisper, layer=2).extract([turn(wave[s * SECOND : (s + 29) * SECOND])])[0] for s in (0, 20, 40)]
    own = np.concatenate([windows[0][:1225], windows[1][225:1225], windows[2][225:]])
    assert len(own) == 62 * 50 + 1
    expected = np.concatenate([own.mean(0), own.std(0)])[None] if pooled else own
    np.testing.assert_allclose(array, expected, atol=1e-3)


@pytest.mark.parametrize("layer", ["last", "mean", "mix"])
def test_a_trained_network_begins_with_what_the_frozen_one_gives(whisper: Path, layer: str) -> None:
    turns = [turn(noise(count, seed), f"u{seed}") for seed, count in enumerate((SECOND, 300, 40 * SECOND, 5_000))]
    frozen, trained = build(whisper, layer=layer), build(whisper, frozen=False, layer=layer)

    with torch.no_grad():
        expected = frozen(padded(frozen.extract(turns)))
        found = trained(padded(trained.extract(turns), steps=7_000))

    assert found.mask.sum(1).tolist() == [50, 1, 2_000, 16]
    torch.testing.assert_close(found.data[found.mask], expected.data[expected.mask], atol=1e-4, rtol=1e-4)


def test_a_recording_s_states_do_not_depend_on_how_its_blocks_are_cut(whisper: Path, tmp_path: Path) -> None:
    import soundfile

    wave = noise(31 * SECOND)
    soundfile.write(tmp_path / "a.wav", wave, SECOND, subtype="FLOAT")
    of_file = Turn(Utterance("u", "c", 0, "anna", audio="a.wav"), (), tmp_path)

    frozen = build(whisper)

    np.testing.assert_allclose(frozen.extract([of_file])[0], frozen.extract([turn(wave)])[0], atol=1e-5)


@pytest.mark.parametrize("samples", [noise(1), noise(1_600), np.zeros(SECOND, np.float32)])
def test_the_shortest_clips_and_silence_have_finite_states(whisper: Path, samples: np.ndarray) -> None:
    for settings in ({}, {"precision": "bfloat16"}, {"pooled": "mean_std", "layer": "mean"}):
        (array,) = build(whisper, **settings).extract([turn(samples)])

        assert array.dtype == np.float32
        assert len(array) == (1 if "pooled" in settings else -(-len(samples) // 320))
        assert np.isfinite(array).all()


def test_a_clip_without_samples_is_refused_by_its_name(whisper: Path, tmp_path: Path) -> None:
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.zeros(0, np.float32), SECOND)

    with pytest.raises(MediaError, match=r"^Utterance 'u': .*holds no samples"):
        build(whisper).extract([Turn(Utterance("u", "c", 0, "anna", audio="a.wav"), (), tmp_path)])


@pytest.mark.parametrize("seconds", [1, 17])  # attention over up to 800 states, 16 s, is computed in another way
def test_half_the_precision_is_near_and_has_features_of_its_own(whisper: Path, seconds: int) -> None:
    whole, half = (build(whisper, layer="mean", pooled=True, precision=name) for name in ("float32", "bfloat16"))

    first, second = (encoder.extract([turn(noise(seconds * SECOND))])[0][0] for encoder in (whole, half))

    assert np.dot(first, second) / np.linalg.norm(first) / np.linalg.norm(second) > 0.999
    assert not np.array_equal(first, second)
    assert whole.fingerprint() != half.fingerprint()


def test_large_networks_read_128_bands(tmp_path: Path) -> None:
    folder = write_whisper(tmp_path, num_mel_bins=128)
    states = library_states(folder, library_bands(with_silence(noise(900)), 128))

    (array,) = build(folder).extract([turn(noise(900))])

    np.testing.assert_allclose(array, states[-1][0, :3], atol=1e-4)


@pytest.mark.parametrize(
    ("file", "page", "words"),
    [
        ("config.json", {"max_source_positions": 100}, "has 100 positions .* expected the 1500 of 30 s"),
        ("config.json", {"encoder_attention_heads": -2}, "encoder_attention_heads is -2, expected 1 to 1000"),
        ("config.json", {"dropout": 2.0}, "dropout is 2.0, expected 0.0 to 1.0"),
        ("config.json", {"num_mel_bins": 128}, "feature_size is 80, expected 128"),
        ("preprocessor_config.json", {"sampling_rate": 8_000}, "sampling_rate is 8000, expected 16000"),
        ("preprocessor_config.json", {"hop_length": 80}, "hop_length is 80, expected 160"),
    ],
)
def test_a_network_for_another_input_is_refused(
    whisper: Path, tmp_path: Path, file: str, page: dict[str, float], words: str
) -> None:
    build(whisper).save_assets(tmp_path)
    (tmp_path / file).write_text(json.dumps({**json.loads((tmp_path / file).read_text()), **page}))

    with pytest.raises(ConfigError, match=words) as error:
        build(tmp_path)
    assert "\n" not in str(error.value)


def test_another_kind_of_network_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    for folder in (tiny_bert, write_speech_network(tmp_path, "wav2vec2 layer")):
        with pytest.raises(ConfigError, match=r"network of type '\w+', expected 'whisper'"):
            build(folder)


def test_weights_that_lack_a_layer_are_refused(whisper: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    build(whisper).save_assets(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "encoder.layers.1." not in name}
    (tmp_path / "model.safetensors").unlink()
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})

    with pytest.raises(MerkitError, match="lack 15 of the network's"):
        build(tmp_path).extract([turn(noise(900))])
    build(tmp_path, layer=1).extract([turn(noise(900))])  # needs the first layer alone


def test_settings_that_do_not_fit_are_refused() -> None:
    for settings, words in (
        ({"precision": "bfloat16", "frozen": False}, "precision needs frozen = true"),
        ({"stride": 5, "frozen": False}, "stride needs frozen = true"),
        ({"stride": 5, "pooled": "mean"}, "stride needs frozen = true and pooled = false"),
        ({"combine": "mean"}, "combine needs a list"),
        ({"combine": "mean", "layer": "mean"}, "combine needs a list"),
        ({"pooled": "max"}, "pooled"),
        ({"layer": (1, 2), "frozen": False}, "a trained network offers"),
    ):
        with pytest.raises(ValidationError, match=words):
            WhisperConfig(**settings)


def test_the_packaged_network_is_read_by_its_name() -> None:
    encoder = SPEC.build(WhisperConfig(layer=(1, 2, 3), combine="mean", pooled="mean_std"), "audio", EncoderHome())

    (array,) = encoder.extract([turn(noise(SECOND))])

    assert array.shape == (1, 1024)
    assert np.isfinite(array).all()
    assert encoder.describe()["licence"] == "MIT"
    assert len(encoder.network.layers) == 3
