"""The words of a text, as a speech recogniser writes them."""

import re

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def plain_words(text: str) -> list[str]:
    """Return the words of a text without case and punctuation; an apostrophe within a word is part of it.

    >>> plain_words("Don’t go--Ann!")
    ["don't", 'go', 'ann']
    """
    return [word.replace("’", "'").casefold() for word in _WORD.findall(text)]


def plain_text(text: str) -> str:
    """Return a text as most recognisers write it: lower case, without punctuation.

    >>> plain_text("No! It's 3:30.")
    "no it's 3 30"
    """
    return " ".join(plain_words(text))
