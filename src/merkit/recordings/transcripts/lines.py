"""Lines of a transcript, and the draft of one, which checks every line and counts what could not stay as it was."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from merkit.core.characters import is_unicode
from merkit.core.errors import MerkitError
from merkit.core.phrases import number_of
from merkit.recordings.transcripts.values import finite

PAUSE_S = 0.8
"""Words with times are joined to lines until the speaker changes or a pause is this long."""
SHORTEST_S = 0.005
"""A line below this is of no length: it is shorter than any sound of speech, and may have no sample."""
_INVISIBLE = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Blank characters that Unicode counts as letters or symbols."""
_SHOWN = 3
_MOST_LINES = 500_000
"""A day has 86,400 seconds, and speech four words in one."""


@dataclass(frozen=True, slots=True)
class Line:
    """The words of one speaker from ``start_s`` to ``end_s`` (``None``: the recording's beginning and end).

    ``text`` is ``None`` where there are no words. ``place`` says where the file has it, such as "line 3".
    """

    start_s: float | None
    end_s: float | None
    speaker: str
    text: str | None
    place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Transcript:
    """Lines in order of time, and notes that count what was cut, joined, assumed or left out."""

    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    source: str = "the transcript"
    """What it was read from, for errors."""
    language: str | None = None
    """The code that it states, such as ``en``; ``None``: none."""


def spoken_text(text: str | None) -> str | None:
    """Return a text with its white space made single spaces; ``None`` where it has no visible character.

    >>> spoken_text(" Is it? ")
    'Is it?'
    """
    if text is None:
        return None
    text = " ".join(text.split())
    return text if any(map(_is_visible, text)) else None


def _is_visible(letter: str) -> bool:
    """Return whether it is neither a space, a control or format character, nor a mark on another letter."""
    return unicodedata.category(letter)[0] not in "CZM" and letter not in _INVISIBLE


class Draft:
    """A transcript that is being read.

    Args:
        source: The file's name as errors show it.
        ordered: Whether the file should have its lines in order of time; a note says where it has not.

    A reader sets ``language`` where the file states it; see `Transcript`.
    """

    def __init__(self, source: str, ordered: bool = True) -> None:
        self.source = source
        self.ordered = ordered
        self.language: str | None = None
        self._lines: list[Line] = []
        self._notes: dict[str, list[str]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether it has no line yet."""
        return not self._lines

    @property
    def has_words(self) -> bool:
        """Whether some line has words."""
        return any(line.text is not None for line in self._lines)

    def error(self, place: str, message: str) -> MerkitError:
        """Return the error of a place in the file."""
        return MerkitError(f"{self.source}{', ' if place else ''}{place}: {message}")

    def check_number(self, number: int) -> None:
        """Refuse more lines or words than a day of speech has.

        Raises:
            MerkitError: There are more.
        """
        if number > _MOST_LINES:
            raise MerkitError(f"{self.source} has {number:,} lines or words, more than a day of speech; divide it.")

    def note(self, message: str, place: str = "") -> None:
        """Add a note; ``{}`` at its beginning becomes the number of lines that it was added for."""
        self._notes.setdefault(" ".join(message.split()), []).append(place)

    def speaker(self, value: Any, place: str) -> str:
        """Return a speaker's name; numbers are names (0 too), and nothing is the unknown speaker.

        Raises:
            MerkitError: It is a truth value, a list or an object.
        """
        if value is None:
            return ""
        if isinstance(value, float):
            value = "" if value != value else int(value) if finite(value) and value == int(value) else value
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.error(place, f"the speaker is {_shown(value)}, expected a name or a number")
        return spoken_text(self._unicode(_number_text(value), "the speaker", place)) or ""

    def text(self, value: Any, place: str, key: str = "text") -> str | None:
        """Return a line's words, or ``None`` where there are none.

        Raises:
            MerkitError: The value is no text.
        """
        if value is not None and not isinstance(value, str):
            raise self.error(place, f"{key} is {_shown(value)}, expected text")
        return None if value is None else spoken_text(self._unicode(value, key, place))

    def add(self, start_s: float, end_s: float | None, speaker: str, text: str | None, place: str) -> None:
        """Check a line and add it; one of no length is left out with a note.

        Raises:
            MerkitError: Its times are no time span.
        """
        last = start_s if end_s is None else end_s
        if not (finite(start_s) and finite(last) and 0 <= start_s <= last):
            raise self.error(place, f"from {start_s} to {end_s} s is no time span, expected 0 <= start < end")
        start_s += 0.0  # -0.0 becomes 0.0
        if end_s is not None and end_s - start_s < SHORTEST_S:
            self.note("{} of no length left out", place)
        else:
            self._lines.append(Line(start_s, end_s, speaker, text, place))

    def add_lines(self, lines: Iterable[Line]) -> None:
        """Check lines and add them, as `add`."""
        for line in lines:
            self.add(start_of(line), line.end_s, line.speaker, line.text, line.place)

    def add_words(self, words: Iterable[Line]) -> None:
        """Join words to lines: a line ends where the speaker changes or a pause of ``PAUSE_S`` follows."""
        lines: list[list[Line]] = []
        total = 0
        for word in sorted(words, key=start_of):
            total += 1
            last = lines[-1] if lines else None
            same = last is not None and last[-1].speaker == word.speaker
            if last is None or not same or start_of(word) - max(end_of(each) for each in last[-8:]) >= PAUSE_S:
                lines.append([])
            lines[-1].append(word)
        for line in lines:
            text = spoken_text(" ".join(word.text for word in line if word.text))
            end_s = None if any(word.end_s is None for word in line) else max(map(end_of, line))
            self.add(start_of(line[0]), end_s, line[0].speaker, text, line[0].place)
        if total > len(lines):
            self.note(
                f"{number_of(total, 'word')} with times of their own joined to {number_of(len(lines), 'line')}: a "
                f"line ends at a change of speaker or a pause of {PAUSE_S} s"
            )

    def finish(self) -> Transcript:
        """Return the transcript; without any line it is the whole recording without words.

        Raises:
            MerkitError: All lines had to be left out.
        """
        if not self._lines and any(message.startswith("{}") for message in self._notes):
            left = "; ".join(self._written(self._notes))
            raise MerkitError(f"{self.source} has no line that can be used: {left}.")
        if not self._lines:
            return self.whole(None, "it holds no line")
        if self.ordered:
            for before, line in pairwise(self._lines):
                if start_of(line) < start_of(before):
                    self.note("{} out of order: lines were sorted by time; check the times", line.place)
        lines = tuple(sorted(self._lines, key=start_of))
        silent = [line.place for line in lines if line.text is None]
        if len(silent) == len(lines):
            self.note("there are no words: every line is analyzed without text")
        elif silent:
            self._notes["{} without words analyzed without text"] = silent
        return Transcript(
            lines, tuple(f"Transcript: {note}." for note in self._written(self._notes)), self.source, self.language
        )

    def whole(self, text: str | None, *notes: str) -> Transcript:
        """Return the transcript of a file without times: one line of the whole recording."""
        if text is None:
            notes = (*notes, "there are no words: the recording is analyzed without text")
        line = Line(None, None, "", text)
        all_notes = tuple(f"Transcript: {note}." for note in (*self._written(self._notes), *notes))
        return Transcript((line,), all_notes, language=self.language)

    @staticmethod
    def _written(notes: dict[str, list[str]]) -> list[str]:
        return [counted(message, places) for message, places in notes.items()]

    def _unicode(self, text: str, key: str, place: str) -> str:
        if not is_unicode(text):
            raise self.error(place, f"{key} has half of a surrogate pair, which is not valid Unicode")
        return text


def counted(message: str, places: Sequence[str]) -> str:
    """Return a note that begins with ``{}`` with the number of places instead, and the first of them behind it.

    >>> counted("{} left out", ["line 3", "line 9"])
    '2 lines left out (line 3, line 9)'
    """
    if not message.startswith("{}"):
        return message
    named = [place for place in places if place]
    shown = ", ".join(named[:_SHOWN]) + (", …" if len(named) > _SHOWN else "")
    return number_of(len(places), "line") + message.removeprefix("{}") + (f" ({shown})" if shown else "")


def start_of(line: Line) -> float:
    """Return when a line begins, in seconds; 0 where it has no times."""
    return line.start_s or 0.0


def end_of(line: Line) -> float:
    """Return when a line ends, in seconds; its beginning where it has no end."""
    return start_of(line) if line.end_s is None else line.end_s


def _number_text(value: str | int | float) -> str:
    try:
        return str(value)
    except ValueError:  # whole numbers of thousands of digits
        return "a number of thousands of digits"


def _shown(value: Any) -> str:
    """Return a value as an error shows it: its kind, and its beginning where that is short to tell."""
    if isinstance(value, dict):
        return f"an object ({', '.join(map(str, list(value)[:3]))[:40]})"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return _number_text(repr(value) if isinstance(value, str) else value)[:60]
