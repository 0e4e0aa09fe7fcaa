"""``merkit analyze``: label the utterances of recordings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column

from merkit.cli.console import number, show, show_json, show_prose, show_table
from merkit.cli.failures import FailFast, exit_if_failed
from merkit.cli.options import AsJson, Checkpoint, Labels, Prior, answer_options
from merkit.cli.progress import shown_progress
from merkit.core.characters import one_line

if TYPE_CHECKING:
    from merkit.recordings.analysis import Analysis, Segment
    from merkit.recordings.bulk import Analyzed


_NO_LABEL = "(no label)"


def analyze(
    recordings: Annotated[
        list[Path], typer.Argument(help="Audio or video files, or folders of them.", show_default=False)
    ],
    checkpoint: Checkpoint,
    transcript: Annotated[
        Path | None,
        typer.Option(
            "--transcript",
            help="Words with times, or a .txt with the words of the whole recording; or a folder of them, which are "
            "found by name. Those of a folder's recordings are also found beside them.",
        ),
    ] = None,
    channels: Annotated[
        str, typer.Option("--channels", help="mix, left, right, or split: each channel is a speaker of its own.")
    ] = "mix",
    speech_check: Annotated[
        bool,
        typer.Option(
            "--speech-check/--no-speech-check",
            help="Leave out sound without speech; a model of other sounds than speech needs all of it.",
        ),
    ] = True,
    labels: Labels = None,
    prior: Prior = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for a JSON and a CSV file per recording.")] = None,
    as_json: AsJson = False,
    fail_fast: FailFast = False,
) -> None:
    """Label the utterances of recordings.

    Without a transcript, or with one without times, a recording is one utterance. With --out, what is done already is
    left out when the command is repeated.
    """
    from merkit.formats.checkpoint_folder import check_folder

    check_folder(checkpoint)  # before the slow imports
    answers = answer_options(labels, prior)
    from merkit.api.recognition import checkpoint_folder
    from merkit.recordings.bulk import analyze_recordings
    from merkit.recordings.search import find_recordings, refuse_same_outputs

    found, failures = find_recordings(recordings, transcript)
    if out is not None:
        found = refuse_same_outputs(found, failures)
    folder = checkpoint_folder(str(checkpoint))
    alone = len(found) + len(failures) == 1
    counts = {"analyzed": 0, "already done": 0}
    for name, error in failures.items():
        if fail_fast or alone:
            raise error
        if as_json:
            show_json({"recording": name, "error": str(error)})
    options = {"channels": channels, "speech_check": speech_check}
    with shown_progress() as progress:
        for one in analyze_recordings(found, folder, str(checkpoint), options, out, progress, answers):
            if one.error is not None:
                if fail_fast or alone:
                    raise one.error
                failures[str(one.recording)] = one.error
            else:
                counts["analyzed" if one.analysis is not None else "already done"] += 1
            _show(one, as_json)
    if out is not None and not as_json:
        show(f"{out}: {', '.join(f'{count} {what}' for what, count in counts.items())}")
    exit_if_failed({name: str(error) for name, error in failures.items()}, sum(counts.values()), "recordings")


def _show(one: "Analyzed", as_json: bool) -> None:
    from merkit.io.outputs import content_of

    if one.error is not None:
        if as_json:
            show_json({"recording": str(one.recording), "error": str(one.error)})
    elif one.analysis is not None:
        if as_json:
            show_json(one.analysis.to_dict())
        else:
            print_analysis(one.analysis)
            if one.transcript is not None:
                show(f"words: {one_line(str(one.transcript))}")
    elif one.earlier is not None:
        if as_json:
            show_json(content_of(one.earlier))
        else:
            show(f"{one_line(str(one.recording))}: already done, {one_line(str(one.earlier))}")


def print_analysis(analysis: "Analysis") -> None:
    """Print an analysis as a table, a row for each segment."""
    show(f"{one_line(analysis.recording.name)}, {analysis.duration_s:.1f} s")
    arousal = [number("arousal")] if analysis.has_arousal else []
    heads: list[str | Column] = [number("from"), number("to"), "speaker", "label", number("probability"), *arousal]
    heads += ["modalities", "text"]
    rows = [
        (
            f"{segment.start_s:.2f}",
            f"{segment.end_s:.2f}",
            segment.speaker,
            segment.label or _unlabelled(segment),
            _percent(segment.confidence),
            *([_percent(segment.arousal)] if arousal else []),
            "+".join(segment.modalities) or "none",
            segment.text or "",
        )
        for segment in analysis.segments
    ]
    show_table(heads, rows)
    for note in analysis.notes:
        show_prose(note)


def _unlabelled(segment: "Segment") -> str:
    """Return in few words why there is no label; a note has all of them."""
    from merkit.inference.answers import UNSURE

    reason = segment.reason or ""
    if segment.prediction is None:
        return f"({reason})"
    return f"({UNSURE})" if reason.startswith(UNSURE) else _NO_LABEL


def _percent(probability: float | None) -> str:
    return "" if probability is None else f"{100 * probability:.0f} %"
