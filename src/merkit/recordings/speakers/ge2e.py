"""GE2E speaker embeddings: a vector of unit length for 1.6 s of a voice, near to the others of the same voice.

Wan et al. 2018, "Generalized end-to-end loss for speaker verification"; the network and its weights are those of the
package Resemblyzer 0.1.4 (Apache-2.0), of which nothing but the file of weights is read. Its spectrogram is one of
power in mel bands, without a logarithm.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from merkit.core.errors import MerkitError
from merkit.data.media.audio import Recording, audio_blocks
from merkit.weights.folders import ge2e_file

RATE_HZ = 16_000
WINDOW_S = 1.6
STEP_S = 0.25
"""From one window to the next."""
_DIM = 256
_MELS = 40
_FFT, _HOP = 400, 160
_FRAMES = 160
"""Of a window."""
_MARGIN = 2
"""Frames around a chunk whose spectrum would reach over its edges."""
_CHUNK = 60
"""Seconds that are worked on together: bounds memory. A whole number of steps."""
_BATCH = 64
_LEVEL = 10 ** (-30 / 20)
"""The RMS that quieter sound is brought to, as the package does."""

Embeddings = Float32[npt.NDArray[np.float32], "windows 256"]


class Ge2e(nn.Module):
    """Mel spectrograms of windows to embeddings; the weights have the names of the package's file."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_MELS, _DIM, 3, batch_first=True)
        self.linear = nn.Linear(_DIM, _DIM)

    def forward(self, mels: Float[Tensor, "windows frames 40"]) -> Float[Tensor, "windows 256"]:
        """Return unit vectors without negative values."""
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)


def embeddings(sound: Recording, centres: Sequence[int]) -> Embeddings:
    """Return the embeddings of the windows around some moments of a recording; memory does not grow with its sound.

    Args:
        sound: The recording.
        centres: The moments in order, as multiples of ``STEP_S``.

    Raises:
        MerkitError: The recording cannot be read, or the weights are not installed.
    """
    network = _network()
    half = round(WINDOW_S / 2 * RATE_HZ) + _MARGIN * _HOP
    step = round(STEP_S * RATE_HZ)
    wanted = np.asarray(centres, np.int64)
    found: list[npt.NDArray[np.float32]] = []
    for first_s, samples in _chunks(audio_blocks(sound, RATE_HZ), half):
        own = wanted[(wanted * STEP_S >= first_s) & (wanted * STEP_S < first_s + _CHUNK)]
        if not len(own):
            continue
        mels = mel_spectrogram(_levelled(samples))
        # frame n is centred on sample n * _HOP of the chunk, which begins half a window and a margin before its moments
        starts = [_MARGIN + (int(centre) * step - first_s * RATE_HZ) // _HOP for centre in own]
        for at in range(0, len(starts), _BATCH):
            windows = torch.stack([mels[start : start + _FRAMES] for start in starts[at : at + _BATCH]])
            with torch.inference_mode():
                found.append(network(windows).numpy())
    return np.concatenate(found) if found else np.zeros((0, _DIM), np.float32)


def mel_spectrogram(samples: npt.NDArray[np.float32]) -> Float[Tensor, "frames 40"]:
    """Return the power in mel bands of a waveform at 16 kHz, every 10 ms from its beginning."""
    window = torch.hann_window(_FFT)
    spectrum = torch.stft(
        torch.from_numpy(samples), _FFT, _HOP, window=window, center=True, pad_mode="constant", return_complex=True
    )
    return spectrum.abs().square().T @ _filters()


def _levelled(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    level = float(np.sqrt(np.square(samples, dtype=np.float64).mean()))
    return samples * np.float32(_LEVEL / level) if 0 < level < _LEVEL else samples


def _chunks(blocks: Iterable[npt.NDArray[np.float32]], half: int) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Yield seconds ``_CHUNK`` by ``_CHUNK``, each with ``half`` samples around it, zeros outside of the recording."""
    size = _CHUNK * RATE_HZ
    waiting = [np.zeros(half, np.float32)]
    count = half
    start_s = 0
    for block in blocks:
        waiting.append(block)
        count += len(block)
        while count >= size + 2 * half:
            joined = np.concatenate(waiting)
            yield start_s, joined[: size + 2 * half]
            waiting, count = [joined[size:]], count - size
            start_s += _CHUNK
    joined = np.pad(np.concatenate(waiting), (0, half))
    while len(joined) >= 2 * half:  # the end of a whole number of chunks is a moment too
        yield start_s, joined[: size + 2 * half]
        start_s, joined = start_s + _CHUNK, joined[size:]


@cache
def _filters() -> Float[Tensor, "frequencies 40"]:
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(_FFT // 2 + 1, _MELS, 0.0, RATE_HZ / 2, RATE_HZ, norm="slaney", mel_scale="slaney")
    return torch.from_numpy(filters).float()


@cache
def _network() -> Ge2e:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = ge2e_file()
    network = Ge2e()
    try:
        network.load_state_dict(load_file(file))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise MerkitError(f"'{file}' is not the network that is expected: delete its folder") from error
    return network.eval().requires_grad_(False)
