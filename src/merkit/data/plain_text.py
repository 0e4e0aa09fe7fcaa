"""Bytes of a text file to text, whatever encoding a program saved it in.

A byte order mark decides between UTF-8, UTF-16 and UTF-32. Without one, a text in UTF-16 shows by its zero bytes.
Everything else must be UTF-8; Windows-1252 is read only where the caller allows it, and only if the result can be a
text of a western European language.
"""

import codecs
import re
from pathlib import Path

from merkit.core.errors import MerkitError

LARGEST_BYTES = 20_000_000
"""A day of speech has 1.5 MB of words, with times of words 20 MB; JSON may need thirty times its size in memory."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins like UTF-16, so it is tried first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KINDS = (
    (b"PK\x03\x04", "a ZIP file, such as an Excel workbook or a Word document: save it as CSV (UTF-8) or plain text"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook or Word document: save it as CSV (UTF-8) or plain text"),
    (b"%PDF", "a PDF: save its text as plain text"),
    (b"{\\rtf", "rich text (RTF): save it as plain text"),
)
_SAMPLE = 4096
_LETTER = re.compile("[À-ÖØ-öø-ÿŠŒŽšœžŸƒ]")
_LETTERS_IN_A_ROW = re.compile(f"{_LETTER.pattern}{{4}}")
"""No language that Windows-1252 is for has four such letters in a row; other code pages read as it have."""
_RARE = re.compile("[‚ƒ„†‡ˆ‰‹›¤¥¦¨ª¬¯±²³µ¶¸¹º¼½¾×÷]")
"""Its signs that are rare in speech, and that Asian code pages read as it are full of."""
_MOST_RARE = 0.2
_MOST_OTHER = 0.4
"""The largest share of letters beyond ASCII in a text of such a language, where there are at least ``_SHORT``."""
_SHORT = 8


def read_bytes(path: Path, kind: str, largest: int = LARGEST_BYTES) -> bytes:
    """Return a file's content.

    Args:
        path: The file.
        kind: What it is called in errors, such as "transcript".
        largest: Most bytes that are read.

    Raises:
        MerkitError: It is missing, no regular file, larger than that, or cannot be read.
    """
    try:
        if path.exists() and not path.is_file():
            raise MerkitError(f"'{path}' is {'a folder' if path.is_dir() else 'no regular file'}, expected a {kind}.")
        with path.open("rb") as stream:
            raw = stream.read(largest + 1)
    except FileNotFoundError:
        raise MerkitError(f"No {kind} '{path}'.") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise MerkitError(f"Cannot read the {kind} '{path}': {error}") from error
    if len(raw) > largest:
        raise MerkitError(
            f"'{path}' is larger than {largest / 1e6:.0f} MB, the most that a {kind} may have: divide it, or leave out "
            "what is not needed, such as times of words."
        )
    return raw


def decode(raw: bytes, source: str, western: bool = False) -> tuple[str, str | None]:
    """Return the text of a file, without a byte order mark, and a note where its encoding had to be assumed.

    Args:
        raw: The file's content.
        source: The file, for errors and the note.
        western: Read bytes that are not UTF-8 as Windows-1252, if the result is a plausible text.

    Raises:
        MerkitError: The content is no text, or of an unknown encoding.
    """
    for beginning, kind in _KINDS:
        if raw.startswith(beginning):
            raise MerkitError(f"{source} is {kind}.")
    encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), None) or _by_zeros(raw[:_SAMPLE])
    note = None
    try:
        text = raw.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding is not None:
            name = encoding.removesuffix("-sig").upper()
            raise MerkitError(f"{source}: damaged {name} at byte {error.start}; save it as UTF-8") from error
        if not western:
            raise MerkitError(f"{source}: not UTF-8 at byte {error.start}; save the table as UTF-8") from error
        text = _western(raw, error.start, source)
        note = f"{source} is not UTF-8 and was read as Windows-1252; if its letters are wrong, save it as UTF-8."
    text = text.removeprefix("\ufeff")
    if "\0" in text:
        raise MerkitError(f"{source} is no text: it has a zero byte at character {text.index(chr(0))}.")
    return text, note


def _by_zeros(sample: bytes) -> str | None:
    """Return UTF-16 without a mark, whose bytes at even or odd places are zero in most languages' punctuation."""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if max(even, odd) * 10 < len(sample):
        return None
    if not even:
        return "utf-16-le"
    return None if odd else "utf-16-be"


def _western(raw: bytes, place: int, source: str) -> str:
    refused = MerkitError(
        f"{source}: not UTF-8 at byte {place}, and no text in Windows-1252 either: open it in an editor and save it as "
        "UTF-8"
    )
    try:
        text = raw.decode("cp1252")
    except UnicodeDecodeError:
        raise refused from None
    others = "".join(re.findall(r"[^\x00-\x7f\xa0]+", text))
    letters, plain = len(_LETTER.findall(others)), len(re.findall(r"[A-Za-z]", text))
    rare = len(_RARE.findall(others))
    if (
        _LETTERS_IN_A_ROW.search(text)
        or (rare > 1 and rare > _MOST_RARE * len(others))
        or (letters >= _SHORT and letters > _MOST_OTHER * (letters + plain))
    ):
        raise refused
    return text
