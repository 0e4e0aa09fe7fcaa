"""Finished parts of an analysis, in a folder beside its result, so that a command that was killed goes on.

What takes long in a recording of hours is kept as it is made: regions of speech, turns, the words of each stretch (a
file of JSON for each, with a checksum), and the vectors of utterances (a feature store). The folder is one of the
recording, the model and the options by their content; another content begins anew. A file that is damaged or half
written counts as not there.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from merkit.core.errors import MerkitError
from merkit.data.checksums import seal, unseal
from merkit.data.features.sources import Features, HeldFeatures
from merkit.data.files import TEMPORARY, write_texts
from merkit.io.lock import LOCK, alone

LONG_S = 600.0
"""Shorter recordings are analyzed in one go, and their vectors are held in memory."""
PARTS = ".parts"
"""Ending of the folder's name, which is else that of the result."""
_KEY = "made_of.json"
_FEATURES = "features"


class Unfinished:
    """The finished parts of one analysis.

    Args:
        folder: Where they are kept; ``None``: nowhere.
        features: Where vectors are held without a folder; ``None``: nowhere, what is needed twice is made twice.
    """

    def __init__(self, folder: Path | None = None, features: HeldFeatures | None = None) -> None:
        self._folder = folder
        self.features: Features | None = features if folder is None else folder / _FEATURES

    def once(self, what: str, key: Any, make: Callable[[], Any]) -> Any:
        """Return what ``make`` returned before, or does now; JSON values.

        Args:
            what: Names the part.
            key: What tells it from others of this name, as JSON values.
            make: Makes it.
        """
        if self._folder is None:
            return make()
        digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=8).hexdigest()
        file = self._folder / f"{what}-{digest}.json"
        with suppress(OSError, ValueError, KeyError):
            return unseal(file)["value"]
        value = make()
        write_texts({file: seal({"value": value})})
        return value


def in_memory(length_s: float) -> Unfinished:
    """Return the parts of an analysis of which nothing is kept."""
    return Unfinished(features={} if length_s <= LONG_S else None)


@contextmanager
def unfinished(folder: Path, made_of: Mapping[str, Any]) -> Iterator[Unfinished]:
    """Yield the parts of an analysis that are kept in a folder, which other processes leave alone meanwhile.

    A kill leaves the folder; an error of the recording removes it.

    Raises:
        MerkitError: Another process works on this analysis, or the folder holds something else.
    """
    note = folder / _KEY
    if folder.exists() and not _is_own(folder):
        raise MerkitError(f"'{folder}' is where finished parts are kept, and merkit did not make it: move it away")
    with alone(folder):
        if _content(note) != dict(made_of):
            for path in folder.iterdir():
                if path.name != LOCK:
                    _remove(path)
            write_texts({note: seal(made_of)})
        try:
            yield Unfinished(folder)
        except MerkitError:
            remove_unfinished(folder)
            raise


def remove_unfinished(folder: Path) -> None:
    """Remove the finished parts of an analysis, if there are any."""
    if folder.is_dir() and _is_own(folder):
        shutil.rmtree(folder, ignore_errors=True)


def _is_own(folder: Path) -> bool:
    """Return whether a folder has the note of finished parts, or nothing yet."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir() if not path.name.startswith(TEMPORARY)}
    return _KEY in names or names <= {LOCK}


def _content(note: Path) -> dict[str, Any] | None:
    try:
        return unseal(note)
    except (OSError, ValueError):
        return None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
