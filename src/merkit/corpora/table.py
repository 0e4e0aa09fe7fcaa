"""A user's own table (CSV, JSONL, Parquet, or a folder with one), in the columns of a manifest.

Every column that is not reserved becomes an attribute, which the protocol ``table`` reads labels, splits and groups
from. Media are looked for beside the table.
"""

import os
from dataclasses import replace
from pathlib import Path

from merkit.core.corpus import CorpusOptions, CorpusSpec, RawCorpus
from merkit.data.corpus.manifest import read_manifest


def read(raw: Path, options: CorpusOptions) -> RawCorpus:
    """Return the table's rows by conversation and turn.

    Media paths are relative to ``raw``: where that is the table itself they begin with ``..``. Absolute ones stay.

    Raises:
        ManifestError: The table is missing or breaks the rules of a manifest; all mistakes are listed.
    """
    manifest = read_manifest(raw)

    def moved(media: str | None) -> str | None:
        if media is None or Path(media).is_absolute():
            return media
        return os.path.relpath(manifest.media_path(media), raw)

    utterances = manifest.utterances
    if not raw.is_dir():
        utterances = tuple(replace(u, audio=moved(u.audio_path), video=moved(u.video)) for u in utterances)
    return RawCorpus(utterances)


SPEC = CorpusSpec(
    name="table",
    version=1,
    summary="a user's own CSV, JSONL or Parquet table with the columns of a manifest",
    read=read,
    licence="the user's",
)
