"""How late `merkit analyze --live` is, and by how much its labels differ from those of the same turns offline.

Run `python benchmarks/live.py CALL.wav … [--checkpoint builtin:voice] [--truth FOLDER]`, with WAV files of 16 bits:
`merkit prepare parley --set channels=2` makes calls. Each is written in real time, 20 ms at a time, to the standard
input of the command in a process of its own.

With `--idle` the call is read in this process instead, and its clock is that of an idle core: it advances with the
stream while more sound is awaited, and by CPU seconds while something is computed. Other work does not count.

Printed as JSON:

* `delay_ms`: from the moment at which the last sample of a turn was written to the moment at which its line was read,
  by the clock of this process; with the pause that ends a turn. `reported_ms` is the `delay_ms` of the lines.
* `from_true_end_ms`, with `--truth`: the same from the end of the words in a transcript of the same name in a folder,
  of turns that end within 0.3 s of one; `bounds_found` is the share of its beginnings and of its ends within 0.2 s of
  which a turn begins or ends.
* `difference`: the largest one of any probability between a line and an analysis of the same turns. Of a model that
  compares a voice with the speaker's average it is the analysis of the turns that were over then.
* `cpu_s`: of the command, without loading, per minute of sound and per turn.

Exits with 1 where a turn is later than 500 ms or a probability differs by more than 1e-4.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from merkit.api.recognition import checkpoint_folder
from merkit.core.types import Prediction
from merkit.inference.joined import load_predictor
from merkit.inference.predictor import Predictor
from merkit.recordings.analysis import analyze_recording
from merkit.recordings.live.segments import live_segments
from merkit.recordings.live.sources import Block, Source
from merkit.recordings.options import RecordingOptions
from merkit.recordings.recognition.models import open_engine
from merkit.recordings.transcripts import Line, read_transcript
from merkit.recordings.unfinished import Unfinished
from merkit.timeline.analysis import Segment

BLOCK_S = 0.02
MOST_MS = 500.0
MOST_DIFFERENCE = 1e-4
NEAR_S = 0.3
BOUND_S = 0.2


@dataclass(frozen=True)
class Heard:
    """A line of the command, and when it was read after the first sample was written."""

    turn: dict[str, Any]
    at_s: float

    @property
    def delay_ms(self) -> float:
        return 1000 * self.at_s - self.turn["end_ms"]


def listen(samples: np.ndarray, rate_hz: int, options: list[str]) -> tuple[list[Heard], float]:
    """Return what the command prints for ``[samples, channels]`` in real time, and its CPU seconds."""
    command = [sys.executable, "-m", "merkit", "analyze", "--live", "-", "--rate", str(rate_hz)]
    command += ["--channel-count", str(samples.shape[1]), *options]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=False
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    while b" listens to " not in (line := process.stderr.readline()):
        if not line:
            raise SystemExit(f"{' '.join(command)} ended with {process.wait()}")
    threading.Thread(target=process.stderr.read, daemon=True).start()
    lines: list[tuple[bytes, float]] = []
    output = process.stdout

    def read() -> None:
        for line in output:
            lines.append((line, time.monotonic()))

    reader = threading.Thread(target=read)
    reader.start()
    cpu_s = -cpu_seconds(process.pid)
    begin_s = time.monotonic()
    size = round(BLOCK_S * rate_hz)
    for first in range(0, len(samples), size):
        block = samples[first : first + size]
        wait_s = begin_s + (first + len(block)) / rate_hz - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        process.stdin.write(block.astype("<i2").tobytes())
        process.stdin.flush()
    cpu_s += cpu_seconds(process.pid)
    process.stdin.close()
    reader.join()
    if process.wait():
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return [Heard(json.loads(line), at_s - begin_s) for line, at_s in lines], cpu_s


class IdleCore(Source):
    """A call as it is spoken to a process that has a core for itself."""

    name = "a call"

    def __init__(self, samples: np.ndarray, rate_hz: int) -> None:
        super().__init__(rate_hz, samples.shape[1], self._time_s)
        self._samples = samples
        self._at_s = 0.0
        self._since_s = time.process_time()

    def _time_s(self) -> float:
        return self._at_s + time.process_time() - self._since_s

    def __iter__(self) -> Iterator[Block]:
        size = round(BLOCK_S * self.rate_hz)
        self._since_s = time.process_time()
        for first in range(0, len(self._samples), size):
            block = self._samples[first : first + size]
            arrived_s = (first + len(block)) / self.rate_hz
            self._at_s, self._since_s = max(self._time_s(), arrived_s), time.process_time()
            yield Block(np.ascontiguousarray(block.T, np.float32) / np.float32(32768), arrived_s)


def listen_alone(
    model: Predictor, samples: np.ndarray, rate_hz: int, checkpoint: str, asr: str | None
) -> tuple[list[Heard], float]:
    """Return what `listen` returns, by the time of an idle core."""
    source = IdleCore(samples, rate_hz)
    turns = live_segments(model, source, checkpoint, engine=None if asr is None else open_engine(asr))
    begin_s = time.process_time()
    heard = [Heard(json.loads(json.dumps(turn.to_dict())), source.clock()) for turn in turns]
    return heard, time.process_time() - begin_s


def cpu_seconds(process: int) -> float:
    """Return the CPU seconds of a process so far (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def largest_difference(model: Predictor, recording: Path, heard: list[Heard], checkpoint: str) -> float:
    """Return the largest difference of a probability between the lines and an analysis of the same turns."""
    work = Unfinished(features={})
    channels = RecordingOptions("split" if any(each.turn["speaker"] for each in heard) else "mix")

    def analyzed(known: list[Heard]) -> dict[tuple[int, str], Segment]:
        known = sorted(known, key=lambda each: each.turn["start_ms"])
        lines = [
            Line(own["start_ms"] / 1000, own["end_ms"] / 1000, own["speaker"], own["text"])
            for own in (each.turn for each in known)
        ]
        analysis = analyze_recording(model, recording, lines, checkpoint, channels, work=work)
        return {(round(1000 * each.start_s), each.speaker): each for each in analysis.segments}

    whole = {} if model.compares_speakers else analyzed(heard)
    largest = 0.0
    for number, each in enumerate(heard):
        known = analyzed(heard[: number + 1]) if model.compares_speakers else whole
        segment = known[each.turn["start_ms"], each.turn["speaker"]]
        if segment.label != each.turn["label"] or segment.reason != each.turn["reason"]:
            return 1.0
        pairs = [
            (each.turn, segment.prediction),
            *((each.turn.get("sources", {}).get(n), p) for n, p in segment.sources.items()),
        ]
        largest = max([largest, *(difference(line, own) for line, own in pairs)])
    return largest


def difference(line: dict[str, Any] | None, own: Prediction | None) -> float:
    """Return the largest difference between the probabilities of a line and of a prediction."""
    if line is None or own is None:
        return 0.0 if line is own else 1.0
    theirs, mine = line["probabilities"] or {}, dict(own.probabilities)
    if theirs.keys() != mine.keys():
        return 1.0
    values = [abs(theirs[label] - mine[label]) for label in mine]
    return max([*values, abs((line.get("arousal") or 0.0) - (own.arousal or 0.0))])


def true_bounds(transcript: Path, seconds: float) -> tuple[list[float], list[float]]:
    """Return when the lines of a transcript begin and end that end within the sound."""
    lines = read_transcript(transcript, transcript.stem).lines
    times = [(line.start_s, line.end_s) for line in lines if line.start_s is not None and line.end_s is not None]
    return [begin_s for begin_s, end_s in times if end_s <= seconds], [end_s for _, end_s in times if end_s <= seconds]


def share_found(true_s: list[float], found_ms: list[int]) -> float:
    """Return the share of true moments that are found within 0.2 s."""
    return sum(any(abs(moment_s - ms / 1000) <= BOUND_S for ms in found_ms) for moment_s in true_s) / len(true_s)


def from_true_ends(heard: list[Heard], ends: list[float]) -> list[float]:
    """Return the delays in ms from true ends, of turns that end near one."""
    nearest = [(each, min(ends, key=lambda end_s: abs(end_s - each.turn["end_ms"] / 1000))) for each in heard]
    return [1000 * (each.at_s - end_s) for each, end_s in nearest if abs(end_s - each.turn["end_ms"] / 1000) <= NEAR_S]


def spread(values: list[float]) -> dict[str, float]:
    """Return the number, the median and the largest of some values."""
    return {"count": len(values), "median": round(statistics.median(values)), "worst": round(max(values))}


def main() -> int:
    """Measure the calls that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+", metavar="CALL.wav")
    parser.add_argument("--checkpoint", default="builtin:voice")
    parser.add_argument("--asr", help="recognise words, as of merkit analyze")
    parser.add_argument("--idle", action="store_true", help="in the time of an idle core")
    parser.add_argument("--truth", type=Path, help="folder of transcripts with the names of the calls")
    parser.add_argument("--seconds", type=float, help="of each call; all of it if left out")
    arguments = parser.parse_args()
    options = ["--checkpoint", arguments.checkpoint, *(["--asr", arguments.asr] if arguments.asr else [])]
    model = load_predictor(checkpoint_folder(arguments.checkpoint), name=arguments.checkpoint)
    good = True
    for recording in arguments.recordings:
        info = soundfile.info(recording)
        if info.subtype != "PCM_16":
            raise SystemExit(
                f"{recording} has {info.subtype}, expected 16 bits: what is piped must be what is analyzed"
            )
        frames = -1 if arguments.seconds is None else round(arguments.seconds * info.samplerate)
        samples, rate_hz = soundfile.read(recording, frames, dtype="int16", always_2d=True)
        if arguments.idle:
            heard, cpu_s = listen_alone(model, samples, rate_hz, arguments.checkpoint, arguments.asr)
        else:
            heard, cpu_s = listen(samples, rate_hz, options)
        minutes = len(samples) / rate_hz / 60
        last_ms = 60_000 * minutes - 500  # later turns end with the sound, not at a pause
        late = [each for each in heard if each.turn["end_ms"] <= last_ms]
        largest = largest_difference(model, recording, heard, arguments.checkpoint)
        delays = [each.delay_ms for each in late]
        result = {
            "recording": recording.name,
            "minutes": round(minutes, 2),
            "turns": len(heard),
            "labelled": sum(each.turn["label"] is not None for each in heard),
            "longest_turn_s": max(each.turn["end_ms"] - each.turn["start_ms"] for each in heard) / 1000,
            "delay_ms": spread(delays),
            "reported_ms": spread([each.turn["delay_ms"] for each in late]),
            "difference": largest,
            "cpu_s": {"per_minute": round(cpu_s / minutes, 2), "per_turn": round(cpu_s / len(heard), 3)},
            "load": os.getloadavg()[0],
        }
        if arguments.truth is not None:
            starts, ends = true_bounds(arguments.truth / f"{recording.stem}.csv", last_ms / 1000)
            result["true_turns"] = len(ends)
            result["bounds_found"] = [
                round(share_found(starts, [each.turn["start_ms"] for each in heard]), 3),
                round(share_found(ends, [each.turn["end_ms"] for each in heard]), 3),
            ]
            result["from_true_end_ms"] = spread(from_true_ends(late, ends))
        print(json.dumps(result), flush=True)
        good = good and max(delays) <= MOST_MS and largest <= MOST_DIFFERENCE
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
