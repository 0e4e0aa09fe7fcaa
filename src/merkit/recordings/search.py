"""The recordings of folders, and the transcripts that belong to them by name.

A folder is searched with its sub-folders, in the order of names; hidden files and folders are left out. The transcript
of ``call.wav`` is the file ``call`` with a transcript's ending in the same folder, or in a folder of transcripts: there
in the same sub-folder, or else at its top. What merkit wrote itself is no transcript.
"""

import csv
import json
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from merkit.core.errors import MerkitError
from merkit.io.outputs import KEY, read_record
from merkit.recordings.transcripts.reader import SUFFIXES

_AUDIO = "wav wave flac ogg oga opus mp3 m4a m4b aac wma aif aiff aifc au snd caf amr gsm w64 rf64 mka"
_VIDEO = "mp4 m4v mov mkv webm avi mpg mpeg mts m2ts wmv flv 3gp ogv"
MEDIA = frozenset(f".{ending}" for ending in f"{_AUDIO} {_VIDEO}".split())
"""Endings of audio and video files, in small letters."""
_ANNOTATIONS = frozenset({".rttm", ".srt", ".vtt", ".textgrid", ".eaf"})
"""Endings of what an analysis writes that are transcripts too."""
_HEAD = 1 << 16
"""Bytes of a table that are read to see its columns."""


@dataclass(frozen=True)
class FoundRecording:
    """A recording, what belongs to it, and where its results go."""

    path: Path
    transcript: Path | None
    output: Path
    """Relative to the folder of all results, without an ending."""


def find_recordings(
    arguments: Sequence[Path], transcripts: Path | None = None, *, beside: bool = True
) -> tuple[list[FoundRecording], dict[str, MerkitError]]:
    """Return the recordings that files and folders name, each once, and by path why others cannot be read.

    Args:
        arguments: Files, whatever their ending, and folders.
        transcripts: A transcript, for one file; a folder of them, for any recordings; ``None``: of the recordings in
            folders, those beside them.
        beside: Whether these are looked for.

    Raises:
        MerkitError: A folder has no recording, or the transcripts do not go with the recordings.
    """
    if transcripts is not None and not transcripts.is_dir():
        return [_with_one(arguments, transcripts)], {}
    found: list[FoundRecording] = []
    failures: dict[str, MerkitError] = {}
    seen: set[Path] = set()
    listings: dict[Path, dict[str, list[Path]]] = {}
    for argument in arguments:
        is_folder = argument.is_dir()
        paths = list(_media(argument)) if is_folder else [argument]
        if not paths:
            raise MerkitError(f"'{argument}' has no file that ends like audio or video; give the files themselves")
        for path in paths:
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            output = path.relative_to(argument) if is_folder else Path(path.name)
            folders = [path.parent] if is_folder and beside else []
            if transcripts is not None:
                folders = list(dict.fromkeys([transcripts / output.parent, transcripts]))
            try:
                found.append(FoundRecording(path, _transcript(path, folders, listings), output.with_suffix("")))
            except MerkitError as error:
                failures[str(path)] = error
    if transcripts is not None and found and all(one.transcript is None for one in found):
        raise MerkitError(
            f"'{transcripts}' has no transcript with the name of a recording, such as '{found[0].path.stem}'"
        )
    return _without_shared(found, failures), failures


def refuse_same_outputs(found: Iterable[FoundRecording], failures: dict[str, MerkitError]) -> list[FoundRecording]:
    """Return the recordings whose results go to files of their own; record why the others cannot be written."""
    by_output: dict[Path, list[FoundRecording]] = defaultdict(list)
    for one in found:
        by_output[one.output].append(one)
    kept = []
    for output, same in by_output.items():
        if len(same) == 1:
            kept += same
            continue
        for one in same:
            others = ", ".join(f"'{other.path}'" for other in same if other is not one)
            failures[str(one.path)] = MerkitError(
                f"{output} would be written more than once, for this recording and for {others}: give them one at a "
                "time, each with its own --out"
            )
    return kept


def is_written_by_merkit(path: Path) -> bool:
    """Return whether a file is an analysis or predictions that merkit wrote.

    Tables and JSON are known by their content, subtitles and annotations by the record beside them.
    Annotations that were corrected since are still those of the analysis.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        return read_record(path) is not None
    if suffix in _ANNOTATIONS:
        record = read_record(path.with_suffix(".json"))
        return record is not None and path.name in record[KEY]["files"]
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD).decode(errors="replace").partition("\n")[0]
        if suffix == ".csv":
            columns = set(next(csv.reader([head]), []))
        elif suffix == ".jsonl":
            columns = set(json.loads(head))
        else:
            return False
    except (OSError, ValueError, TypeError, RecursionError, csv.Error):
        return False
    return {"label", "confidence", "modalities"} <= columns


def _with_one(arguments: Sequence[Path], transcript: Path) -> FoundRecording:
    if len(arguments) > 1 or arguments[0].is_dir():
        what = f"{len(arguments)} were given" if len(arguments) > 1 else f"'{arguments[0]}' is a folder"
        raise MerkitError(
            f"--transcript belongs to one recording, {what}: analyze them one at a time, or give a folder of "
            "transcripts that have the names of the recordings."
        )
    return FoundRecording(arguments[0], transcript, Path(arguments[0].stem))


def _media(folder: Path) -> Iterator[Path]:
    for at, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in MEDIA:
                yield Path(at) / name


def _transcript(recording: Path, folders: Iterable[Path], listings: dict[Path, dict[str, list[Path]]]) -> Path | None:
    """Return the one transcript of a recording in the first folder that has any; ``listings`` keeps what was read.

    Raises:
        MerkitError: There are several; all are named.
    """
    for folder in folders:
        if folder not in listings:
            listings[folder] = _by_stem(folder)
        candidates = [path for path in listings[folder].get(_stem(recording), ()) if not is_written_by_merkit(path)]
        if len(candidates) > 1:
            listed = ", ".join(path.name for path in candidates)
            raise MerkitError(
                f"{len(candidates)} files in '{folder}' may be its transcript: {listed}. Keep one of them there, or "
                "give a folder of transcripts with --transcript"
            )
        if candidates:
            return candidates[0]
    return None


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    by_stem: dict[str, list[Path]] = defaultdict(list)
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                by_stem[_stem(path)].append(path)
    return by_stem


def _stem(path: Path) -> str:
    return unicodedata.normalize("NFC", path.stem)


def _without_shared(found: Sequence[FoundRecording], failures: dict[str, MerkitError]) -> list[FoundRecording]:
    """Leave out recordings of different folders that would have one transcript."""
    owners: dict[Path, set[Path]] = defaultdict(set)
    for one in found:
        if one.transcript is not None:
            owners[one.transcript].add(one.output)
    kept = []
    for one in found:
        if one.transcript is not None and len(owners[one.transcript]) > 1:
            failures[str(one.path)] = MerkitError(
                f"'{one.transcript}' has the name of {len(owners[one.transcript])} recordings: put each transcript "
                "into a sub-folder like its recording's"
            )
        else:
            kept.append(one)
    return kept
