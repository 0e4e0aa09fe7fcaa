"""The microphone, by PortAudio (package ``sounddevice``)."""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np

from merkit.core.errors import MediaError, MerkitError, first_line
from merkit.recordings.live.sources import BLOCK_S, MOST_BLOCKS, Block, Clock, WaitingSource

_PIPE = "sound of another program is read with --live -, as from arecord -t raw -f S16_LE -r 16000 -c 1"

_log = logging.getLogger(__name__)


class Microphone(WaitingSource):
    """The microphone that the system has chosen.

    Raises:
        MerkitError: The package or PortAudio is missing.
    """

    name = "the microphone"

    def __init__(self, rate_hz: int, channels: int, clock: Clock = time.monotonic) -> None:
        super().__init__(rate_hz, channels, clock)
        try:
            import sounddevice
        except ImportError:
            raise MerkitError("A microphone is read with the extra 'live': pip install 'merkit[live]'") from None
        except OSError as error:  # the package is there, and the library that it calls is not
            raise MerkitError(
                f"sounddevice needs the library PortAudio ({first_line(error)}): apt install libportaudio2, or brew "
                f"install portaudio; {_PIPE}"
            ) from None
        self._sounddevice: Any = sounddevice
        self._losses = 0

    def __iter__(self) -> Iterator[Block]:
        with ExitStack() as opened:
            try:
                stream = self._sounddevice.RawInputStream(
                    samplerate=self.rate_hz,
                    channels=self.channels,
                    dtype="float32",
                    blocksize=round(BLOCK_S * self.rate_hz),
                    callback=self._take,
                    finished_callback=self._finished,
                )
                opened.callback(self._report_losses)
                opened.callback(stream.close)
                stream.start()
            except (self._sounddevice.PortAudioError, ValueError) as error:  # ValueError: no such device
                raise MediaError(
                    f"No microphone of {self.channels} x {self.rate_hz} Hz can be opened ({first_line(error)}): "
                    f"connect one, or change the rate or the number of channels; {_PIPE}"
                ) from None
            yield from self.arrived()

    def _take(self, data: Any, frames: int, _: Any, status: Any) -> None:
        """Take a block; called in a thread of PortAudio's."""
        arrived_s = self.clock()
        if status.input_overflow:
            self._losses += 1
            if self._losses == 1:  # a busy machine may lose sound in every block
                _log.warning("The microphone lost sound: the machine is busy.")
        if not self._room.acquire(blocking=False):
            error = f"{MOST_BLOCKS * BLOCK_S:.0f} s of sound wait for the model: it is too slow for live speech here"
            self.put(MediaError(error))
            raise self._sounddevice.CallbackAbort
        samples = np.frombuffer(data, np.float32).reshape(frames, self.channels).T
        self.put(Block(samples.copy(), arrived_s))

    def _report_losses(self) -> None:
        if self._losses > 1:
            _log.warning(
                "The microphone lost sound %d times: close other programs, or use a smaller model.", self._losses
            )

    def _finished(self) -> None:
        if not self._stopped:
            self.put(MediaError("The microphone ended: was it disconnected?"))
