"""``merkit analyze``: label the utterances of recordings."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Column

from merkit.cli.console import number, show, show_prose, show_table
from merkit.cli.failures import FailFast
from merkit.cli.live import analyze_live, refuse_options
from merkit.cli.options import AsJson, Channels, Checkpoint, Labels, Prior, decision_options
from merkit.cli.outcomes import follow, refuse_first
from merkit.cli.progress import shown_progress
from merkit.core.characters import one_line
from merkit.core.errors import ConfigError
from merkit.weights.models import DEFAULT

if TYPE_CHECKING:
    from merkit.recordings.bulk import Outcome
    from merkit.timeline.analysis import Analysis, Segment


def analyze(
    recordings: Annotated[
        list[Path] | None,
        typer.Argument(help="Audio or video files, or folders of them. With --live: - or nothing.", show_default=False),
    ] = None,
    checkpoint: Checkpoint = Path(DEFAULT),
    transcript: Annotated[
        Path | None,
        typer.Option(
            "--transcript",
            help="Words with times, or a .txt with the words of the whole recording; or a folder of them, which are "
            "found by name. Those of a folder's recordings are also found beside them.",
        ),
    ] = None,
    track: Annotated[
        int | None,
        typer.Option("--track", help="Which audio track of a file that has several: 1, 2, …", show_default=False),
    ] = None,
    channels: Channels = "auto",
    speakers_file: Annotated[
        Path | None,
        typer.Option(
            "--speakers-file",
            help="Who speaks when: RTTM, a transcript in any format, or a table with start, end and speaker.",
            show_default=False,
        ),
    ] = None,
    speakers: Annotated[
        int | None,
        typer.Option(
            "--speakers",
            help="How many speakers one channel has, for speaker diarization (experimental, prints its error).",
            show_default=False,
        ),
    ] = None,
    marks: Annotated[
        list[str] | None,
        typer.Option(
            "--mark",
            metavar="NAME=FROM-TO",
            help="Seconds where one speaker alone is heard, such as Ann=12.0-17.5, in place of --speakers. For each.",
        ),
    ] = None,
    window_s: Annotated[
        float | None,
        typer.Option(
            "--window",
            metavar="SECONDS",
            help="Read longer speech in windows that overlap by half; without it speech is cut to 15 s.",
            show_default=False,
        ),
    ] = None,
    exclude_speakers: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude-speaker",
            metavar="NAME",
            help="A voice that is neither sent to a recogniser nor kept in any output. May be repeated.",
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            help="Of the words, a code such as en; by default as the transcript or the recogniser says. A model does "
            "not read words in a language that it was not trained on.",
            show_default=False,
        ),
    ] = None,
    modalities: Annotated[
        str | None,
        typer.Option("--modalities", help="What the model may read: audio, text or audio,text.", show_default=False),
    ] = None,
    redact: Annotated[bool, typer.Option("--redact", help="Leave all words out of every output.")] = False,
    speech_check: Annotated[
        bool,
        typer.Option(
            "--speech-check/--no-speech-check",
            help="Leave out sound without speech; a model of other sounds than speech needs all of it.",
        ),
    ] = True,
    asr: Annotated[
        str | None,
        typer.Option(
            "--asr",
            help="Recognise words where there is no transcript: builtin:whisper-base, the folder of a Whisper, or "
            "org/name@REVISION of the Hugging Face hub.",
        ),
    ] = None,
    labels: Labels = None,
    prior: Prior = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="Label speech while it is spoken, a line of JSON for each turn: that of the microphone, or with - raw "
            "PCM on standard input (16 bits, little endian).",
        ),
    ] = False,
    rate_hz: Annotated[
        int | None,
        typer.Option("--rate", metavar="HZ", help="Samples per second of live sound: 16000.", show_default=False),
    ] = None,
    channel_count: Annotated[
        int | None,
        typer.Option("--channel-count", metavar="N", help="Channels of live sound: 1.", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the files of each recording.")] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="json,csv,html,rttm,srt,vtt,textgrid,eaf",
            help="Of the files in --out, divided by commas; by default json,csv,html. JSON is always written.",
            show_default=False,
        ),
    ] = None,
    audio: Annotated[
        Literal["embed", "link", "none"] | None,
        typer.Option(
            "--audio",
            help="The sound of the page: inside it, in the recording that it links (the default), or none.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    fail_fast: FailFast = False,
) -> None:
    """Label the utterances of recordings; without --checkpoint by what is said and how (builtin:conversation-en).

    Without a transcript with times, and without --asr, a recording of over 15 s or of several speakers is cut where the
    speaker changes and at pauses; for a model that joins words and voice words are recognised where the extra asr is
    installed. With --out, what is done already is left out when the command is repeated. With --live turns are labelled
    while they are spoken; Ctrl-C ends it.
    """
    from merkit.formats.checkpoint_folder import check_folder

    check_folder(checkpoint)  # before the slow imports
    decision = decision_options(labels, prior)
    read_only = _names(modalities)
    if live:
        of_recordings = {
            "--transcript": transcript,
            "--track": track,
            "--speakers-file": speakers_file,
            "--speakers": speakers,
            "--mark": marks,
            "--window": window_s,
            "--no-speech-check": not speech_check,
            "--out": out,
            "--format": format_,
            "--audio": audio,
            "--fail-fast": fail_fast,
        }
        refuse_options(of_recordings, "recordings, not for --live")
        analyze_live(
            recordings or [],
            checkpoint,
            decision,
            rate_hz=16_000 if rate_hz is None else rate_hz,
            channel_count=1 if channel_count is None else channel_count,
            asr=asr,
            channels=channels,
            exclude_speakers=exclude_speakers or (),
            language=language,
            modalities=read_only,
            redact=redact,
        )
        return
    refuse_options({"--rate": rate_hz, "--channel-count": channel_count}, "live sound (--live)")
    if not recordings:
        raise ConfigError("Name audio or video files, or folders of them; --live labels the microphone")
    from merkit.api.recognition import checkpoint_folder
    from merkit.recordings.bulk import analyze_recordings
    from merkit.recordings.options import RecordingOptions
    from merkit.recordings.search import find_recordings, refuse_same_outputs
    from merkit.timeline.formats import chosen_formats

    if format_ is not None and out is None:
        raise ConfigError(f"--format {format_} is that of the files in --out: give --out too")
    formats = chosen_formats(format_)
    if audio is not None and (out is None or "html" not in formats):
        raise ConfigError(f"--audio {audio} is that of the page in --out: give --out, and html in --format")
    found, failures = find_recordings(recordings, transcript)
    if out is not None:
        found = refuse_same_outputs(found, failures)
    folder = checkpoint_folder(str(checkpoint))
    stop = fail_fast or len(found) + len(failures) == 1
    refuse_first(failures, stop, as_json)
    options = RecordingOptions(
        track=track,
        channels=channels,
        speech_check=speech_check,
        speakers_file=speakers_file,
        speakers=speakers,
        marks=_marks(marks or ()),
        window_s=window_s,
        exclude_speakers=tuple(exclude_speakers or ()),
        language=language,
        modalities=read_only,
        redact=redact,
    )
    with shown_progress() as progress:
        follow(
            analyze_recordings(
                found, folder, str(checkpoint), options, out, progress, decision, asr, formats, audio or "link"
            ),
            failures,
            show_result=_show,
            to_dict=lambda analysis: analysis.to_dict(),
            did="analyzed",
            stop=stop,
            as_json=as_json,
            out=out,
        )


def _names(text: str | None) -> tuple[str, ...] | None:
    """Return names that are divided by commas."""
    return None if text is None else tuple(name.strip() for name in text.split(","))


def _marks(texts: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return the seconds of each ``NAME=12.0-17.5`` by its name."""
    marks: dict[str, tuple[float, float]] = {}
    for name, span in map(_mark, texts):
        if name in marks:
            raise ConfigError(f"--mark {name} is given twice, expected once for each speaker: choose one of the places")
        marks[name] = span
    return marks


def _mark(text: str) -> tuple[str, tuple[float, float]]:
    """Return the name and the seconds of ``NAME=12.0-17.5``."""
    name, _, span = text.rpartition("=")
    try:
        start_s, end_s = map(float, span.split("-"))
    except ValueError:
        name = ""
    if not name:
        raise ConfigError(f"--mark {text}: expected a name and the seconds where it is heard, such as Ann=12.0-17.5")
    return name, (start_s, end_s)


def _show(one: "Outcome[Analysis]", analysis: "Analysis") -> None:
    print_analysis(analysis)
    if one.transcript is not None:
        show(f"words: {one_line(str(one.transcript))}")


def print_analysis(analysis: "Analysis") -> None:
    """Print an analysis as a table, a row for each segment."""
    show(f"{one_line(analysis.recording.name)}, {analysis.duration_s:.1f} s")
    arousal = [number("arousal")] if analysis.has_arousal else []
    sources = list(dict.fromkeys(name for segment in analysis.segments for name in segment.sources))
    speakers = ["speaker"] if any(segment.speaker for segment in analysis.segments) else []
    modalities = ["modalities"] if len({segment.modalities for segment in analysis.segments}) > 1 else []
    heads: list[str | Column] = [number("from"), number("to"), *speakers, *sources]
    heads += ["label", number("prob."), *arousal, *modalities, "text"]
    rows = [
        (
            f"{segment.start_s:.2f}",
            f"{segment.end_s:.2f}",
            *([segment.speaker] if speakers else []),
            *(_alone(segment, name) for name in sources),
            ", ".join(segment.labels) or _unlabelled(segment),
            _percent(segment.confidence),
            *([_percent(segment.arousal)] if arousal else []),
            *(["+".join(segment.modalities) or "none"] if modalities else []),
            segment.text or "",
        )
        for segment in analysis.segments
    ]
    show_table(heads, rows)
    for stage, sentence in analysis.stages.items():
        show_prose(f"{stage}: {sentence}")
    for note in analysis.notes:
        show_prose(note)


def _unlabelled(segment: "Segment") -> str:
    """Return in few words why there is no label; a note has all of them."""
    if segment.prediction is None:
        return f"({segment.reason})"
    return "(unsure)" if segment.prediction.is_unsure else "(no label)"


def _alone(segment: "Segment", source: str) -> str:
    """Return what one of several models says."""
    prediction = segment.sources.get(source)
    if prediction is None or not prediction.probabilities:
        return ""
    return prediction.label or "(unsure)"


def _percent(probability: float | None) -> str:
    return "" if probability is None else f"{100 * probability:.0f} %"
