"""How many words of a recogniser are wrong: the word error rate.

Goal: compare recognised words with those that were said. Convention: the number of substituted, left out and inserted
words of the cheapest edit (Levenshtein 1966; each costs 1), over the number of words that were said, summed over all
utterances before dividing, as NIST's sclite does. Words are compared as given: the caller decides about case and
punctuation. A rate may exceed 1.
"""

from collections.abc import Iterable, Sequence


def word_errors(said: Sequence[str], recognised: Sequence[str]) -> int:
    """Return the number of substituted, left out and inserted words.

    >>> word_errors("ask what you can do".split(), "ask you can do it".split())
    2
    """
    row = list(range(len(recognised) + 1))
    for number, word in enumerate(said, start=1):
        diagonal, row[0] = row[0], number
        for column, other in enumerate(recognised, start=1):
            diagonal, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, diagonal + (word != other))
    return row[-1]


def word_error_rate(pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> float:
    """Return the word error rate of utterances, each as words that were said and words that were recognised.

    Raises:
        ValueError: Nothing was said.
    """
    errors = words = 0
    for said, recognised in pairs:
        errors += word_errors(said, recognised)
        words += len(said)
    if not words:
        raise ValueError("no words were said, so that there is no rate")
    return errors / words
