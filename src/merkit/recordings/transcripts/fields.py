"""Names that tools give to the parts of a line, and the reading of lines that are objects or rows of a table."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from merkit.recordings.transcripts.lines import Draft
from merkit.recordings.transcripts.values import to_seconds

NAMES: Mapping[str, tuple[str, ...]] = {
    "start": ("starts", "start", "starttime", "begin", "begintime", "from", "onset", "startseconds", "starttimes"),
    "end": ("ends", "end", "endtime", "stop", "to", "stoptime", "endseconds", "endtimes"),
    "start_ms": ("startms", "beginms", "startmilliseconds", "startmillis", "starttimems", "fromms"),
    "end_ms": ("endms", "stopms", "endmilliseconds", "endmillis", "endtimems", "toms"),
    "duration": ("duration", "durations", "dur", "durationseconds"),
    "text": ("text", "transcript", "transcription", "utterance", "sentence", "body", "content", "caption"),
    "words": ("words",),
    "speaker": ("speaker", "speakerid", "speakername", "speakerlabel", "participant"),
    "channel": ("channel", "channeltag", "channelid", "channellabel"),
}
"""Names without spaces, underscores and capital letters; of several the first is read."""
_OTHERS = frozenset({"", "id", "index", "number", "file", "confidence", "score", "type", "label", "segment", "turn"})
"""What lines without words (who spoke when) may have besides."""
_LISTED = re.compile(r"\[\s*[\"'{].*\]|\{\s*[\"'].*\}")
"""A list or an object that a program wrote into a cell; words in brackets have no quotes."""
_TIMELESS = "a text without times goes into a .txt file."
KNOWN = frozenset(name for names in NAMES.values() for name in names)


def plain(name: str) -> str:
    """Return a column's name as `NAMES` has it: ``Start (s)`` is ``starts``."""
    return re.sub(r"[\W_]+", "", name.casefold())


def chosen(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a line that it has, by the keys of `NAMES`; of several names the first with a value."""
    by_name = {plain(str(name)): value for name, value in row.items()}
    found: dict[str, Any] = {}
    for kind, names in NAMES.items():
        values = [by_name[name] for name in names if name in by_name]
        if values:
            found[kind] = next((value for value in values if value is not None), None)
    return found


def read_rows(
    draft: Draft, rows: Iterable[tuple[str, Mapping[str, Any]]], *, in_table: bool = False, commas: bool = False
) -> None:
    """Read lines that have a start, an end or a duration, and possibly words and a speaker.

    Args:
        draft: Where they go.
        rows: The place of each in the file, and its content.
        in_table: Whether every row must have times; a segment of JSON without them is left out with a note.
        commas: Whether numbers may have a decimal comma.

    Raises:
        MerkitError: There are neither words nor names of other columns that explain it, or a value is of another kind.
    """
    read = [(place, row, chosen(row)) for place, row in rows]
    if read and not any("text" in values or "words" in values for _, _, values in read):
        names = list(dict.fromkeys(str(name) for _, row, _ in read for name in row))
        own = {plain(name) for name in names}
        if not own <= KNOWN | _OTHERS or ("label" in own and own.isdisjoint(NAMES["speaker"])):
            raise draft.error(read[0][0], f"no column 'text' among {', '.join(names)[:200]}.")
    channels = count_channels(values.get("channel") for _, _, values in read)
    missing = []
    for place, _, values in read:
        words = values.get("words")
        start_s, end_s = _times(draft, values, place, commas)
        text = draft.text(values.get("text"), place)
        if in_table and text is not None and _LISTED.fullmatch(text):
            raise draft.error(place, f"text is a list or an object ({text[:40]}), expected words")
        if text is None and words is not None:
            text = draft.text(joined_words(draft, words, place) if isinstance(words, list) else words, place)
        if isinstance(words, list) and start_s is None and end_s is None:
            start_s, end_s = _of_words(draft, words, place)
        speaker = person(draft, values.get("speaker"), values.get("channel"), channels, place)
        if start_s is not None and end_s is not None:
            draft.add(start_s, end_s, speaker, text, place)
            continue
        missing.append((place, "start" if start_s is None else "end"))
        if in_table:
            break
        draft.note("{} without times left out", place)
    if missing and (in_table or len(missing) == len(read)):
        place, key = missing[0]
        known = {kind.removesuffix("_ms") for _, _, values in read for kind in values}
        if in_table and known.isdisjoint({key} if key == "start" else {"end", "duration"}):
            columns = ", ".join(dict.fromkeys(str(name) for _, row, _ in read for name in row))
            raise draft.error(place, f"no column '{key}' among {columns[:200]}; {_TIMELESS}")
        raise draft.error(place, f"{key} is missing, expected seconds; {_TIMELESS}")


def read_time(draft: Draft, value: Any, key: str, place: str, commas: bool = False) -> float | None:
    """Return a time in seconds, or ``None`` where there is none.

    Raises:
        MerkitError: The value is no time.
    """
    if value is None or value == "":
        return None
    try:
        return to_seconds(value, commas)
    except ValueError as error:
        raise draft.error(place, f"{key} is {error}") from None


def joined_words(draft: Draft, words: Sequence[Any], place: str) -> str:
    """Return the text of a list of words, each a text or an object with the word and its times.

    Raises:
        MerkitError: A word is something else.
    """
    found = []
    for word in words:
        if isinstance(word, dict):
            names = ("punctuated_word", "word", "text")
            word = next((word[name] for name in names if word.get(name) is not None), None)
        if not isinstance(word, str):
            raise draft.error(place, "'words' is expected to be a list of words, each a text or an object with 'word'")
        found.append(word)
    return ("" if any(word.startswith(" ") for word in found) else " ").join(found)


def count_channels(values: Iterable[Any]) -> int:
    """Return how many channels lines name."""
    return len({str(value) for value in values if value is not None})


def person(draft: Draft, speaker: Any, channel: Any, channels: int, place: str) -> str:
    """Return a line's speaker; without one that is its channel. Numbers of speakers count within their channel.

    Raises:
        MerkitError: One of them is neither a name nor a number.
    """
    name, side = draft.speaker(speaker, place), draft.speaker(channel, place)
    if isinstance(speaker, int) and channels > 1:
        return f"{side}-{name}"
    return name or side


def _times(draft: Draft, values: Mapping[str, Any], place: str, commas: bool) -> tuple[float | None, float | None]:
    start_s = read_time(draft, values.get("start"), "start", place, commas)
    if start_s is None and (start_ms := read_time(draft, values.get("start_ms"), "start", place, commas)) is not None:
        start_s = start_ms / 1000
    end_s = read_time(draft, values.get("end"), "end", place, commas)
    if end_s is None and (end_ms := read_time(draft, values.get("end_ms"), "end", place, commas)) is not None:
        end_s = end_ms / 1000
    if end_s is None and start_s is not None:
        duration_s = read_time(draft, values.get("duration"), "duration", place, commas)
        end_s = None if duration_s is None else start_s + duration_s
    return start_s, end_s


def _of_words(draft: Draft, words: Sequence[Any], place: str) -> tuple[float | None, float | None]:
    """Return when the first word with times begins and the last one ends."""
    spans = [_times(draft, chosen(word), place, False) for word in words if isinstance(word, dict)]
    starts = [start_s for start_s, _ in spans if start_s is not None]
    ends = [end_s for _, end_s in spans if end_s is not None]
    return (min(starts), max(ends)) if starts and ends else (None, None)
