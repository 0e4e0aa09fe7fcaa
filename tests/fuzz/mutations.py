"""Mutations of files: of their bytes, their text, the values in JSON; the same for the same generator."""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

WORDS = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF)
"""Numbers that lengths and offsets overflow at."""
NUMBERS = (
    "-1",
    "0",
    "1e999",
    "-0.0",
    "NaN",
    "Infinity",
    "99999999999999999999",
    "0x10",
    "1_0",
    "١٢",
    "1,5",
    "",
    "1e-320",
)
TEXTS = (
    *("\0", "\ufeff", "\u200b", "\u2028", "\u202e", "\ud7ff", "\x1b[31m", "\t", "\r"),
    *('"', "'", ",", ";", "{", "}", "](", "..."),
    *("-->", "<v ", "[/b]", "&#0;", "&#xFFFFFFFF;", "../", "/dev/zero", "%s%n", "=1+1", "null"),
    *("é" * 50, "a" * 100_000, "[" * 20_000),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**31, 2**63, 1e308, float("nan"), float("inf")),
    *("", " ", "x", "NaN", "../x", "/dev/zero", "\0", "\ud800", "a" * 100_000),
    *([], {}, [[]], [None], {"": None}, [0] * 10_000),
)

Mutation = Callable[[bytes, random.Random], bytes]


def mutated(content: bytes, others: Sequence[bytes], generator: random.Random) -> bytes:
    """Return the content with one to four mutations.

    Args:
        content: A valid file.
        others: Valid files of the same kind, from which pieces are spliced in.
        generator: Chooses the mutations.
    """
    kinds: list[Mutation] = [_bytes]
    text = _decoded(content)
    if text is not None:
        kinds += [_text] * 2
        kinds += [_json] * 2 if text.lstrip()[:1] in ("{", "[") else []
    mutation = generator.choice(kinds)
    for _ in range(generator.choice((1, 1, 1, 2, 4))):
        if others and generator.random() < 0.05:
            content = _spliced(content, generator.choice(others), generator)
        content = mutation(content, generator)
    return content


def _bytes(content: bytes, generator: random.Random) -> bytes:
    data = bytearray(content)
    start, end = sorted(generator.randrange(len(data) + 1) for _ in range(2))
    match generator.randrange(9):
        case 0 if data:
            data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        case 1 if data:
            data[generator.randrange(len(data))] = generator.choice((0, 1, 0x7F, 0x80, 0xFF))
        case 2:  # early bytes are headers
            place = generator.randrange(min(len(data), 256) + 1)
            data[place : place + 4] = generator.choice(WORDS).to_bytes(8, generator.choice(("little", "big")))[:4]
        case 3:
            del data[generator.randrange(len(data) + 1) :]
        case 4:
            del data[start : min(end, start + 64)]
        case 5:
            data[start:start] = generator.randbytes(generator.choice((1, 4, 64)))
        case 6:
            data[start:start] = data[start : min(end, start + 4096)]
        case 7:
            data[start:end] = bytes(end - start)
        case 8:
            data += bytes(data)
    return bytes(data)


def _text(content: bytes, generator: random.Random) -> bytes:
    text = _decoded(content) or ""
    lines = text.splitlines(keepends=True) or [""]
    number = generator.randrange(len(lines))
    match generator.randrange(8):
        case 0:
            lines[number] = _with_number(lines[number], generator)
        case 1:
            place = generator.randrange(len(lines[number]) + 1)
            lines[number] = lines[number][:place] + generator.choice(TEXTS) + lines[number][place:]
        case 2:
            del lines[number]
        case 3:
            lines.insert(number, lines[generator.randrange(len(lines))])
        case 4:
            other = generator.randrange(len(lines))
            lines[number], lines[other] = lines[other], lines[number]
        case 5:
            return text.encode(generator.choice(("utf-16", "utf-32", "utf-8-sig", "utf-16-le")), "replace")
        case 6:
            return text.encode(generator.choice(("cp1252", "latin-1", "cp437")), "replace")
        case 7:
            return text.replace("\n", generator.choice(("\r", "\r\n", "\u2028", "\n\n"))).encode()
    return "".join(lines).encode("utf-8", "replace")


def _with_number(line: str, generator: random.Random) -> str:
    digits = [place for place, letter in enumerate(line) if letter.isdigit()]
    if not digits:
        return line
    start = generator.choice(digits)
    end = start
    while end < len(line) and (line[end].isdigit() or line[end] == "."):
        end += 1
    return line[:start] + generator.choice(NUMBERS) + line[end:]


def _json(content: bytes, generator: random.Random) -> bytes:
    """Replace, remove, repeat or nest a random value."""
    try:
        root: Any = [json.loads(content)]
    except (ValueError, RecursionError):
        return _text(content, generator)
    holder, key = root, 0
    while isinstance(holder[key], (dict, list)) and holder[key] and generator.random() < 0.85:
        holder = holder[key]
        key = generator.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    match generator.randrange(5):
        case 0 | 1:
            holder[key] = generator.choice(VALUES)
        case 2:
            del holder[key]
        case 3 if isinstance(holder, list):
            holder.insert(key, holder[key])
        case 3:
            holder[str(key) + generator.choice(("", "_", "X"))] = generator.choice(VALUES)
        case 4:
            for _ in range(generator.choice((1, 3, 100))):
                holder[key] = [holder[key]] if generator.random() < 0.5 else {"segments": holder[key]}
    try:
        return json.dumps(root[0] if root else None).encode("utf-8", "replace")
    except RecursionError:  # nested again and again
        return content


def _spliced(content: bytes, other: bytes, generator: random.Random) -> bytes:
    return content[: generator.randrange(len(content) + 1)] + other[generator.randrange(len(other) + 1) :]


def _decoded(content: bytes) -> str | None:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None
