"""What each option that saves memory or time saves, when a speech network is trained: ratios to plain fine-tuning.

Run `python benchmarks/utterance_training.py`; it prints JSON and takes less than a minute on one core. A small wav2vec
2.0 network (layer-norm front end, random weights, published kernels and strides) is trained with a linear head, the
front end frozen, on the CPU and one thread, each setting in a process of its own. Steps are of one batch of noise,
3 to 6 s long. Two more settings train on utterances as long as those of IEMOCAP (log-normal, mean 4.5 s, 0.6 to 34 s):
with a fixed batch size, and bounded by the seconds that such a batch has on average.

Seconds are those of the processor, of a step, the fastest of the repeats. Memory is what the process' resident set
grows by at its peak, once the data are there: weights, gradients, optimiser and activations. The checkpoint is the size
of the encoder's state. ``--base`` has a network as large as wav2vec 2.0 base, which takes minutes. Weights are random,
so the figures say nothing of accuracy; ratios shift with the network's size and with the length of the audio.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from _lengths import speech_lengths_s
from _processes import apart, peak_mib, resident_mib

from merkit.core.batch import Batch
from merkit.core.encoder import EncoderHome
from merkit.core.lookup import load
from merkit.core.types import Turn, Utterance
from merkit.data.dataset import Dataset
from merkit.data.features.extraction import extract_features
from merkit.data.features.sources import FeatureSource, open_store
from merkit.training.config import TrainingConfig
from merkit.training.optimisation import build_optimizer, groups_of, layers_of
from merkit.training.plan import Plan

RATE_HZ = 16_000
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "gradient_checkpointing": {"gradient_checkpointing": True},
    "trainable_layers": {"trainable_layers": 2},
    "lora": {"lora": {"rank": 8}},
    "cache_front_end": {"cache_front_end": True},
    "all but trainable_layers": {"gradient_checkpointing": True, "lora": {"rank": 8}, "cache_front_end": True},
}
SIZES: Mapping[str, Mapping[str, Any]] = {
    "small": {"hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 768,
              "conv_dim": (192,) * 7, "num_conv_pos_embedding_groups": 4},
    "base": {"conv_dim": (512,) * 7},
    "quick": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
              "conv_dim": (8,) * 7, "num_conv_pos_embedding_groups": 2},
}  # fmt: skip
"""``quick`` is for a test of this script alone."""


def write_network(folder: Path, size: str) -> Path:
    """Write a network of random weights in Hugging Face's format."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(0)
    Wav2Vec2Model(Wav2Vec2Config(feat_extract_norm="layer", **SIZES[size])).save_pretrained(folder)
    return folder


def write_speech(folder: Path, lengths_s: Sequence[float]) -> list[Turn]:
    """Write noise of these lengths and return its turns."""
    folder.mkdir()
    generator, turns = np.random.default_rng(0), []
    for number, length_s in enumerate(lengths_s):
        samples = 0.1 * generator.standard_normal(round(length_s * RATE_HZ))
        soundfile.write(folder / f"{number}.wav", samples, RATE_HZ, subtype="FLOAT")
        turns.append(Turn(Utterance(f"u{number}", f"u{number}", 0, "anna", audio=f"{number}.wav"), (), folder))
    return turns


class Bench:
    """A network in training: model, optimiser and its data."""

    def __init__(self, network: Path, turns: Sequence[Turn], settings: Mapping[str, Any]) -> None:
        torch.manual_seed(0)
        spec = load("encoders", "wav2vec2")
        config = spec.config(weights=str(network), frozen=False, **settings)
        self.encoder = spec.build(config, "audio", EncoderHome())
        started = time.process_time()
        store = open_store(self.encoder, turns[0].root / "features") if self.encoder.stored else None
        if store is not None:
            extract_features(self.encoder, turns, store)
        self.extraction_s = time.process_time() - started
        labels = {turn.utterance.id: number % 4 for number, turn in enumerate(turns)}
        source = FeatureSource(self.encoder, store)
        self.dataset = Dataset([[turn] for turn in turns], {"audio": source}, "utterance", labels)
        head = load("models", "single")
        self.model = head.build({"audio": self.encoder}, 4, head.config()).train()
        training = TrainingConfig(learning_rates={"encoders": 1e-5, "head": 1e-3})
        self.optimizer = build_optimizer(groups_of(self.model), training, layers_of(self.model))

    def step(self, batch: Batch) -> None:
        """Do what the training loop does with a batch."""
        torch.stack(list(self.model.loss(self.model(batch), batch).values())).sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def steps(network: Path, turns: Sequence[Turn], settings: Mapping[str, Any], repeats: int) -> dict[str, float]:
    """Return the cost of a step with some settings."""
    bench = Bench(network, turns, settings)
    batch = bench.dataset.batch(range(len(turns)))
    before, taken = resident_mib(), []
    for _ in range(repeats + 1):
        started = time.process_time()
        bench.step(batch)
        taken.append(time.process_time() - started)
    state = bench.encoder.state_dict()
    return {
        "seconds_per_step": min(taken[1:]),
        "peak_mib": peak_mib() - before,
        "checkpoint_mib": sum(tensor.nbytes for tensor in state.values()) / 2**20,
        "trained_weights": sum(p.numel() for p in bench.encoder.parameters() if p.requires_grad),
        **({"extraction_seconds": bench.extraction_s} if bench.encoder.stored else {}),
    }


def epoch(network: Path, turns: Sequence[Turn], training: Mapping[str, Any]) -> dict[str, float]:
    """Return the cost of an epoch of utterances of very different lengths."""
    bench = Bench(network, turns, {})
    plan = Plan.of(bench.dataset, TrainingConfig(**training), 0)
    batches = plan.batches(1)
    cost = bench.dataset.bound(1.0)
    before, started = resident_mib(), time.process_time()
    for batch in batches:
        bench.step(bench.dataset.batch(batch))
    return {
        "seconds": time.process_time() - started,
        "peak_mib": peak_mib() - before,
        "batches": len(batches),
        "longest_batch_s": max(map(cost.cost_s, batches)),
        "mean_batch_s": float(np.mean([*map(cost.cost_s, batches)])),
    }


def run(size: str, repeats: int, utterances: int, batch_size: int) -> dict[str, Any]:
    """Measure all settings."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        network = write_network(folder / "network", size)
        turns = write_speech(folder / "batch", (3.0, 4.0, 5.0, 6.0))
        many = write_speech(folder / "speech", speech_lengths_s(utterances))
        rows = {name: apart(steps, network, turns, settings, repeats) for name, settings in SETTINGS.items()}
        fixed = apart(epoch, network, many, {"batch_size": batch_size})
        bound = {"batch_size": 4 * batch_size, "batch_seconds": round(fixed["mean_batch_s"], 1)}
        bounded = apart(epoch, network, many, bound)
    plain = rows["plain"]
    for row in rows.values():
        row |= {f"{name}_ratio": row[name] / plain[name] for name in ("seconds_per_step", "peak_mib", "checkpoint_mib")}
    bounded |= {f"{name}_ratio": bounded[name] / fixed[name] for name in ("seconds", "peak_mib", "longest_batch_s")}
    epochs = {f"batch_size = {batch_size}": fixed, f"batch_seconds = {bound['batch_seconds']}": bounded}
    return {"size": size, "torch": torch.__version__, "steps": _rounded(rows), "epochs": _rounded(epochs)}


def _rounded(rows: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return measured figures with three digits; what was counted stays as it is."""
    return {
        name: {key: value if isinstance(value, int) else float(f"{value:.3g}") for key, value in row.items()}
        for name, row in rows.items()
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", action="store_true", help="a network as large as wav2vec 2.0 base: minutes")
    parser.add_argument("--quick", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    size = "base" if arguments.base else "quick" if arguments.quick else "small"
    print(json.dumps(run(size, arguments.repeats, 12 if arguments.quick else 48, 4), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
