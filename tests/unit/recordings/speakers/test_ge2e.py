"""GE2E beside the package that its weights are from, and in constant memory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.speech import RATE_HZ, speech
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from merkit.core.errors import MerkitError
from merkit.core.waveform import Waveform
from merkit.recordings.speakers import ge2e
from merkit.weights.folders import ge2e_file
from merkit.weights.known import GE2E
from merkit.weights.packages import installed_sources


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if next(installed_sources(GE2E), None) is None:
        pytest.skip(f"needs the weights: {GE2E.command}")
    monkeypatch.setenv("MERKIT_CACHE", str(tmp_path / "cache"))
    return ge2e_file()


def test_the_spectrogram_is_that_of_an_outside_implementation() -> None:
    sound = speech(1.0, seed=5)
    filters = mel_filter_bank(201, 40, 0.0, 8000.0, RATE_HZ, norm="slaney", mel_scale="slaney")

    found = ge2e.mel_spectrogram(sound)

    expected = spectrogram(
        sound, window_function(400, "hann"), 400, 160, power=2.0, pad_mode="constant", mel_filters=filters
    )
    np.testing.assert_allclose(found.numpy(), expected.T, atol=1e-6, rtol=1e-4)


def test_an_embedding_is_that_of_the_package(weights: Path) -> None:
    """The numbers are those of resemblyzer 0.1.4 with librosa 0.11, for the window of 1.6 s around 1.5 s."""
    network = ge2e._network()
    samples = speech(3.0, seed=5)
    level = float(np.sqrt(np.square(samples).mean()))
    assert level > 10 ** (-30 / 20)  # as loud as the package wants it: nothing is made louder

    with torch.inference_mode():
        (vector,) = network(ge2e.mel_spectrogram(samples)[70:230].unsqueeze(0)).numpy()

    assert np.argsort(-vector)[:6].tolist() == [14, 138, 213, 113, 184, 34]
    assert vector[[14, 138, 213, 113, 184, 34]] == pytest.approx(
        [0.30239, 0.25927, 0.25106, 0.22967, 0.22209, 0.21787], abs=2e-5
    )
    assert int((vector > 0).sum()) == 99


def test_windows_do_not_depend_on_where_sound_is_cut_into_chunks(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = Waveform(speech(9.0, seed=2), RATE_HZ)
    centres = [0, 3, 7, 8, 9, 15, 16, 20, 35]
    monkeypatch.setattr(ge2e, "_LEVEL", 0.0)  # the level is that of the chunk

    whole = ge2e.embeddings(sound, centres)
    monkeypatch.setattr(ge2e, "_CHUNK", 2)
    cut = ge2e.embeddings(sound, centres)
    longer = ge2e.embeddings(Waveform(speech(4.5), RATE_HZ), range(19))  # a last chunk of half a second

    assert longer.shape == (19, 256)
    assert whole.shape == (9, 256)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(cut, whole, atol=1e-4)


@pytest.mark.parametrize("seconds", [60, 120, 60.5])
def test_the_last_moment_of_a_recording_has_an_embedding_too(weights: Path, seconds: float) -> None:
    sound = Waveform(np.random.default_rng(0).normal(size=round(seconds * RATE_HZ)).astype(np.float32) / 9, RATE_HZ)
    last = int(seconds / ge2e.STEP_S)

    found = ge2e.embeddings(sound, [last - 1, last])

    assert found.shape == (2, 256)


def test_weights_of_another_content_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from merkit.weights import packages

    file = tmp_path / "pretrained.pt"
    file.write_bytes(b"\x80\x02cos\nsystem\nq\x00.")
    monkeypatch.setattr(packages, "_found", lambda path: file)
    monkeypatch.setenv("MERKIT_CACHE", str(tmp_path / "cache"))

    with pytest.raises(MerkitError, match=r"builtin:ge2e' is damaged: .* expected 39373b86598f"):
        ge2e_file()


def test_a_pickle_that_runs_code_is_refused_by_the_reader_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if someone had changed the known hash: the reader of tensors calls nothing."""
    from merkit.weights import folders

    class Runs:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"model_state": Runs()}, tmp_path / "pretrained.pt")
    monkeypatch.setattr(folders, "package_file", lambda path: tmp_path / "pretrained.pt")

    with pytest.raises(MerkitError, match="no GE2E that merkit can convert"):
        folders._unpickled(GE2E.sources[0])
    assert not (tmp_path / "ran").exists()
