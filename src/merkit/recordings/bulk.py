"""Many recordings, one after the other: what fails does not stop the others, and what is done is not done again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from merkit.core.errors import CheckpointError, ConfigError, MerkitError, OutputError
from merkit.core.progress import ProgressCallback
from merkit.data.media.audio import duration_s
from merkit.data.media.sources import check_file
from merkit.inference.joined import load_predictor
from merkit.io.decision_rule import DEFAULT_DECISION, DecisionOptions
from merkit.io.outputs import FileIds, Outputs, content_of, file_ids
from merkit.recordings.analysis import analyze_recording
from merkit.recordings.options import DEFAULT_OPTIONS, RecordingOptions
from merkit.recordings.recognition.models import default_engine, open_engine
from merkit.recordings.search import FoundRecording
from merkit.recordings.unfinished import LONG_S, PARTS, Unfinished, remove_unfinished, unfinished
from merkit.recordings.writing import made_of, outputs_of, write_analysis
from merkit.timeline.analysis import Analysis
from merkit.timeline.formats import DEFAULT, HTML
from merkit.timeline.index import check_index, write_index
from merkit.timeline.reading import read_timeline
from merkit.timeline.sound import Audio

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What became of a recording: a new result, the file of an earlier one, or an error."""

    recording: Path
    transcript: Path | None = None
    result: T | None = None
    earlier: Path | None = None
    error: MerkitError | None = None


@dataclass(frozen=True)
class Work(Generic[T]):
    """What is done with each recording."""

    make: Callable[[FoundRecording], T]
    outputs: Callable[[FoundRecording], Outputs]
    """Where the result is written."""
    made_of: Callable[[FoundRecording], Mapping[str, Any]]
    """All that decides the result, files by their content."""
    write: Callable[[T, Outputs, Mapping[str, Any], FileIds], None]
    beside: frozenset[str] = frozenset()
    """Keys of ``made_of`` that decide only the files beside the record."""
    read: Callable[[Mapping[str, Any], FoundRecording], T] | None = None
    """Makes a result of a record's content, so that only the files beside it are written anew; ``None``: none can."""


def do_each(
    work: Work[T], found: Sequence[FoundRecording], write: bool, progress: ProgressCallback | None = None
) -> Iterator[Outcome[T]]:
    """Yield what becomes of each recording; results are written before they are yielded.

    A result that is there already, made of the same by content, is not made again.

    Args:
        work: What is done.
        found: The recordings.
        write: Whether results are written.
        progress: Called before each recording.

    Raises:
        MerkitError: A checkpoint or an option cannot be used, or the folder of the outputs cannot be written to.
    """
    inputs = file_ids(path for one in found for path in (one.path, one.transcript) if path is not None)
    for number, one in enumerate(found):
        if progress is not None:
            progress("recordings", number, len(found))
        outputs = work.outputs(one) if write else None
        try:
            if outputs is None:
                yield Outcome(one.path, one.transcript, work.make(one))
                continue
            check_file(one.path)
            key = work.made_of(one)
            outputs.check(inputs)
            if outputs.made_of() == key:
                yield Outcome(one.path, one.transcript, earlier=outputs.record)
                continue
            same = _result_key(work, Outputs(outputs.record).made_of()) == _result_key(work, key)
            known = content_of(outputs.record) if same else {}
            result = work.read(known, one) if known and work.read is not None else work.make(one)
            work.write(result, outputs, key, inputs)
        except (CheckpointError, ConfigError, OutputError):  # the same for every recording
            raise
        except MerkitError as error:
            yield Outcome(one.path, one.transcript, error=error)
            continue
        yield Outcome(one.path, one.transcript, result)
    if progress is not None:
        progress("recordings", len(found), len(found))


def _result_key(work: Work[T], made_of: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return None if made_of is None else {name: each for name, each in made_of.items() if name not in work.beside}


def analyze_recordings(
    found: Sequence[FoundRecording],
    checkpoint: Path,
    name: str,
    options: RecordingOptions = DEFAULT_OPTIONS,
    out: Path | None = None,
    progress: ProgressCallback | None = None,
    decision: DecisionOptions = DEFAULT_DECISION,
    asr: str | None = None,
    formats: Sequence[str] = DEFAULT,
    audio: Audio = "link",
) -> Iterator[Outcome[Analysis]]:
    """Yield what becomes of each recording; see `do_each`. The checkpoint is loaded when it is first needed.

    Args:
        found: The recordings.
        checkpoint: The folder of the checkpoint.
        name: What the results say they were made by.
        options: How the recordings are read.
        out: The folder of all analyses; ``None``: none is written.
        progress: As of `do_each`.
        decision: What a user chose in place of the checkpoint's decision rule.
        asr: The recogniser of words where there is no transcript; see `open_engine`. ``None``: `default_engine`.
        formats: Of the files in ``out``, as of `chosen_formats`; others of what is done already are written from it.
            With pages of several recordings there is an index of all in the folder.
        audio: The sound of the pages; see `timeline_page`.

    Raises:
        MerkitError: The checkpoint or an option cannot be used, or ``out`` cannot be written to.
    """
    recognizer = cache(lambda: load_predictor(checkpoint, options=decision, name=name))
    engine = default_engine(checkpoint) if asr is None else open_engine(asr)
    recognised_by = {} if engine is None else {"asr": engine.identity()}

    def answer_key(one: FoundRecording) -> Mapping[str, Any]:
        own = {} if one.transcript is not None else recognised_by
        return made_of(one.path, one.transcript, checkpoint, {**options.identity(), **decision.given, **own})

    def key(one: FoundRecording) -> Mapping[str, Any]:
        return {**answer_key(one), "audio": audio} if HTML in formats else answer_key(one)

    inner = progress if len(found) == 1 else None

    def make(one: FoundRecording) -> Analysis:
        with _parts(one, out, answer_key) as parts:
            return analyze_recording(
                recognizer(), one.path, one.transcript, name, options, engine=engine, progress=inner, work=parts
            )

    def read(known: Mapping[str, Any], one: FoundRecording) -> Analysis:
        """Return an analysis of files that may have been named from another folder."""
        return replace(read_timeline(known), recording=one.path, transcript=one.transcript, track=options.track)

    work = Work(
        make=make,
        outputs=lambda one: outputs_of(Path() if out is None else out, one.output, formats),
        made_of=key,
        write=partial(write_analysis, audio=audio),
        beside=frozenset({"audio"}),
        read=read,
    )
    index = None
    if out is not None and HTML in formats and len(found) > 1:
        index = check_index(out, [one.output for one in found])
    for one, outcome in zip(found, do_each(work, found, out is not None, progress), strict=True):
        if out is not None and outcome.error is None:
            remove_unfinished(_parts_folder(out, one))
        yield outcome
    if index is not None:
        write_index(index)


@contextmanager
def _parts(
    one: FoundRecording, out: Path | None, key: Callable[[FoundRecording], Mapping[str, Any]]
) -> Iterator[Unfinished | None]:
    """Yield what keeps finished parts of a long recording beside its result; ``None``: nothing is kept."""
    if out is None or duration_s(one.path) <= LONG_S:
        yield None
    else:
        with unfinished(_parts_folder(out, one), key(one)) as parts:
            yield parts


def _parts_folder(out: Path, one: FoundRecording) -> Path:
    return out / f"{one.output}{PARTS}"
