"""Times as tools write them: numbers, clock times, numbers with a unit, and milliseconds that are not named."""

import math
import re
from collections.abc import Sequence
from typing import Any

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
_CLOCK = re.compile(r"(?:(\d{1,6}):)?(\d{1,6}):(\d{1,2})(?:[.,](\d{1,12}))?", re.ASCII)
_UNIT = re.compile(r"([+-]?\d+(?:\.\d*)?)\s*(ms|msec|s|sec|seconds?)", re.ASCII | re.IGNORECASE)
_DURATION = re.compile(r"PT(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9}(?:\.\d{1,12})?)S)?", re.ASCII)
_SLOWEST = 0.15
"""Characters in a unit of time that divide seconds from milliseconds.

Speech has about 15 characters in a second, so 0.015 in a millisecond; slow speech with pauses has more than 0.5 in a
second, the fastest speech less than 0.04 in a millisecond.
"""
_WHOLE = re.compile(r"\d{1,15}", re.ASCII)


def finite(value: float) -> bool:
    """Return whether it is a finite number that fits into a float."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def kind_of(value: Any) -> str:
    """Return what a value of JSON is, in words.

    >>> kind_of([1, 2])
    'a list'
    """
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    kinds = {dict: "an object", list: "a list", str: "text", int: "a number", float: "a number"}
    return kinds.get(type(value), type(value).__name__)


def to_seconds(value: Any, commas: bool = False) -> float:
    """Return a time in seconds.

    Args:
        value: A number; or text: a number, a clock time (``1:02:03.5``, ``02:03,5``), a number with a unit (``1.3s``,
            ``250 ms``) or an ISO 8601 duration (``PT1M2.5S``).
        commas: Whether a number may have a decimal comma.

    Raises:
        ValueError: It is none of these; the message ends the sentence "start is ...".
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not finite(value):
            raise ValueError("not a finite number, expected seconds")
        return float(value)
    if not isinstance(value, str):
        raise ValueError(f"{kind_of(value)}, expected seconds")
    text = value.strip()
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        if not finite(seconds):
            raise ValueError("not a finite number, expected seconds")
        return seconds
    if clock := _CLOCK.fullmatch(text):
        return _clock(clock, text)
    if unit := _UNIT.fullmatch(text):
        return float(unit[1]) / (1000 if unit[2].lower().startswith("m") else 1)
    if (duration := _DURATION.fullmatch(text)) and text != "PT":
        return 3600 * float(duration[1] or 0) + 60 * float(duration[2] or 0) + float(duration[3] or 0)
    if _DECIMAL_COMMA.fullmatch(text):
        if commas:
            return float(text.replace(",", "."))
        raise ValueError(f"{text!r}, expected seconds with a point instead of the comma")
    if text.count(":") == 3:
        raise ValueError(f"{text[:40]!r}, a time code that counts frames; expected seconds or hours:minutes:seconds")
    raise ValueError(f"{text[:40]!r}, expected seconds such as 62.5 or a clock time such as 00:01:02.5")


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


def _clock(clock: re.Match[str], text: str) -> float:
    hours, minutes, seconds, fraction = clock.groups()
    if int(seconds) > 59 or (hours is not None and int(minutes) > 59):
        raise ValueError(f"{text!r}, expected minutes and seconds below 60")
    whole = 3600 * int(hours or 0) + 60 * int(minutes) + int(seconds)
    return float(f"{whole}.{fraction or 0}")
