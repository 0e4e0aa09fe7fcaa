"""Peak memory of `merkit analyze --out` on a recording of two hours beside one of ten minutes, as JSON.

Run `python benchmarks/long_recordings.py`. Recordings are synthetic speech, checkpoints untrained: log-mels, Praat and
a small speech network, frozen and as if trained; each cut at pauses and to 15 s, and by a transcript. Every case is the
command itself in a process of its own, whose largest resident set is taken. Exit status 1 where two hours take over
15 % more than ten minutes, or over 1.5 GB. `--hours 0.5` is faster; `--encoders egemaps contours` are further ones.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # the synthetic voice and the small networks are the tests'
from tests.networks import write_speech_network
from tests.speech import RATE_HZ, speech
from tests.tiny import built

from merkit.io.checkpoint import save_checkpoint

SHORT_S = 600
MOST_RATIO, MOST_MIB = 1.15, 1500
LINE_S = 4.0
ENCODERS = ("logmel", "praat", "frozen", "trained")


def write_recording(path: Path, seconds: int) -> None:
    """Write a minute of synthetic speech again and again."""
    minute = np.concatenate([speech(20.0, seed) for seed in range(3)])
    with sf.SoundFile(path, "w", RATE_HZ, 1, subtype="PCM_16") as file:
        for start in range(0, seconds, 60):
            file.write(minute[: (seconds - start) * RATE_HZ])


def write_transcript(path: Path, seconds: int) -> None:
    """Write lines of four seconds by two speakers."""
    lines = [f"{start},{start + LINE_S},{'AB'[n % 2]},so" for n, start in enumerate(np.arange(0, seconds, LINE_S))]
    path.write_text("\n".join(["start_s,end_s,speaker,text", *lines]))


def write_checkpoint(folder: Path, name: str, network: Path) -> Path:
    """Write an untrained checkpoint of one encoder."""
    settings: dict[str, dict[str, Any]] = {
        "frozen": {"name": "wav2vec2", "weights": str(network), "frozen": True},
        "trained": {"name": "wav2vec2", "weights": str(network), "frozen": False},
    }
    torch.manual_seed(0)
    encoders = {"audio": settings.get(name, {"name": name})}
    save_checkpoint(folder / name, *built("single", encoders, ("calm", "cross", "glad")), {}, "")
    return folder / name


def measure(recording: Path, checkpoint: Path, transcript: Path | None) -> dict[str, float]:
    """Run the command and return its peak memory and its CPU seconds.

    Raises:
        RuntimeError: It fails.
    """
    command = [sys.executable, "-m", "merkit", "-q", "analyze", str(recording), "--checkpoint", str(checkpoint)]
    command += [] if transcript is None else ["--transcript", str(transcript)]
    out = recording.parent / f"{checkpoint.name}-{recording.stem}-{transcript is not None}"
    command += ["--out", str(out)]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit status {process.returncode}")
    return {
        "peak_mib": round(usage.ru_maxrss / 1024, 1),  # kB on Linux
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "seconds": round(time.perf_counter() - begin, 1),
    }


def main() -> int:
    """Measure all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0, help="of the long recording")
    parser.add_argument("--encoders", nargs="*", default=ENCODERS)
    arguments = parser.parse_args()
    long_s = round(arguments.hours * 3600)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for seconds in (SHORT_S, long_s):
            write_recording(folder / f"{seconds}.wav", seconds)
            write_transcript(folder / f"{seconds}.csv", seconds)
        network = write_speech_network(folder / "network", "wav2vec2 group")
        for name in arguments.encoders:
            checkpoint = write_checkpoint(folder, name, network)
            for cut in (False, True):
                short, long = (
                    measure(folder / f"{seconds}.wav", checkpoint, folder / f"{seconds}.csv" if cut else None)
                    for seconds in (SHORT_S, long_s)
                )
                ratio = round(long["peak_mib"] / short["peak_mib"], 3)
                rows.append({"encoder": name, "transcript": cut, "ratio": ratio, "short": short, "long": long})
    print(json.dumps({"short_s": SHORT_S, "long_s": long_s, "cases": rows}, indent=1))
    return int(any(row["ratio"] > MOST_RATIO or row["long"]["peak_mib"] > MOST_MIB for row in rows))


if __name__ == "__main__":
    sys.exit(main())
