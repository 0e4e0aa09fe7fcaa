"""What the bytes of a recording say where soundfile and FFmpeg would repair, shorten or lose something silently.

* WAV: a size of samples that is 0, unknown or more than there is; what follows the samples. AVI, CAF: the size.
* Ogg, FLAC and WAV files that were joined byte by byte (``cat a b``): libsndfile reads the first one alone.
* MP3: how many frames its header counts, and whether more follow, as in joined files.
"""

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Literal

from merkit.core.errors import MediaError
from merkit.data.media.sources import AGAIN, END_SLIP_S, EncodedRecording, FilePart, RecordingFile

HEADER_SLIP = 64
"""Bytes: careless writers count the header as data."""
UNKNOWN_SIZE = 0x7FFFF000
"""Sizes from here on are what pipes write before they know."""
_MOST_CHUNKS = 1000
MOST_PARTS = 1000
"""Joined files that are read as one recording."""
NO_SIZE = "its header says that it holds no samples, as a recorder that stops early leaves it: read to its end"
_NEVER = 1 << 62
_SCAN = 1 << 22  # bytes that are searched at once
_COUNTED = rb"\xff[\xe2-\xff][\x10-\xef].(?:.{9}|.{17}|.{32})(?:Xing|Info)\x00\x00\x00[\x00-\x0f]"
"""An MP3's frame that holds no sound, but the count of those that do."""
_BEGINS = {
    b"OggS": re.compile(rb"OggS\x00([\x00-\x07])", re.DOTALL),  # RFC 3533, section 6: version, flags
    b"fLaC": re.compile(rb"fLaC[\x00\x80]\x00\x00\x22", re.DOTALL),  # RFC 9639, section 8: a STREAMINFO
    b"\x1aE\xdf\xa3": re.compile(rb"\x1aE\xdf\xa3(?:[\x80-\xff]|\x01.{7})\x42\x86", re.DOTALL),  # RFC 8794: EBML
    b"ID3": re.compile(
        rb"ID3[\x02-\x04]\x00.[\x00-\x7f]{4}|TAG.{125}(?=\xff[\xe2-\xff][\x10-\xef])|(?=" + _COUNTED + b")", re.DOTALL
    ),
}
"""By what a file begins with: how a file begins that was joined to it. ``ID3``: MP3, with or without tags."""
_FRAME = re.compile(rb"\xff[\xe2-\xff]")
_COUNTED_FRAME = re.compile(_COUNTED, re.DOTALL)
_LONGEST_BEGIN = 160  # bytes that the patterns look at


@dataclass(frozen=True)
class Layout:
    """The files that a recording consists of (one, unless several were joined), and what is worth a note."""

    parts: tuple[RecordingFile, ...]
    notes: tuple[str, ...] = ()


def layout(path: Path | EncodedRecording) -> Layout:
    """Return how a recording is to be read.

    Raises:
        MediaError: It ends before its header says, or too many files were joined.
    """
    with path.open("rb") as file:
        begin = file.read(12)
        size = file.seek(0, io.SEEK_END)
        if begin[:4] in {b"RIFF", b"RIFX", b"RF64"}:
            return _wav(path, file, size) if begin[8:] == b"WAVE" else _avi(path, begin, size)
        if begin[:4] == b".snd" and begin[8:] == bytes(4):
            return Layout((FilePart(path, 0, size, ((8, b"\xff" * 4),)),), (NO_SIZE,))
        if begin[:4] in {b"FORM", b".snd", b"caff"} or begin[4:8] == b"ftyp":
            return Layout(_parts(path, tuple(_walked_starts(path, file, size)), size))
    kind = b"ID3" if begin[:3] == b"ID3" or _FRAME.match(begin) else begin[:4]
    if kind not in _BEGINS:
        return Layout((path,))
    if isinstance(path, Path):
        stat = path.stat()
        starts = _cached_starts(path, stat.st_size, stat.st_mtime_ns, kind)
    else:
        starts = tuple(_starts(path, kind))
    parts = _parts(path, starts, size)
    if kind == b"OggS" and not all(_ends_as_ogg(part) for part in parts):
        raise MediaError(f"'{path}' is an Ogg file without an end mark. {AGAIN}")
    return Layout(tuple(_without_tail(part) for part in parts) if kind == b"ID3" else parts)


def _parts(path: Path | EncodedRecording, starts: Sequence[int], size: int) -> tuple[RecordingFile, ...]:
    if len(starts) < 2:
        return (path,)
    if len(starts) > MOST_PARTS:
        raise MediaError(f"'{path}' consists of more than {MOST_PARTS} joined files. Convert it to one")
    return tuple(FilePart(path, a, b) for a, b in zip(starts, (*starts[1:], size), strict=True))


@lru_cache(maxsize=4096)
def _cached_starts(path: Path, size: int, mtime_ns: int, kind: bytes) -> tuple[int, ...]:
    return tuple(_starts(path, kind))


def _starts(path: Path | EncodedRecording, kind: bytes) -> Iterator[int]:
    """Yield where in a file each of the files begins that were joined to it."""
    inside = False  # the several streams of one Ogg file all begin before any goes on
    frame_at = 0  # the first frame of an MP3, perhaps after a tag: the one that counts the others begins no file there
    if kind == b"ID3":
        yield 0
    with path.open("rb") as file:
        at, data = 0, b""
        while block := file.read(_SCAN):
            data += block
            done = len(data) - _LONGEST_BEGIN if len(block) == _SCAN else len(data)
            for match in _BEGINS[kind].finditer(data):
                begin = at + match.start()
                if match.start() >= done:
                    break
                if kind == b"OggS":
                    begins, inside = match[1][0] & 2 and not inside, bool(match[1][0] & 2)
                elif kind == b"ID3" and match[0][:3] == b"ID3":
                    after = begin + 10 + _synchsafe(match[0][6:10])
                    begins = begin > frame_at and _is_frame(path, after)
                    frame_at = after if begins or begin == frame_at else frame_at
                elif kind == b"ID3":
                    begin = at + match.end()  # behind the older tag of the file before, where it has one
                    begins, frame_at = begin > frame_at, max(begin, frame_at)
                else:
                    begins = True
                if begins:
                    yield begin
            at, data = at + done, data[done:]


def _synchsafe(size: bytes) -> int:
    return sum((byte & 127) << shift for byte, shift in zip(size, (21, 14, 7, 0), strict=True))


def _is_frame(path: Path | EncodedRecording, at: int) -> bool:
    with path.open("rb") as file:
        file.seek(at)
        begin = file.read(3)
    return begin == b"ID3" or _FRAME.match(begin) is not None


def _walked_starts(path: Path | EncodedRecording, file: BinaryIO, size: int) -> Iterator[int]:
    """Yield where in an AIFF, AU, CAF or MP4 file each of the files begins that were joined to it."""
    start: int | None = 0
    while start is not None:
        yield start
        file.seek(start)
        head = file.read(12)
        long = int.from_bytes(head[8:12], "big")
        if head[:4] == b"FORM":
            ends = [start + 8 + int.from_bytes(head[4:8], "big")]
        elif head[:4] == b".snd":
            ends = [start + int.from_bytes(head[4:8], "big") + long]
        elif head[:4] == b"caff":
            ends = _chunk_ends(file, start + 8, size, 12)
            if ends and size < ends[-1] < _NEVER and _marked(file, ends[-2] if len(ends) > 1 else 8, size) & {b"data"}:
                raise MediaError(f"'{path}' promises {ends[-1]} bytes in its header, but holds {size}. {AGAIN}")
        else:
            ends = _chunk_ends(file, start, size, 8)
        marks = {b"FORM", b".snd", b"caff"} if head[4:8] != b"ftyp" else {b"ftyp"}
        start = next((end for end in ends if end > start and _marked(file, end, size) & marks), None)


def _marked(file: BinaryIO, at: int, size: int) -> set[bytes]:
    if at > size - 12:
        return set()
    file.seek(at)
    head = file.read(8)
    return {head[:4], head[4:]}


def _chunk_ends(file: BinaryIO, at: int, size: int, head_size: int) -> list[int]:
    """Return where the chunks of a CAF (12 bytes of header) or the boxes of an MP4 (8, or 16) end."""
    ends: list[int] = []
    while at <= size - head_size and len(ends) < _MOST_CHUNKS:
        file.seek(at)
        head = file.read(16)
        if head_size == 12:
            if head[:4] == b"caff":
                break
            length = int.from_bytes(head[4:12], "big", signed=True)
            at = at + 12 + length if length >= 0 else _NEVER
        else:
            if head[4:8] == b"ftyp" and ends:
                break
            length = int.from_bytes(head[:4], "big")
            length = int.from_bytes(head[8:], "big") if length == 1 else length
            at = at + length if length >= 8 else _NEVER  # 0: to the end of the file
        ends.append(at)
    return ends


def _wav(path: Path | EncodedRecording, file: BinaryIO, size: int) -> Layout:
    """Return the layout of a WAV file: `RIFF <https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE>`_ chunks."""
    starts: list[int] = []
    notes: list[str] = []
    begin: int | None = 0
    while begin is not None and len(starts) <= MOST_PARTS:
        starts.append(begin)
        found = _samples_chunk(file, begin, size)
        if found is None:
            break
        at, promised, rate, (field, width) = found
        slip = max(HEADER_SLIP, END_SLIP_S * rate)
        held = size - at
        if promised == 0 and held and not _chunks_end_at(file, at, size):
            notes.append(NO_SIZE)
            actual = min(held, 256**width - 1).to_bytes(width, _order(file))
            last = FilePart(path, begin, size, ((field - begin, actual),))
            return Layout((*_parts(path, starts, size)[:-1], last), tuple(notes))
        if promised > held:
            if promised >= UNKNOWN_SIZE:
                notes.append("its header does not say how long it is: read to its end")
            elif promised - held > slip:
                raise MediaError(
                    f"'{path}' promises {promised} bytes of samples in its header, but holds {held}. {AGAIN}"
                )
            else:
                more = promised - held
                notes.append(f"its header promises {more} byte{'s'[: more != 1]} more than it holds: read to its end")
            break
        file.seek(begin + 4)
        ends = (begin + 8 + int.from_bytes(file.read(4), _order(file)), at + promised)
        begin = next((end + pad for end in ends for pad in (0, 1) if _is_wav(file, end + pad, size)), None)
        if begin is None and held - promised > slip and not _chunks_end_at(file, at + promised + promised % 2, size):
            notes.append(f"{held - promised} bytes that follow its samples are not read")
    return Layout(_parts(path, starts, size), tuple(notes))


def _order(file: BinaryIO) -> Literal["little", "big"]:
    file.seek(0)
    return "big" if file.read(4) == b"RIFX" else "little"


def _is_wav(file: BinaryIO, at: int, size: int) -> bool:
    if at > size - 12:
        return False
    file.seek(at)
    begin = file.read(12)
    return begin[:4] in {b"RIFF", b"RIFX", b"RF64"} and begin[8:] == b"WAVE"


def _chunks(file: BinaryIO, at: int, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, the place of the size, and the size of each RIFF chunk."""
    order = _order(file)
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        length = int.from_bytes(head[4:], order)
        yield head[:4], at + 4, length
        at = min(at + 8 + length + length % 2, size)


def _samples_chunk(file: BinaryIO, begin: int, size: int) -> tuple[int, int, int, tuple[int, int]] | None:
    """Return where a WAV file's samples begin, their bytes, those of a second, and where and how wide the size is."""
    order = _order(file)
    rate = 0
    long: tuple[int, int] | None = None
    for name, field, length in _chunks(file, begin + 12, size):
        file.seek(field + 4)
        if name == b"fmt ":
            rate = int.from_bytes(file.read(12)[8:], order)
        elif name == b"ds64":
            long = int.from_bytes(file.read(16)[8:], order), field + 12
        elif name == b"data":
            if long and length == 0xFFFFFFFF:  # EBU Tech 3306: RF64
                return field + 4, long[0], rate, (long[1], 8)
            return field + 4, length, rate, (field, 4)
    return None


def _chunks_end_at(file: BinaryIO, at: int, size: int) -> bool:
    """Return whether whole RIFF chunks lie between a place and the end of the file."""
    end = at
    for name, field, length in _chunks(file, at, size):
        if not name.isalnum() and not name.strip(b" _").isalnum():
            return False
        end = field + 4 + length
    return end in {size, size - 1}


def _avi(path: RecordingFile, begin: bytes, size: int) -> Layout:
    promised = int.from_bytes(begin[4:8], "little") + 8
    if begin[8:11] == b"AVI" and size < promised < UNKNOWN_SIZE:
        raise MediaError(f"'{path}' promises {promised} bytes in its header, but holds {size}. {AGAIN}")
    return Layout((path,))


def _ends_as_ogg(path: RecordingFile) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, io.SEEK_END) - (1 << 17)))  # a page is shorter than 2**16 bytes
        tail = file.read()
    last = tail.rfind(b"OggS\x00")  # the header's byte 5 bears the flag 4 on the last page
    page = tail[last:] if last >= 0 else b""
    segments = page[27 : 27 + page[26]] if len(page) > 26 else b""  # byte 26: how many; each byte: how long
    return len(page) >= 27 + len(segments) + sum(segments) and page[5] & 4 != 0 and len(segments) == page[26]


_LAYER_3 = {(3, 1): 1152, (2, 1): 576, (0, 1): 576}  # samples of a frame by version (3: MPEG 1) and layer bits
_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


@dataclass(frozen=True)
class FrameCount:
    """How long an MP3 is by the frames that its header counts, and where they end."""

    duration_s: float
    end: int


def frame_count(path: RecordingFile) -> FrameCount | None:
    """Return what an MP3's header counts, less what the encoder added at either end.

    ``None`` where no header counts them, or where more frames follow than it counts. The header is Xing's, or Info, in
    the first frame (`description <http://gabriel.mp3-tech.org/mp3infotag.html>`_).
    """
    with path.open("rb") as file:
        at = _after_tags(file)
        file.seek(at)
        data = file.read(1 << 10)
        header = _COUNTED_FRAME.match(data)
        if header is None:
            return None
        version, layer, rate = (data[1] >> 3) & 3, (data[1] >> 1) & 3, (data[2] >> 2) & 3
        tag = data[header.end() - 4 : header.end() + 144]
        if (version, layer) not in _LAYER_3 or rate == 3 or len(tag) < 148 or tag[3] & 3 != 3:
            return None
        frames, length = (int.from_bytes(tag[i : i + 4], "big") for i in (4, 8))
        end = at + length
        file.seek(end)
        if _FRAME.search(file.read(1 << 12)):
            return None
    lame = tag[12 + 100 * bool(tag[3] & 4) + 4 * bool(tag[3] & 8) :]
    delays = int.from_bytes(lame[21:24], "big") if lame[:4] in {b"LAME", b"Lavf", b"Lavc"} else 0
    samples = frames * _LAYER_3[version, layer] - (delays >> 12) - (delays & 0xFFF)
    return FrameCount(samples / _RATES_HZ[version][rate], end)


def _without_tail(path: RecordingFile) -> RecordingFile:
    """Return an MP3 without what follows its last frame: tags, zeros."""
    count = frame_count(path)
    whole, begin, size = (path.whole, path.begin, path.end) if isinstance(path, FilePart) else (path, 0, _size(path))
    return path if count is None or begin + count.end >= size else FilePart(whole, begin, begin + count.end)


def _size(path: RecordingFile) -> int:
    with path.open("rb") as file:
        return file.seek(0, io.SEEK_END)


def is_mpeg(path: RecordingFile) -> bool:
    """Return whether a file begins like an MP3, with or without tags before it."""
    with path.open("rb") as file:
        file.seek(_after_tags(file))
        return _FRAME.match(file.read(2)) is not None


def _after_tags(file: BinaryIO) -> int:
    at = 0
    while True:
        file.seek(at)
        head = file.read(10)
        if head[:3] != b"ID3" or len(head) < 10:
            return at
        at += 10 + _synchsafe(head[6:])
