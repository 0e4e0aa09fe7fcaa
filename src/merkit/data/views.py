"""Views of utterances for contrastive training: their files, and the choice of a view for each batch.

A view is a file below ``views/`` in the manifest's folder, in ``text/`` or ``audio/`` (FLAC, 16 kHz), named by the hash
of all that it was made of, and that of its content. It is made once for all folds, seeds and recipes.
"""

import hashlib
import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import soundfile

from merkit.core.types import Turn
from merkit.core.view import RATE_HZ
from merkit.data.checksums import read_stamped, write_stamped
from merkit.data.collate import Example
from merkit.data.features.sources import FeatureSource
from merkit.data.files import remove

FOLDER = "views"
"""Below the manifest's folder."""
_LOG = logging.getLogger(__name__)
_SUFFIXES = {"text": ".txt", "audio": ".flac"}


def view_path(folder: Path, kind: Literal["text", "audio"], made_of: Mapping[str, Any]) -> Path:
    """Return the path of a view below a folder, whether or not it has been made, without the hash of its content."""
    canonical = json.dumps(made_of, sort_keys=True, ensure_ascii=False)
    name = hashlib.blake2b(canonical.encode(), digest_size=20).hexdigest()
    return (folder / kind / name[:2] / name).with_suffix(_SUFFIXES[kind])


def find_view(path: Path) -> Path | None:
    """Return the file of a view; ``None`` where it is missing, or damaged, which is logged.

    ``path`` is from `view_path`. A file of just that name is one of an earlier version.
    """
    for file in sorted(path.parent.glob(f"{path.stem}-*{path.suffix}")):
        try:
            read_stamped(file)
            return file
        except (OSError, ValueError) as error:
            _LOG.warning("'%s' is damaged (%s): the view is made again", file, error)
            remove(file)
    return path if path.is_file() else None


def write_view(path: Path, content: str | npt.NDArray[np.float32]) -> Path:
    """Write a view and return its file: a text, or samples ``[time]`` at 16 kHz, full scale 1, as FLAC of 16 bits."""
    if isinstance(content, str):
        data = content.encode()
    else:
        flac = io.BytesIO()
        soundfile.write(flac, content, RATE_HZ, subtype="PCM_16", format="FLAC")
        data = flac.getvalue()
    return write_stamped(path.parent, path.stem, data, path.suffix)


def seed_of(*words: str | int) -> int:
    """Return a number below 2**63 that is derived from all words."""
    text = "/".join(map(str, words))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True)
class Views:
    """The views of the training utterances, the same number for each."""

    turns: Mapping[str, Sequence[Turn]]
    """By utterance id."""
    sources: Mapping[str, FeatureSource]

    def example(self, turn: Turn, draw: int) -> Example:
        """Return an utterance's view of this draw, with the utterance's id and without a label."""
        name = turn.utterance.id
        views = self.turns[name]
        view = views[seed_of(draw, name) % len(views)]
        arrays = {modality: source.get(view) for modality, source in self.sources.items()}
        return Example(name, turn.utterance.speaker, arrays, None)
