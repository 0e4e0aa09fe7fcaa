"""Many recordings, one after the other: what fails does not stop the others, and what is done is not done again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from merkit.core.errors import CheckpointError, ConfigError, MerkitError
from merkit.core.progress import ProgressCallback
from merkit.data.media.sources import check_file
from merkit.inference.recognizer import Recognizer
from merkit.io.answers import DEFAULT_ANSWERS, AnswerOptions
from merkit.io.outputs import file_ids
from merkit.recordings.analysis import Analysis, analyze_recording
from merkit.recordings.search import FoundRecording
from merkit.recordings.writing import made_of, outputs_of, write_analysis


@dataclass(frozen=True)
class Analyzed:
    """What became of a recording: a new analysis, the file of an earlier one, or an error."""

    recording: Path
    transcript: Path | None = None
    analysis: Analysis | None = None
    earlier: Path | None = None
    error: MerkitError | None = None


def analyze_recordings(
    found: Sequence[FoundRecording],
    checkpoint: Path,
    name: str,
    options: Mapping[str, Any],
    out: Path | None = None,
    progress: ProgressCallback | None = None,
    answers: AnswerOptions = DEFAULT_ANSWERS,
) -> Iterator[Analyzed]:
    """Yield what becomes of each recording; with ``out`` the analyses are written, before they are yielded.

    An analysis that ``out`` has already, of the same recording, transcript, checkpoint and options by content, is not
    made again. The checkpoint is loaded when it is first needed.

    Args:
        found: The recordings.
        checkpoint: The folder of the checkpoint.
        name: What the results say they were made by.
        options: Those of `analyze_recording`.
        out: The folder of all analyses; ``None``: none is written.
        progress: Called before each recording.
        answers: What a user chose in place of the checkpoint's answer rule.

    Raises:
        MerkitError: The checkpoint or an option cannot be used, or ``out`` cannot be written to.
    """
    inputs = file_ids(path for one in found for path in (one.path, one.transcript) if path is not None)
    recognizer = cache(lambda: Recognizer.load(checkpoint, options=answers, name=name))
    for number, one in enumerate(found):
        if progress is not None:
            progress("recordings", number, len(found))
        outputs = None if out is None else outputs_of(out, one.output)
        key: Mapping[str, Any] = {}
        try:
            if outputs is not None:
                check_file(one.path)
                key = made_of(one.path, one.transcript, checkpoint, {**options, **answers.given})
                outputs.check(inputs)
            earlier = outputs is not None and outputs.made_of() == key
            analysis = None if earlier else analyze_recording(recognizer(), one.path, one.transcript, name, **options)
        except (CheckpointError, ConfigError):  # the same for every recording
            raise
        except MerkitError as error:
            yield Analyzed(one.path, one.transcript, error=error)
            continue
        if outputs is None or analysis is None:
            yield Analyzed(one.path, one.transcript, analysis, None if outputs is None else outputs.record)
        else:
            write_analysis(analysis, outputs, key, inputs)
            yield Analyzed(one.path, one.transcript, analysis)
    if progress is not None:
        progress("recordings", len(found), len(found))
