"""Check and convert the arguments of the Python interface: recordings, live sound, texts, rows of a table."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from merkit.core.errors import ConfigError, MediaError
from merkit.core.waveform import Waveform
from merkit.data.media.audio import decode
from merkit.data.media.sources import EncodedRecording
from merkit.recordings.live.microphone import Microphone
from merkit.recordings.live.sources import ArraySource, PcmSource, Source


def as_recording(recording: Any, rate_hz: int | None) -> tuple[Path | Waveform, str]:
    """Return a recording in any form as a path or waveform, and its name; the name is empty for a path.

    Raises:
        MerkitError: The type is none of a recording, or the rate is missing.
    """
    if isinstance(recording, str | os.PathLike | Waveform | bytes | bytearray | memoryview) or hasattr(
        recording, "read"
    ):
        if rate_hz is not None:
            raise ConfigError(f"rate_hz={rate_hz} was given, but the recording has its own rate: leave it out")
        if isinstance(recording, Waveform):
            return recording, "waveform"
        if isinstance(recording, str | os.PathLike):
            return Path(recording), ""
        try:
            data = recording.read() if hasattr(recording, "read") else recording
        except (ValueError, OSError) as error:  # closed, or not open for reading
            raise MediaError(f"The recording's file object cannot be read: {error}") from error
        if isinstance(data, str):
            raise MediaError("The recording is a file that is open as text: open it with mode 'rb'")
        name = getattr(recording, "name", None)
        encoded = EncodedRecording(bytes(data), Path(name).name if isinstance(name, str) else "recording")
        return decode(encoded), encoded.name
    if not hasattr(recording, "__len__") and not hasattr(recording, "__array__"):
        raise MediaError(
            f"A recording of type {type(recording).__name__} was given, expected a path, bytes, a file object, or "
            "samples with rate_hz"
        )
    return Waveform(recording, rate_hz), "waveform"


def as_source(sound: Any, rate_hz: int, channel_count: int) -> Source:
    """Return the source of live sound: the microphone (``None``), a binary file of raw PCM, or arrays.

    Raises:
        MerkitError: The type is none of live sound, or the microphone cannot be used.
    """
    if isinstance(sound, Source):
        return sound
    if sound is None:
        return Microphone(rate_hz, channel_count)
    if hasattr(sound, "read"):
        return PcmSource(sound, rate_hz, channel_count)
    if isinstance(sound, str | os.PathLike | bytes | bytearray | memoryview) or not isinstance(sound, Iterable):
        raise ConfigError(
            f"Live sound of type {type(sound).__name__} was given, expected None (the microphone), a binary file of "
            "raw samples, or arrays as they arrive; a recording is labelled by recognizer(recording)"
        )
    return ArraySource(sound, rate_hz, channel_count)


def checked_text(text: str) -> str:
    """Return a text that can be written as UTF-8.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"The text {text[:40]!r} has half a character at position {error.start}: decode it as UTF-16"
        ) from None
    return text


def as_columns(rows: Any) -> dict[str, list[Any]]:
    """Return the cells of a data frame or a list of dictionaries by column; missing cells are ``None``.

    Raises:
        ConfigError: The rows are of another type.
    """
    if hasattr(rows, "columns") and hasattr(rows, "to_dict"):
        rows = rows.to_dict("records")
    if not isinstance(rows, Sequence) or not all(isinstance(row, Mapping) for row in rows):
        raise ConfigError(
            f"rows is of type {type(rows).__name__}, expected a data frame, a list of dictionaries or a manifest's "
            "folder"
        )
    names = dict.fromkeys(str(name) for row in rows for name in row)
    columns = {name: [_cell(row.get(name)) for row in rows] for name in names}
    return columns if "id" in columns else {"id": [str(number) for number in range(len(rows))], **columns}


def _cell(value: Any) -> Any:
    """Return a cell as Python's own type."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
    is_nan = isinstance(value, float) and math.isnan(value)
    return None if is_nan or type(value).__name__ in ("NAType", "NaTType") else value
