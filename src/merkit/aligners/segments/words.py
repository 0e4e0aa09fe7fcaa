"""The spoken words of a written transcript."""

import re
import unicodedata

from merkit.core.errors import UnalignableError

_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'"})
_BREAKS = re.compile(r"[-\u2010-\u2015/\u2026_]+")
_MARKS = re.compile(r"[^\w']+")


def spoken_words(text: str) -> list[str]:
    """Return the words of a transcript in lower case, without punctuation; hyphens and dashes separate words.

    >>> spoken_words("Well\u2014I'm over-tired, \u2018honestly\u2019!")
    ['well', "i'm", 'over', 'tired', 'honestly']

    Raises:
        UnalignableError: There is none, or one has digits, whose pronunciation is not known.
    """
    plain = unicodedata.normalize("NFC", text).translate(_APOSTROPHES).lower()
    words = [_MARKS.sub("", part).strip("'") for part in _BREAKS.sub(" ", plain).split()]
    words = [word for word in words if word]
    if not words:
        raise UnalignableError("its transcript has no words")
    digits = [word for word in words if any(character.isdigit() for character in word)]
    if digits:
        raise UnalignableError(f"'{digits[0]}' has digits: write it out as it was spoken")
    return words
