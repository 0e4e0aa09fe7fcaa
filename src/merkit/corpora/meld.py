"""MELD (Poria et al. 2019): multi-party dialogue from a TV series, seven emotions and three sentiments.

Reads the release as unpacked, its annotation files alone, or those with the Praat measures of each clip. Files may be
in the root, in a folder per split, in ``MELD.Raw`` (with or without a folder per split) or in ``data/MELD``:

* ``{train,dev,test}_sent_emo.csv``, the annotations;
* ``train_splits``, ``dev_splits_complete``, ``output_repeated_splits_test``, the clips ``dia<d>_utt<u>.mp4``;
* ``praat_{train,dev,test}.csv``, published here as features ``praat``.

Clips are cut already, so ``StartTime`` and ``EndTime`` (times in the episode) are attributes. Dialogue numbers begin
anew in each split and utterance numbers have gaps: ids carry the split, turns count from 0, the numbers are attributes.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Literal

import numpy as np

from merkit.core.arrays import Array
from merkit.core.corpus import CorpusOptions, CorpusSpec, Finding, PublishedFeatures, RawCorpus
from merkit.core.errors import ManifestError
from merkit.core.model import Citation
from merkit.core.types import Utterance
from merkit.corpora._rows import checked_reader, in_turns
from merkit.data.corpus.checks import check_durations, check_repeated_texts
from merkit.data.corpus.findings import counted
from merkit.data.corpus.mending import damage, decode_text, mend
from merkit.data.corpus.rows import counted_names

_CLIPS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
_BROKEN = frozenset({"train_dia125_utt3", "dev_dia110_utt7"})
"""Clips that are damaged or missing in the release itself."""

_FIELDS = (
    "Utterance",
    "Speaker",
    "Emotion",
    "Sentiment",
    "Dialogue_ID",
    "Utterance_ID",
    "Season",
    "Episode",
    "StartTime",
    "EndTime",
)
_NUMBERS = ("Dialogue_ID", "Utterance_ID", "Season", "Episode")
_TIME = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})")

_PRAAT = {
    "duration": "duration (s)",
    "avg_intensity": "avg_intensity (dB)",
    "intensity_variation": "intensity_variation (dB)",
    "avg_pitch": "avg_pitch (Hz)",
    "pitch_std": "pitch_std (Hz)",
    "pitch_range": "pitch_range (Hz)",
    "articulation_rate": "articulation_rate (syllables/s)",
    "mean_hnr": "mean_hnr (dB)",
}
"""Columns of the Praat files to their names with units."""


class MeldOptions(CorpusOptions):
    """How to treat the clips."""

    clips: Literal["auto", "ignore"] = "auto"
    """``auto``: used if the folders exist, and then all three must; ``ignore``: annotations only."""
    missing_clips: Literal["refuse", "skip"] = "refuse"
    """Clips missing besides the two that the release lacks: an error, or utterances with text alone and a finding."""


def read(raw: Path, options: MeldOptions) -> RawCorpus:
    """Read the release.

    Raises:
        ManifestError: An annotation file, a folder or clips are missing, or a file is malformed.
    """
    rows = {split: _read_annotations(raw, split) for split in _CLIPS}
    folders = _clip_folders(raw) if options.clips == "auto" else {}
    utterances: list[Utterance] = []
    findings: list[Finding] = []
    mended: list[str] = []
    durations_s: dict[str, float] = {}
    for split in _CLIPS:
        folder = folders.get(split)
        for turn, row in in_turns(rows[split], itemgetter("Dialogue_ID"), lambda row: int(row["Utterance_ID"])):
            utterance = _utterance(split, turn, row, None if folder is None else folder.relative_to(raw))
            if damage(row["Utterance"]) and utterance.text != row["Utterance"]:
                mended.append(utterance.id)
            durations_s[utterance.id] = _seconds(row["EndTime"]) - _seconds(row["StartTime"])
            utterances.append(utterance)
    if folders:
        utterances, more = _without_missing_clips(raw, utterances, options)
        findings += more + _surplus_clips(folders, utterances)
    features, more = _read_praat(raw, utterances)
    findings += more
    message = f"{len(mended):,} of {len(utterances):,} texts held Windows-1252 leftovers and were mended"
    findings.append(Finding("info", "text-mended", message, tuple(mended)))
    findings += check_durations(durations_s) + check_repeated_texts(utterances)
    return RawCorpus(utterances, features, findings)


def _folders(raw: Path, split: str) -> tuple[Path, ...]:
    """Return the folders where files of a split are looked for."""
    unpacked = raw / "MELD.Raw"
    return (raw, raw / split, unpacked, unpacked / split, raw / "data" / "MELD")


def _find(raw: Path, split: str, name: str) -> Path | None:
    return next((folder / name for folder in _folders(raw, split) if (folder / name).exists()), None)


def _read_table(path: Path, fields: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV whose encoding may be mixed; damaged text stays as it is."""
    reader = checked_reader(path, decode_text(path.read_bytes()), fields)
    rows = []
    for row in reader:
        if any(row[field] is None for field in fields):
            raise ManifestError(f"{path}: line {reader.line_num} ends early; is the file complete?")
        rows.append({field: row[field] for field in fields})
    return rows


def _read_annotations(raw: Path, split: str) -> list[dict[str, str]]:
    name = f"{split}_sent_emo.csv"
    path = _find(raw, split, name)
    if path is None:
        raise ManifestError(f"meld: no {name}; looked in {', '.join(map(str, _folders(raw, split)))}")
    rows = _read_table(path, _FIELDS)
    for number, row in enumerate(rows, start=1):
        wrong = [field for field in _NUMBERS if not row[field].isdecimal()]
        wrong += [field for field in ("StartTime", "EndTime") if not _TIME.fullmatch(row[field])]
        if wrong:
            found = ", ".join(f"{field} '{row[field]}'" for field in wrong)
            raise ManifestError(f"{path}: utterance {number} has {found}, expected whole numbers and h:mm:ss,ms")
    return rows


def _utterance(split: str, turn: int, row: dict[str, str], folder: Path | None) -> Utterance:
    clip = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
    medium = None if folder is None else (folder / f"{clip}.mp4").as_posix()
    return Utterance(
        id=f"{split}_{clip}",
        conversation=f"{split}_dia{row['Dialogue_ID']}",
        turn=turn,
        speaker=mend(row["Speaker"]),
        text=mend(row["Utterance"]),
        audio=medium,
        video=medium,
        language="en",
        attributes={
            "emotion": row["Emotion"],
            "sentiment": row["Sentiment"],
            "split": split,
            "dialogue_id": int(row["Dialogue_ID"]),
            "utterance_id": int(row["Utterance_ID"]),
            "season": int(row["Season"]),
            "episode": int(row["Episode"]),
            "episode_start": row["StartTime"],
            "episode_end": row["EndTime"],
        },
    )


def _seconds(time: str) -> float:
    match = _TIME.fullmatch(time)
    assert match is not None
    hours, minutes, seconds, fraction = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + int(fraction.ljust(3, "0")) / 1000


def _clip_folders(raw: Path) -> dict[str, Path]:
    """Return the folder of clips for each split; empty if there is none."""
    folders = {split: folder for split, name in _CLIPS.items() if (folder := _find(raw, split, name)) is not None}
    if folders and (missing := [name for split, name in _CLIPS.items() if split not in folders]):
        present = ", ".join(map(str, folders.values()))
        raise ManifestError(
            f"meld: clips in {present}, but no folder {', '.join(missing)}; unpack all or set clips=ignore"
        )
    return folders


def _without_missing_clips(
    raw: Path, utterances: Sequence[Utterance], options: MeldOptions
) -> tuple[list[Utterance], list[Finding]]:
    """Remove the media of utterances whose clip the release lacks, or whose absence the user accepts."""
    missing = [u.id for u in utterances if u.id not in _BROKEN and not (raw / str(u.video)).is_file()]
    if missing and options.missing_clips == "refuse":
        raise ManifestError(
            f"meld: {counted_names(missing, 'clip')} missing; unpack the release again, or set missing_clips=skip"
            " to go on with their text alone"
        )
    without = _BROKEN.union(missing)
    known = [u.id for u in utterances if u.id in _BROKEN]
    message = "clips are damaged or missing in the release; their utterances have text alone"
    findings = counted("info", "broken-clips", known, message)
    findings += counted("warning", "missing-clips", missing, "more clips are missing; their utterances have text alone")
    return [replace(u, audio=None, video=None) if u.id in without else u for u in utterances], findings


def _surplus_clips(folders: dict[str, Path], utterances: Sequence[Utterance]) -> list[Finding]:
    """Report clips without annotation; the release has some."""
    known = {utterance.id for utterance in utterances}
    names = (f"{split}_{path.stem}" for split, folder in folders.items() for path in sorted(folder.glob("[!.]*.mp4")))
    surplus = (name for name in names if name not in known)
    return counted("info", "clips-without-row", surplus, "clips have no annotation, left out")


def _read_praat(raw: Path, utterances: Sequence[Utterance]) -> tuple[list[PublishedFeatures], list[Finding]]:
    """Return the Praat measures ``[1, 8]`` of each utterance, NaN for an empty cell."""
    paths = {split: _find(raw, split, f"praat_{split}.csv") for split in _CLIPS}
    if not any(paths.values()):
        return [], []
    measures: dict[str, Array] = {}
    for split, path in paths.items():
        if path is None:
            raise ManifestError(f"meld: no praat_{split}.csv beside those of other splits; add it or take all away")
        for row in _read_table(path, ("filename", *_PRAAT)):
            try:
                cells = [float(row[name]) if row[name] else math.nan for name in _PRAAT]
            except ValueError as error:
                raise ManifestError(f"{path}: '{row['filename']}': {error}; expected numbers or empty cells") from error
            measures[f"{split}_{row['filename'].removesuffix('.wav')}"] = np.array([cells], dtype=np.float32)
    ids = [utterance.id for utterance in utterances]
    arrays = {name: measures[name] for name in ids if name in measures}
    without = [name for name in ids if name not in measures]
    level, why = "warning", ""
    if _BROKEN.issuperset(without):
        level, why = "info", ": their clips are broken in the release"
    surplus = sorted(measures.keys() - set(ids))
    undefined = [name for name, array in arrays.items() if np.isnan(array).any()]
    message = "utterances have undefined Praat measures (NaN), unvoiced clips as a rule"
    findings = [
        *counted(level, "features-praat-missing", without, f"utterances have no Praat measures{why}"),
        *counted("info", "praat-without-row", surplus, "clips measured by Praat have no annotation, left out"),
        *counted("info", "features-praat-undefined", undefined, message),
    ]
    return [PublishedFeatures("praat", "audio", arrays, tuple(_PRAAT.values()))], findings


SPEC = CorpusSpec(
    name="meld",
    version=1,
    summary="MELD: multi-party dialogue from a TV series, seven emotions and three sentiments",
    options=MeldOptions,
    read=read,
    expected={
        "utterances": 13708,
        "conversations": 1432,
        "train": 9989,
        "train.conversations": 1038,
        "dev": 1109,
        "dev.conversations": 114,
        "test": 2610,
        "test.conversations": 280,
    },
    citation=Citation(
        url="https://aclanthology.org/P19-1050/",
        bibtex="""@inproceedings{poria2019meld,
  title     = {{MELD}: A Multimodal Multi-Party Dataset for Emotion Recognition in Conversations},
  author    = {Poria, Soujanya and Hazarika, Devamanyu and Majumder, Navonil and Naik, Gautam and Cambria, Erik
               and Mihalcea, Rada},
  booktitle = {Proceedings of ACL 2019},
  pages     = {527--536},
  year      = {2019},
  url       = {https://aclanthology.org/P19-1050/}
}""",
    ),
    licence="GPL-3.0 (annotations); research use (clips)",
)
