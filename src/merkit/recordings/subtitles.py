"""The formats of recognised lines, as the reader of transcripts reads them again."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from merkit.recordings.recognition.recognise import Recognition
from merkit.timeline.subtitles import srt, vtt, words_of


def txt(recognition: Recognition) -> str:
    """Return the words alone, a row for each line."""
    return "".join(f"{words_of(line)}\n" for line in recognition.lines)


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
