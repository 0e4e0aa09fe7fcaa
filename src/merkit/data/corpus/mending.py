"""Wrongly decoded text: detection, and correction where that needs no guess.

Three kinds of damage occur in corpora, all by confusion with Windows-1252:

* ``controls``: a Windows-1252 byte kept as the control character of the same number (U+0092 for an apostrophe);
* ``mojibake``: UTF-8 read as Windows-1252 (three odd letters for an apostrophe);
* ``replacement``: U+FFFD for bytes that could not be decoded. The character is lost and cannot be corrected.
"""

import re

_CONTROLS = re.compile("[\u0080-\u009f]")
_HIGH = "\u0080-\u00bf" + re.escape("".join(bytes([n]).decode("cp1252", "ignore") for n in range(0x80, 0xA0)))
"""Continuation bytes of UTF-8 when read as Windows-1252 or Latin-1."""
_MOJIBAKE = re.compile(
    f"[\u00c2-\u00df][{_HIGH}]|[\u00e0-\u00ef][{_HIGH}]{{2}}|[\u00f0-\u00f4][{_HIGH}]{{3}}",
)


def decode_text(raw: bytes) -> str:
    """Return text from UTF-8, with or without a byte order mark, in which single bytes may be of another encoding.

    Such a byte keeps its number (Latin-1), which ``damage`` detects and ``mend`` corrects; nothing fails or is dropped.
    """
    text = raw.decode("utf-8-sig", "surrogateescape")
    return re.sub("[\udc80-\udcff]", lambda match: chr(ord(match.group()) - 0xDC00), text)


def mend(text: str) -> str:
    r"""Return the text with ``controls`` and ``mojibake`` corrected.

    >>> mend("It\x92s")
    'It’s'
    """
    return _CONTROLS.sub(lambda match: _character(ord(match.group())), _MOJIBAKE.sub(_undone, text))


def damage(text: str) -> tuple[str, ...]:
    """Return which of ``controls``, ``mojibake`` and ``replacement`` occur, in this order."""
    rest = _MOJIBAKE.sub(_undone, text)
    kinds = {"controls": _CONTROLS.search(rest), "mojibake": rest != text, "replacement": "\ufffd" in text}
    return tuple(kind for kind, occurs in kinds.items() if occurs)


def _character(number: int) -> str:
    """Return the character of a Windows-1252 byte; five bytes are undefined there and stay controls."""
    return bytes([number]).decode("cp1252", "ignore") or chr(number)


def _undone(match: re.Match[str]) -> str:
    """Return the character whose UTF-8 bytes were decoded separately, or the match where they are not UTF-8."""
    raw = b"".join(bytes([ord(letter)]) if ord(letter) < 0x100 else letter.encode("cp1252") for letter in match.group())
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return match.group()
