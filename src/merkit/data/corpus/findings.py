"""Findings about a corpus: stored as JSON beside its manifest, and rendered as text."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from merkit.core.corpus import Finding
from merkit.core.errors import ManifestError
from merkit.core.phrases import listed
from merkit.data.files import write_texts

LEVELS = ("error", "warning", "info")
"""Most serious first: an ``error`` makes results invalid, a ``warning`` may, ``info`` is worth knowing."""

_SHOWN = 5


def counted(level: str, code: str, ids: Iterable[str], message: str) -> list[Finding]:
    """Return a finding about these utterances, whose number precedes the message; none if there are none."""
    concerned = tuple(ids)
    return [Finding(level, code, f"{len(concerned):,} {message}", concerned)] if concerned else []


def write_findings(path: Path, findings: Sequence[Finding]) -> None:
    """Write findings as JSON, the same bytes for the same findings."""
    write_texts({path: to_json(findings)})


def read_findings(path: Path) -> list[Finding]:
    """Read what ``write_findings`` wrote; no file means no findings.

    Raises:
        ManifestError: The file is not what ``write_findings`` writes.
    """
    if not path.is_file():
        return []
    try:
        return TypeAdapter(list[Finding]).validate_json(path.read_bytes())
    except ValidationError as error:
        raise ManifestError(f"{path}: not a list of findings; run `merkit prepare` again") from error


def to_json(findings: Sequence[Finding]) -> str:
    """Return findings as a JSON list of objects with ``level``, ``code``, ``message`` and ``ids``."""
    return json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False) + "\n"


def render(findings: Sequence[Finding]) -> str:
    """Return findings as lines of text, most serious first, with at most five ids each and a last line of counts.

    >>> render([])
    'nothing to report'
    """
    if not findings:
        return "nothing to report"
    lines = []
    for level in LEVELS:
        for finding in (finding for finding in findings if finding.level == level):
            lines.append(f"{level:<8} {finding.code}: {finding.message}")
            if finding.ids:
                lines.append(f"{'':<9}{listed(finding.ids, _SHOWN)}")
    counts = [sum(finding.level == level for finding in findings) for level in LEVELS]
    lines.append(", ".join(f"{level}: {number}" for level, number in zip(LEVELS, counts, strict=True)))
    return "\n".join(lines)
