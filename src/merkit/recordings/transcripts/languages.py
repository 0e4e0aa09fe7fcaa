"""The language that a transcript in JSON states, where tools and services write it."""

from collections.abc import Iterator, Mapping
from typing import Any

from merkit.core.language import language_code

_HEARD = "detected_language"
_KEYS = ("language", "language_code", _HEARD)
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
    """Yield what may state it: the document, the ``result`` of whisper.cpp, AWS's results, Deepgram's channels."""
    results = document.get("results")
    channels = results.get("channels") if isinstance(results, dict) else None
    heard = [each for each in channels if isinstance(each, dict)] if isinstance(channels, list) else []
    first = heard[0] if heard and all(each.get(_HEARD) == heard[0].get(_HEARD) for each in heard) else None
    yield from (part for part in (document, document.get("result"), results, first) if isinstance(part, dict))


def _named(name: str) -> str | None:
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    return language_code(TO_LANGUAGE_CODE.get(name.strip().lower()))
