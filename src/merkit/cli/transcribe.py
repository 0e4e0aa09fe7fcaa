"""``merkit transcribe``: the words of recordings, or of a whole corpus."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from merkit.cli.console import number, show, show_json, show_prose, show_table
from merkit.cli.failures import FailFast, exit_if_failed
from merkit.cli.options import AsJson, Channels
from merkit.cli.outcomes import follow, refuse_first
from merkit.cli.progress import shown_progress
from merkit.core.characters import one_line
from merkit.core.phrases import number_of

if TYPE_CHECKING:
    from merkit.recordings.recognition.engine import Engine
    from merkit.recordings.recognition.recognise import Recognition


def transcribe(
    recordings: Annotated[
        list[Path],
        typer.Argument(
            help="Audio or video files, or folders of them; or the folder of one prepared corpus.",
            metavar="RECORDINGS|DATA",
            show_default=False,
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="builtin:whisper-base, the folder of a Whisper, or org/name@REVISION of the Hugging Face hub.",
        ),
    ] = "builtin:whisper-base",
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            help="A code such as en; by default found in each recording, or the corpus' own.",
            show_default=False,
        ),
    ] = None,
    channels: Channels = "auto",
    format_: Annotated[
        Literal["srt", "vtt", "txt", "json"] | None,
        typer.Option("--format", help="Of the file in --out; by default srt.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the transcript of each recording; by default it is printed."),
    ] = None,
    as_json: AsJson = False,
    fail_fast: FailFast = False,
) -> None:
    """Recognise the words of recordings, or those of a corpus as its column asr_text.

    Only speech is recognised; what is improbable or said again and again is left out and counted. A transcript in --out
    is one that 'merkit analyze --transcript' reads. The column is read with --text-column asr_text. What is done
    already is left out when the command is repeated.
    """
    from merkit.core.errors import ConfigError
    from merkit.data.corpus.manifest import is_corpus
    from merkit.recordings.recognition.models import open_engine

    corpora = [path for path in recordings if is_corpus(path)]
    engine = open_engine(model)
    if not corpora:
        if format_ is not None and out is None:
            raise ConfigError(f"--format {format_} is that of the file in --out: give --out too")
        _transcribe_recordings(recordings, engine, language, channels, format_ or "srt", out, as_json, fail_fast)
        return
    if len(recordings) > 1:
        raise ConfigError(f"'{corpora[0]}' is a corpus: transcribe it alone, without other recordings")
    if out is not None or format_ is not None or channels != "auto":
        raise ConfigError(
            f"'{corpora[0]}' is a corpus, whose words become its column: leave out --out, --format and --channels"
        )
    _transcribe_corpus(corpora[0], engine, language, as_json, fail_fast)


def _transcribe_recordings(
    recordings: list[Path],
    engine: "Engine",
    language: str | None,
    channels: str,
    ending: str,
    out: Path | None,
    as_json: bool,
    fail_fast: bool,
) -> None:
    from merkit.recordings.search import find_recordings, refuse_same_outputs
    from merkit.recordings.transcribing import transcribe_recordings

    found, failures = find_recordings(recordings, beside=False)
    if out is not None:
        found = refuse_same_outputs(found, failures)
    stop = fail_fast or len(found) + len(failures) == 1
    refuse_first(failures, stop, as_json)
    with shown_progress() as progress:
        follow(
            transcribe_recordings(
                found, engine, channels=channels, language=language, ending=ending, out=out, progress=progress
            ),
            failures,
            show_result=lambda one, recognition: _show(recognition),
            to_dict=lambda recognition: recognition.to_dict(),
            did="transcribed",
            stop=stop,
            as_json=as_json,
            out=out,
        )


def _transcribe_corpus(data: Path, engine: "Engine", language: str | None, as_json: bool, fail_fast: bool) -> None:
    from merkit.recordings.transcribed_corpus import transcribe_corpus

    with shown_progress() as progress:
        done = transcribe_corpus(data, engine, language=language, fail_fast=fail_fast, progress=progress)
    if as_json:
        show_json({**vars(done), "folder": str(done.folder)})
    else:
        absent = f", {done.absent} without audio" if done.absent else ""
        passages = number_of(done.left_out, "passage")
        left_out = f"; {passages} left out as no speech or loops" if done.left_out else ""
        show(
            f"{done.folder}: {done.new} utterances recognised, {done.old} already done{absent}; {done.without_words} "
            f"without words{left_out}"
        )
    exit_if_failed(done.failed, done.new + done.old, "utterances")


def _show(recognition: "Recognition") -> None:
    show(f"{one_line(recognition.recording.name)}, {recognition.duration_s:.1f} s")
    rows = [(f"{line.start_s:.2f}", f"{line.end_s:.2f}", line.speaker, line.text) for line in recognition.lines]
    show_table((number("from"), number("to"), "speaker", "text"), rows)
    for note in recognition.notes:
        show_prose(note)
