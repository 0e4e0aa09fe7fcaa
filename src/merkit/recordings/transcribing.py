"""Transcripts of many recordings, in files that the reader of transcripts reads again.

Beside ``<name>.srt`` (or another format) lies the record ``<name>.transcript.json`` with the words' times and
probabilities. An analysis of the same recording has other files, so that both may lie in one folder; subtitles alone
have the same names, and those of the other command are never replaced.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from merkit import __version__
from merkit.core.progress import ProgressCallback
from merkit.data.files import file_hash
from merkit.io.outputs import FileIds, Outputs
from merkit.recordings.bulk import Outcome, Work, do_each
from merkit.recordings.recognition.engine import Engine
from merkit.recordings.recognition.recognise import Recognition, check_language, recognise
from merkit.recordings.search import FoundRecording
from merkit.recordings.subtitles import FORMATS


def transcribe_recordings(
    found: Sequence[FoundRecording],
    engine: Engine,
    *,
    channels: str = "auto",
    language: str | None = None,
    ending: str = "srt",
    out: Path | None = None,
    progress: ProgressCallback | None = None,
) -> Iterator[Outcome[Recognition]]:
    """Yield what becomes of each recording; see `do_each`.

    Another format of what is recognised already is written without recognising it again.

    Args:
        found: The recordings.
        engine: The recogniser.
        channels: As of `recognise`.
        language: As of `recognise`.
        ending: A key of `FORMATS`.
        out: The folder of all transcripts; ``None``: none is written.
        progress: Called before each recording; for a single one, before each stretch of its speech.

    Raises:
        MerkitError: The recogniser or an option cannot be used, or ``out`` cannot be written to.
    """
    language = None if language is None else check_language(engine, language)
    options = {"channels": channels, "language": language}
    identity = engine.identity()  # what it lacks is missing for every recording
    inner = progress if len(found) == 1 else None

    def made_of(one: FoundRecording) -> Mapping[str, Any]:
        return {
            "recording": file_hash(one.path),
            "recogniser": identity,
            "options": options,
            "version": __version__,
        }

    def outputs_of(one: FoundRecording) -> Outputs:
        folder = Path() if out is None else out
        return Outputs(
            folder / f"{one.output}.transcript.json",
            (folder / f"{one.output}.{ending}",),
            ((folder / f"{one.output}.json", "merkit analyze"),),
        )

    def write(recognition: Recognition, outputs: Outputs, key: Mapping[str, Any], inputs: FileIds) -> None:
        (file,) = outputs.files
        text = FORMATS[ending](recognition)
        outputs.write(recognition.to_dict(), key, {file: lambda path: path.write_text(text, encoding="utf-8")}, inputs)

    work = Work(
        make=lambda one: recognise(engine, one.path, channels=channels, language=language, progress=inner),
        outputs=outputs_of,
        made_of=made_of,
        write=write,
        read=lambda known, one: replace(Recognition.from_dict(known), recording=one.path),
    )
    return do_each(work, found, out is not None, progress)
