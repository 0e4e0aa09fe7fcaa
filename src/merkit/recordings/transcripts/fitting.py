"""Lines of a transcript cut to the length of their recording; lines that cannot belong to it are refused."""

from dataclasses import replace

from merkit.core.errors import MerkitError
from merkit.recordings.transcripts.lines import SHORTEST_S, Line, Transcript, counted, end_of, start_of

OVERHANG_S = 1.0
"""Speech recognition rounds and pads: a line may end this much behind the recording, and is cut there."""
_ROUNDING_S = 0.001
_UNITS = {
    "milliseconds": 1e3,
    "frames of 10 ms": 1e2,
    "samples at 16 kHz": 16_000,
    "samples at 8 kHz": 8_000,
    "samples at 44.1 kHz": 44_100,
    "microseconds": 1e6,
    "ticks of 100 ns": 1e7,
    "nanoseconds": 1e9,
}
_FASTEST = 400.0
"""Characters in a second. Fast speech has 30, and a clock time that is read as seconds 60 times as many."""
_ENOUGH = 12
"""Characters from which that speed means something."""


def fit_lines(transcript: Transcript, length_s: float) -> Transcript:
    """Return the transcript with lines cut at the end of the recording, and a note that counts them.

    Args:
        transcript: The lines; those without times stay as they are.
        length_s: Length of the recording in seconds.

    Raises:
        MerkitError: A line begins behind the end or ends more than ``OVERHANG_S`` behind it, or the times are in
            another unit than seconds; names file and line.
    """
    timed = [line for line in transcript.lines if line.start_s is not None]
    _refuse_too_fast(transcript, timed)
    lines, cut, lost = [], [], []
    for line in transcript.lines:
        start_s, end_s = line.start_s, line.end_s
        if start_s is not None and (start_s >= length_s or (end_s or 0.0) > length_s + OVERHANG_S):
            raise _beyond(transcript, line, timed, length_s)
        if start_s is not None and end_s is not None and length_s - start_s < SHORTEST_S:
            lost.append(line.place)
            continue
        if end_s is not None and end_s > length_s:
            line = replace(line, end_s=length_s)
            if end_s > length_s + _ROUNDING_S:
                cut.append(f"{line.place or 'line'}: by {end_s - length_s:.2f} s")
        lines.append(line)
    notes = transcript.notes
    if cut:
        notes = (*notes, f"Transcript: {counted('{} cut at the end of the recording', cut)}.")
    if lost:
        notes = (*notes, f"Transcript: {counted('{} at the very end of the recording left out', lost)}.")
    if not lines:
        raise MerkitError(f"{transcript.source} has no line that can be used: all begin at the end of the recording.")
    return replace(transcript, lines=tuple(lines), notes=notes)


def _beyond(transcript: Transcript, line: Line, timed: list[Line], length_s: float) -> MerkitError:
    start_s, end_s = start_of(line), line.end_s
    span = f"from {start_s:.3f} s" if end_s is None else f"from {start_s:.3f} to {end_s:.3f} s"
    last_s = max(map(end_of, timed))
    unit = next((name for name, size in _UNITS.items() if 0.2 * length_s <= last_s / size <= length_s + 1), None)
    if unit is None or last_s < 30 * length_s:
        hint = "does the transcript belong to this recording?"
    else:
        hint = f"its times look like {unit}, expected seconds."
    place = f", {line.place}" if line.place else ""
    return MerkitError(
        f"{transcript.source}{place}: the line is {span}, and the recording ends at {length_s:.3f} s: {hint}"
    )


def _refuse_too_fast(transcript: Transcript, timed: list[Line]) -> None:
    letters = sum(len(line.text or "") for line in timed if line.end_s is not None)
    duration_s = sum(end_of(line) - start_of(line) for line in timed)
    if letters >= _ENOUGH and letters > _FASTEST * duration_s:
        raise MerkitError(
            f"{transcript.source}{', ' if timed[0].place else ''}{timed[0].place}: its lines have {letters} characters "
            f"in {duration_s:.4f} s, more than anyone can say: its times look like minutes, hours or days, expected "
            "seconds."
        )
