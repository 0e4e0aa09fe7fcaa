"""Existing alignments from files: TextGrid, CTM, Sphinx segment files (IEMOCAP), parley's JSON.

Files are found by name anywhere below a folder. A file named after the utterance has times from the utterance's start;
one named after its recording has times from the recording's start, from which the utterance's are cut out.
"""

from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pydantic import field_validator

from merkit.aligners.segments.formats import SEG_TIERS, Tiers, read_ctm, read_json, read_seg, read_textgrid
from merkit.aligners.segments.tiers import checked_alignment, shifted
from merkit.core.alignment import TIERS, Aligner, AlignerConfig, AlignerSpec, Alignment, TierName
from merkit.core.errors import ConfigError, UnalignableError
from merkit.core.types import Turn
from merkit.data.files import file_hash

_ENDINGS = (".TextGrid", ".ctm", *SEG_TIERS, ".json")


class FilesConfig(AlignerConfig):
    """Where the files are."""

    folder: str
    """Read with all folders below it; relative to the working directory."""

    @field_validator("folder")
    @classmethod
    def _exists(cls, folder: str) -> str:
        if not Path(folder).is_dir():
            raise ValueError(f"no folder '{folder}'")
        return folder


class Files(Aligner):
    """Reads the tiers of an utterance from its files, of which there may be several (``.wdseg`` and ``.phseg``)."""

    def __init__(self, config: FilesConfig) -> None:
        self.folder = Path(config.folder)
        self._table = cache(_read_table)

    def fingerprint(self) -> Mapping[str, Any]:
        return {"aligner": "files", "version": 1}

    def content(self, turn: Turn) -> str:
        return "-".join(file_hash(path) for path, _ in self._paths(turn))

    def align(self, turn: Turn) -> Alignment:
        utterance = turn.utterance
        tiers: Tiers = {}
        paths = self._paths(turn)
        for path, name in paths:
            for tier, intervals in self._read(path, name).items():
                if tier in tiers:
                    listed = ", ".join(str(path) for path, _ in paths)
                    raise ConfigError(f"Utterance '{utterance.id}' has more than one tier of {tier}s: {listed}")
                if name != utterance.id and utterance.start_s is not None:
                    end_s = None if utterance.end_s is None else utterance.end_s - utterance.start_s
                    intervals = shifted(intervals, -utterance.start_s, end_s)
                tiers[tier] = intervals
        if not any(tiers.values()):
            raise UnalignableError(f"no segments of it below '{self.folder}'")
        return checked_alignment(tiers, f"'{utterance.id}' in {paths[0][0]}")

    def _paths(self, turn: Turn) -> list[tuple[Path, str]]:
        """Return the files of an utterance, or else of its recording, each with the name it was found by."""
        utterance = turn.utterance
        path = utterance.audio_path
        names = [utterance.id] if path is None else [utterance.id, Path(path).stem]
        return next(([(path, name) for path in self._by_name[name]] for name in names if name in self._by_name), [])

    def _read(self, path: Path, name: str) -> Tiers:
        if path.suffix == ".TextGrid":
            return read_textgrid(path)
        if path.suffix in SEG_TIERS:
            return {SEG_TIERS[path.suffix]: read_seg(path)}
        return self._table(path)[name]

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        """Files by the utterance or recording that they align."""
        files: dict[str, list[Path]] = {}
        for path in sorted(path for path in self.folder.rglob("*") if path.suffix in _ENDINGS):
            for name in self._table(path) if path.suffix in (".ctm", ".json") else (path.stem,):
                files.setdefault(name, []).append(path)
        return files


def _read_table(path: Path) -> dict[str, Tiers]:
    """Read a file of several utterances; ``x.phone.ctm`` has phones, ``x.ctm`` words."""
    if path.suffix == ".json":
        return read_json(path)
    tier: TierName = next((tier for tier in TIERS if path.name.endswith(f".{tier}.ctm")), "word")
    return {name: {tier: intervals} for name, intervals in read_ctm(path).items()}


SPEC = AlignerSpec(
    name="files",
    summary="existing alignments: TextGrid, CTM, IEMOCAP's .wdseg .phseg .syseg, parley's JSON",
    config=FilesConfig,
    build=Files,
)
