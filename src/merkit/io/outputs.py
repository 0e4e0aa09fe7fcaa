"""Files at paths that a user names: written over what merkit wrote there, and over nothing else.

Each output has a record: a JSON file whose key ``merkit`` names the files that were written with it and their hashes,
and holds what they were made of. A file is merkit's if a record names it with the hash that it has now. So a file of
another origin, an input, and an output that was edited since are all left alone, and what is done already is known by
its content. An empty file holds nothing that could be lost.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merkit.core.errors import MerkitError
from merkit.data.files import atomic_path, file_hash, remove_leftovers

_log = logging.getLogger(__name__)

KEY = "merkit"

FileIds = Collection[tuple[int, int]]
"""Device and inode of files: the same for a link, and for another spelling where letter case does not count."""

_LARGEST = 1 << 28
"""Bytes of a file that is read to see whether it is a record."""
_REMEDY = "move it away, or choose another place for the output"


@dataclass(frozen=True)
class Outputs:
    """Files that are written together, and the record beside them."""

    record: Path
    files: tuple[Path, ...] = ()
    """The others; all in the folder of the record."""
    others: tuple[tuple[Path, str], ...] = ()
    """Records of other commands, each with the command's name, that may write files of these names."""

    def check(self, inputs: FileIds = ()) -> None:
        """Refuse to write over an input or a file that merkit did not write.

        Raises:
            MerkitError: Names the file and what to do.
        """
        remove_leftovers(self.record.parent)
        content = read_record(self.record)
        for path in (self.record, *self.files):
            if not path.exists():
                continue
            if file_ids([path]) & set(inputs):
                raise MerkitError(f"'{path}' is an input: choose another place for the output")
            if not path.is_file():
                raise MerkitError(f"'{path}' is no file that could be replaced: {_REMEDY}")
            if path.stat().st_size == 0:
                continue
            for other, command in self.others:
                if path.name in (read_record(other) or {KEY: {"files": ()}})[KEY]["files"]:
                    raise MerkitError(f"'{path}' was written by '{command}': {_REMEDY}")
            if content is None or (path != self.record and path.name not in content[KEY]["files"]):
                raise MerkitError(f"'{path}' exists, and merkit did not write it: {_REMEDY}")
            if not is_as_written(path, self.record, content):
                raise MerkitError(f"'{path}' was changed after merkit wrote it: {_REMEDY}")

    def made_of(self) -> Mapping[str, Any] | None:
        """Return what these outputs were made of; ``None``: one of them is missing, or not as merkit wrote it."""
        content = read_record(self.record)
        if content is None or not all(
            path.is_file() and is_as_written(path, self.record, content) for path in (self.record, *self.files)
        ):
            return None
        made_of: Mapping[str, Any] = content[KEY]["made_of"]
        return made_of

    def write(
        self,
        content: Mapping[str, Any],
        made_of: Mapping[str, Any],
        writers: Mapping[Path, Callable[[Path], object]],
        inputs: FileIds = (),
    ) -> None:
        """Write the record and the files, or nothing; a kill leaves no file that the record does not name.

        Files of an earlier result, in other formats, are removed: beside this one they would be taken for its own. One
        that was edited stays, and is not merkit's any more.

        Args:
            content: What the record holds beside the key ``merkit``.
            made_of: What `made_of` will return.
            writers: For each file the function that writes it to the path that it is called with.
            inputs: As in `check`, which is repeated: hours may have passed.

        Raises:
            MerkitError: As `check`, or a file cannot be written.
        """
        self.check(inputs)
        known = read_record(self.record)
        same_result = known is not None and known[KEY]["content"] == _content_hash(content)
        hashes = dict(known[KEY]["files"]) if known is not None and same_result else {}
        outdated = [] if known is None or same_result else list(self._others(known, writers))
        with ExitStack() as stack:  # left in reverse order: the record takes its place before the files
            for path, write in writers.items():
                temporary = stack.enter_context(atomic_path(path))
                write(temporary)
                hashes[path.name] = file_hash(temporary)
            temporary = stack.enter_context(atomic_path(self.record))
            content = dict(content)
            about = {"made_of": dict(made_of), "files": hashes, "content": _content_hash(content)}
            text = json.dumps({**content, KEY: about}, indent=2, ensure_ascii=False) + "\n"
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # half characters: JSON's escapes
            for path in writers:
                if path.exists() and not (known and hashes[path.name] == known[KEY]["files"].get(path.name)):
                    path.resolve().unlink()  # else a kill would leave it beside a record that does not know it
            for path in outdated:
                path.unlink()
                _log.info("'%s' is removed: it was written with an earlier result", path)

    def _others(self, known: Mapping[str, Any], written: Collection[Path]) -> Iterator[Path]:
        """Yield the files of an earlier record that are not written now, and are as merkit wrote them."""
        for name in known[KEY]["files"]:
            path = self.record.with_name(Path(name).name)
            if path not in written and path.is_file() and is_as_written(path, self.record, known):
                yield path


def read_record(path: Path) -> dict[str, Any] | None:
    """Return the content of a record; ``None``: there is no such file, or it is none."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return None
        content = json.loads(path.read_bytes())
        about = content[KEY]
        if isinstance(about["files"], dict) and isinstance(about["content"], str) and "made_of" in about:
            return dict(content)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return None


def content_of(record: Path) -> dict[str, Any]:
    """Return the content of a record without the key ``merkit``; nothing if it is no record."""
    return {key: value for key, value in (read_record(record) or {}).items() if key != KEY}


def file_ids(paths: Iterable[Path]) -> set[tuple[int, int]]:
    """Return device and inode of the files that exist."""
    stats = []
    for path in paths:
        try:
            stats.append(path.stat())
        except OSError:  # there is none
            continue
    return {(stat.st_dev, stat.st_ino) for stat in stats}


def is_as_written(path: Path, record: Path, content: Mapping[str, Any]) -> bool:
    """Return whether a file has the content that it was written with.

    Args:
        path: A file that the record names, or the record.
        record: The record.
        content: The record's content, as of `read_record`.
    """
    about = content[KEY]
    if path == record:
        rest = {key: value for key, value in content.items() if key != KEY}
        return bool(about["content"] == _content_hash(rest))
    return bool(about["files"].get(path.name) == file_hash(path))


def _content_hash(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(canonical.encode(errors="surrogatepass"), digest_size=20).hexdigest()
