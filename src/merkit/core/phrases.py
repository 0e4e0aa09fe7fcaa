"""Phrases of messages: a number with its noun, and a list that is cut where it would be too long."""

from collections.abc import Sequence


def number_of(count: int, noun: str) -> str:
    """Return ``1 line`` or ``2 lines``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(items: Sequence[str], most: int, between: str = ", ") -> str:
    """Return the first items, and how many more there are.

    >>> listed(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    more = len(items) - most
    rest = f"{between.strip(', ')} and {more:,} more" if more > 0 else ""
    return between.join(items[:most]) + rest
