"""Subtitles of lines that have times, as the reader of transcripts reads them again."""

import html
from collections.abc import Iterable
from typing import Protocol


class Cue(Protocol):
    """Words of one speaker, with their times in seconds."""

    @property
    def start_s(self) -> float: ...

    @property
    def end_s(self) -> float: ...

    @property
    def speaker(self) -> str: ...

    @property
    def text(self) -> str: ...


def srt(lines: Iterable[Cue]) -> str:
    """Return SubRip; a speaker's name stands in brackets before the words."""
    cues = []
    for number, line in enumerate(lines, start=1):
        speaker = f"[{line.speaker}]: " if line.speaker else ""
        cues.append(f"{number}\n{_times(line, ',')}\n{speaker}{words_of(line)}\n")
    return "\n".join(cues)


def vtt(lines: Iterable[Cue]) -> str:
    """Return WebVTT; a speaker is a voice."""
    cues = ["WEBVTT\n"]
    for line in lines:
        speaker = f"<v {html.escape(line.speaker, quote=False)}>" if line.speaker else ""
        cues.append(f"{_times(line, '.')}\n{speaker}{html.escape(words_of(line), quote=False)}\n")
    return "\n".join(cues)


def _times(line: Cue, point: str) -> str:
    return f"{_clock(line.start_s, point)} --> {_clock(line.end_s, point)}"


def _clock(seconds: float, point: str) -> str:
    whole, milliseconds = divmod(round(1000 * seconds), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{milliseconds:03d}"


def words_of(line: Cue) -> str:
    """Return a line's words without what subtitles take for times."""
    return line.text.replace("-->", "→")
