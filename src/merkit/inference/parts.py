"""The folder of the finished parts of a prediction: locked while one process works on its output, removed at the end.

Light to import, so that of two processes that are started together the second one is refused at once.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from merkit.core.errors import MerkitError
from merkit.data.files import TEMPORARY, remove, remove_leftovers, write_texts
from merkit.io.lock import LOCK, alone

ENDINGS = (".parquet", ".csv", ".jsonl")

_KEY = "key.json"
_PART = re.compile(r"part-\d{5}-[0-9a-f]{12}\.parquet")
_held: set[Path] = set()
"""The folders that this process has locked."""


@contextmanager
def locked_parts(out: Path) -> Iterator[Path]:
    """Lock the folder ``<out>.parts`` and yield it; at the end it is removed unless it holds parts.

    A caller that has a slow start locks it before; the lock is then kept until that caller's end.

    Raises:
        MerkitError: The ending of ``out`` is unknown, another process predicts into it, or the folder holds files that
            no prediction wrote.
    """
    if out.suffix not in ENDINGS:
        raise MerkitError(f"Cannot write predictions as '{out.name}': the ending must be one of {', '.join(ENDINGS)}.")
    folder = out.with_name(out.name + ".parts")
    if folder in _held:
        yield folder
        return
    _refuse_foreign(folder)
    with alone(folder, "give another file with --out"):
        _held.add(folder)
        try:
            yield folder
        finally:
            _held.discard(folder)
            remove_leftovers(folder)
            if not any(_PART.fullmatch(name) for name in _names(folder)):
                remove_parts(folder)


def begin_parts(folder: Path, key: str) -> None:
    """Note in the folder what its parts are made of; parts of anything else are removed."""
    note = folder / _KEY
    if _key(note) != key:
        for name in _names(folder):
            if _PART.fullmatch(name):
                remove(folder / name)
        write_texts({note: json.dumps({"key": key})})


def remove_parts(folder: Path) -> None:
    """Remove the folder with its parts."""
    for name in sorted(_names(folder), key=lambda name: name == LOCK):  # the lock last
        if name in (_KEY, LOCK) or _PART.fullmatch(name):
            remove(folder / name)
    with suppress(OSError):
        folder.rmdir()


def _refuse_foreign(folder: Path) -> None:
    has_key = _key(folder / _KEY) is not None

    def is_own(name: str) -> bool:
        return name == LOCK or name.startswith(TEMPORARY) or (has_key and (name == _KEY or bool(_PART.fullmatch(name))))

    if (folder.exists() and not folder.is_dir()) or not all(map(is_own, _names(folder))):
        raise MerkitError(
            f"'{folder}' is where parts of the prediction would be kept, and merkit did not make it: move it away, or "
            "choose another --out"
        )


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []


def _key(note: Path) -> str | None:
    """Return the key in a note; ``None``: there is no note, or it is none of merkit's."""
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if isinstance(content, dict) and content.keys() == {"key"} and isinstance(content["key"], str):
        return content["key"]
    return None
