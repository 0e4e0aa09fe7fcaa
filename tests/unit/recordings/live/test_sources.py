"""Live sound from raw PCM, arrays and a microphone, and the errors of what is none."""

import io
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from merkit.core.errors import ConfigError, MediaError, MerkitError
from merkit.recordings.live import sources
from merkit.recordings.live.microphone import Microphone
from merkit.recordings.live.sources import ArraySource, Block, PcmSource, Source

RATE_HZ = 16_000


def samples(source: Source) -> np.ndarray:
    """Return all samples of a source, ``[channels, samples]``."""
    return np.concatenate([block.samples for block in source], axis=1)


def ticking() -> Callable[[], float]:
    """Return a clock that goes on by a second whenever it is read."""
    seconds = iter(range(10**6))
    return lambda: float(next(seconds))


def test_pcm_is_16_bits_little_endian_with_channels_in_turn() -> None:
    data = b"\x00\x80\x01\x00\xff\x7f\xff\xff"

    assert samples(PcmSource(io.BytesIO(data), RATE_HZ, 1)).tolist() == [[-1.0, 1 / 32768, 32767 / 32768, -1 / 32768]]
    assert samples(PcmSource(io.BytesIO(data), RATE_HZ, 2)).tolist() == [
        [-1.0, 32767 / 32768],
        [1 / 32768, -1 / 32768],
    ]


class Drip(io.RawIOBase):
    """A pipe that gives seven bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, 7))


def test_samples_that_arrive_in_parts_are_put_together_and_each_part_has_its_time() -> None:
    numbers = np.arange(-500, 500, dtype="<i2")

    blocks = list(PcmSource(Drip(numbers.tobytes()), RATE_HZ, 2, ticking()))

    joined = np.concatenate([block.samples for block in blocks], axis=1)
    assert (32768 * joined.T).ravel().tolist() == numbers.tolist()
    assert [block.arrived_s for block in blocks] == sorted({block.arrived_s for block in blocks})
    assert len(blocks) > 100


@pytest.mark.parametrize(
    ("data", "channels", "message"),
    [
        (b"", 1, "is empty: no sound came"),
        (b"\x00", 1, "ends with 1 of the 2 bytes of a sample"),
        (bytes(4001), 1, "ends with 1 of the 2 bytes of a sample"),
        (bytes(4002), 2, "ends with 2 of the 4 bytes .* 2 channels in turn"),
        (b"RIFF\x24\x08\x00\x00WAVEfmt " + bytes(99), 1, "is a WAV file, .*without --live, or 'ffmpeg"),
        (b"fLaC" + bytes(99), 1, "is a FLAC file"),
        (b"\x00\x00\x00\x20ftypM4A " + bytes(99), 1, "is an MP4 file"),
    ],
)
def test_what_is_no_pcm_is_refused_after_what_came_before(data: bytes, channels: int, message: str) -> None:
    source = PcmSource(io.BytesIO(data), RATE_HZ, channels, name="standard input")
    blocks: list[Block] = []

    with pytest.raises(MediaError, match=f"standard input {message}"):
        blocks.extend(source)

    assert sum(block.samples.shape[1] for block in blocks) == (2000 // channels if len(data) > 4000 else 0)


def test_a_closed_file_is_refused() -> None:
    file = io.BytesIO(bytes(100))
    file.close()

    with pytest.raises(MediaError, match="raw PCM cannot be read"):
        samples(PcmSource(file, RATE_HZ, 1))


class Waiting(io.RawIOBase):
    """A pipe that does not block, and has nothing yet."""

    def read(self, size: int = -1) -> None:
        return None


@pytest.mark.parametrize(("file", "what"), [(io.StringIO("hello, hello"), "str"), (Waiting(), "NoneType")])
def test_a_file_of_text_or_that_does_not_block_is_refused(file: Any, what: str) -> None:
    with pytest.raises(MediaError, match=f"gives {what}, expected bytes"):
        samples(PcmSource(file, RATE_HZ, 1))


@pytest.mark.parametrize("wrong", [{"rate_hz": 0}, {"rate_hz": 16}, {"channels": 0}, {"channels": 65}])
def test_a_rate_or_number_of_channels_that_no_sound_has_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(MerkitError, match="expected"):
        PcmSource(io.BytesIO(), **{"rate_hz": RATE_HZ, "channels": 1, **wrong})


def test_a_stop_ends_the_sound_after_what_arrived() -> None:
    source = PcmSource(Endless(), RATE_HZ, 1)
    count = 0

    for block in source:
        count += block.samples.shape[1]
        source.stop()

    assert count > 0


class Endless(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        return bytes(size)


def test_a_pipe_waits_while_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_BLOCKS", 3)
    source = PcmSource(Endless(), RATE_HZ, 1)

    waiting = [source._waiting.qsize() for _, _ in zip(range(1000), source, strict=False)]

    assert max(waiting) <= 3


def test_a_pipe_is_read_no_more_when_nobody_reads_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_BLOCKS", 3)
    source = PcmSource(Endless(), RATE_HZ, 1, name="an endless pipe")
    blocks = source.__iter__()
    next(blocks)
    (reader,) = (thread for thread in threading.enumerate() if thread.name == "an endless pipe")

    blocks.close()  # type: ignore[attr-defined]

    reader.join(timeout=10.0)
    assert not reader.is_alive()


class Broken(io.RawIOBase):
    """A file whose connection breaks with an error of its own."""

    def read(self, size: int = -1) -> bytes:
        raise RuntimeError("connection lost")


def test_any_error_of_a_file_ends_the_sound() -> None:
    with pytest.raises(MediaError, match="raw PCM cannot be read: connection lost"):
        samples(PcmSource(Broken(), RATE_HZ, 1))


def test_arrays_are_read_as_waveforms_are() -> None:
    arrays = [np.array([0, 16384], np.int16), np.zeros(0), [0.25, -0.5, 0.0]]

    source = ArraySource(arrays, RATE_HZ, 1, ticking())

    assert [(block.samples.tolist(), block.arrived_s) for block in source] == [
        ([[0.0, 0.5]], 0.0),
        ([[0.25, -0.5, 0.0]], 2.0),
    ]


def test_arrays_of_another_number_of_channels_are_refused() -> None:
    with pytest.raises(
        MediaError, match=r"A block of shape \[5\] was given, expected \[channels, samples\] of 2 channels"
    ):
        list(ArraySource([np.zeros(5)], RATE_HZ, 2))


def test_a_last_block_may_be_shorter_than_it_has_channels() -> None:
    blocks = [np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]), torch.tensor([[0.25], [-0.5]])]

    *_, last = ArraySource(blocks, RATE_HZ, 2)

    assert last.samples.tolist() == [[0.25], [-0.5]]


@pytest.mark.parametrize("sound", [np.zeros((2, 900)), np.zeros(900), torch.zeros(2, 900)])
def test_one_array_is_not_taken_for_blocks_that_follow_each_other(sound: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"is one array of shape \[.*900\], expected arrays as they arrive: \[array\]"
    ):
        ArraySource(sound, RATE_HZ, 1)


@pytest.mark.parametrize("block", ["hello", 0.5, [[1.0], [1.0, 2.0]], None, np.zeros((2, 2, 9))])
def test_what_is_no_block_is_refused(block: Any) -> None:
    with pytest.raises(
        MediaError, match=r"A block of shape .* was given, expected \[channels, samples\] of 2 channels"
    ):
        list(ArraySource([block], RATE_HZ, 2))


class PortAudioError(Exception):
    """As sounddevice has it."""


class Stream:
    """A microphone that hears the same two blocks and is then gone."""

    error: ClassVar[Exception | None] = None
    overflows: ClassVar[bool] = False
    made: ClassVar[dict[str, Any]] = {}
    closed: ClassVar[list[bool]] = []

    def __init__(self, **options: Any) -> None:
        if self.error is not None:
            raise self.error
        Stream.made = options

    def start(self) -> None:
        status = SimpleNamespace(input_overflow=self.overflows)
        for first in (0.0, 0.5):
            data = np.array([first, first + 0.25], np.float32).tobytes()
            self.made["callback"](data, 1, None, status)
        self.made["finished_callback"]()

    def close(self) -> None:
        Stream.closed.append(True)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> type[Stream]:
    """A module in place of sounddevice, whose stream is returned."""
    fake = SimpleNamespace(RawInputStream=Stream, PortAudioError=PortAudioError, CallbackAbort=StopIteration)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)  # type: ignore[arg-type]
    for name, value in (("error", None), ("overflows", False), ("closed", [])):
        monkeypatch.setattr(Stream, name, value)
    return Stream


def test_a_microphone_is_read_until_it_is_gone(device: type[Stream], caplog: pytest.LogCaptureFixture) -> None:
    device.overflows = True
    blocks: list[Block] = []

    with pytest.raises(MediaError, match="ended: was it disconnected"):
        blocks.extend(Microphone(8000, 2, ticking()))

    assert [block.samples.tolist() for block in blocks] == [[[0.0], [0.25]], [[0.5], [0.75]]]
    device.overflows = False
    source = Microphone(8000, 2)
    first = next(iter(source))
    assert first.samples.tolist() == [[0.0], [0.25]]
    assert device.made["samplerate"] == 8000
    assert device.made["channels"] == 2
    assert [record.message for record in caplog.records] == [
        "The microphone lost sound: the machine is busy.",
        "The microphone lost sound 2 times: close other programs, or use a smaller model.",
    ]
    assert len(device.closed) >= 1


def test_a_microphone_that_is_faster_than_the_model_is_an_error(
    device: type[Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merkit.recordings.live.sources.MOST_BLOCKS", 1)
    monkeypatch.setattr(Stream, "start", _start_until_refused)

    source = iter(Microphone(8000, 2))

    next(source)
    with pytest.raises(MediaError, match="too slow for live speech"):
        next(source)


def _start_until_refused(stream: Stream) -> None:
    status = SimpleNamespace(input_overflow=False)
    stream.made["callback"](bytes(8), 1, None, status)
    with pytest.raises(StopIteration):
        stream.made["callback"](bytes(8), 1, None, status)


def test_no_microphone_is_one_line(device: type[Stream]) -> None:
    device.error = PortAudioError("Error querying device -1")

    with pytest.raises(MediaError, match=r"No microphone of 1 x 16000 Hz .*device -1.*--live -"):
        next(iter(Microphone(RATE_HZ, 1)))
    assert device.closed == []


def test_a_microphone_that_does_not_start_is_closed(device: type[Stream], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(stream: Stream) -> None:
        raise PortAudioError("Device unavailable")

    monkeypatch.setattr(Stream, "start", fail)

    with pytest.raises(MediaError, match=r"No microphone .*Device unavailable"):
        next(iter(Microphone(RATE_HZ, 1)))
    assert device.closed == [True]


def test_without_the_package_or_portaudio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MerkitError, match=r"pip install 'merkit\[live\]'"):
        Microphone(RATE_HZ, 1)

    class WithoutPortAudio:
        """Fails as the import of sounddevice does."""

        def find_spec(self, name: str, *_: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice")
    monkeypatch.setattr(sys, "meta_path", [WithoutPortAudio(), *sys.meta_path])
    with pytest.raises(MerkitError, match=r"PortAudio library not found.*apt install libportaudio2"):
        Microphone(RATE_HZ, 1)
