"""Text to 16 kHz speech by eSpeak NG, with the true times of words and phones.

``speak`` depends on its arguments alone. The library does not: noise, flutter and the phase of the glottal pulse carry
over from one utterance to the next. So every utterance is spoken by a fresh copy of the library, which takes a few
milliseconds to load and is unloaded again.
"""

import _ctypes
import ctypes
import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from jaxtyping import Float32, Int16

from merkit.core.alignment import Interval
from merkit.core.errors import MerkitError

RATE_HZ = 16_000
_SYNCHRONOUS = 2
_PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 0x1, 0x2, 0x8000
_UTF8, _SSML = 1, 0x10
_CHARACTERS = 1
_END_OF_LIST, _WORD, _PHONEME = 0, 1, 7
_FULL_SCALE = 32768
_TAIL_S = 0.05
"""Kept after the last phone; the rest of eSpeak's pause at the end of a sentence is removed."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A speaker: an eSpeak NG voice with a variant, and habits."""

    name: str
    """Accent and variant: ``en-us+f2``."""
    gender: str
    """``female`` or ``male``"""
    pitch: int = 0
    """Shift of the pitch on eSpeak's scale (0 to 100, 50 is the variant's own)."""
    pace: float = 1.0
    """Factor on the rate."""
    level_db: float = 0.0
    """Gain; brings the variants, which differ in loudness, to about one level."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How an utterance is to be spoken, in eSpeak's units."""

    pitch: int
    """0 to 100; 50 is the voice's own, and about 64 points are an octave."""
    pitch_range: int
    """0 (monotone) to 100; 50 is the variant's own."""
    rate_wpm: int
    """80 to 450"""
    volume: int
    """0 to 200, linear in amplitude."""


@dataclass(frozen=True, slots=True)
class Speech:
    """Samples in [-1, 1) at 16 kHz, and the times of words and phones (IPA) from the first sample."""

    samples: Float32[np.ndarray, " samples"]
    words: tuple[Interval, ...]
    phones: tuple[Interval, ...]


class _Event(ctypes.Structure):
    """``espeak_EVENT`` of speak_lib.h; of the union ``id``, the string."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("string", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_Mark = tuple[int, int, int, str]
"""The begin of a word or phone: type of the event, sample, position in the text (from 0), phone."""


def engine() -> tuple[Path, Path, str]:
    """Return the library's path, the folder of its data, and the package's version.

    Raises:
        MerkitError: The package that contains them is not installed.
    """
    try:
        import espeakng_loader
    except ImportError as error:
        raise MerkitError("The corpus 'parley' needs the extra 'demo': pip install 'merkit[demo]'") from error
    folders = (espeakng_loader.get_library_path(), espeakng_loader.get_data_path())
    return Path(folders[0]), Path(folders[1]), version("espeakng-loader")


def speak(
    words: Sequence[str],
    voice: Voice,
    manner: Manner,
    stressed: int | None = None,
    hesitations_ms: Sequence[int] = (),
) -> Speech:
    """Speak words, with their punctuation, in a voice and manner.

    Args:
        words: The text, cut at spaces.
        voice: The speaker.
        manner: Pitch, range, rate and volume.
        stressed: Index of a word to be stressed: higher, louder and slower than its neighbours.
        hesitations_ms: Approximate silence before each word; empty: none.

    Raises:
        MerkitError: The extra is missing, or the library refuses the voice or the text.
    """
    library, data, _ = engine()
    text, starts = _marked_up(words, stressed, hesitations_ms or [0] * len(words))
    with tempfile.TemporaryDirectory(prefix="merkit-voice-", ignore_cleanup_errors=True) as folder:
        copy = Path(shutil.copyfile(library, Path(folder) / library.name))
        handle = ctypes.CDLL(str(copy))
        try:
            pieces, marks, rate_hz = _synthesise(handle, data, text, voice, manner)
        finally:
            handle.espeak_Terminate()
            _ctypes.dlclose(handle._handle)  # ctypes itself never unloads
    if not any(phone for *_, phone in marks):
        raise MerkitError(f"eSpeak NG gave no sound for '{' '.join(words)}'. Expected text with at least one word")
    raw = np.concatenate(pieces)
    gain = np.float32(10 ** (voice.level_db / 20) / _FULL_SCALE)
    samples = soxr.resample(raw.astype(np.float32) * gain, rate_hz, RATE_HZ).astype(np.float32)
    spoken, phones = _spans(marks, words, starts, len(raw), rate_hz)
    end = math.ceil((phones[-1].end_s + _TAIL_S) * RATE_HZ)
    return Speech(samples[:end], spoken, phones)


def _marked_up(words: Sequence[str], stressed: int | None, hesitations_ms: Sequence[int]) -> tuple[str, list[int]]:
    """Return SSML and the position of each word's first character in it."""
    text, starts = "<speak>", []
    for index, (word, silence) in enumerate(zip(words, hesitations_ms, strict=True)):
        before, after = (f'<break time="{silence}ms"/>' if silence else "", "")
        if index == stressed:
            before, after = before + '<prosody pitch="+45%" volume="+60%" rate="75%">', "</prosody>"
        text += before
        starts.append(len(text))
        text += escape(word, quote=False) + after + " "
    return text.rstrip() + "</speak>", starts


def _synthesise(
    handle: ctypes.CDLL, data: Path, text: str, voice: Voice, manner: Manner
) -> tuple[list[Int16[np.ndarray, " samples"]], list[_Mark], int]:
    """Speak with a fresh copy of the library; return its samples in pieces, marks and sampling rate."""
    options = _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT
    rate_hz = int(handle.espeak_Initialize(_SYNCHRONOUS, 0, str(data).encode(), options))
    if rate_hz <= 0:
        raise MerkitError(f"eSpeak NG did not start with the data in '{data}'. Reinstall: pip install 'merkit[demo]'")
    pieces: list[Int16[np.ndarray, " samples"]] = []
    marks: list[_Mark] = []

    def receive(samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while (event := events[index]).type != _END_OF_LIST:
            if event.type in (_WORD, _PHONEME):
                phone = event.string.decode("utf-8") if event.type == _PHONEME else ""
                marks.append((event.type, event.sample, event.text_position - 1, phone))
            index += 1
        return 0

    callback = _Callback(receive)
    handle.espeak_SetSynthCallback(callback)
    handle.espeak_ng_SetRandSeed(ctypes.c_long(1))
    variant = data / "voices" / "!v" / voice.name.partition("+")[2]  # eSpeak NG passes silently over an unknown one
    if not variant.exists() or handle.espeak_SetVoiceByName(voice.name.encode()) != 0:
        raise MerkitError(f"eSpeak NG has no voice '{voice.name}'. Reinstall its data: pip install 'merkit[demo]'")
    settings = (manner.rate_wpm, manner.volume, manner.pitch, manner.pitch_range)
    for parameter, value in enumerate(settings, start=1):
        if handle.espeak_SetParameter(parameter, value, 0) != 0:
            raise MerkitError(
                f"eSpeak NG refuses {value} for its parameter {parameter} (1 rate, 2 volume, 3 pitch, 4 range)"
            )
    encoded = text.encode()
    size = ctypes.c_size_t(len(encoded) + 1)
    if handle.espeak_Synth(encoded, size, 0, _CHARACTERS, 0, _UTF8 | _SSML, None, None) != 0:
        raise MerkitError(f"eSpeak NG refuses the text '{text}'")
    handle.espeak_Synchronize()
    return pieces, marks, rate_hz


def _spans(
    marks: Sequence[_Mark], words: Sequence[str], starts: Sequence[int], samples: int, rate_hz: int
) -> tuple[tuple[Interval, ...], tuple[Interval, ...]]:
    """Return words and phones with times.

    A phone ends where the next phone, pause or word begins; a word reaches from its first phone to its last. Words that
    eSpeak speaks as one ("of the") share its time.
    """
    ends = [sample for _, sample, _, _ in marks[1:]] + [samples]
    phones: list[Interval] = []
    times: dict[int, tuple[float, float]] = {}
    current = 0
    for (kind, sample, position, phone), end in zip(marks, ends, strict=True):
        if kind == _WORD:
            current = max(index for index, start in enumerate(starts) if start <= max(position, starts[0]))
        elif phone and end > sample:
            interval = Interval(phone, sample / rate_hz, end / rate_hz)
            phones.append(interval)
            times[current] = (times.get(current, (interval.start_s, 0.0))[0], interval.end_s)
    known = [max((key for key in times if key <= index), default=min(times)) for index in range(len(words))]
    return tuple(Interval(word, *times[key]) for word, key in zip(words, known, strict=True)), tuple(phones)
