"""CPU seconds, memory and equality of the encoder `whisper` beside the library's own padding to 30 s, as JSON.

Run `python benchmarks/whisper_encoder.py`, with `--clips FOLDER` on the WAV and FLAC files below a folder, read in
place; otherwise on synthetic speech. One thread; CPU seconds of the process per second of audio, the least of three
passes, of all six layers (`layer = "mean"`) and of three (`layer = [1, 2, 3]`). Beside them, in the same process,
transformers' `WhisperFeatureExtractor` and `WhisperEncoder.forward` with their padding to 30 s.

States are compared twice. With the library's own layers on the same input, the clip and one second of silence, they
must be equal. With its padding to 30 s they are similar: what is told is the cosine of each frame, and of each clip's
mean over time.

Memory: an hour of the clips joined beside ten minutes, pooled, each in a process of its own.

Exit status 1 where bf16 takes over 0.02 CPU seconds per second of audio or float32 over 0.05 (six layers), where the
library takes less than five times as long, where states differ by over 1e-3, or where an hour takes over 10 % more
memory than ten minutes.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile as sf
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # the synthetic voice is the tests'
from _processes import apart, peak_mib
from tests.speech import speech

from merkit.core.encoder import EncoderHome
from merkit.core.types import Turn, Utterance
from merkit.core.waveform import Waveform
from merkit.data.media.audio import read_audio
from merkit.encoders.networks.frozen import FrozenNetwork
from merkit.encoders.whisper import SPEC, WhisperConfig

RATE_HZ = 16_000
PASSES = 3
MOST_CPU = {"float32": 0.05, "bfloat16": 0.02}
LEAST_GAIN, MOST_DIFFERENCE, MOST_MEMORY = 5.0, 1e-3, 1.10
LAYERS: dict[str, dict[str, Any]] = {
    "six layers": {"layer": "mean"},
    "three layers": {"layer": (1, 2, 3), "combine": "mean"},
}
Wave = npt.NDArray[np.float32]


def read_clips(folder: Path | None, count: int) -> list[Wave]:
    """Return clips at 16 kHz: evenly chosen ones below a folder, or synthetic speech of 2 to 5 s."""
    if folder is None:
        return [speech(2.0 + 3.0 * number / max(count - 1, 1), number) for number in range(count)]
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".wav", ".flac"))
    if not files:
        raise SystemExit(f"'{folder}' holds no WAV or FLAC file")
    chosen = [files[round(index)] for index in np.linspace(0, len(files) - 1, min(count, len(files)))]
    return [read_audio(path, RATE_HZ) for path in chosen]


def build(weights: str, **settings: Any) -> FrozenNetwork:
    """Return a frozen encoder."""
    encoder = SPEC.build(WhisperConfig(weights=weights, **settings), "audio", EncoderHome())
    assert isinstance(encoder, FrozenNetwork)
    return encoder


def extract_one(encoder: FrozenNetwork, wave: Wave) -> object:
    return encoder.extract([turn(wave)])


def turn(audio: Wave | str) -> Turn:
    """Return a turn with a waveform or a file."""
    recording = audio if isinstance(audio, str) else Waveform(audio, RATE_HZ)
    return Turn(Utterance("u", "c", 0, "s", audio=recording), (), Path())


def least_cpu_s(compute: Callable[[Wave], object], clips: Sequence[Wave]) -> float:
    """Return the least CPU seconds of some passes over the clips; the first one, which loads, does not count."""
    seconds = []
    for _ in range(1 + PASSES):
        begin = time.process_time()
        for wave in clips:
            compute(wave)
        seconds.append(time.process_time() - begin)
    return min(seconds[1:])


class Library:
    """transformers' own classes: an extractor and an encoder that take 30 s."""

    def __init__(self, encoder: FrozenNetwork, precision: str) -> None:
        from transformers import WhisperFeatureExtractor

        mels = int(encoder.architecture.network_config.num_mel_bins)
        self.extractor = WhisperFeatureExtractor(feature_size=mels)
        self.encoder: Any = build(encoder.architecture.config.weights, precision=precision).network

    def bands(self, wave: Wave, padding: str) -> torch.Tensor:
        """Return log-mel energies ``[1, mels, frames]``."""
        found = self.extractor(wave, padding=padding, sampling_rate=RATE_HZ, return_tensors="pt")
        bands: torch.Tensor = found.input_features.to(self.encoder.conv1.weight.dtype)
        return bands

    def states(self, wave: Wave) -> list[torch.Tensor]:
        """Return all states ``[1500, dim]`` of a clip padded to 30 s, by the library's ``forward``."""
        with torch.inference_mode():
            output = self.encoder(self.bands(wave, "max_length"), output_hidden_states=True)
        return [state[0] for state in output.hidden_states]

    def states_of_length(self, wave: Wave) -> list[torch.Tensor]:
        """Return all states of a clip with a second of silence, by the library's layers, which ``forward`` refuses."""
        network = self.encoder
        with torch.inference_mode():
            bands = self.bands(np.pad(wave, (0, -len(wave) % 320 + RATE_HZ)), "longest")
            hidden = torch.nn.functional.gelu(network.conv1(bands))
            hidden = torch.nn.functional.gelu(network.conv2(hidden)).transpose(1, 2)
            states = [hidden + network.embed_positions.weight[: hidden.shape[1]]]
            for layer in network.layers:
                states.append(layer(states[-1], None))
        return [state[0] for state in (*states[:-1], network.layer_norm(states[-1]))]


def compare(weights: str, clips: Sequence[Wave]) -> dict[str, Any]:
    """Return how far our states are from the library's, by state."""
    count = build(weights).architecture.states_count
    encoder = build(weights, layer=tuple(range(count)))
    library = Library(encoder, "float32")
    largest, frames, means = np.zeros(count), np.zeros(count), np.zeros(count)
    for wave in clips:
        ours = np.split(encoder.extract([turn(wave)])[0], count, axis=-1)
        same, padded = library.states_of_length(wave), library.states(wave)
        for state, own in enumerate(ours):
            exact, wide = (found[state][: len(own)].numpy() for found in (same, padded))
            largest[state] = max(largest[state], np.abs(own - exact).max())
            frames[state] += cosine(own, wide).mean() / len(clips)
            means[state] += cosine(own.mean(0), wide.mean(0)) / len(clips)
    return {
        "largest_difference_same_input": [float(f"{value:.2g}") for value in largest],
        "cosine_of_frames_to_30_s": frames.round(4).tolist(),
        "cosine_of_means_to_30_s": means.round(5).tolist(),
    }


def cosine(first: Wave, second: Wave) -> npt.NDArray[np.float64]:
    """Return the cosine along the last axis."""
    one, other = first.astype(np.float64), second.astype(np.float64)
    norms = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return np.asarray((one * other).sum(-1) / norms)


def speed(weights: str, clips: Sequence[Wave]) -> list[dict[str, Any]]:
    """Return CPU seconds per second of audio of each precision and number of layers."""
    seconds = sum(map(len, clips)) / RATE_HZ
    rows = []
    for precision in ("float32", "bfloat16"):
        encoders = {
            name: build(weights, **chosen, pooled="mean_std", precision=precision) for name, chosen in LAYERS.items()
        }
        library = Library(encoders["six layers"], precision)
        own = {name: least_cpu_s(partial(extract_one, encoder), clips) for name, encoder in encoders.items()}
        padded = least_cpu_s(library.states, clips)
        for name, cpu_s in own.items():
            rows.append(
                {
                    "precision": precision,
                    "layers": name,
                    "cpu_s_per_s": round(cpu_s / seconds, 4),
                    "library_30_s_cpu_s_per_s": round(padded / seconds, 4),
                    "times_as_fast": round(padded / cpu_s, 1),
                }
            )
    return rows


def precisions(weights: str, clips: Sequence[Wave]) -> dict[str, float]:
    """Return the least cosine of a clip's vector in bf16 with that in float32, by number of layers."""
    return {
        name: round(
            min(
                float(
                    cosine(
                        *(
                            build(weights, **chosen, pooled="mean_std", precision=precision).extract([turn(wave)])[0][0]
                            for precision in ("float32", "bfloat16")
                        )
                    )
                )
                for wave in clips[:4]
            ),
            5,
        )
        for name, chosen in LAYERS.items()
    }


def extract_long(weights: str, path: str) -> dict[str, Any]:
    """Extract one recording, pooled, and return what it took."""
    torch.set_num_threads(1)
    encoder = build(weights, **LAYERS["three layers"], pooled="mean_std", precision="bfloat16")
    begin = time.process_time()
    encoder.extract([turn(path)])
    return {"peak_mib": round(peak_mib(), 1), "cpu_s": round(time.process_time() - begin, 1)}


def memory(weights: str, clips: Sequence[Wave], hours: float) -> dict[str, Any]:
    """Return the peak memory of a long recording beside ten minutes."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for seconds in (600, round(hours * 3600)):
            path = Path(folder) / f"{seconds}.wav"
            with sf.SoundFile(path, "w", RATE_HZ, 1, subtype="PCM_16") as file:
                for wave in endless(clips):
                    file.write(wave[: seconds * RATE_HZ - file.tell()])
                    if file.tell() >= seconds * RATE_HZ:
                        break
            found[f"{seconds} s"] = apart(extract_long, weights, str(path))
    short, long = (row["peak_mib"] for row in found.values())
    return {**found, "ratio": round(long / short, 3)}


def endless(clips: Sequence[Wave]) -> Iterator[Wave]:
    """Yield the clips again and again."""
    while True:
        yield from clips


def main() -> int:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default=WhisperConfig().weights)
    parser.add_argument("--clips", type=Path, help="folder of WAV and FLAC files; default: synthetic speech")
    parser.add_argument("--count", type=int, default=24, help="clips that are measured")
    parser.add_argument("--hours", type=float, default=1.0, help="of the long recording; 0: do not measure memory")
    arguments = parser.parse_args()
    clips = read_clips(arguments.clips, arguments.count)
    result: dict[str, Any] = {
        "clips": len(clips),
        "seconds": round(sum(map(len, clips)) / RATE_HZ, 1),
        # first: a forked process begins with the memory of this one
        "memory": memory(arguments.weights, clips, arguments.hours) if arguments.hours else None,
    }
    torch.set_num_threads(1)
    result["speed"] = speed(arguments.weights, clips)
    result["states"] = compare(arguments.weights, clips[:8])
    result["least_cosine_of_bf16"] = precisions(arguments.weights, clips)
    print(json.dumps(result, indent=1))
    six = [row for row in result["speed"] if row["layers"] == "six layers"]
    passed = (
        all(row["cpu_s_per_s"] <= MOST_CPU[row["precision"]] and row["times_as_fast"] >= LEAST_GAIN for row in six)
        and max(result["states"]["largest_difference_same_input"]) <= MOST_DIFFERENCE
        and (result["memory"] is None or result["memory"]["ratio"] <= MOST_MEMORY)
    )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
