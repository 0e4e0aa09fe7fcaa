"""Peak memory of feature extraction from 1 hour and from 10 hours of audio; prints the ratio as JSON.

Run `python benchmarks/memory.py`. Each amount is extracted in a process of its own, from synthesised 16 kHz WAV files
of an hour, cut into utterances of 2 to 8 seconds by their start and end. The peak is the process's largest resident set
(``ru_maxrss``). It must not grow with the amount: exit status 1 where 10 hours take over 10 % more than one.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from merkit.core.encoder import EncoderHome
from merkit.core.lookup import load
from merkit.core.types import Turn, Utterance
from merkit.data.features.extraction import extract_features
from merkit.data.features.store import FeatureStore

RATE_HZ = 16000
HOUR_S = 3600
LIMIT = 1.10


def write_hour(path: Path, seed: int) -> None:
    """Write an hour of noise under gliding tones, ten seconds at a time."""
    generator = np.random.default_rng(seed)
    with sf.SoundFile(path, "w", RATE_HZ, 1, subtype="PCM_16") as file:
        for start_s in range(0, HOUR_S, 10):
            t = start_s + np.arange(10 * RATE_HZ) / RATE_HZ
            tone = np.sin(2 * np.pi * (220 + 80 * np.sin(t / 7)) * t)
            file.write((0.3 * tone + 0.05 * generator.standard_normal(len(t))).astype(np.float32))


def turns(folder: Path, hours: int) -> Iterator[Turn]:
    """Yield utterances of 2 to 8 seconds that cover the hours."""
    for hour in range(hours):
        generator = np.random.default_rng(hour)
        start_s, number = 0.0, 0
        while start_s < HOUR_S:
            end_s = min(float(HOUR_S), start_s + generator.uniform(2.0, 8.0))
            name, audio = f"{hour}_{number}", f"hour{hour}.wav"
            yield Turn(Utterance(name, str(hour), number, "s", audio=audio, start_s=start_s, end_s=end_s), (), folder)
            start_s, number = end_s, number + 1


def extract(folder: Path, hours: int, name: str) -> dict[str, Any]:
    """Extract the hours' features in this process and return what it took."""
    spec = load("encoders", name)
    encoder = spec.build(spec.config(), "audio", EncoderHome(folder))
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as features:
        store = FeatureStore.open(Path(features), encoder.fingerprint(), name)
        count = extract_features(encoder, turns(folder, hours), store)
        stored = sum(path.stat().st_size for path in store.folder.iterdir())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kB on Linux
    return {
        "hours": hours,
        "utterances": count,
        "peak_mib": round(peak, 1),
        "stored_mib": round(stored / 2**20, 1),
        "seconds": round(time.perf_counter() - begin, 1),
    }


def measure(folder: Path, hours: int, name: str) -> dict[str, Any]:
    """Do the same in a fresh process."""
    command = [sys.executable, __file__, "--folder", str(folder), "--hours", str(hours), "--encoder", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def main() -> int:
    """Measure both amounts, or (as the child process) one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="logmel")
    parser.add_argument("--most", type=int, default=10, help="hours of the larger amount")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--hours", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder is not None:
        print(json.dumps(extract(arguments.folder, arguments.hours, arguments.encoder)))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for hour in range(arguments.most):
            write_hour(folder / f"hour{hour}.wav", hour)
        small, large = (measure(folder, hours, arguments.encoder) for hours in (1, arguments.most))
    ratio = large["peak_mib"] / small["peak_mib"]
    print(json.dumps({"encoder": arguments.encoder, "ratio": round(ratio, 4), "limit": LIMIT, "runs": [small, large]}))
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
