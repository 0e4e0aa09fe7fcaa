"""What adapters of corpora of single clips share: finding files by their names, wherever they were unpacked."""

import re
from pathlib import Path

from merkit.core.corpus import Finding
from merkit.core.errors import MerkitError
from merkit.data.corpus.rows import counted_names


def named_clips(raw: Path, suffix: str, name: re.Pattern[str], expected: str) -> tuple[dict[str, Path], list[Finding]]:
    """Return the files below ``raw`` whose stems match, by stem and sorted, as paths relative to ``raw``.

    Unpacked archives carry the same clip twice at times; the path that comes first, shortest before longest, counts.
    Hidden files (``._1001_DFA_ANG_XX.wav``) are none of the corpus.

    Args:
        raw: Where the release was unpacked.
        suffix: Ending of the files, in lower case with its dot; the files' own case does not matter.
        name: What a whole stem looks like.
        expected: An example of a path, for the message.

    Raises:
        MerkitError: The folder is missing or has no such file.
    """
    if not raw.is_dir():
        raise MerkitError(f"{raw}: no such folder; expected the unpacked release, with files like {expected}")
    found = [path.relative_to(raw) for path in raw.rglob("*") if path.suffix.lower() == suffix and path.is_file()]
    found = sorted(path for path in found if not path.name.startswith("."))
    clips: dict[str, Path] = {}
    copies: list[str] = []
    strangers: list[str] = []
    for path in sorted(found, key=lambda path: (len(path.parts), path)):
        if not name.fullmatch(path.stem):
            strangers.append(path.as_posix())
        elif path.stem in clips:
            copies.append(path.stem)
        else:
            clips[path.stem] = path
    if not clips:
        raise MerkitError(
            f"{raw}: no file like {expected} in it; found {len(found)} *{suffix} files. Was it unpacked here?"
        )
    findings = []
    if copies:
        message = f"{counted_names(copies, 'clip')} found more than once, the copy with the shortest path is read"
        findings.append(Finding("warning", "duplicated-clips", message, tuple(sorted(copies))))
    if strangers:
        message = f"{counted_names(strangers, 'file')} without a name of this corpus, not read"
        findings.append(Finding("warning", "unknown-names", message))
    return dict(sorted(clips.items())), findings
