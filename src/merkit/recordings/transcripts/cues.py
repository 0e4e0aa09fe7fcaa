"""Subtitles: SubRip, WebVTT, and the lines that Whisper prints (``[00:00.000 --> 00:02.000] words``).

A cue goes from its line of times to that of the next one: blank lines in between belong to its words, as SubRip has no
other blocks. In WebVTT the header and blocks of ``NOTE``, ``STYLE`` and ``REGION`` do not.
"""

import re
from collections.abc import Sequence
from itertools import takewhile

from merkit.recordings.transcripts.lines import Draft
from merkit.recordings.transcripts.names import Cue, add_cues, plain_rows

_CLOCK = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{3,9}))?"
_TIMES = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(\s.*)?", re.ASCII)
_PRINTED = re.compile(rf"\s*\[{_CLOCK}\s*-->\s*{_CLOCK}\](.*)", re.ASCII)
_LIKE_TIMES = re.compile(r"\s*\[?[-+]?[\d.,]{0,9}\d:\d[\d:.,]*\s*-{1,3}>", re.ASCII)
_SETTING = re.compile(r"[A-Za-z][\w-]*:\S+")
_BLOCK = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")
_WEBVTT = re.compile(r"WEBVTT(?!\w)")
_FLASH_S = 0.02
"""Automatic captions repeat a line for 10 ms before it moves up."""

_MOST_ROWS = 10
"""Rows that are compared with those of the cue before; captions have two or three."""


def is_cues(text: str) -> bool:
    """Return whether a text is WebVTT or has a line with times of a subtitle."""
    return _WEBVTT.match(text) is not None or any(_LIKE_TIMES.match(line) for line in _rows(text))


def read_cues(text: str, draft: Draft) -> None:
    """Read subtitles; lines that automatic captions repeat are left out.

    Raises:
        MerkitError: Times are not understood, or a cue is no time span or has two speakers; names the cue.
    """
    cues = _cues(text, draft)
    if not cues and text.strip() and not _is_silent(text):
        raise draft.error("", "no cue with times such as 00:00:01.500 --> 00:00:02.000 was found.")
    rows = [plain_rows(cue) for cue in cues]
    add_cues(draft, _unrolled(cues, rows, draft) or list(zip(cues, rows, strict=True)))


def _rows(text: str) -> list[str]:
    return re.split(r"\r\n|\r|\n", text)


def _is_silent(text: str) -> bool:
    """Return whether a text without cues is WebVTT whose header holds nothing but settings."""
    header = list(takewhile(str.strip, _rows(text)))
    return header[0].startswith("WEBVTT") and all(re.match(r"[\w-]+[:=]", row) for row in header[1:])


def _cues(text: str, draft: Draft) -> list[Cue]:
    rows = _rows(text)
    webvtt = rows[0].startswith("WEBVTT")
    cues: list[Cue] = []
    skipping = webvtt  # the header
    times: re.Match[str] | None = None
    words: list[str] = []

    def close(following: bool) -> None:
        if times is not None:
            place = f"cue {len(cues) + 1}"
            kept = words[: _before_next(words, len(cues) + 1, webvtt)] if following else words
            cues.append(Cue(_seconds(times.groups()[:4]), _seconds(times.groups()[4:8]), place, tuple(kept)))
        elif any(row.strip() for row in words[: _before_next(["", *words], 0, webvtt) - 1]):
            shown = " ".join(" ".join(words).split())[:60]
            raise draft.error("", f"words before the first cue: {shown!r}; expected a cue's number or its times")

    for number, row in enumerate(rows, start=1):
        found = _TIMES.fullmatch(row) or _PRINTED.fullmatch(row)
        if found is None:
            if _LIKE_TIMES.match(row):
                raise draft.error(
                    f"line {number}",
                    "expected one cue, with times such as 00:00:01.500 --> 00:00:02.000, between blank lines, found "
                    f"{row.strip()[:80]!r}.",
                )
            begins = not words[-1].strip() if words else times is None  # a line behind times is words, whatever it says
            if webvtt and not skipping and begins and _BLOCK.match(row):
                skipping = True
            elif skipping and not row.strip():
                skipping = False
            if not skipping:
                words.append(row)
            continue
        close(following=True)
        printed = found.re is _PRINTED
        times, words, skipping = found, [found[9]] if printed else [], False
        if not printed and not all(map(_SETTING.fullmatch, (found[9] or "").split())):
            raise draft.error(f"line {number}", f"words behind the times of a cue: {found[9].strip()[:60]!r}")
        if any(int(found[place] or 0) > 59 for place in (3, 7)) or any(
            found[hours] and int(found[minutes]) > 59 for hours, minutes in ((1, 2), (5, 6))
        ):
            raise draft.error(f"line {number}", f"{row.strip()[:60]!r}: expected minutes and seconds below 60")
    close(following=False)
    return cues


def _before_next(words: Sequence[str], done: int, webvtt: bool) -> int:
    """Return where a cue's words end: before the number or name of the next cue."""
    last = len(words) - 1
    while last >= 0 and not words[last].strip():
        last -= 1
    if last < 0:
        return 0
    touches = last == len(words) - 1  # nothing but a line feed between it and the times
    separate = last > 0 and not words[last - 1].strip()
    number = words[last].strip()
    expected = number.isdecimal() and len(number) < 10 and int(number) == done + 1
    if number.isdecimal() and ((separate and (touches or expected)) or (touches and expected)):
        return last
    return last if webvtt and separate and touches else len(words)


def _unrolled(cues: Sequence[Cue], rows: Sequence[list[str]], draft: Draft) -> list[tuple[Cue, list[str]]]:
    """Return captions that roll without the rows that repeat those before; nothing where the captions do not roll."""
    shown = [[row for row in each if row] for each in rows]
    kept: list[tuple[Cue, list[str]]] = []
    repeated = flashes = carried = 0
    for number, (cue, each) in enumerate(zip(cues, shown, strict=True)):
        before = shown[number - 1] if number else []
        same = next((n for n in range(min(len(each), len(before), _MOST_ROWS), 0, -1) if before[-n:] == each[:n]), 0)
        new = each[same:]
        if same and not new and cue.end_s - cue.start_s <= _FLASH_S:
            flashes += 1
        elif same and new:
            carried += 1
        if new or not same:
            kept.append((cue, new))
        else:
            repeated += 1
    rolls = 4 * flashes >= len(cues) if flashes else carried > 1 and 3 * carried >= 2 * (len(cues) - 1)
    if not rolls:
        return []
    draft.note(
        f"automatic captions: {len(cues)} cues were read as {len(kept)}, without {repeated} that only repeat the line "
        f"before and the repeated rows of {carried} more"
    )
    return kept


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = parts
    return float(f"{3600 * int(hours or 0) + 60 * int(minutes or 0) + int(seconds or 0)}.{fraction or 0}")
