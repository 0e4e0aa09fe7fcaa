"""Subtitles, and other transcripts of recognised lines, as the reader of transcripts reads them again."""

import html
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from merkit.recordings.recognition.recognise import Recognition


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
        cues.append(f"{number}\n{_times(line, ',')}\n{speaker}{_words(line)}\n")
    return "\n".join(cues)


def vtt(lines: Iterable[Cue]) -> str:
    """Return WebVTT; a speaker is a voice."""
    cues = ["WEBVTT\n"]
    for line in lines:
        speaker = f"<v {html.escape(line.speaker, quote=False)}>" if line.speaker else ""
        cues.append(f"{_times(line, '.')}\n{speaker}{html.escape(_words(line), quote=False)}\n")
    return "\n".join(cues)


def txt(recognition: Recognition) -> str:
    """Return the words alone, a row for each line."""
    return "".join(f"{_words(line)}\n" for line in recognition.lines)


def whisper_json(recognition: Recognition) -> str:
    """Return JSON as Whisper and its relatives write it: segments, and words with times and probabilities."""
    segments: list[dict[str, Any]] = [
        {
            "start": round(line.start_s, 3),
            "end": round(line.end_s, 3),
            **({"speaker": line.speaker} if line.speaker else {}),
            "text": line.text,
            "words": [
                {
                    "word": word.text,
                    "start": round(word.start_s, 3),
                    "end": round(word.end_s, 3),
                    "probability": word.probability,
                }
                for word in line.words
            ],
        }
        for line in recognition.lines
    ]
    content = {"text": recognition.text, "language": recognition.language, "segments": segments}
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


FORMATS: Mapping[str, Callable[[Recognition], str]] = {
    "srt": lambda recognition: srt(recognition.lines),
    "vtt": lambda recognition: vtt(recognition.lines),
    "txt": txt,
    "json": whisper_json,
}
"""By the ending of the file."""


def _times(line: Cue, point: str) -> str:
    return f"{_clock(line.start_s, point)} --> {_clock(line.end_s, point)}"


def _clock(seconds: float, point: str) -> str:
    whole, milliseconds = divmod(round(1000 * seconds), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{milliseconds:03d}"


def _words(line: Cue) -> str:
    """Return a line's words without what subtitles take for times."""
    return line.text.replace("-->", "→")
