"""The language that a transcript in JSON states, where tools and services write it."""

from collections.abc import Iterator, Mapping
from typing import Any

from merkit.core.language import language_code

_KEYS = ("language", "language_code", "detected_language")
"""Whisper and its relatives; AssemblyAI and AWS Transcribe; Deepgram."""


def stated_language(document: Mapping[str, Any]) -> str | None:
    """Return the code of the language of a document's words; ``None``: it states none that is known.

    OpenAI's service writes Whisper's names of languages (``english``), all others codes.
    """
    for part in _parts(document):
        for value in (part.get(key) for key in _KEYS):
            if isinstance(value, str) and value.strip():
                return language_code(value) or _named(value)
    return None


def _parts(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield what may state it: the document, the ``result`` of whisper.cpp, AWS's results, Deepgram's first channel."""
    results = document.get("results")
    channels = results.get("channels") if isinstance(results, dict) else None
    first = channels[0] if isinstance(channels, list) and channels else None
    yield from (part for part in (document, document.get("result"), results, first) if isinstance(part, dict))


def _named(name: str) -> str | None:
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    return language_code(TO_LANGUAGE_CODE.get(name.strip().lower()))
