import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from merkit.core.batch import Padded
from merkit.core.encoder import EncoderHome
from merkit.encoders import logmel
from merkit.encoders.logmel import SPEC, LogMel, LogMelConfig, log_mel

RATE = 16_000


def build(**settings: object) -> LogMel:
    torch.manual_seed(0)
    encoder = SPEC.build(LogMelConfig(**{"dim": 16, **settings}), "audio", EncoderHome())
    encoder.fit([frames(50, seed) for seed in range(3)])
    return encoder


def frames(count: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(count, 64)) * 3 - 5).astype(np.float32)


def padded(arrays: list[np.ndarray], steps: int = 0, garbage: float = 1000.0) -> Padded:
    longest = max(steps, *(len(array) for array in arrays))
    data = np.full((len(arrays), longest, arrays[0].shape[1]), garbage, dtype=np.float32)
    mask = np.zeros((len(arrays), longest), dtype=bool)
    for row, array in enumerate(arrays):
        data[row, : len(array)] = array
        mask[row, : len(array)] = True
    return Padded(torch.from_numpy(data), torch.from_numpy(mask))


def tone(pitch_hz: float, samples: int = RATE) -> np.ndarray:
    return (0.1 * np.sin(2 * np.pi * pitch_hz * np.arange(samples) / RATE)).astype(np.float32)


@pytest.mark.parametrize("n_mels", [64, 80])
def test_energies_equal_the_library_s(n_mels):
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    samples = (0.1 * np.random.default_rng(0).standard_normal(8_000)).astype(np.float32)

    found = log_mel(samples, n_mels)

    filters = mel_filter_bank(257, n_mels, 50.0, 8000.0, RATE, norm=None, mel_scale="htk")
    window = window_function(400, "hann", periodic=True)
    settings = {"fft_length": 512, "power": 2.0, "center": False}
    expected = spectrogram(samples, window, 400, 160, mel_filters=filters, mel_floor=1e-10, **settings)
    np.testing.assert_allclose(found, np.log(expected.T + 1e-8), atol=1e-3)
    assert found.dtype == np.float32


def test_a_tone_lies_in_its_band():
    assert log_mel(tone(300.0), 64).mean(0).argmax() < log_mel(tone(3000.0), 64).mean(0).argmax()


@pytest.mark.parametrize(("samples", "count"), [(0, 1), (1, 1), (400, 1), (559, 1), (560, 2), (16_000, 98)])
def test_there_is_a_frame_every_10_ms_and_never_none(samples, count):
    energies = log_mel(tone(300.0, samples), 64)

    assert energies.shape == (count, 64)
    assert np.isfinite(energies).all()


def test_extraction_reads_each_recording_alone(record):
    encoder = build()
    turns = [record(tone(300.0), "a"), record(tone(900.0, 4_000), "b")]

    together = encoder.extract(turns)

    for turn, array in zip(turns, together, strict=True):
        np.testing.assert_array_equal(encoder.extract([turn])[0], array)
    assert encoder.blank().shape == (1, 64)
    assert encoder.duration_s(turns[1]) == pytest.approx(0.25)
    assert encoder.content(turns[0]) != encoder.content(turns[1])


@pytest.mark.parametrize("settings", [{"subtract": "nothing"}, {}, {"subtract": "bands"}, {"output_norm": True}])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 37, 38, 39, 40])
def test_padding_and_batch_mates_change_nothing(count, settings):
    encoder = build(**settings).eval()

    alone = encoder(padded([frames(count)]))
    beside = encoder(padded([frames(90, seed=1), frames(count)], steps=97))

    assert alone.mask.sum() == beside.mask[1].sum() == -(-count // 4)
    torch.testing.assert_close(beside.data[1][beside.mask[1]], alone.data[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("output_norm", [False, True])
def test_padding_changes_nothing_in_training_either(output_norm):
    encoder = build(dropout=0.0, output_norm=output_norm).train()
    arrays = [frames(40), frames(90, seed=1)]

    outputs = []
    for garbage in (1000.0, -3.0):
        torch.manual_seed(1)
        outputs.append(encoder(padded(arrays, garbage=garbage)))

    torch.testing.assert_close(outputs[0].data[outputs[0].mask], outputs[1].data[outputs[1].mask])


def test_training_varies_recordings_by_torch_s_generator_and_evaluation_does_not():
    encoder = build(dropout=0.0)
    batch = padded([frames(60)])

    def run(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return encoder(batch).data

    encoder.train()
    assert torch.equal(run(1), run(1))
    assert run(1).shape != run(2).shape or not torch.allclose(run(1), run(2))
    encoder.eval()
    assert torch.equal(run(1), run(2))


@pytest.mark.parametrize(
    ("subtract", "louder_is_the_same", "brighter_is_the_same"),
    [("nothing", False, False), ("level", True, False), ("bands", True, True)],
)
def test_what_is_subtracted_of_a_recording_changes_nothing(subtract, louder_is_the_same, brighter_is_the_same):
    encoder = build(subtract=subtract).eval()
    recording, brighter = frames(40), np.linspace(-1.0, 1.0, 64, dtype=np.float32)

    found, louder, bright = (
        encoder(padded([array])).data for array in (recording, recording + 2.0, recording + brighter)
    )

    assert torch.allclose(found, louder, atol=1e-4) is louder_is_the_same
    assert torch.allclose(found, bright, atol=1e-4) is brighter_is_the_same


@pytest.mark.parametrize(("subtract", "axes"), [("level", (0, 1)), ("bands", (0,))])
def test_what_goes_into_the_network_has_mean_0_and_deviation_1_over_training(subtract, axes):
    arrays = [frames(50, seed) for seed in range(3)]
    encoder = build(subtract=subtract)

    left = np.concatenate([array - array.mean(axes, keepdims=True) for array in arrays])

    standard = encoder.standardizer(torch.from_numpy(left))
    torch.testing.assert_close(standard.mean(0), torch.zeros(64), atol=1e-4, rtol=0)
    torch.testing.assert_close(standard.std(0, correction=0), torch.ones(64), atol=1e-4, rtol=0)


def test_conversations_with_absent_utterances_and_empty_batches_are_handled():
    encoder = build().eval()
    single = padded([frames(40)])
    data = torch.full((1, 2, 40, 64), 1000.0)
    data[0, 1] = single.data[0]
    mask = torch.zeros(1, 2, 40, dtype=torch.bool)
    mask[0, 1] = True

    nested, nothing = encoder(Padded(data, mask)), encoder(Padded(data, torch.zeros_like(mask)))

    assert nested.mask.any(-1).tolist() == [[False, True]]
    torch.testing.assert_close(nested.data[0, 1], encoder(single).data[0], atol=1e-5, rtol=1e-5)
    assert not nothing.mask.any()


def test_with_output_norm_real_frames_have_mean_0_and_deviation_1():
    encoder = build(output_norm=True).train()

    output = encoder(padded([frames(40), frames(90, seed=1)], steps=97))

    real = output.data[output.mask]
    torch.testing.assert_close(real.mean(0), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(real.std(0, correction=0), torch.ones(16), atol=1e-3, rtol=0)
    assert not output.data[~output.mask].any()


@pytest.mark.parametrize("output_norm", [False, True])
def test_every_weight_gets_a_gradient(output_norm):
    encoder = build(output_norm=output_norm).train()

    output = encoder(padded([frames(40), frames(30)]))
    real = output.data[output.mask]
    (real * torch.randn_like(real)).sum().backward()

    without = [name for name, weight in encoder.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert without == []


def test_it_learns_which_band_a_tone_lies_in():
    encoder = build(dropout=0.0).train()
    head = torch.nn.Linear(16, 2)
    optimiser = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-2)
    arrays = [log_mel(tone(pitch, 8_000), 64) for pitch in (200.0, 2500.0, 250.0, 3000.0)]
    labels = torch.tensor([0, 1, 0, 1])
    encoder.fit(arrays)

    for _ in range(15):
        output = encoder(padded(arrays))
        pooled = (output.data * output.mask[..., None]).sum(1) / output.mask.sum(1, keepdim=True)
        loss = torch.nn.functional.cross_entropy(head(pooled), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    assert loss < 0.1


def test_speaker_normalisation_is_asked_of_the_data():
    assert build(normalize="speaker").normalize_by_speaker
    assert not build().normalize_by_speaker
    assert build(normalize="speaker").fingerprint() == build().fingerprint()  # the stored arrays are the same


def test_a_wrong_setting_is_refused():
    with pytest.raises(ValidationError, match="normalize"):
        LogMelConfig(normalize="speakers")


def test_a_kernel_without_a_middle_is_refused():
    with pytest.raises(ValidationError, match="kernel must be odd"):
        LogMelConfig(kernel=4)


def test_a_step_stands_for_the_middle_of_the_frames_that_it_sees():
    encoder = build(stretch=0.0, subtract="nothing").eval()
    data = frames(100)
    louder = data.copy()
    louder[40] += 9.0

    with torch.no_grad():
        changed = (encoder(padded([data])).data - encoder(padded([louder])).data)[0].abs().sum(-1) > 1e-6

    seen = changed.nonzero().flatten().double()
    assert len(seen) >= 3
    assert float(seen.mean()) == 10.0  # frame 40 has its middle at (160 * 40 + 200) / 16000 s
    assert encoder.centre_s + 10 * encoder.hop_s == pytest.approx((160 * 40 + 200) / RATE)
    assert build().hop_s is None, "training stretches recordings"


def test_windows_of_a_long_recording_have_the_vectors_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    encoder = LogMel(LogMelConfig(n_mels=8, channels=2, dim=4, output_norm=True)).eval()
    for norm in (module for module in encoder.modules() if isinstance(module, nn.BatchNorm1d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
    batch = padded([frames(count)[:, :8] for count in (3001, 2, 1407)])
    whole = encoder(batch)
    monkeypatch.setattr(logmel, "_AT_A_TIME", 1)
    sizes: list[int] = []
    encoder.planes[0].register_forward_pre_hook(lambda _, given: sizes.append(given[0].shape[1]))

    windows = encoder(batch)

    assert max(sizes) < 400
    assert torch.equal(windows.mask, whole.mask)
    torch.testing.assert_close(windows.data[whole.mask], whole.data[whole.mask], atol=1e-5, rtol=1e-5)


def test_log_mels_are_made_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    whole = log_mel(samples, 8)
    monkeypatch.setattr(logmel, "_BLOCK", 7)
    asked: list[int] = []
    rfft = np.fft.rfft
    monkeypatch.setattr(np.fft, "rfft", lambda frames, bins: asked.append(len(frames)) or rfft(frames, bins))

    blocks = log_mel(samples, 8)

    assert max(asked) == 7
    np.testing.assert_allclose(blocks, whole, atol=1e-5)
