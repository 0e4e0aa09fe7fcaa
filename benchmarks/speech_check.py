"""How often the speech check refuses speech and accepts what is none, by kind and level; prints counts as JSON.

Run `python benchmarks/speech_check.py DATA`, where `DATA` has real corpora of single utterances in folders `nemo`,
`ravdess`, `emodb`, `emovo`. Clips are drawn with a fixed seed and heard as they are, fainter, through a telephone (8
kHz, mu-law), and cut to their loudest half second. Without `DATA` only sounds without speech are tried: silence, four
kinds of noise, tones, hum, a siren, dialling, clicks and chords, ten seconds each, at four levels, as they are and
through a telephone.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soxr

from merkit.core.waveform import Waveform
from merkit.data.media.audio import read_audio
from merkit.recordings.speech import has_speech

RATE_HZ = 16_000
CORPORA = ("nemo", "ravdess", "emodb", "emovo")
CLIPS = 150
"""Of each corpus, at most."""
SECONDS = 10
SEEDS = 12
LEVELS_DB = (0, -20, -40, -60)
_MU = 255.0


def telephone(samples: np.ndarray) -> np.ndarray:
    """Return the samples after 8 kHz and 8-bit mu-law (ITU-T G.711, its continuous form)."""
    low = np.clip(soxr.resample(samples, RATE_HZ, RATE_HZ // 2), -1, 1)
    code = np.round(127 * np.sign(low) * np.log1p(_MU * np.abs(low)) / np.log1p(_MU)) / 127
    return np.asarray(
        soxr.resample(np.sign(code) * np.expm1(np.abs(code) * np.log1p(_MU)) / _MU, RATE_HZ // 2, RATE_HZ)
    )


def loudest(samples: np.ndarray, seconds: float) -> np.ndarray:
    """Return the part of this length around the loudest tenth of a second."""
    energy = np.convolve(np.square(samples), np.ones(RATE_HZ // 10), "same")
    count = round(seconds * RATE_HZ)
    start = max(0, min(len(samples) - count, int(energy.argmax()) - count // 2))
    return samples[start : start + count]


HEARD: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda samples: samples,
    "-20 dB": lambda samples: 0.1 * samples,
    "-40 dB, 16 bit": lambda samples: np.round(0.01 * samples * 32768) / 32768,
    "telephone": telephone,
    "telephone, -20 dB": lambda samples: telephone(0.1 * samples),
    "loudest 0.5 s": lambda samples: loudest(samples, 0.5),
    "loudest 0.3 s": lambda samples: loudest(samples, 0.3),
}


def noise(exponent: float, seed: int) -> np.ndarray:
    """Return noise whose power falls with this power of the frequency."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(SECONDS * RATE_HZ))
    return np.fft.irfft(spectrum * np.maximum(np.arange(len(spectrum)), 1.0) ** (-exponent / 2))


def chords(seed: int) -> np.ndarray:
    """Return plucked triads of a major scale, each of 0.3 to 1.2 s."""
    generator = np.random.default_rng(seed)
    samples = np.zeros(SECONDS * RATE_HZ)
    scale = np.array([0, 2, 4, 5, 7, 9, 11])
    position = 0
    while position < len(samples):
        count = min(len(samples) - position, int(generator.uniform(0.3, 1.2) * RATE_HZ))
        time_s, root = np.arange(count) / RATE_HZ, generator.integers(7)
        fading = np.exp(-time_s * generator.uniform(0.5, 4)) * np.minimum(time_s / 0.01, 1)
        for degree in (0, 2, 4):
            octave = (root + degree) // 7 - generator.integers(2)
            pitch_hz = 220 * 2 ** (scale[(root + degree) % 7] / 12 + octave)
            for harmonic in range(1, 7):
                samples[position : position + count] += (
                    np.sin(2 * np.pi * pitch_hz * harmonic * time_s) / harmonic**1.5 * fading
                )
        position += count
    return samples


def without_speech(seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield sounds without speech by kind."""
    time_s = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    pitch_hz = (60, 100, 150, 220, 300, 440, 600, 1000, 1500, 2000, 3000, 5000)[seed % 12]
    tone = np.sin(2 * np.pi * pitch_hz * time_s)
    yield "silence", np.zeros_like(time_s)
    for name, exponent in (("white noise", 0), ("pink noise", 1), ("brown noise", 2), ("blue noise", -1)):
        yield name, noise(exponent, seed)
    yield "pulsing noise", noise(1, seed) * (1 + np.sin(2 * np.pi * 4 * time_s))
    yield "tone", tone
    yield "square tone", np.sign(tone)
    yield "siren", np.sin(2 * np.pi * pitch_hz * (time_s + 0.2 * np.sin((1 + seed) * time_s)))
    yield "hum", np.sin(2 * np.pi * 50 * time_s) + 0.3 * np.sin(2 * np.pi * 150 * time_s) + 3 * noise(1, seed)
    rows, columns = (697, 770, 852, 941), (1209, 1336, 1477)
    dialled = np.sin(2 * np.pi * rows[seed % 4] * time_s) + np.sin(2 * np.pi * columns[seed % 3] * time_s)
    yield "dialling", dialled * (time_s % 0.4 < 0.2)
    yield "clicks", (np.random.default_rng(seed).random(len(time_s)) < 0.0005).astype(float)
    yield "chords", chords(seed)


def heard_as_speech(samples: np.ndarray) -> bool:
    """Return what the check says."""
    return has_speech(Waveform(samples.astype(np.float32), RATE_HZ))


def refused(data: Path) -> dict[str, dict[str, str]]:
    """Return how many clips are refused of how many, by corpus and by how they are heard."""
    table = {}
    for corpus in CORPORA:
        files = sorted(path for path in (data / corpus).rglob("*") if path.suffix in (".flac", ".wav", ".mp3"))
        chosen = random.Random(1).sample(files, min(CLIPS, len(files)))
        clips = [read_audio(file, RATE_HZ) for file in chosen]
        counts = {name: sum(not heard_as_speech(heard(clip)) for clip in clips) for name, heard in HEARD.items()}
        table[corpus] = {name: f"{count}/{len(clips)}" for name, count in counts.items()}
    return table


def accepted() -> dict[str, str]:
    """Return how many sounds without speech are accepted of how many, by kind, over all levels and telephone or not."""
    counts: dict[str, list[bool]] = {}
    for seed in range(SEEDS):
        for name, samples in without_speech(seed):
            whole = 0.9 * samples / max(np.abs(samples).max(), 1e-9)
            for level_db in LEVELS_DB:
                fainter = whole * 10 ** (level_db / 20)
                counts.setdefault(name, []).extend((heard_as_speech(fainter), heard_as_speech(telephone(fainter))))
    return {name: f"{sum(each)}/{len(each)}" for name, each in counts.items()}


def cost() -> float:
    """Return the CPU seconds per second of sound."""
    sound = Waveform(noise(1, 0).astype(np.float32).repeat(60), RATE_HZ)
    has_speech(sound, 0.0, 10.0)
    begin = time.process_time()
    has_speech(sound)
    return (time.process_time() - begin) / sound.duration_s


def main() -> int:
    """Print what is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    data = parser.parse_args().data
    result = {
        "speech_refused": None if data is None else refused(data),
        "others_accepted": accepted(),
        "cpu_s_per_s": round(cost(), 5),
    }
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
