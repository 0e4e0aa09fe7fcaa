"""Processes that extract features and kill themselves: `killed_extraction.py PLANS`; see test_killed_extraction.py.

PLANS is JSON, ``{folder: [[point, count], …]}``: for each of a folder's pairs, one after the other, a process of its
own extracts all turns into the folder. ``point`` is where SIGKILL strikes: ``batch``: in the encoder, after ``count``
batches; ``between``: when the data of shard ``count`` is in place, but not its index; ``half``: while the data of shard
``count`` is half written; ``never``. The point ``two`` is two processes at once. Prints the exit statuses in the same
shape.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from merkit.core.batch import Padded
from merkit.core.encoder import Array, Encoder
from merkit.core.types import Turn, Utterance
from merkit.data import files
from merkit.data.features import extraction as features
from merkit.data.features import shards


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class FakeEncoder(Encoder):
    """Random numbers by the utterance, plus a last-bit share of all batch mates as real networks have it."""

    modality = "text"
    dim = 4

    def __init__(self, kill_before: int | None) -> None:
        super().__init__()
        self.left = kill_before

    def fingerprint(self) -> Mapping[str, Any]:
        return {"encoder": "fake"}

    def content(self, turn: Turn) -> str | None:
        return turn.utterance.text

    def extract(self, turns: Sequence[Turn]) -> list[Array]:
        if self.left is not None:
            if self.left == 0:
                kill()
            self.left -= 1
        numbers = [
            np.random.default_rng(turn.utterance.turn).standard_normal((3 + turn.utterance.turn % 5, 4))
            for turn in turns
        ]
        share = sum(array.sum() for array in numbers) * 1e-7
        return [(array + share).astype(np.float32) for array in numbers]

    def blank(self) -> Array:
        return np.zeros((1, 4), np.float32)

    def duration_s(self, turn: Turn) -> float:
        return float(3 + turn.utterance.turn % 5)

    def forward(self, padded: Padded) -> Padded:
        return padded

    def describe(self) -> Mapping[str, Any]:
        return {}


def turns() -> list[Turn]:
    return [Turn(Utterance(f"u{i}", "c", i, "s", text=str(i)), (), Path()) for i in range(200)]


def deadly(ending: str, count: int, half: bool) -> None:
    """Make the atomic writer kill the process at the ``count``-th file with this ending."""
    original = shards.atomic_path
    left = [count]

    @contextmanager
    def atomic_path(path: Path) -> Iterator[Path]:
        if path.suffix == ending:
            left[0] -= 1
            if left[0] < 0:
                if half:
                    (path.parent / f".tmp-0-half-{path.name}").write_bytes(b"half")
                kill()
        with original(path) as temporary:
            yield temporary

    shards.atomic_path = atomic_path


def extract(folder: Path, point: str, count: int) -> int:
    features.WINDOW, features.SHARD_ROWS = 50, 12
    files._to_disk = lambda path: None  # slow, and only a power cut needs it: what a killed process wrote is there
    if point == "between":
        deadly(".parquet", count, half=False)
    if point == "half":
        deadly(".safetensors", count, half=True)
    encoder = FakeEncoder(count if point == "batch" else None)
    store = features.FeatureStore.open(folder, encoder.fingerprint(), "fake")
    return features.extract_features(encoder, turns(), store, batch_s=30.0)


def start(folder: Path, point: str, count: int) -> int:
    """Fork a process, which shares the imports of this one, and return its number."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            status = extract(folder, point, count) // 4
        finally:
            os._exit(status)
    return child


def finish(child: int) -> int:
    """Return the exit status: 0 to 50 for a quarter of the extracted turns, 99 an error, -9 killed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(plans: str) -> None:
    told: dict[str, list[list[int]]] = {}
    for folder, pairs in json.loads(plans).items():
        told[folder] = []
        for point, count in pairs:
            children = [start(Path(folder), point, count) for _ in range(2 if point == "two" else 1)]
            told[folder].append([finish(child) for child in children])
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
