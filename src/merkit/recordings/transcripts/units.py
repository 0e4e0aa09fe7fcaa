"""Milliseconds or seconds, where a format has whole numbers and does not say which."""

import re
from collections.abc import Sequence
from typing import Any

_SLOWEST = 0.15
"""Characters in a unit of time that divide seconds from milliseconds.

Speech has about 15 characters in a second, so 0.015 in a millisecond; slow speech with pauses has more than 0.5 in a
second, the fastest speech less than 0.04 in a millisecond.
"""
_WHOLE = re.compile(r"\d{1,15}", re.ASCII)


def in_milliseconds(spans: Sequence[tuple[Any, Any, Any]]) -> bool:
    """Return whether starts and ends of texts are milliseconds: whole, and too far apart for what is said."""
    letters = duration = 0
    for start, end, text in spans:
        times = [str(value) if isinstance(value, int) and value is not True else value for value in (start, end)]
        if not all(isinstance(value, str) and _WHOLE.fullmatch(value) for value in times):
            return False
        letters += len(text) if isinstance(text, str) else 0
        duration += int(times[1]) - int(times[0])
    return letters < _SLOWEST * duration
