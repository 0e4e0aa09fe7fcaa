"""Read the language that a transcript in JSON states, under the keys of the tools and services that write it."""

from collections.abc import Iterator, Mapping
from typing import Any

from merkit.core.language import language_code

_DETECTED = "detected_language"
_KEYS = ("language", "language_code", _DETECTED)
"""Whisper and its relatives; AssemblyAI and AWS Transcribe; Deepgram."""


def stated_language(document: Mapping[str, Any]) -> str | None:
    """Return the code of the language of a document's words; ``None``: it states none that is known.

    OpenAI's service writes Whisper's names of languages (``english``), all others codes.
    """
    for place in _places(document):
        for value in map(place.get, _KEYS):
            if isinstance(value, str) and value.strip():
                return language_code(value) or _named(value)
    return None


def _places(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the objects that may state it: the document, whisper.cpp's result, AWS's results, Deepgram's channels."""
    results = document.get("results")
    channels = results.get("channels") if isinstance(results, dict) else None
    objects = [each for each in channels if isinstance(each, dict)] if isinstance(channels, list) else []
    channel = objects[0] if len({str(each.get(_DETECTED)) for each in objects}) == 1 else None
    places = (document, document.get("result"), results, channel)
    yield from (place for place in places if isinstance(place, dict))


def _named(name: str) -> str | None:
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    return language_code(TO_LANGUAGE_CODE.get(name.strip().lower()))
