"""Small damages to the files of a checkpoint, by a seeded generator."""

import json
import random
from pathlib import Path
from typing import Any

STRANGE = [None, True, -1, 0, 1e300, "", "x", "../x", [], {}, [[]], 10**9, "\u2028", float("nan")]


def mutate(checkpoint: Path, rng: random.Random) -> str:
    """Damage a checkpoint in one place, and return what was done."""
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file())
    path = rng.choice(files)
    how = rng.choice(["bit", "bit", "byte", "cut", "empty", "gone", "swap", "key", "key", "key"])
    if how == "key" and path.suffix != ".json":
        how = "bit"
    content = bytearray(path.read_bytes())
    if how in ("bit", "byte") and content:
        at = rng.randrange(len(content))
        content[at] ^= 1 << rng.randrange(8) if how == "bit" else rng.randrange(1, 256)
        path.write_bytes(content)
    elif how == "cut":
        path.write_bytes(content[: rng.randrange(len(content) + 1)])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "gone":
        path.unlink()
    elif how == "swap":
        path.write_bytes(rng.choice(files).read_bytes() if rng.random() < 0.5 else content * 2)
    elif how == "key":
        values = json.loads(content)
        table = _some_table(values, rng)
        key = rng.choice([*table, "added", "auto_map"])
        if rng.random() < 0.3:
            table.pop(key, None)
        else:
            table[key] = rng.choice(STRANGE)
        path.write_text(json.dumps(values))
        how = f"key {key}"
    return f"{how} of {path.relative_to(checkpoint)}"


def _some_table(values: Any, rng: random.Random) -> dict[str, Any]:
    tables = [values]
    for table in tables:
        inside = table.values() if isinstance(table, dict) else table
        tables += [each for each in inside if isinstance(each, (dict, list))]
    return rng.choice([table for table in tables if isinstance(table, dict)])
