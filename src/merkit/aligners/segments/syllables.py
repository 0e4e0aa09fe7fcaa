"""Syllables from phones by maximal onset: each vowel is a nucleus, and consonants go to the following one if legal.

The principle of maximal onset (Kahn, "Syllable-based generalizations in English phonology", 1976): of the consonants
between two vowels of a word, as many as can begin an English word begin the second syllable; the others end the first.
Phones are ARPAbet (``AH0``, ``t``) or IPA (``ə``, ``tʃ``).
"""

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from merkit.core.alignment import Interval

_ARPABET_VOWELS = frozenset(
    ["AA", "AE", "AH", "AO", "AW", "AX", "AXR", "AY", "EH", "ER", "EY", "IH", "IX", "IY", "OW", "OY", "UH", "UW", "UX"]
)
_IPA_VOWELS = frozenset("aeiouyøœɶɑɒæɐəɚɛɜɝɞɘɪɨɔʌʊʉɯɤɵᵻᵊ")
_ARPABET_OF_IPA = {
    "tʃ": "CH", "dʒ": "JH", "ʃ": "SH", "ʒ": "ZH", "θ": "TH", "ð": "DH", "ŋ": "NG", "ɹ": "R", "r": "R", "ɾ": "DX",
    "j": "Y", "ɡ": "G", "g": "G", "ɫ": "L", "h": "HH", "ʔ": "Q",
}  # fmt: skip

LEGAL_ONSETS = frozenset(
    tuple(onset.split())
    for onset in (
        # one consonant: all but NG
        "B", "CH", "D", "DH", "DX", "F", "G", "HH", "JH", "K", "L", "M", "N", "P", "Q", "R", "S", "SH", "T", "TH", "V",
        "W", "WH", "Y", "Z", "ZH",
        # stop or fricative and liquid or glide
        "B L", "B R", "B Y", "D R", "D W", "D Y", "F L", "F R", "F Y", "G L", "G R", "G W", "G Y", "HH W", "HH Y",
        "K L", "K R", "K W", "K Y", "L Y", "M Y", "N Y", "P L", "P R", "P W", "P Y", "S L", "S W", "S Y", "SH L",
        "SH M", "SH N", "SH R", "SH W", "T R", "T W", "T Y", "TH R", "TH W", "TH Y", "V L", "V R", "V Y", "Z L", "Z Y",
        # s and another one or two
        "S F", "S K", "S M", "S N", "S P", "S T", "S V", "S F R", "S K L", "S K R", "S K W", "S K Y", "S M Y", "S P L",
        "S P R", "S P Y", "S T R", "S T Y",
    )
)  # fmt: skip
"""Consonants that can begin a syllable: those that begin words of the CMU Pronouncing Dictionary, except names."""


def syllables_of(words: Sequence[Interval], phones: Sequence[Interval]) -> tuple[Interval, ...]:
    """Return the syllables of all words; labels are their phones, separated by spaces.

    A phone belongs to the word that contains its middle; phones in no word are left out. A word without a vowel is one
    syllable. A syllable lasts from the start of its first phone to the end of its last.
    """
    syllables: list[Interval] = []
    index = 0
    for word in words:
        own: list[Interval] = []
        while index < len(phones) and _middle(phones[index]) < word.end_s:
            if _middle(phones[index]) >= word.start_s:
                own.append(phones[index])
            index += 1
        syllables += _within(own)
    return tuple(syllables)


def cuts(phones: Sequence[str]) -> list[int]:
    """Return where the syllables of one word begin, as indices of its phones.

    >>> cuts("EH K S T R AH".split())  # extra: EH K . S T R AH
    [0, 2]
    """
    symbols = [_symbol(phone) for phone in phones]
    nuclei = [index for index, phone in enumerate(phones) if _is_vowel(phone)]
    starts = [0]
    for before, after in pairwise(nuclei):
        start = before + 1
        while start < after and tuple(symbols[start:after]) not in LEGAL_ONSETS:
            start += 1
        starts.append(start)
    return starts


def _within(phones: Sequence[Interval]) -> list[Interval]:
    if not phones:
        return []
    starts = cuts([phone.label for phone in phones])
    groups = [phones[a:b] for a, b in zip(starts, [*starts[1:], len(phones)], strict=True)]
    return [Interval(" ".join(p.label for p in group), group[0].start_s, group[-1].end_s) for group in groups]


def _middle(interval: Interval) -> float:
    return (interval.start_s + interval.end_s) / 2


def _is_vowel(phone: str) -> bool:
    if phone.isascii() and phone.rstrip("012").isupper():
        return phone.rstrip("012") in _ARPABET_VOWELS
    return any(character in _IPA_VOWELS for character in unicodedata.normalize("NFD", phone))


def _symbol(phone: str) -> str:
    """Return the ARPAbet symbol of a consonant, without marks of stress and length."""
    bare = phone.rstrip("012").strip("ˈˌːʲʰ̩")
    return _ARPABET_OF_IPA.get(bare, bare.upper())
