"""Users' words in what merkit prints and writes: nothing in them is read as markup or as a command."""

import re
from html import escape

COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and line feed, line separators, changes of the writing direction, lone surrogates."""
_MARKDOWN = re.compile(r"([\\|<*`~$]|&(?=#?\w+;)|(?<!\w)_|_(?!\w)|\](?=\())")


def visible(text: str) -> str:
    r"""Return a text with every character that would command a terminal replaced by its Python escape.

    >>> print(visible("one" + chr(27) + "[31m two"))
    one\x1b[31m two
    """
    return COMMANDS.sub(lambda match: repr(match[0])[1:-1], text)


def is_unicode(text: str) -> bool:
    """Return whether a text can be encoded: whether it has no half of a surrogate pair."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def one_line(name: str) -> str:
    """Return a name, such as a file's, with its line feeds made visible too."""
    return visible(name).replace("\n", "\\n")


def html_text(text: str) -> str:
    """Return a text that HTML prints as it is, as content or as an attribute's value in quotation marks."""
    return escape(visible(text))


def markdown_text(text: str) -> str:
    """Return a text that Markdown prints as it is, in one line."""
    return " ".join(_MARKDOWN.sub(r"\\\1", visible(text)).split())
