"""Checks of a prepared corpus: counts, the adapter's findings, texts, features, and the sound of every recording.

Recordings are read in blocks at their own rate, so that memory is bounded. Findings state their thresholds.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from merkit.core.corpus import CorpusSpec, Finding
from merkit.core.errors import MediaError, MerkitError
from merkit.core.types import Utterance
from merkit.data.corpus.checks import check_durations, check_repeated_texts, check_texts
from merkit.data.corpus.findings import LEVELS, counted, read_findings
from merkit.data.corpus.labels import check_label_columns
from merkit.data.corpus.manifest import UNPREPARED, Manifest
from merkit.data.corpus.prepare import count_differences
from merkit.data.features.published import read_published
from merkit.data.media.audio import MediaInfo, audio_blocks, probe
from merkit.data.media.missing import spelling_hint
from merkit.data.media.sources import END_SLIP_S

SILENT_PEAK = 1e-3
"""An utterance whose loudest sample is below this (-60 dB of full scale) is reported as silent."""
CLIPPED = 0.999
"""Samples at or above this are at full scale."""
CLIPPED_SHARE = 1e-3
"""An utterance with a larger share of samples at full scale is reported as clipped."""


def examine(
    manifest: Manifest, spec: CorpusSpec | None = None, progress: Callable[[int, int], None] | None = None
) -> list[Finding]:
    """Return all findings about a corpus, most serious first; see ``findings.render``.

    Findings of the adapter are included, except where the same check now names other utterances.

    Args:
        manifest: The corpus.
        spec: Its adapter, for the published counts; ``None`` for a user's own table.
        progress: Called with the number of utterances done and of all utterances with media.
    """
    findings = check_counts(manifest, spec)
    findings += check_repeated_ids(manifest.utterances)
    findings += check_label_columns(manifest.utterances)
    findings += check_texts(manifest.utterances)
    findings += check_media(manifest, progress)
    findings += check_features(manifest)
    findings += check_repeated_texts(manifest.utterances)
    of_adapter = read_findings(manifest.root / "findings.json")
    unchanged = {(finding.code, frozenset(finding.ids)) for finding in of_adapter}
    findings = [f for f in findings if (f.code, frozenset(f.ids)) not in unchanged]
    changed = {finding.code for finding in findings}
    findings += [finding for finding in of_adapter if finding.code not in changed]
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def check_counts(manifest: Manifest, spec: CorpusSpec | None) -> list[Finding]:
    """Compare with the published counts and the adapter's version."""
    if spec is None:
        return []
    findings = []
    if differences := count_differences(manifest.info.counts, spec.expected):
        level, accepted = ("warning", " (accepted as partial)") if manifest.info.partial else ("error", "")
        message = f"counts differ from the published ones{accepted}: {'; '.join(differences)}"
        findings.append(Finding(level, "counts", message))
    if manifest.info.version not in (UNPREPARED, spec.version):
        message = f"prepared by version {manifest.info.version} of the adapter, now {spec.version}: prepare it again"
        findings.append(Finding("warning", "adapter-version", message))
    return findings


def check_repeated_ids(utterances: Iterable[Utterance]) -> list[Finding]:
    """Report ids and parts of recordings that occur more than once."""
    ids: dict[str, int] = {}
    parts: dict[tuple[str, float | None, float | None], list[str]] = {}
    for utterance in utterances:
        ids[utterance.id] = ids.get(utterance.id, 0) + 1
        medium = utterance.audio_path or utterance.video
        if medium is not None:
            parts.setdefault((medium, utterance.start_s, utterance.end_s), []).append(utterance.id)
    twice = (name for name, times in ids.items() if times > 1)
    shared = (name for names in parts.values() if len(names) > 1 for name in names)
    message = "utterances share their part of a recording with another one"
    return [
        *counted("error", "repeated-id", twice, "ids occur more than once"),
        *counted("warning", "repeated-recording", shared, message),
    ]


def check_features(manifest: Manifest) -> list[Finding]:
    """Report sets of precomputed features that are damaged, lack utterances or have undefined values."""
    findings = []
    for page in sorted((manifest.root / "precomputed").glob("*/columns.json")):
        name = page.parent.name
        try:
            arrays = read_published(page.parent).arrays
        except MerkitError as error:
            findings.append(Finding("error", f"features-{name}", str(error)))
            continue
        without = (u.id for u in manifest.utterances if u.id not in arrays)
        findings += counted("warning", f"features-{name}-missing", without, f"utterances have no features '{name}'")
        undefined = (u for u, array in arrays.items() if np.isnan(array).any())
        message = f"utterances have undefined values (NaN) in features '{name}'"
        findings += counted("info", f"features-{name}-undefined", undefined, message)
    return findings


def check_media(manifest: Manifest, progress: Callable[[int, int], None] | None = None) -> list[Finding]:
    """Report recordings that are missing, unreadable, silent or clipped, and utterances outside of their recording."""
    with_media = [u for u in manifest.utterances if u.audio_path is not None or u.video is not None]
    headers = _headers(manifest, with_media)
    problems = _Problems()
    durations_s: dict[str, float] = {}
    for number, utterance in enumerate(with_media, start=1):
        for modality, relative in (("audio", utterance.audio_path), ("video", utterance.video)):
            if relative is not None:
                _check_header(problems, utterance, modality, manifest.media_path(relative), headers[relative])
        info = headers.get(utterance.audio_path or "")
        if isinstance(info, MediaInfo) and info.has_audio and info.rate_hz and _cut_is_inside(utterance, info):
            path = manifest.media_path(str(utterance.audio_path))
            try:
                durations_s[utterance.id] = _check_sound(problems, path, info.rate_hz, utterance)
            except MediaError as error:
                problems.add("unreadable-media", utterance.id, str(error))
        if progress is not None:
            progress(number, len(with_media))
    return [*problems.findings(), *check_durations(durations_s)]


class _Problems:
    """Collects ids by kind of problem, with details of the first one."""

    def __init__(self) -> None:
        self.ids: dict[str, dict[str, None]] = {}
        self.first: dict[str, str] = {}

    def add(self, code: str, identity: str, words: str = "") -> None:
        self.ids.setdefault(code, {})[identity] = None
        self.first.setdefault(code, words)

    def findings(self) -> Iterator[Finding]:
        for code, (level, words) in _KINDS.items():
            if code in self.ids:
                ids = tuple(self.ids[code])
                first = f"; the first: {self.first[code]}" if self.first[code] else ""
                yield Finding(level, code, f"{len(ids):,} utterances {words}{first}", ids)


_KINDS = {
    "missing-media": ("error", "name a recording that is missing"),
    "unreadable-media": ("error", "have a recording that cannot be read"),
    "media-notes": (
        "warning",
        "have a recording that was repaired in order to be read, or of which parts are not read",
    ),
    "no-sound": ("error", "name as audio a file without sound"),
    "no-picture": ("error", "name as video a file without a video track"),
    "cut-outside": ("error", "are cut from outside of their recording"),
    "silence": ("warning", f"are silent (peak below {SILENT_PEAK:g} of full scale)"),
    "clipping": ("warning", f"are clipped (more than {CLIPPED_SHARE:.1%} of samples at full scale)"),
}


def _headers(manifest: Manifest, utterances: Iterable[Utterance]) -> dict[str, MediaInfo | MediaError | None]:
    """Return each file's header, the error of reading it, or ``None`` where there is no file."""
    headers: dict[str, MediaInfo | MediaError | None] = {}
    for relative in dict.fromkeys(path for u in utterances for path in (u.audio_path, u.video) if path is not None):
        path = manifest.media_path(relative)
        if not path.is_file():
            headers[relative] = None
            continue
        try:
            headers[relative] = probe(path)
        except MediaError as error:
            headers[relative] = error
    return headers


def _check_header(
    problems: _Problems, utterance: Utterance, modality: str, path: Path, header: MediaInfo | MediaError | None
) -> None:
    relative = str(utterance.audio_path if modality == "audio" else utterance.video)
    if header is None:
        first = "missing-media" not in problems.ids  # a search for each of ten thousand would take its time
        hint = spelling_hint(path) if first else ""
        problems.add("missing-media", utterance.id, f"{relative}.{hint}" if hint else relative)
    elif isinstance(header, MediaError):
        problems.add("unreadable-media", utterance.id, str(header))
    elif modality == "audio" and not header.has_audio:
        problems.add("no-sound", utterance.id, relative)
    elif modality == "video" and not header.has_video:
        problems.add("no-picture", utterance.id, relative)
    elif not _cut_is_inside(utterance, header):
        end = "the end" if utterance.end_s is None else f"{utterance.end_s:g} s"
        cut = f"{utterance.start_s or 0:g} s to {end} of {header.duration_s:g} s"
        problems.add("cut-outside", utterance.id, f"{relative}, {cut}")
    if isinstance(header, MediaInfo) and header.notes:
        problems.add("media-notes", utterance.id, f"{relative}: {'; '.join(header.notes)}")


def _cut_is_inside(utterance: Utterance, info: MediaInfo) -> bool:
    start_s = utterance.start_s or 0.0
    end_s = info.duration_s if utterance.end_s is None else utterance.end_s
    return start_s < info.duration_s and end_s <= info.duration_s + END_SLIP_S


def _check_sound(problems: _Problems, path: Path, rate_hz: int, utterance: Utterance) -> float:
    """Report an utterance that is silent or clipped, and return its duration in seconds."""
    samples, clipped, peak = 0, 0, 0.0
    for block in audio_blocks(path, rate_hz, start_s=utterance.start_s, end_s=utterance.end_s):
        loudness = np.abs(block)
        samples += block.size
        clipped += int((loudness >= CLIPPED).sum())
        peak = max(peak, float(loudness.max(initial=0.0)))
    if peak < SILENT_PEAK:
        problems.add("silence", utterance.id)
    if clipped > CLIPPED_SHARE * max(1, samples):
        problems.add("clipping", utterance.id)
    return samples / rate_hz
