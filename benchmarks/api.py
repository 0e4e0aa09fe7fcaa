"""One text through a loaded model, against its bare tokenizer and forward pass in the same process.

Prints JSON: the median milliseconds of both and their ratio. The recognizer adds utterances, batches, masks and a
prediction with names; it must stay below 1.5 times the bare cost.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import merkit
from merkit.core.lookup import load
from merkit.core.model import Model
from merkit.io.checkpoint import CheckpointConfig, build_encoders, build_model, choose_encoders, save_checkpoint

LABELS = ("neutral", "happy", "angry", "sad")
TEXTS = (
    "You made my day, thank you so much!",
    "I said Tuesday.",
    "Why does nobody ever tell me when the delivery has been moved to another week?",
)


def write_checkpoint(folder: Path, weights: str) -> Path:
    """Write the checkpoint of an untrained `single` on a frozen text network."""
    spec = load("models", "single")
    encoders = choose_encoders({"text": {"name": "bert", "weights": weights}})
    config = CheckpointConfig(spec, spec.config(), LABELS, encoders, "table")
    model: Model = build_model(spec, config.config, build_encoders(encoders, None, None), len(LABELS))
    save_checkpoint(folder, model, config, {}, "")
    return folder


def bare(weights: Path) -> Callable[[str], Any]:
    """Return the network's own tokenizer and forward pass."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights, local_files_only=True)
    network = AutoModel.from_pretrained(weights, local_files_only=True, dtype=torch.float32).eval()

    def run(text: str) -> Any:
        with torch.inference_mode():
            inputs = tokenizer(text, truncation=True, max_length=128, return_tensors="pt")
            return network(**inputs).last_hidden_state

    return run


def compare(weights: str, calls: int) -> dict[str, float]:
    """Return the median milliseconds of a call of both, taken in turns, and their ratio."""
    from merkit.encoders.networks.files import NetworkFiles

    with tempfile.TemporaryDirectory() as folder:
        recognizer = merkit.load(write_checkpoint(Path(folder) / "checkpoint", weights))
        plain = bare(NetworkFiles(weights, None, None).weights_folder)
        loaded: Callable[[str], Any] = lambda text: recognizer.texts([text])  # noqa: E731
        times: dict[str, list[float]] = {"recognizer": [], "bare": []}
        for number in range(calls + 10):
            for name, run in (("recognizer", loaded), ("bare", plain)):
                started = time.perf_counter()
                run(TEXTS[number % len(TEXTS)])
                times[name].append(time.perf_counter() - started)
    medians = {f"{name}_ms": 1000 * statistics.median(row[10:]) for name, row in times.items()}
    return {**medians, "ratio": medians["recognizer_ms"] / medians["bare_ms"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="builtin:minilm", help="a text network: builtin:minilm or a local folder")
    parser.add_argument("--calls", type=int, default=300)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(compare(arguments.weights, arguments.calls), indent=2))


if __name__ == "__main__":
    main()
