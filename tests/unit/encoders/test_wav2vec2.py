import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from tests.networks import KINDS, noise, padded

from merkit.core.batch import Padded
from merkit.core.encoder import Encoder, EncoderHome
from merkit.core.errors import ConfigError, MerkitError
from merkit.core.types import Turn, Utterance
from merkit.core.waveform import Waveform
from merkit.encoders import wav2vec2
from merkit.encoders.wav2vec2 import SPEC, Wav2Vec2Config


def build(folder: Path, assets: Path | None = None, **settings: object) -> Encoder:
    return SPEC.build(Wav2Vec2Config(weights=str(folder), **settings), "audio", EncoderHome(assets=assets))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", ["last", "mix"])
def test_a_trained_network_gives_the_same_alone_and_beside_longer_ones(networks, kind, layer):
    encoder = build(networks[kind], frozen=False, layer=layer).eval()
    short, long = noise(4_000), noise(16_000, seed=1)

    with torch.no_grad():
        alone, beside = encoder(padded([short])), encoder(padded([long, short], steps=17_000))

    assert alone.mask.sum() == beside.mask[1].sum() == (4_000 - 400) // 320 + 1
    torch.testing.assert_close(beside.data[1][beside.mask[1]], alone.data[0], atol=1e-5, rtol=1e-5)


def test_padding_and_masking_alone_would_move_a_group_norm_network(networks):
    from transformers import AutoModel

    network = AutoModel.from_pretrained(networks["wav2vec2 group"]).eval()
    short, long = torch.from_numpy(noise(4_000)), torch.from_numpy(noise(16_000, seed=1))
    side_by_side = torch.stack([long, torch.nn.functional.pad(short, (0, 12_000))])
    mask = torch.ones(2, 16_000, dtype=torch.long)
    mask[1, 4_000:] = 0

    with torch.no_grad():
        alone = network(short[None]).last_hidden_state[0]
        beside = network(side_by_side, attention_mask=mask).last_hidden_state[1, : len(alone)]

    assert (alone - beside).abs().max() > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_heard_where_a_release_is_repeated(networks, kind):
    from transformers import AutoModel

    encoder = build(networks[kind], frozen=False, unmasked_padding=True).eval()
    network = AutoModel.from_pretrained(networks[kind]).eval()
    short, long = noise(4_000), noise(16_000, seed=1)
    side_by_side = torch.stack([torch.from_numpy(long), torch.from_numpy(np.pad(short, (0, 12_000)))])

    with torch.no_grad():
        beside, alone = encoder(padded([long, short])), encoder(padded([short]))
        released = network(side_by_side).last_hidden_state

    torch.testing.assert_close(beside.data, released, atol=1e-5, rtol=1e-5)
    assert beside.mask.sum(dim=1).tolist() == [49, 12]
    assert (beside.data[1, :12] - alone.data[0]).abs().max() > 1e-2


def test_what_is_stored_never_unmasked_padding(networks):
    with pytest.raises(ValidationError, match="unmasked_padding needs frozen = false"):
        Wav2Vec2Config(weights=str(networks[KINDS[0]]), unmasked_padding=True)


@pytest.mark.parametrize("kind", KINDS)
def test_extraction_equals_hugging_face_s_own_output_and_does_not_depend_on_batch_mates(networks, kind, record):
    from transformers import AutoModel

    encoder = build(networks[kind])
    waves = [noise(length, seed) for seed, length in enumerate((16_000, 4_000, 9_000))]
    turns = [record(wave, f"u{number}") for number, wave in enumerate(waves)]

    together = encoder.extract(turns)

    network = AutoModel.from_pretrained(networks[kind]).eval()
    normalise = json.loads((networks[kind] / "preprocessor_config.json").read_text())["do_normalize"]
    for turn, wave, array in zip(turns, waves, together, strict=True):
        np.testing.assert_allclose(encoder.extract([turn])[0], array, atol=1e-5)
        if normalise:
            wave = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
        with torch.no_grad():
            expected = network(torch.from_numpy(wave)[None]).last_hidden_state[0]
        np.testing.assert_allclose(array, expected, atol=2e-5)


@pytest.mark.parametrize(("layer", "index"), [(0, 0), (2, 2), (3, 3), ((3,), 3)])
def test_states_are_counted_as_in_hugging_face_s_output(networks, record, layer, index):
    from transformers import AutoModel

    wave = noise(4_000)

    (array,) = build(networks["wav2vec2 group"], layer=layer).extract([record(wave)])

    network = AutoModel.from_pretrained(networks["wav2vec2 group"]).eval()
    with torch.no_grad():
        expected = network(torch.from_numpy(wave)[None], output_hidden_states=True).hidden_states[index][0]
    np.testing.assert_allclose(array, expected, atol=1e-5)


@pytest.mark.parametrize(("samples", "frames"), [(32_000, 99), (80_000, 249), (400, 1), (719, 1), (720, 2)])
def test_frames_are_those_of_the_published_front_end(networks, samples, frames):
    encoder = build(networks["wav2vec2 layer"], frozen=False).eval()

    with torch.no_grad():
        assert encoder(padded([noise(samples)])).mask.sum() == frames


def test_a_step_stands_for_the_middle_of_the_samples_that_it_reads(networks):
    encoder = build(networks["wav2vec2 layer"], frozen=False).eval()
    wave, clicked = torch.from_numpy(noise(8000)), torch.from_numpy(noise(8000))
    clicked[3900] += 5.0

    front = encoder.network.feature_extractor
    with torch.no_grad():
        changed = (front(wave[None]) - front(clicked[None]))[0].abs().sum(0) > 1e-6

    middles = encoder.centre_s + encoder.hop_s * np.arange(len(changed))
    assert (encoder.hop_s, encoder.centre_s) == (0.02, 0.0125)
    assert changed.nonzero().flatten().tolist() == [11, 12]
    assert np.flatnonzero(abs(middles - 3900 / 16_000) <= 0.0125).tolist() == [11, 12]
    assert build(networks["wav2vec2 layer"], pooled=True).hop_s is None


def test_a_recording_below_one_frame_is_padded_to_it(networks, record):
    encoder = build(networks["wav2vec2 group"])

    short, filled = encoder.extract([record(noise(100), "a"), record(np.pad(noise(100), (0, 300)), "b")])

    assert short.shape == (1, 24)
    np.testing.assert_allclose(short, filled, atol=1e-6)


@pytest.mark.parametrize("layer", ["last", "mix"])
@pytest.mark.parametrize("pooled", [True, False])
def test_frozen_and_trained_networks_give_the_same_vectors_in_evaluation(networks, record, layer, pooled):
    settings = {"layer": layer, "pooled": pooled}
    frozen = build(networks["wav2vec2 layer"], **settings).eval()
    trained = build(networks["wav2vec2 layer"], frozen=False, **settings).eval()
    turn = record(noise(6_000))

    stored = torch.from_numpy(frozen.extract([turn])[0])[None]
    first = frozen(Padded(stored, torch.ones(1, stored.shape[1], dtype=torch.bool)))
    second = trained(padded(trained.extract([turn])))

    assert first.data.shape == second.data.shape == (1, 1 if pooled else 18, 24)
    torch.testing.assert_close(first.data, second.data, atol=1e-5, rtol=1e-5)


def test_loudness_and_offset_do_not_matter_where_the_preprocessor_normalises(networks, record):
    encoder = build(networks["wav2vec2 layer"])
    wave = noise(4_000)

    first, second = encoder.extract([record(wave, "a"), record(0.5 * wave + 0.2, "b")])

    np.testing.assert_allclose(first, second, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_but_the_front_end_s_is_trained(networks, kind):
    encoder = build(networks[kind], frozen=False).train()

    output = encoder(padded([noise(4_000), noise(2_000)]))
    output.data[output.mask].square().sum().backward()

    got = {name for name, weight in encoder.named_parameters() if weight.grad is not None}
    front_end = {name for name, _ in encoder.named_parameters() if "feature_extractor" in name}
    assert got == {name for name, _ in encoder.named_parameters()} - front_end
    assert front_end


def test_the_front_end_is_trained_when_asked_for(networks):
    encoder = build(networks["wav2vec2 group"], frozen=False, freeze_front_end=False).train()

    output = encoder(padded([noise(4_000), noise(2_000)]))
    output.data[output.mask].square().sum().backward()

    assert [name for name, weight in encoder.named_parameters() if weight.grad is None] == []


def test_training_depends_on_chance_by_dropout_alone(networks, tmp_path):
    build(networks["wav2vec2 group"]).save_assets(tmp_path)
    page = json.loads((tmp_path / "config.json").read_text())
    dropouts = {name: 0.0 for name in page if "dropout" in name}
    (tmp_path / "config.json").write_text(json.dumps({**page, **dropouts, "layerdrop": 0.9, "mask_time_prob": 0.9}))
    encoder = build(tmp_path, frozen=False).train()
    batch = padded([noise(16_000)])

    assert dropouts
    torch.testing.assert_close(encoder(batch).data, encoder.eval()(batch).data, atol=1e-6, rtol=1e-6)


def test_conversations_with_absent_utterances_and_empty_batches_are_handled(networks):
    encoder = build(networks["wav2vec2 group"], frozen=False).eval()
    single = padded([noise(4_000)])
    data = torch.full((1, 2, 4_000), 1000.0)
    data[0, 1] = single.data[0]
    mask = torch.zeros(1, 2, 4_000, dtype=torch.bool)
    mask[0, 1] = True

    with torch.no_grad():
        nested, nothing = encoder(Padded(data, mask)), encoder(Padded(data, torch.zeros_like(mask)))
        expected = encoder(single)

    assert nested.mask.any(-1).tolist() == [[False, True]]
    torch.testing.assert_close(nested.data[0, 1], expected.data[0], atol=1e-6, rtol=1e-6)
    assert nothing.data.shape == (1, 2, 1, 24)
    assert not nothing.mask.any()


@pytest.mark.parametrize("frozen", [True, False])
def test_a_checkpoint_needs_the_original_folder_no_more(networks, record, tmp_path, frozen):
    original = build(networks["hubert layer"], frozen=frozen).eval()
    original.save_assets(tmp_path / "assets")
    save_file({**original.state_dict(), "_": torch.zeros(1)}, tmp_path / "state.safetensors")
    state = {name: weight for name, weight in load_file(tmp_path / "state.safetensors").items() if name != "_"}

    restored = build(Path("gone/away"), assets=tmp_path / "assets", frozen=frozen).eval()
    restored.load_state_dict(state, strict=True)

    assert restored.fingerprint() == original.fingerprint()
    turn = record(noise(4_000))
    # 1e-5: weights read from another file lie elsewhere in memory, for which some processors have other kernels
    if frozen:
        np.testing.assert_allclose(restored.extract([turn])[0], original.extract([turn])[0], rtol=1e-5, atol=1e-5)
    else:
        batch = padded(original.extract([turn]))
        torch.testing.assert_close(restored(batch).data, original(batch).data, rtol=1e-5, atol=1e-5)


def test_a_trained_network_s_waveforms_are_not_stored(networks, record):
    trained, frozen = build(networks["wavlm group"], frozen=False), build(networks["wavlm group"])

    (array,) = trained.extract([record(noise(4_000))])

    assert (trained.stored, frozen.stored) == (False, True)
    assert array.shape == (4_000,)
    assert trained.blank().shape == (1,)
    assert trained.fingerprint() != frozen.fingerprint()
    assert trained.describe()["trained"]
    assert trained.duration_s(record(noise(4_000))) == pytest.approx(0.25)
    assert trained.content(record(noise(4_000))) == frozen.content(record(noise(4_000)))


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ({"model_type": "bert"}, "No speech encoder of type 'bert'"),
        ({"add_adapter": True}, "'add_adapter' is not supported"),
    ],
)
def test_networks_that_are_not_known_to_be_safe_are_refused(networks, tmp_path, page, words):
    build(networks["wav2vec2 group"]).save_assets(tmp_path)
    known = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**known, **page}))

    with pytest.raises(ConfigError, match=words):
        build(tmp_path)


@pytest.mark.parametrize(("content", "words"), [('{"sampling_rate": 8000}', "works at 8000 Hz"), ("[]", "is damaged")])
def test_a_preprocessor_that_does_not_fit_is_refused(networks, tmp_path, content, words):
    build(networks["wav2vec2 group"]).save_assets(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(content)

    with pytest.raises(MerkitError, match=words):
        build(tmp_path)


def test_without_a_preprocessor_the_library_s_default_counts(networks, tmp_path):
    build(networks["wav2vec2 group"]).save_assets(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()

    assert build(tmp_path).fingerprint()["normalise"]


@pytest.mark.parametrize("settings", [{}, {"frozen": False, "trainable_layers": 1}])
def test_a_trained_front_end_needs_a_network_trained_as_a_whole(settings):
    with pytest.raises(ValidationError, match="freeze_front_end = false needs"):
        Wav2Vec2Config(weights="x", freeze_front_end=False, **settings)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_recording_too_long_for_one_pass_is_read_by_window(
    networks: dict[str, Path], monkeypatch: pytest.MonkeyPatch, frozen: bool
) -> None:

    encoder = build(networks["wav2vec2 layer"], frozen=frozen).eval()
    architecture, network = encoder.architecture, encoder.network
    wave = torch.from_numpy(noise(48_123))
    with torch.inference_mode():
        whole = architecture.states(network, padded([wave.numpy()]))
        front_end = architecture.frames(network, padded([wave.numpy()])).data[0]
    monkeypatch.setattr(wav2vec2.Wav2Vec2, "max_positions", 20_000)
    monkeypatch.setattr(wav2vec2, "_WINDOW_S", 0.5)
    monkeypatch.setattr(wav2vec2, "_OVERLAP_S", 0.1)
    asked: list[int] = []
    network.feature_extractor.register_forward_pre_hook(lambda _, given: asked.append(given[0].shape[-1]))

    with torch.inference_mode():
        windows = architecture.states(network, padded([wave.numpy(), noise(5_000)]))

    assert max(asked) <= 0.7 * 16_000 + 400
    assert windows.mask.sum(1).tolist() == [whole.mask.sum().item(), (5_000 - 400) // 320 + 1]
    with torch.inference_mode():  # the second window's own frames are 25 to 49, read with frames 20 to 54
        second = architecture.transform(network, front_end[None, 20:55], torch.ones(1, 35, dtype=torch.bool))
    torch.testing.assert_close(windows.data[0, 25:50], second[0, 5:30], atol=1e-4, rtol=1e-4)


def test_a_cached_front_end_is_read_by_the_same_windows(
    networks: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wav2vec2.Wav2Vec2, "max_positions", 20_000)
    monkeypatch.setattr(wav2vec2, "_WINDOW_S", 0.5)
    monkeypatch.setattr(wav2vec2, "_OVERLAP_S", 0.1)
    plain = build(networks["wav2vec2 layer"], frozen=False).eval()
    plain.save_assets(tmp_path)
    cached = build(networks["wav2vec2 layer"], frozen=False, cache_front_end=True, assets=tmp_path).eval()
    cached.load_state_dict(plain.state_dict())
    waves = [Waveform(noise(count), 16_000) for count in (48_123, 5_000)]
    turns = [Turn(Utterance(f"u{n}", "c", n, "s", audio=wave), (), Path()) for n, wave in enumerate(waves)]

    with torch.inference_mode():
        found, expected = (encoder(padded(encoder.extract(turns))) for encoder in (cached, plain))

    assert torch.equal(found.mask, expected.mask)
    torch.testing.assert_close(found.data[found.mask], expected.data[found.mask], atol=1e-4, rtol=1e-4)
