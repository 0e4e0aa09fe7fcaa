"""``merkit analyze``: label the utterances of recordings."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from merkit.cli.console import number, show, show_json, show_prose, show_table
from merkit.cli.options import AsJson, Checkpoint
from merkit.core.characters import one_line

if TYPE_CHECKING:
    from merkit.recordings.analysis import Analysis


def analyze(
    recordings: Annotated[list[Path], typer.Argument(help="Audio or video files.", show_default=False)],
    checkpoint: Checkpoint,
    transcript: Annotated[
        Path | None,
        typer.Option(
            "--transcript",
            help="Words with times: .csv .tsv .json .jsonl .srt .vtt; or .txt, the words of the whole recording.",
        ),
    ] = None,
    channels: Annotated[
        str, typer.Option("--channels", help="mix, left, right, or split: each channel is a speaker of its own.")
    ] = "mix",
    out: Annotated[Path | None, typer.Option("--out", help="Folder for a JSON and a CSV file per recording.")] = None,
    as_json: AsJson = False,
) -> None:
    """Label the utterances of recordings.

    Without a transcript, or with one without times, a recording is one utterance.
    """
    from merkit.api.recognition import load
    from merkit.core.errors import MerkitError
    from merkit.recordings.analysis import write_analysis

    if transcript is not None and len(recordings) > 1:
        raise MerkitError(
            f"--transcript belongs to one recording, {len(recordings)} were given: analyze them one at a time."
        )
    repeated = [name for name, count in Counter(recording.stem for recording in recordings).items() if count > 1]
    if out is not None and repeated:
        raise MerkitError(
            f"--out: {', '.join(repeated)} would be written more than once, for recordings that differ only in folder "
            "or ending: analyze them one at a time, each with its own --out."
        )
    recognizer = load(checkpoint)
    for recording in recordings:
        analysis = recognizer(recording, transcript=transcript, channels=channels)
        if out is not None:
            write_analysis(analysis, out)
        if as_json:
            show_json(analysis.to_dict())
        else:
            print_analysis(analysis)


def print_analysis(analysis: "Analysis") -> None:
    """Print an analysis as a table, a row for each segment."""
    show(f"{one_line(analysis.recording.name)}, {analysis.duration_s:.1f} s")
    columns = (number("from"), number("to"), "speaker", "label", number("probability"), "modalities", "text")
    rows = [
        (
            f"{segment.start_s:.2f}",
            f"{segment.end_s:.2f}",
            segment.speaker,
            segment.prediction.label,
            f"{100 * segment.prediction.confidence:.0f} %",
            "+".join(segment.prediction.modalities) or "none",
            segment.text or "",
        )
        for segment in analysis.segments
    ]
    show_table(columns, rows)
    for note in analysis.notes:
        show_prose(note)
