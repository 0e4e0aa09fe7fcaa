"""``merkit analyze``: recordings to labelled utterances."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from merkit.cli.options import AsJson, Checkpoint

if TYPE_CHECKING:
    from merkit.recordings.analysis import Analysis


def analyze(
    recordings: Annotated[list[Path], typer.Argument(help="Audio or video files.", show_default=False)],
    checkpoint: Checkpoint,
    transcript: Annotated[
        Path | None,
        typer.Option(
            "--transcript", help="Who said what and when: .csv .tsv .json .jsonl .srt .vtt, or .txt for the whole."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for a JSON and a CSV file per recording.")] = None,
    as_json: AsJson = False,
) -> None:
    """Label a recording, as one utterance or cut by a transcript with times."""
    from merkit.core.errors import MerkitError
    from merkit.inference.recognizer import Recognizer
    from merkit.recordings.analysis import analyze_recording, write_analysis

    if transcript is not None and len(recordings) > 1:
        raise MerkitError(
            f"--transcript belongs to one recording, {len(recordings)} were given: analyze them one by one."
        )
    twice = [name for name, times in Counter(recording.stem for recording in recordings).items() if times > 1]
    if out is not None and twice:
        raise MerkitError(
            f"--out: {', '.join(twice)} would be written more than once, for recordings of one name but another folder "
            "or ending: analyze them one by one, each with its own --out."
        )
    recognizer = Recognizer.load(checkpoint)
    for recording in recordings:
        analysis = analyze_recording(recognizer, recording, transcript, str(checkpoint))
        if as_json:
            print(json.dumps(analysis.to_dict(), ensure_ascii=False))
        else:
            print_analysis(analysis)
        if out is not None:
            write_analysis(analysis, out)


def print_analysis(analysis: "Analysis") -> None:
    """Print an analysis as a plain table."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"{analysis.recording.name}, {analysis.duration_s:.1f} s")
    table = Table()
    for name in ("from", "to", "speaker", "label", "sure", "from what", "text"):
        table.add_column(name, justify="right" if name in ("from", "to", "sure") else "left")
    for segment in analysis.segments:
        found = segment.prediction
        table.add_row(
            f"{segment.start_s:.2f}",
            f"{segment.end_s:.2f}",
            segment.speaker,
            found.label,
            f"{100 * found.confidence:.0f} %",
            "+".join(found.modalities) or "nothing",
            segment.text or "",
        )
    console.print(table)
    for note in analysis.notes:
        console.print(note)
