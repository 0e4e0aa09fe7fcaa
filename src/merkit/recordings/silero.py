"""Silero VAD (version 6, 16 kHz): the probability of speech for each 32 ms of sound.

Silero Team, "Silero VAD: pre-trained enterprise-grade Voice Activity Detector", https://github.com/snakers4/silero-vad,
MIT licence. The weights are read from the package ``silero-vad``; its module is not imported, because that would set
the number of torch's threads for the whole process. The package's own code runs frame by frame; here the frames of a
block go through the convolutions together, with the same probabilities.
"""

import importlib.util
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor, nn

from merkit.core.errors import MerkitError

RATE_HZ = 16_000
FRAME = 512
"""Samples that one probability stands for."""
FRAME_S = FRAME / RATE_HZ
_CONTEXT = 64
"""Samples before a frame that are read with it."""
_REFLECTED = 64
_FREQUENCIES = 129
_STATE = 128
_BLOCK = 1024
"""Frames that are worked on together: bounds memory."""

State = tuple[Float[Tensor, "1 1 state"], Float[Tensor, "1 1 state"]]


class SileroVad(nn.Module):
    """Frames of a waveform to probabilities; the weights have the names of the package's file."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 2 * _FREQUENCIES, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(_FREQUENCIES, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, _STATE, 3, padding=1)
        self.lstm = nn.LSTM(_STATE, _STATE, batch_first=True)
        self.final_conv = nn.Conv1d(_STATE, 1, 1)

    def forward(
        self, frames: Float[Tensor, "frames samples"], state: State | None
    ) -> tuple[Float[Tensor, " frames"], State]:
        """Return the probabilities of successive frames, each with its context, and the state after them."""
        padded = nn.functional.pad(frames.unsqueeze(1), (0, _REFLECTED), "reflect")
        real, imaginary = self.stft_conv(padded).split(_FREQUENCIES, dim=1)
        data = (real.square() + imaginary.square()).sqrt()
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            data = torch.relu(convolution(data))
        states, after = self.lstm(data.squeeze(-1).unsqueeze(0), state)
        return torch.sigmoid(self.final_conv(torch.relu(states[0]).unsqueeze(-1))).flatten(), after


class Detector:
    """Detects speech in a waveform at 16 kHz, frame by frame.

    Raises:
        MerkitError: The package ``silero-vad`` is missing or another version.
    """

    def __init__(self) -> None:
        self._network = _network()
        self._state: State | None = None
        self._context = np.zeros(_CONTEXT, np.float32)

    def feed(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the probability of speech of each of the next frames; ``samples`` has whole ones."""
        joined = np.concatenate([self._context, samples])
        self._context = joined[-_CONTEXT:]
        frames = np.lib.stride_tricks.sliding_window_view(joined, _CONTEXT + FRAME)[::FRAME]
        with torch.inference_mode():
            values, self._state = self._network(torch.from_numpy(frames.copy()), self._state)
        return np.asarray(values.numpy())


def probabilities(blocks: Iterable[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Return a probability of speech for every 32 ms of a waveform at 16 kHz that comes in blocks; memory is bounded.

    The last frame is padded with zeros.

    Raises:
        MerkitError: The package ``silero-vad`` is missing or another version.
    """
    detector = Detector()
    found = [detector.feed(samples) for samples in _whole_frames(blocks)]
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def _whole_frames(blocks: Iterable[npt.NDArray[np.float32]]) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the samples in pieces of whole frames, ``_BLOCK`` of them at most; the last one is padded with zeros."""
    waiting: list[npt.NDArray[np.float32]] = []
    count, most = 0, _BLOCK * FRAME
    for block in blocks:
        waiting.append(block)
        count += len(block)
        if count >= most:
            joined = np.concatenate(waiting)
            whole = count - count % most
            yield from np.split(joined[:whole], whole // most)
            waiting, count = [joined[whole:]], count - whole
    if count:
        yield np.pad(np.concatenate(waiting), (0, -count % FRAME))


@cache
def _network() -> SileroVad:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found = importlib.util.find_spec("silero_vad")  # does not run the package's code
    folders = [] if found is None else list(found.submodule_search_locations or ())
    if not folders:
        raise MerkitError("The speech check needs the package 'silero-vad': pip install 'silero-vad>=6.2.3,<7'")
    file = Path(folders[0]) / "data" / "silero_vad_16k.safetensors"
    network = SileroVad()
    try:
        network.load_state_dict({_own_name(name): weight for name, weight in load_file(file).items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise MerkitError(
            f"'{file}' is not the network that is expected: pip install --force-reinstall 'silero-vad>=6.2.3,<7'"
        ) from error
    return network.eval().requires_grad_(False)


def _own_name(name: str) -> str:
    """Return what a weight of the package's file is called here: a cell there is a layer here."""
    cell = name.removeprefix("lstm_cell.")
    return name if cell == name else f"lstm.{cell}_l0"
