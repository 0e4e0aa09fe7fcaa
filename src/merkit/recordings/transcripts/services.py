"""Transcripts of recognition services in JSON: Deepgram, AWS Transcribe, Google Speech and Azure Speech."""

import bisect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from merkit.core.phrases import number_of
from merkit.recordings.transcripts.fields import count_channels, person, read_rows, read_time
from merkit.recordings.transcripts.lines import Draft, Line, end_of, start_of
from merkit.recordings.transcripts.values import kind_of

Document = dict[str, Any]

_TICKS_HZ = 10_000_000
"""Azure counts in 100 ns."""


def read_item(draft: Draft, row: Mapping[str, Any], place: str, speaker: str | None = None) -> Line:
    """Return a word with times of its own as a line.

    Raises:
        MerkitError: It has no times, or a value is of another kind.
    """

    def first(*names: str) -> Any:
        return next((row[name] for name in names if row.get(name) is not None), None)

    times: list[float] = []
    for key, names in _TIMES.items():
        value = read_time(draft, first(*names), key, place)
        thousandths = read_time(draft, row.get(f"{key}_ms"), key, place)
        if value is None and thousandths is None:
            raise draft.error(place, f"{key} is missing: ask the service for the times of words")
        times.append(value if value is not None else (thousandths or 0.0) / 1000)
    if not times[0] <= times[1]:
        raise draft.error(place, f"from {times[0]} to {times[1]} s is no time span, expected 0 <= start <= end")
    name = person(draft, first("speaker", "speakerTag", "speaker_tag", "speakerLabel"), None, 1, place)
    text = draft.text(first("punctuated_word", "word", "text"), place, "word")
    return Line(times[0], times[1], name if speaker is None else speaker, text, place)


_TIMES: Mapping[str, tuple[str, ...]] = {
    "start": ("start", "startTime", "start_time", "startOffset", "start_offset"),
    "end": ("end", "endTime", "end_time", "endOffset", "end_offset"),
}


def _results(content: Document, draft: Draft) -> None:
    """Read ``results`` as an object: Deepgram, or AWS Transcribe."""
    results = content["results"]
    if _filled(results, "utterances"):
        read_rows(draft, _each(draft, results["utterances"], "utterance"))
    elif _filled(results, "channels"):
        _deepgram_words(_each(draft, results["channels"], "channel"), draft)
    elif _filled(results, "audio_segments"):  # what AWS writes since 2024: lines with their own text
        read_rows(draft, _each(draft, results["audio_segments"], "segment"))
    elif "items" in results:
        _aws(results, draft)
    else:
        found = ", ".join(map(str, results))[:120] or "none"
        raise draft.error("results", f"expected 'utterances' or 'channels' (Deepgram) or 'items' (AWS), found {found}")


def _deepgram_words(channels: Sequence[tuple[str, Document]], draft: Draft) -> None:
    words = []
    for number, (place, channel) in enumerate(channels):
        best = _first(draft, channel.get("alternatives"), f"{place}: alternative")
        found = _each(draft, best.get("words") or [], f"{place}: word")
        if not found and draft.text(best.get("transcript"), place, "transcript") is not None:
            raise draft.error(place, "a transcript without the times of its words: ask for utterances")
        for where, row in found:
            side = number if len(channels) > 1 else None
            words.append(read_item(draft, row, where, person(draft, row.get("speaker"), side, len(channels), where)))
    draft.add_words(words)


def _aws(results: Document, draft: Draft) -> None:
    words, spans = _aws_words(results, draft), _aws_segments(results, draft)
    if not spans:
        draft.add_words(words)
        return
    starts = list(map(start_of, spans))
    texts: list[list[str]] = [[] for _ in spans]
    outside = []
    for word in words:
        number = _segment_of(word, spans, starts)
        if number is None:
            outside.append(word)
        elif word.text is not None:
            texts[number].append(word.text)
    for span, text in zip(spans, texts, strict=True):
        draft.add(start_of(span), span.end_s, span.speaker, draft.text(" ".join(text), span.place), span.place)
    if outside:
        draft.note(f"{number_of(len(outside), 'word')} outside the speakers' segments became lines of their own")
        draft.add_words(outside)


def _aws_words(results: Document, draft: Draft) -> list[Line]:
    """Return the pronounced items, each with the punctuation behind it."""
    words: list[Line] = []
    for place, item in _each(draft, results["items"], "item"):
        best = _first(draft, item.get("alternatives"), f"{place}: alternative")
        content = draft.text(best.get("content"), place, "content")
        if item.get("type") == "punctuation":
            if words and content is not None:
                last = words.pop()
                words.append(Line(last.start_s, last.end_s, last.speaker, (last.text or "") + content, last.place))
            elif content is not None:
                draft.note("punctuation before the first word left out", place)
            continue
        speaker = item.get("speaker_label")
        name = draft.speaker(item.get("channel_label") if speaker is None else speaker, place)
        words.append(read_item(draft, {**item, "word": content}, place, name))
    return words


def _aws_segments(results: Document, draft: Draft) -> list[Line]:
    labels = results.get("speaker_labels")
    rows = labels.get("segments") if isinstance(labels, dict) else None
    spans = [
        read_item(draft, row, place, draft.speaker(row.get("speaker_label"), place))
        for place, row in _each(draft, rows or [], "segment")
    ]
    return sorted(spans, key=start_of)


def _segment_of(word: Line, spans: Sequence[Line], starts: Sequence[float]) -> int | None:
    """Return the segment that a word's middle is in, best of its own speaker; ``None`` where it is in none."""
    middle = (start_of(word) + end_of(word)) / 2
    last = bisect.bisect_right(starts, middle)
    inside = [n for n in range(max(0, last - _NEIGHBOURS), last) if middle <= end_of(spans[n])]
    own = [n for n in inside if spans[n].speaker == word.speaker]
    return next(iter(own or inside), None)


_NEIGHBOURS = 20
"""Segments that begin before a word and are searched for it; more speakers than that do not overlap."""


def _google(content: Document, draft: Draft) -> None:
    """Read ``results`` as a list: Google Speech. With speaker tags the last result repeats the words of all."""
    groups: list[list[Line]] = []
    bare = []
    for place, result in _each(draft, content["results"], "result"):
        if not result.get("alternatives"):
            continue
        best = _first(draft, result["alternatives"], f"{place}: alternative")
        words = _each(draft, best.get("words") or [], f"{place}: word")
        text = draft.text(best.get("transcript"), place, "transcript")
        side = draft.speaker(result.get("channelTag", result.get("channel_tag")), place)
        if words:
            groups.append([_google_word(draft, row, where, side) for where, row in words])
        elif text is not None:
            bare.append((place, text))
    if bare:
        raise draft.error(bare[0][0], "a transcript without the times of its words: ask for enableWordTimeOffsets")
    if len(groups) > 1 and _repeats(groups[-1], groups[:-1]):
        draft.note("the last result repeats the words of all others with their speakers: only it was read")
        groups = groups[-1:]
    if any(word.speaker for group in groups for word in group):
        draft.add_words(word for group in groups for word in group)
        return
    for group in groups:
        text = " ".join(word.text for word in group if word.text is not None)
        end_s = max(map(end_of, group))
        draft.add(start_of(group[0]), end_s, "", draft.text(text, group[0].place), group[0].place)


def _repeats(last: Sequence[Line], others: Sequence[Sequence[Line]]) -> bool:
    """Return whether the last result has the words of all others, or alone has speakers."""
    tagged = all(word.speaker for word in last) and not any(word.speaker for group in others for word in group)
    whole = len(last) == sum(map(len, others))
    return (whole or tagged) and start_of(last[0]) <= start_of(others[0][0])


def _google_word(draft: Draft, row: Document, place: str, side: str) -> Line:
    tag = next((row[name] for name in ("speakerTag", "speaker_tag", "speakerLabel") if row.get(name) is not None), None)
    name = draft.speaker(tag or None, place)  # 0: no tag was given
    first = {"startTime": "0s"} if not any(row.get(key) is not None for key in _TIMES["start"]) else {}
    return read_item(draft, {**row, **first}, place, name or side)


def _azure(content: Document, draft: Draft) -> None:
    key = "recognizedPhrases" if content.get("recognizedPhrases") else "phrases"
    phrases = _each(draft, content[key], "phrase")
    channels = count_channels(phrase.get("channel") for _, phrase in phrases)
    for place, phrase in phrases:
        best = _first(draft, phrase["nBest"], f"{place}: nBest") if phrase.get("nBest") else phrase
        words = next((best[name] for name in ("display", "text", "lexical") if best.get(name) is not None), None)
        text = draft.text(words, place)
        start_s, duration_s = (_azure_time(draft, phrase, name, place) for name in ("offset", "duration"))
        if text is None and not phrase.get("nBest") and key == "recognizedPhrases":
            draft.note("{} that was not recognized left out", place)
            continue
        speaker = person(draft, phrase.get("speaker"), phrase.get("channel") if channels > 1 else None, channels, place)
        draft.add(start_s, start_s + duration_s, speaker, text, place)


def _azure_time(draft: Draft, phrase: Document, name: str, place: str) -> float:
    for key, scale in ((f"{name}InTicks", _TICKS_HZ), (f"{name}Milliseconds", 1000), (name, 1)):
        value = read_time(draft, phrase.get(key), key, place)
        if value is not None:
            return value / scale
    raise draft.error(place, f"{name}InTicks is missing")


def _filled(content: Document, key: str) -> bool:
    return isinstance(content.get(key), list) and bool(content[key])


def _each(draft: Draft, rows: Any, noun: str) -> list[tuple[str, Document]]:
    """Return objects of a list with their places in the file.

    Raises:
        MerkitError: It is no list, or holds something else.
    """
    if not isinstance(rows, list):
        raise draft.error("", f"{kind_of(rows)} was found, expected a list of {noun}s")
    draft.check_number(len(rows))
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise draft.error(f"{noun} {number}", f"{kind_of(row)} was found, expected an object")
    return [(f"{noun} {number}", row) for number, row in enumerate(rows, start=1)]


def _first(draft: Draft, rows: Any, noun: str) -> Document:
    found = _each(draft, rows, noun)
    if not found:
        raise draft.error(noun, "an empty list was found, expected the best one first")
    return found[0][1]


SERVICES: tuple[tuple[str, type, Callable[[Document, Draft], None]], ...] = (
    ("recognizedPhrases", list, _azure),
    ("phrases", list, _azure),
    ("results", dict, _results),
    ("results", list, _google),
)
"""A key of the document, the kind of its value, and the reader."""
