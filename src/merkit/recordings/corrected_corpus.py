"""Corrected timelines as a corpus: from a folder of them to a manifest that models are trained on."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from merkit.core.corpus import CorpusOptions, CorpusSpec, RawCorpus
from merkit.core.errors import ManifestError, MediaError, MerkitError, OutputError
from merkit.core.phrases import listed
from merkit.core.types import Utterance
from merkit.core.waveform import Whole
from merkit.data.corpus.manifest import Manifest
from merkit.data.corpus.prepare import prepare
from merkit.data.files import file_hash
from merkit.data.media.audio import duration_s
from merkit.data.media.sources import END_SLIP_S
from merkit.io.outputs import KEY, is_as_written, read_record
from merkit.recordings.corrected_sound import sounds_of, whole_sound
from merkit.recordings.corrections import READERS, Corrected, labels_of, read_corrected, read_json
from merkit.recordings.search import MEDIA
from merkit.recordings.unfinished import PARTS

LABEL = "label"
UNCHANGED = "not corrected since it was written (--accept-unchanged takes its labels as they are)"


@dataclass(frozen=True)
class TimelineCorpus:
    """The corpus, and what was left out of it."""

    manifest: Manifest | None
    """``None``: no timeline could be used."""
    timelines: int
    labelled: int
    unlabelled: int
    unchanged: tuple[str, ...] = ()
    """Timelines that were left out because nobody corrected them."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """By file or timeline, why it cannot be used."""
    new_labels: Mapping[str, int] = field(default_factory=dict)
    """Labels that the model of their timeline does not give, and how often: perhaps misspelt."""


def corpus_of_timelines(
    folder: Path, out: Path, recordings: Path | None = None, accept_unchanged: bool = False
) -> TimelineCorpus:
    """Write a corpus of all corrected timelines below a folder; utterances have the column ``label``.

    Of each recording the one file is read that was changed since it was written; without a record beside it, it is
    taken for corrected. Utterances without a label keep an empty one: they are context for models of conversations.

    Args:
        folder: The files of analyses, some of them corrected.
        out: Folder of the corpus; the recordings stay where they are. Where another track or one channel was analyzed,
            its sound is written here, into the folder ``audio``.
        recordings: Where they are, by name, if they were moved since; ``None``: where they were.
        accept_unchanged: Whether timelines that nobody changed are labels too.

    Raises:
        ManifestError: There is no timeline, or ``out`` has another corpus.
        OutputError: ``out`` cannot be written to.
    """
    found = _timelines(folder)
    if not found:
        raise ManifestError(f"'{folder}' has no timeline: give the folder that 'merkit analyze --out' wrote")
    utterances: list[Utterance] = []
    unchanged, failures = [], {}
    new: Counter[str] = Counter()
    used = 0
    for name, files in found.items():
        record = files.get(".json")
        content = None if record is None else read_record(record)
        try:
            path = _corrected(name, files, content)
            if path is None and not accept_unchanged:
                unchanged.append(name)
                continue
            chosen = path or record
            assert chosen is not None  # without a record every file is taken for corrected
            rows = read_corrected(chosen)
            analysis = None if record is None else read_json(record)
            file = _recording(name, chosen, content, recordings)
            _check_times(rows, chosen, whole_sound(file, analysis))
            sounds = sounds_of(rows, file, analysis, out / "audio" / name)
        except OutputError:  # the same for every timeline
            raise
        except MerkitError as error:
            failures[name] = str(error)
            continue
        known = set((content or {}).get("labels", ())) or labels_of(rows)
        new.update(label for row in rows for label in row.labels if label not in known)
        utterances += _utterances(name, rows, sounds)
        used += 1
    manifest = None
    if utterances:
        spec = CorpusSpec(
            name="timelines",
            version=1,
            summary="corrected timelines",
            read=lambda raw, options: RawCorpus(utterances),
            licence="the user's",
            options=CorpusOptions,
        )
        manifest = prepare(spec, folder, out)
    labelled = sum(bool(utterance.attributes[LABEL]) for utterance in utterances)
    return TimelineCorpus(
        manifest, used, labelled, len(utterances) - labelled, tuple(unchanged), failures, dict(new.most_common())
    )


def _timelines(folder: Path) -> dict[str, dict[str, Path]]:
    """Return the files of each timeline by ending, by their name below the folder."""
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not name.endswith(PARTS))
        for name in sorted(names):
            path = Path(at) / name
            if path.suffix.lower() in READERS and not name.startswith(".") and not _is_other_json(path):
                found[str(path.relative_to(folder).with_suffix(""))][path.suffix.lower()] = path
    return dict(found)


def _is_other_json(path: Path) -> bool:
    """Return whether a file is JSON of another kind than timelines; a damaged one may be a timeline."""
    if path.suffix.lower() != ".json":
        return False
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return not isinstance(content, Mapping) or "schema" not in content


def _corrected(name: str, files: Mapping[str, Path], content: Mapping[str, Any] | None) -> Path | None:
    """Return the one file that was changed since it was written; ``None``: none was.

    Raises:
        MerkitError: Several were, or which of several was is not known, as the JSON file is damaged or has no record.
    """
    changed = []
    if content is None and ".json" in files and len(files) > 1:
        read_corrected(files[".json"])
        names = listed([path.name for path in files.values()], 4)
        raise MerkitError(
            f"'{files['.json'].name}' has no key '{KEY}' any more, which tells what was corrected: keep one of {names}"
        )
    for path in files.values():
        own = content is not None and (path.suffix == ".json" or path.name in content[KEY]["files"])
        if not own or not is_as_written(path, files[".json"], content or {}):
            changed.append(path)
    if len(changed) > 1:
        names = listed([path.name for path in changed], 4)
        raise MerkitError(f"{len(changed)} of its files were corrected ({names}): keep the corrections in one of them")
    return changed[0] if changed else None


def _recording(name: str, timeline: Path, content: Mapping[str, Any] | None, recordings: Path | None) -> Path:
    """Return the recording of a timeline.

    Raises:
        MerkitError: It is not where it was, or it is another one now.
    """
    known = None if content is None else content.get("recording")
    candidates = list(_candidates(name, timeline, known if isinstance(known, str) else None, recordings))
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        where = f"'{known}'" if known else "beside it"
        raise MerkitError(f"{timeline}: its recording is not there ({where}): say where with --recordings FOLDER")
    expected = None if content is None else content[KEY]["made_of"].get("recording")
    if expected is not None and expected != file_hash(path):
        raise MerkitError(f"{timeline}: '{path}' is not the recording that it was made of: its content is another one")
    return path


def _candidates(name: str, timeline: Path, known: str | None, recordings: Path | None) -> Iterator[Path]:
    if recordings is not None:
        if known is not None:
            yield recordings / Path(name).parent / Path(known).name
            yield recordings / Path(known).name
        for folder in (recordings / Path(name).parent, recordings):
            yield from _by_name(folder, Path(name).name)
        return
    if known is not None:
        yield Path(known)
        yield timeline.parent / Path(known).name
    yield from _by_name(timeline.parent, Path(name).name)


def _by_name(folder: Path, stem: str) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if path.stem == stem and path.suffix.lower() in MEDIA)


def _check_times(rows: list[Corrected], timeline: Path, sound: Whole) -> None:
    try:
        length_s = duration_s(sound)
    except MediaError as error:
        raise MerkitError(f"{timeline}: its recording cannot be read: {error}") from error
    for row in rows:
        if row.end_s > length_s + END_SLIP_S:
            raise MerkitError(
                f"{timeline}: {row.place}: it ends at {row.end_s:g} s, after its recording, which has {length_s:.2f} s"
            )


def _utterances(name: str, rows: list[Corrected], sounds: Sequence[Path]) -> Iterator[Utterance]:
    for turn, (row, sound) in enumerate(zip(rows, sounds, strict=True)):
        yield Utterance(
            id=f"{name}#{turn}",
            conversation=name,
            turn=turn,
            speaker=row.speaker,
            text=row.text,
            audio=str(sound.resolve()),
            start_s=row.start_s,
            end_s=row.end_s,
            attributes={LABEL: row.label or ""},
        )
