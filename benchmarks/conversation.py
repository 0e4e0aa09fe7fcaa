"""Cost of training conversation models side by side: seconds per epoch, utterances per second, memory, as ratios.

Run `python benchmarks/conversation.py`; it prints JSON. Each model is trained for an epoch of random vectors in a
process of its own, on CUDA if there is any. Conversations are as long as those of MELD's training part (1,038 of them,
9,989 utterances); a step sees as many of them for every model. There are two sizes:

* ``paper``: text, audio and video of 1024, 300 and 342 columns, and the models as wide as in their papers for MELD;
* ``recipe``: text and audio of 768 and 8 columns, and the models, as in the shipped recipes for MELD.

An epoch is extrapolated from ``--conversations``, drawn from all of them, where that is fewer. Memory is what the
process' resident set (on CUDA: the allocator) grows by at its peak, once torch and the data are there. Ratios are to
``bc_lstm`` in the same run; compare nothing between runs.

``--released [CHECKOUT]`` times Ada2I as its authors released it beside merkit's instead: see `_released_ada2i.py`.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import _released_ada2i as ada2i
import numpy as np
import torch
from torch import nn

from merkit.core.batch import Batch, Padded
from merkit.core.lookup import load
from merkit.core.memory import keep_freed_memory
from merkit.core.model import Model, ModelSpec
from merkit.core.precision import has_native_bfloat16
from merkit.data.dataset import bucketed_batches
from merkit.encoders.precomputed import Precomputed
from merkit.experiments.recipe_reader import read_recipe
from merkit.experiments.shipped import shipped_folder
from merkit.training.optimisation import build_optimizer

MODELS = ("concat", "bc_lstm", "dialogue_rnn", "sdt", "cmath", "ada2i")
REFERENCE = "bc_lstm"
CLASSES = 7
SPEAKERS = 3

# how many conversations of MELD's training part have 1, 2, … 24 utterances
LENGTHS = (70, 60, 54, 48, 67, 61, 74, 67, 50, 57, 55, 54, 36, 41, 43, 51, 30, 28, 27, 20, 20, 13, 7, 5)

WIDTHS: Mapping[str, Mapping[str, int]] = {
    "paper": {"text": 1024, "audio": 300, "video": 342},
    "recipe": {"text": 768, "audio": 8},
    "quick": {"text": 8, "audio": 8, "video": 8},
}
"""Columns by size and modality; ``quick`` is for a test of this script alone."""

PAPER: Mapping[str, Mapping[str, Any]] = {
    "sdt": {"dim": 1024, "gate": "identity", "speakers": 9, "temperature": 8.0},
    "cmath": {"hidden_size": 512, "dim": 256, "feed_forward": 256, "speakers": 9},
    "ada2i": {"hidden_size": 200, "rank": 6},
}
"""What the papers say; the other models are as in the recipes."""

QUICK: Mapping[str, Mapping[str, Any]] = {
    "sdt": {"dim": 16},
    "cmath": {"hidden_size": 16, "dim": 16, "feed_forward": 16},
    "ada2i": {"hidden_size": 16, "rank": 2, "feed_forward": 16},
}


def conversation_lengths(count: int) -> list[int]:
    """Return the utterances of each of ``count`` conversations, drawn from MELD's without putting back."""
    lengths = np.repeat(np.arange(1, len(LENGTHS) + 1), LENGTHS)
    return np.random.default_rng(0).permutation(lengths)[:count].tolist()


def build(name: str, size: str) -> tuple[ModelSpec, Model, torch.optim.Optimizer, float]:
    """Return a model's spec, itself, its optimiser, and the norm that gradients are clipped to."""
    spec = load("models", name)
    recipe = read_recipe(shipped_folder("recipes") / name / "meld7.toml")
    settings = {"paper": PAPER, "recipe": {}, "quick": QUICK}[size].get(name, {})
    config = spec.config(**{**recipe.config.model_dump(), **settings})
    encoders = {
        modality: Precomputed("x", modality, [], dim, standardise=False) for modality, dim in WIDTHS[size].items()
    }
    model = spec.build(encoders, CLASSES, config)
    return spec, model, build_optimizer(model.parameter_groups(), recipe.training), recipe.training.clip


def batch_of(lengths: list[int], dims: Mapping[str, int], *, flat: bool, generator: torch.Generator) -> Batch:
    """Return conversations of random vectors, or (``flat``) their utterances one by one."""
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    mask = mask[mask] if flat else mask
    data = {name: torch.randn(*mask.shape, 1, dim, generator=generator) for name, dim in dims.items()}
    return Batch(
        ids=tuple(str(number) for number in range(int(mask.sum()))),
        mask=mask,
        inputs={name: Padded(vectors, mask.unsqueeze(-1)) for name, vectors in data.items()},
        present=dict.fromkeys(dims, mask),
        speakers=torch.randint(0, SPEAKERS, mask.shape, generator=generator).masked_fill(~mask, 0),
        labels=torch.randint(0, CLASSES, mask.shape, generator=generator).masked_fill(~mask, -100),
    )


def step(model: Model, batch: Batch, optimizer: torch.optim.Optimizer, clip: float) -> None:
    """Train one batch as the training loop does."""
    output = model(batch)
    torch.stack(list(model.loss(output, batch).values())).sum().backward()
    model.after_backward(batch, output)
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    model.before_step()
    optimizer.step()
    model.after_step()
    optimizer.zero_grad()


def peak_mib(device: torch.device) -> float:
    """Return the most memory that was held so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kB on Linux


def measure(name: str, size: str, conversations: int, batch_size: int, repeats: int) -> dict[str, Any]:
    """Train one model in this process; the fastest of the repeats counts."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    keep_freed_memory()
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    lengths = conversation_lengths(conversations)
    plan = [[lengths[index] for index in chosen] for chosen in bucketed_batches(lengths, batch_size, 0)]
    flat = load("models", name).level == "utterance"
    batches = [batch_of(one, WIDTHS[size], flat=flat, generator=generator).to(device) for one in plan]
    before = peak_mib(device)
    _, model, optimizer, clip = build(name, size)
    model.to(device).train()
    model.start_epoch(99)  # past every warm-up
    step(model, max(batches, key=lambda batch: batch.mask.numel()), optimizer, clip)
    seconds = []
    for _ in range(repeats):
        start = _now(device)
        for batch in batches:
            step(model, batch, optimizer, clip)
        seconds.append(_now(device) - start)
    utterances = sum(lengths)
    all_utterances = sum(length * count for length, count in enumerate(LENGTHS, start=1))
    return {
        "model": name,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seconds_per_epoch": min(seconds) * all_utterances / utterances,
        "utterances_per_s": utterances / min(seconds),
        "memory_mib": peak_mib(device) - before,
    }


def measure_released(checkout: Path | None, size: str, conversations: int, repeats: int) -> dict[str, Any]:
    """Train Ada2I as released, from the checkout if there is one, and merkit's on the CPU and one thread.

    Raises:
        FileNotFoundError: The checkout is none.
    """
    torch.set_num_threads(1)
    keep_freed_memory()  # as in training; the others gain by it too
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    lengths = conversation_lengths(conversations)

    def batches(bucket: int) -> list[Batch]:
        plan = bucketed_batches(lengths, ada2i.BATCH_SIZE, 0, bucket=bucket)
        return [
            batch_of([lengths[index] for index in chosen], ada2i.WIDTHS, flat=False, generator=generator)
            for chosen in plan
        ]

    random, similar = batches(1), batches(50)
    contenders = {} if checkout is None else {"released": (ada2i.released_contender(checkout, size), random)}
    contenders["arithmetic"] = (ada2i.arithmetic_contender(size), random)
    contenders["random batches, float32"] = (ada2i.merkit_contender(size, mixed=False), random)
    contenders["float32"] = (ada2i.merkit_contender(size, mixed=False), similar)
    if has_native_bfloat16(torch.device("cpu")):
        contenders["bf16"] = (ada2i.merkit_contender(size, mixed=True), similar)
    rows = ada2i.compare(contenders, next(iter(contenders)), repeats)
    return {"reference": next(iter(contenders)), "contenders": rows}


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def main() -> int:
    """Measure all models, or (as the child process) one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["paper", "recipe"], default="paper")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--conversations", type=int, default=sum(LENGTHS), help="how many are trained in a repeat")
    parser.add_argument("--batch-size", type=int, default=16, help="conversations of a step")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--released",
        nargs="?",
        type=Path,
        const=Path(),
        metavar="CHECKOUT",
        help="Ada2I as released beside merkit's; without CHECKOUT its arithmetic by merkit's model",
    )
    parser.add_argument("--quick", action="store_true", help="tiny models and four conversations: does it run?")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    size = "quick" if arguments.quick else arguments.size
    conversations, repeats = (4, 1) if arguments.quick else (arguments.conversations, arguments.repeats)
    if arguments.child:
        print(json.dumps(measure(arguments.models[0], size, conversations, arguments.batch_size, repeats)))
        return 0
    if arguments.released is not None:
        checkout = None if arguments.released == Path() else arguments.released
        try:
            found = measure_released(checkout, "quick" if arguments.quick else "meld", conversations, repeats)
        except FileNotFoundError as error:
            parser.error(str(error))
        print(json.dumps({**found, "conversations": conversations, "repeats": repeats, "torch": torch.__version__}))
        return 0
    rows = []
    for name in dict.fromkeys([REFERENCE, *arguments.models]):
        command = [sys.executable, __file__, *sys.argv[1:], "--child", "--models", name]
        rows.append(json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout))
        print(f"{name}: {rows[-1]['seconds_per_epoch']:.3g} s per epoch", file=sys.stderr)
    for row in rows:
        row["ratio"] = {
            kind: round(row[kind] / rows[0][kind], 3) if rows[0][kind] else None
            for kind in ("seconds_per_epoch", "memory_mib")
        }
        row |= {kind: float(f"{value:.4g}") for kind, value in row.items() if isinstance(value, float)}
    machine = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    settings = {"size": size, "conversations": conversations, "batch_size": arguments.batch_size, "repeats": repeats}
    print(json.dumps({"reference": REFERENCE, **settings, **machine, "models": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
