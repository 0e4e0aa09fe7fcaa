"""Corpora of single clips: finds files by their names, wherever they were unpacked."""

import re
from pathlib import Path

from merkit.core.corpus import Finding
from merkit.core.errors import MerkitError
from merkit.core.phrases import number_of
from merkit.data.corpus.rows import counted_names

_SUFFIXES = (".wav", ".flac")


def paths_by_stem(raw: Path, pattern: str) -> dict[str, str]:
    """Return the files below ``raw`` that match a pattern, by stem, as paths relative to ``raw``."""
    return {path.stem: path.relative_to(raw).as_posix() for path in sorted(raw.rglob(pattern)) if path.is_file()}


def named_clips(raw: Path, name: re.Pattern[str], expected: str) -> tuple[dict[str, Path], list[Finding]]:
    """Return the WAV and FLAC files below ``raw`` whose stems match, by stem and sorted, relative to ``raw``.

    Archives may contain a clip twice; the shortest path counts, then WAV, then the first in alphabetical order. Hidden
    files (``._1001_DFA_ANG_XX.wav``) are ignored, and the case of the ending does not matter. ``expected`` is an
    example of a path, for errors.

    Raises:
        MerkitError: The folder is missing or has no such file.
    """
    if not raw.is_dir():
        raise MerkitError(f"{raw}: no such folder; expected the unpacked release, with files like {expected}")
    files = [path.relative_to(raw) for path in raw.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file()]
    files = sorted((path for path in files if path.name[0] != "."), key=_preference)
    strangers = [path.as_posix() for path in files if not name.fullmatch(path.stem)]
    known = [path for path in files if name.fullmatch(path.stem)]
    clips = {path.stem: path for path in reversed(known)}
    copies = [path.stem for path in known if clips[path.stem] != path]
    if not clips:
        raise MerkitError(
            f"{raw}: no file like {expected} in it; found {number_of(len(files), 'WAV or FLAC file')}. "
            f"Was it unpacked here?"
        )
    findings = []
    if copies:
        message = f"{counted_names(copies, 'clip')} found more than once, the copy with the shortest path is read"
        findings.append(Finding("warning", "duplicated-clips", message, tuple(sorted(copies))))
    if strangers:
        message = f"{counted_names(strangers, 'file')} without a name of this corpus, not read"
        findings.append(Finding("warning", "unknown-names", message))
    return dict(sorted(clips.items())), findings


def _preference(path: Path) -> tuple[int, bool, Path]:
    return len(path.parts), path.suffix.lower() != ".wav", path
