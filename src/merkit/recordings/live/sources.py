"""Sources of live sound: raw samples of a file or pipe, or arrays. Each block has the time at which it arrived.

A pipe and the microphone are read in a thread of their own, into a bounded queue: the time of arrival is then right
even while a turn is being labelled.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from merkit.core.arguments import checked_value
from merkit.core.errors import ConfigError, MediaError, first_line
from merkit.core.waveform import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, MOST_CHANNELS, Waveform

Clock = Callable[[], float]
"""Returns seconds."""

BLOCK_S = 0.02
"""Seconds of sound in a block; all of it has one time of arrival."""
MOST_BLOCKS = 3000
"""Blocks that wait to be read, a minute of sound; bounds memory."""

_SAMPLE_BYTES = 2
_FULL_SCALE = 32768.0
_HEADERS = {
    b"RIFF": "a WAV file",
    b"RF64": "a WAV file",
    b"fLaC": "a FLAC file",
    b"OggS": "an Ogg file",
    b"ID3": "an MP3 file",
    b"FORM": "an AIFF file",
    b"caff": "a CAF file",
    b".snd": "an AU file",
    b"\x1aE\xdf\xa3": "a Matroska or WebM file",
}
_MP4 = b"ftyp"  # behind four bytes of size
_LONGEST_HEADER = 8


@dataclass(frozen=True)
class Block:
    """Samples that arrived together."""

    samples: npt.NDArray[np.float32]
    """``[channels, samples]``, full scale is 1."""
    arrived_s: float
    """When the last of them did, by the clock of the source."""


class Source(ABC):
    """Live sound; it is read once."""

    name: str
    """What messages call it."""

    def __init__(self, rate_hz: int, channels: int, clock: Clock) -> None:
        """Check the format of the sound.

        Raises:
            ConfigError: The rate or the number of channels is out of range.
        """
        rate_hz, channels = checked_value(rate_hz, int, "rate_hz"), checked_value(channels, int, "channel_count")
        if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
            raise ConfigError(f"a rate of {rate_hz} Hz, expected {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}")
        if not 1 <= channels <= MOST_CHANNELS:
            raise ConfigError(f"{channels} channels, expected 1 to {MOST_CHANNELS}")
        self.rate_hz, self.channels, self.clock = rate_hz, channels, clock

    @abstractmethod
    def __iter__(self) -> Iterator[Block]:
        """Yield the blocks as they arrive, until the sound ends or ``stop`` is called.

        Raises:
            MerkitError: The sound cannot be read, or is of another format.
        """

    def stop(self) -> None:  # noqa: B027 (what is not waited for needs no stop)
        """End the sound here, as if no more came; may be called from a signal handler or another thread."""


class ArraySource(Source):
    """Arrays as a program has them, ``[samples]`` or ``[channels, samples]``, of any type that `Waveform` takes."""

    name = "samples"

    def __init__(self, arrays: Iterable[Any], rate_hz: int, channels: int, clock: Clock = time.monotonic) -> None:
        super().__init__(rate_hz, channels, clock)
        shape = getattr(arrays, "shape", None)
        if shape is not None and len(shape) < 3:
            raise ConfigError(
                f"Live sound is one array of shape {list(shape)}, expected arrays as they arrive: "
                "[array] for a single one of [channels, samples], list(array) for several of [samples]"
            )
        self._arrays = arrays

    def __iter__(self) -> Iterator[Block]:
        for array in self._arrays:
            arrived_s = self.clock()
            shape: tuple[int, ...] = ()
            with suppress(ValueError):  # nested lists of unequal length
                shape = np.shape(array)
            if 0 in shape:
                continue
            if len(shape) not in (1, 2) or (1, *shape)[-2] != self.channels:
                raise MediaError(
                    f"A block of shape {list(shape)} was given, expected [channels, samples] of {self.channels} "
                    f"channel{'s' * (self.channels > 1)}"
                )
            flat = array.reshape(-1) if hasattr(array, "reshape") else np.ravel(array)
            yield Block(Waveform(flat, self.rate_hz).samples.reshape(self.channels, -1), arrived_s)


class WaitingSource(Source):
    """Sound that arrives in another thread, and waits in a queue to be read."""

    def __init__(self, rate_hz: int, channels: int, clock: Clock = time.monotonic) -> None:
        super().__init__(rate_hz, channels, clock)
        self._waiting: SimpleQueue[Block | MediaError | None] = SimpleQueue()  # a signal handler may put into it
        self._room = threading.Semaphore(MOST_BLOCKS)
        self._stopped = False

    def stop(self) -> None:
        """End the sound here."""
        self._stopped = True
        self.put(None)

    def put(self, block: Block | MediaError | None) -> None:
        """Add a block, the error that ends the sound, or ``None``: its end."""
        self._waiting.put(block)

    def arrived(self) -> Iterator[Block]:
        """Yield the blocks in the order in which they arrived; afterwards no more are read."""
        try:
            while (block := self._waiting.get()) is not None:
                if isinstance(block, MediaError):
                    raise block
                self._room.release()
                yield block
        finally:
            self._stopped = True
            self._room.release()  # the other thread may wait for room, and must end


class PcmSource(WaitingSource):
    """Raw PCM: samples of 16 bits, little endian, those of several channels in turn.

    Args:
        file: A binary file that is open for reading; unbuffered, so that what is there is read at once.
        rate_hz: Samples per second of one channel.
        channels: How many there are.
        clock: Returns the time of arrival of a block.
        name: What messages call it.
    """

    def __init__(
        self,
        file: BinaryIO,
        rate_hz: int,
        channels: int,
        clock: Clock = time.monotonic,
        name: str = "raw PCM",
    ) -> None:
        super().__init__(rate_hz, channels, clock)
        self.name = name
        self._file = file

    def __iter__(self) -> Iterator[Block]:
        threading.Thread(target=self._read, name=self.name, daemon=True).start()
        yield from self.arrived()

    def _read(self) -> None:
        try:
            self._read_blocks()
            self.put(None)
        except MediaError as error:
            self.put(error)
        except Exception as error:  # of any file object; the other thread would wait without end
            self.put(MediaError(f"{self.name} cannot be read: {first_line(error)}"))

    def _read_blocks(self) -> None:
        size = _SAMPLE_BYTES * self.channels
        most = max(round(BLOCK_S * self.rate_hz), 1) * size
        read = getattr(self._file, "read1", self._file.read)
        rest, checked = b"", False
        while not self._stopped and (data := read(most)) != b"":
            arrived_s = self.clock()
            if not isinstance(data, bytes):  # text, or None: nothing is there yet
                raise MediaError(
                    f"{self.name} gives {type(data).__name__}, expected bytes: open it with mode 'rb', and blocking"
                )
            rest += data
            if not checked and len(rest) < _LONGEST_HEADER:
                continue
            if not checked:
                self._refuse_header(rest)
                checked = True
            whole = len(rest) - len(rest) % size
            if whole:
                self._room.acquire()
                self.put(Block(_samples(rest[:whole], self.channels), arrived_s))
                rest = rest[whole:]
        if self._stopped:
            return
        if not checked and not rest:
            raise MediaError(f"{self.name} is empty: no sound came")
        if len(rest) % size:
            raise MediaError(
                f"{self.name} ends with {len(rest) % size} of the {size} bytes of a sample: expected 16-bit samples of "
                f"{self.channels} {'channel' if self.channels == 1 else 'channels in turn'}. Was it cut off?"
            )
        if rest:
            self.put(Block(_samples(rest, self.channels), self.clock()))

    def _refuse_header(self, begin: bytes) -> None:
        kind = next((what for head, what in _HEADERS.items() if begin.startswith(head)), None)
        kind = "an MP4 file" if begin[4:8] == _MP4 else kind
        if kind is not None:
            raise MediaError(
                f"{self.name} is {kind}, expected samples without a header: analyze the file without --live, or "
                f"'ffmpeg -i FILE -f s16le -ar {self.rate_hz} -ac {self.channels} -' makes samples of it"
            )


def _samples(data: bytes, channels: int) -> npt.NDArray[np.float32]:
    whole = np.frombuffer(data, "<i2").reshape(-1, channels).T
    return np.ascontiguousarray(whole, np.float32) / np.float32(_FULL_SCALE)
