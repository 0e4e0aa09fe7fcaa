"""Who speaks when in synthetic calls, and what that costs the labels: JSON.

Run `python benchmarks/turns.py [--calls 3] [--turns 165]`. Calls of parley in stereo, a speaker on each channel, of
about eight minutes; labelled by `--checkpoint` (`builtin:voice`) without words in five ways: in stereo, mixed with
the true turns as RTTM, mixed with the number of speakers, mixed with a few marked seconds of each, and, to compare
with, in stereo with the true turns.

* right speaker: the share of the time of speech that lies in an utterance of the right speaker, names matched as fits
  best;
* boundaries: the share of the true beginnings and ends of turns that have one of that speaker within 0.2 s;
* accuracy: the share of the true turns whose label is the most probable one, even prior, of the utterance that covers
  most of the turn; a turn without one is wrong.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

import merkit
from merkit.core.types import Utterance

BOUNDARY_S, STEP_S, MARKED_S = 0.2, 0.01, 4.0


@dataclass(frozen=True)
class Turn:
    """What is true of an utterance."""

    start_s: float
    end_s: float
    speaker: str
    emotion: str

    @classmethod
    def of(cls, utterance: Utterance) -> "Turn":
        assert utterance.start_s is not None
        assert utterance.end_s is not None
        return cls(utterance.start_s, utterance.end_s, utterance.speaker, str(utterance.attributes["emotion"]))


def overlap_s(turn: Turn, segment: Any) -> float:
    return max(0.0, min(turn.end_s, segment.end_s) - max(turn.start_s, segment.start_s))


def measured(turns: Sequence[Turn], segments: Sequence[Any]) -> dict[str, float]:
    """Return the three figures of a call, with the names of speakers matched as fits best."""
    speakers, names = sorted({turn.speaker for turn in turns}), sorted({segment.speaker for segment in segments})
    names += [""] * (len(speakers) - len(names))
    matches = [dict(zip(speakers, chosen, strict=True)) for chosen in permutations(names, len(speakers))]
    return max((_measured(turns, segments, match) for match in matches), key=lambda row: row["right_speaker"])


def _measured(turns: Sequence[Turn], segments: Sequence[Any], match: Mapping[str, str]) -> dict[str, float]:
    times_s = np.arange(0.0, max(turn.end_s for turn in turns), STEP_S)
    spoken = right = found = correct = 0
    for turn in turns:
        own = [segment for segment in segments if segment.speaker == match[turn.speaker]]
        inside = times_s[(times_s >= turn.start_s) & (times_s < turn.end_s)]
        spoken += len(inside)
        right += int(np.any([(s.start_s <= inside) & (inside < s.end_s) for s in own], axis=0).sum()) if own else 0
        edges = np.array([(s.start_s, s.end_s) for s in own]).reshape(-1, 2)
        for edge, of_segments in zip((turn.start_s, turn.end_s), edges.T, strict=True):
            found += bool(np.any(np.abs(of_segments - edge) <= BOUNDARY_S))
        covering = max(segments, key=lambda segment: overlap_s(turn, segment))
        probabilities = covering.prediction.probabilities if covering.prediction and overlap_s(turn, covering) else {}
        correct += bool(probabilities) and max(probabilities, key=probabilities.__getitem__) == turn.emotion
    count = len(turns)
    return {
        "turns": count,
        "right_speaker": round(right / spoken, 4),
        "boundaries": round(found / (2 * count), 4),
        "accuracy": round(correct / count, 4),
    }


def marks(turns: Sequence[Turn]) -> dict[str, tuple[float, float]]:
    """Return the first turn of each speaker of over 1.5 s, at most ``MARKED_S`` of it."""
    chosen: dict[str, tuple[float, float]] = {}
    for turn in turns:
        if turn.end_s - turn.start_s > 1.5:
            chosen.setdefault(turn.speaker, (turn.start_s, min(turn.end_s, turn.start_s + MARKED_S)))
    return chosen


def main() -> int:
    """Print what is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=3)
    parser.add_argument("--turns", type=int, default=165)
    parser.add_argument("--checkpoint", default="builtin:voice")
    arguments = parser.parse_args()
    recognizer = merkit.load(
        arguments.checkpoint, **({"prior": "even"} if arguments.checkpoint == "builtin:voice" else {})
    )
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        options = {"conversations": arguments.calls, "turns": arguments.turns, "channels": 2, "speakers": 6}
        calls: dict[str, list[Turn]] = {}
        for utterance in merkit.prepare("parley", folder / "data", options=options).utterances:
            calls.setdefault(utterance.conversation, []).append(Turn.of(utterance))
        for call, turns in calls.items():
            stereo, mono, rttm = (
                folder / "data" / "audio" / f"{call}.wav",
                folder / f"{call}.wav",
                folder / f"{call}.rttm",
            )
            samples, rate_hz = sf.read(stereo)
            sf.write(mono, samples.mean(axis=1), rate_hz)
            rttm.write_text(
                "".join(
                    f"SPEAKER {call} 1 {turn.start_s:.3f} {turn.end_s - turn.start_s:.3f} <NA> <NA> "
                    f"{turn.speaker} <NA> <NA>\n"
                    for turn in turns
                )
            )
            ways: dict[str, tuple[Path, dict[str, Any]]] = {
                "stereo": (stereo, {}),
                "mixed, RTTM": (mono, {"speakers_file": rttm}),
                "mixed, 2 speakers": (mono, {"speakers": 2}),
                "mixed, marked": (mono, {"marks": marks(turns)}),
                "stereo, true turns": (stereo, {"speakers_file": rttm}),
            }
            for way, (path, how) in ways.items():
                segments = recognizer(path, **how).segments
                rows.append({"call": call, "way": way, "minutes": round(len(samples) / rate_hz / 60, 1)})
                rows[-1] |= measured(turns, segments)
    means = {
        way: {
            name: round(float(np.mean([row[name] for row in rows if row["way"] == way])), 4)
            for name in ("right_speaker", "boundaries", "accuracy")
        }
        for way in dict.fromkeys(row["way"] for row in rows)
    }
    print(json.dumps({"mean": means, "calls": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
