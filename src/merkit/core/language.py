"""Codes of languages: of the words of an utterance, and of those that a model was trained on."""

import re

CODE = r"(?:[a-z]{2}|haw|yue)"
"""Two letters are ISO 639-1; Whisper has two languages besides. Other codes of three letters may mean the same."""
_TAG = re.compile(rf"({CODE})(?:[-_].*)?", re.DOTALL)


def language_code(tag: str | None) -> str | None:
    """Return the code of a language tag such as ``en`` or ``en-US``; ``None``: the tag is missing, or has no such code.

    >>> language_code("en-US"), language_code("PT_br"), language_code("English")
    ('en', 'pt', None)
    """
    found = None if tag is None else _TAG.fullmatch(tag.strip().lower())
    return None if found is None else found[1]
