"""Speaker diarization of one channel for a number of speakers that a user names: the diarization error rate, as JSON.

Run `python benchmarks/speakers.py DATA`, where `DATA` has the corpora `ravdess` and `emodb`. A conversation is made of
clips of two speakers who take turns: 24 turns of one or two clips, in all emotions, with pauses of 0.1 to 0.8 s; one in
eight begins before the other has ended. Ten pairs are drawn with a fixed seed, five of each corpus, and heard as they
are and through a telephone (8 kHz, mu-law).

The error is the time that is missed, heard where nobody speaks, or given to the other speaker, over the time of speech
(NIST's definition): 0.25 s around each boundary are left out, overlaps count, and names are matched as fits best. The
truth is where Silero VAD hears the clip alone, from its first to its last speech.
"""

import argparse
import csv
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

sys.path.insert(0, str(Path(__file__).parents[1]))
from speech_check import telephone

from merkit.core.waveform import Waveform
from merkit.data.media.audio import read_audio
from merkit.recordings.speakers.diarization import diarize
from merkit.recordings.speech import speech_regions
from merkit.recordings.transcripts import Line

RATE_HZ = 16_000
CORPORA = ("ravdess", "emodb")
PAIRS = 5
"""Of each corpus."""
TURNS = 24
COLLAR_S = 0.25
STEP_S = 0.01
MARKED_S = 4.0
"""How long each speaker is heard before where marks are measured."""
HEARD: dict[str, Callable[[np.ndarray], np.ndarray]] = {"clean": lambda samples: samples, "telephone": telephone}


def clips_by_speaker(folder: Path) -> dict[str, list[Path]]:
    """Return the clips of a corpus by speaker."""
    with (folder / "labels.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    by_speaker: dict[str, list[Path]] = {}
    for row in rows:
        by_speaker.setdefault(row["speaker"], []).append(folder / row["file"])
    return by_speaker


def spoken(path: Path) -> np.ndarray:
    """Return a clip from its first to its last speech."""
    samples = read_audio(path, RATE_HZ)
    regions = speech_regions(Waveform(samples, RATE_HZ))
    return samples[round(regions[0][0] * RATE_HZ) : round(regions[-1][1] * RATE_HZ)] if regions else samples


def conversation(clips: dict[str, list[Path]], seed: int) -> tuple[np.ndarray, list[Line]]:
    """Return a made-up conversation and its turns."""
    generator = random.Random(seed)
    samples, turns, end_s = np.zeros(60 * 10 * RATE_HZ, np.float32), [], 0.0
    for number in range(TURNS):
        speaker = sorted(clips)[number % 2]
        said = np.concatenate([spoken(path) for path in generator.sample(clips[speaker], generator.choice((1, 1, 2)))])
        gap_s = -0.3 if number and generator.random() < 1 / 8 else generator.uniform(0.1, 0.8)
        start = round((end_s + gap_s) * RATE_HZ)
        samples[start : start + len(said)] += said
        end_s = (start + len(said)) / RATE_HZ
        turns.append(Line(start / RATE_HZ, end_s, speaker, None))
    return samples[: round((end_s + 0.5) * RATE_HZ)], turns


def error_rate(truth: Sequence[Line], found: Sequence[Line]) -> float:
    """Return the diarization error rate of turns, with the names matched as fits best."""
    count = round(max(line.end_s or 0.0 for line in (*truth, *found)) / STEP_S) + 1
    times_s = (np.arange(count) + 0.5) * STEP_S

    def active(lines: Sequence[Line]) -> np.ndarray:
        names = sorted({line.speaker for line in lines})
        rows = np.zeros((len(names), count), bool)
        for line in lines:
            rows[names.index(line.speaker)] |= (times_s >= (line.start_s or 0.0)) & (times_s < (line.end_s or 0.0))
        return rows

    edges = np.array([edge for line in truth for edge in (line.start_s, line.end_s)])
    kept = (np.abs(times_s[:, None] - edges).min(axis=1) > COLLAR_S) if len(edges) else np.ones(count, bool)
    own, other = active(truth)[:, kept], active(found)[:, kept]
    shared = own.astype(int) @ other.T.astype(int)
    rows, columns = linear_sum_assignment(-shared)
    right = np.zeros(own.shape[1], int)
    for row, column in zip(rows, columns, strict=True):
        right += own[row] & other[column]
    spoken_by, heard_by = own.sum(axis=0), other.sum(axis=0)
    return float((np.maximum(spoken_by, heard_by) - right).sum() / spoken_by.sum())


def marked(turns: Sequence[Line]) -> dict[str, tuple[float, float]]:
    """Return the first turn of each speaker that is heard alone, at most ``MARKED_S`` of it."""
    marks: dict[str, tuple[float, float]] = {}
    for number, turn in enumerate(turns):
        start_s, end_s = turn.start_s or 0.0, turn.end_s or 0.0
        alone = number == 0 or (turns[number - 1].end_s or 0.0) <= start_s
        if alone and end_s - start_s > 1.5 and turn.speaker not in marks:
            marks[turn.speaker] = (start_s, min(end_s, start_s + MARKED_S))
    return {name: marks[name] for name in sorted(marks)}


def main() -> int:
    """Print what is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--corpora", nargs="*", default=CORPORA)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = []
    seconds = cpu_s = 0.0
    for corpus in arguments.corpora:
        clips = clips_by_speaker(arguments.data / corpus)
        generator = random.Random(arguments.seed)
        for number in range(PAIRS):
            pair = generator.sample(sorted(clips), 2)
            samples, turns = conversation({name: clips[name] for name in pair}, arguments.seed + number)
            row: dict[str, object] = {"corpus": corpus, "speakers": pair}
            for name, heard in HEARD.items():
                sound = Waveform(heard(samples).astype(np.float32), RATE_HZ)
                begin = time.process_time()
                regions = speech_regions(sound)
                found = diarize(sound, regions, 2)
                cpu_s += time.process_time() - begin
                seconds += sound.duration_s
                row[name] = round(error_rate(turns, found), 3)
                row[f"{name}, marked"] = round(error_rate(turns, diarize(sound, regions, 2, marked(turns))), 3)
                row[f"{name}, one speaker"] = round(
                    error_rate(turns, [Line(*region, "one", None) for region in regions]), 3
                )
            rows.append(row)
    kinds = [f"{name}{kind}" for name in HEARD for kind in ("", ", marked", ", one speaker")]
    means = {kind: round(float(np.mean([float(str(row[kind])) for row in rows])), 3) for kind in kinds}
    print(json.dumps({"mean": means, "cpu_s_per_s": round(cpu_s / seconds, 4), "pairs": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
