"""Ada2I as released beside merkit's, in one process on one thread: `python benchmarks/conversation.py --released`.

The same conversations, drawn at random as the authors' script does, are trained by each contender in turn, batch
by batch, with that script's settings for MELD and with modulation and noise on:

* ``released``: the authors' code, with the path of a checkout of https://github.com/leson502/ADA2I, commit 24b9956;
* ``arithmetic``: merkit's model in the profile ``released``, whose scores, losses and gradients are those of that code
  (`tests/golden/released`), trained as there: random batches, float32, PyTorch's plain Adam, and for each parameter
  ``Tensor.std`` and PyTorch's normal numbers. What that code does by utterance in Python is left out;
* ``random batches, float32``: that model with merkit's modulation, noise and optimiser;
* ``float32``: the same in batches of conversations of similar length, merkit's default;
* ``bf16``: the same in bfloat16, where the processor has it.

Seconds are of the process, medians over the repeats; the ratio is the median of the repeats' own ratios.
"""

import contextlib
import importlib.util
import io
import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from merkit.core.batch import Batch
from merkit.core.lookup import load
from merkit.core.model import Model
from merkit.encoders.precomputed import Precomputed
from merkit.models.ada2i import Ada2i
from merkit.nn.losses import build_criterion
from merkit.training.config import TrainingConfig
from merkit.training.optimisation import build_optimizer

Contender = Callable[[Batch], None]
"""Trains one batch."""

WIDTHS: Mapping[str, int] = {"text": 768, "audio": 300, "video": 342}
"""Columns of the features that the authors' script reads."""
BATCH_SIZE = 10
_CLASSES, _CLIP, _RATE, _DECAY = 7, 2.0, 1.3e-4, 1e-8
_SIZES: Mapping[str, Mapping[str, int]] = {
    "meld": {"hidden_size": 200, "rank": 6, "feed_forward": 2048},
    "quick": {"hidden_size": 8, "rank": 2, "feed_forward": 8},
}
"""Of the authors' script for MELD; ``quick`` is for a test of this script alone."""


def compare(
    contenders: Mapping[str, tuple[Contender, Sequence[Batch]]], reference: str, repeats: int
) -> dict[str, dict[str, float]]:
    """Return for each contender its seconds per pass over its batches, and how many times as fast as the reference."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for step, batches in contenders.values():
        step(batches[0])
    for _ in range(repeats):
        spent = dict.fromkeys(contenders, 0.0)
        for number in range(len(contenders[reference][1])):
            for name, (step, batches) in contenders.items():
                start = time.process_time()
                step(batches[number])
                spent[name] += time.process_time() - start
        for name, total in spent.items():
            seconds[name].append(total)
    return {
        name: {
            "seconds": statistics.median(own),
            "times_as_fast": statistics.median(a / b for a, b in zip(seconds[reference], own, strict=True)),
        }
        for name, own in seconds.items()
    }


def merkit_contender(size: str, *, mixed: bool) -> Contender:
    """Return merkit's training step, in float32 or mixed precision."""
    model = _model(size, noise="after")
    config = TrainingConfig(
        optimizer="adam", learning_rates=dict.fromkeys(model.parameter_groups(), _RATE), weight_decay=0.0
    )
    optimizer = build_optimizer(model.parameter_groups(), config)
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"]

    def step(batch: Batch) -> None:
        _backward(model, batch, mixed=mixed)
        model.before_step()
        optimizer.step()
        model.after_step()
        optimizer.zero_grad()

    return step


def arithmetic_contender(size: str) -> Contender:
    """Return the released code's training step, by merkit's model."""
    model = _model(size, noise="none")
    optimizer = torch.optim.Adam(list(model.parameters()), lr=_RATE, weight_decay=_DECAY)

    def step(batch: Batch) -> None:
        model.zero_grad()
        _backward(model, batch, mixed=False)
        model.before_step()
        for parameter in model.context.parameters():
            assert parameter.grad is not None
            std = parameter.grad.std().item() if parameter.numel() > 1 else 0.0
            parameter.grad += torch.zeros_like(parameter.grad).normal_(0.0, std + 1e-8)
        optimizer.step()

    return step


def released_contender(checkout: Path, size: str) -> Contender:
    """Return the training step of the authors' code.

    Raises:
        FileNotFoundError: The folder has no ``model/__init__.py``.
    """
    start = checkout / "model" / "__init__.py"
    if not start.is_file():
        raise FileNotFoundError(f"'{start}' not found; give the folder of a checkout of leson502/ADA2I")
    spec = importlib.util.spec_from_file_location(
        "released_ada2i", start, submodule_search_locations=[str(start.parent)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sizes = _SIZES[size]
    with contextlib.redirect_stdout(io.StringIO()):  # it prints; this script prints JSON
        spec.loader.exec_module(module)
        model = module.Ada2I(
            Namespace(
                modalities="atv",
                dataset="meld",
                emotion=None,
                dataset_label_dict={"meld": {str(number): number for number in range(_CLASSES)}},
                embedding_dim={"meld": {name[0]: width for name, width in WIDTHS.items()}},
                device="cpu",
                hidden_dim=sizes["hidden_size"],
                tensor_rank=sizes["rank"],
                drop_rate=0.5,
                beta=0.55,
                alpha=0.42,
                no_mmt=False,
                mmt_nlayers=2,
                encoder_modules="transformer",
                encoder_nlayers=2,
                mmcosine=True,
                modulation=True,
                normalize=True,
            )
        ).train()
    optimizer = torch.optim.Adam(list(model.parameters()), lr=_RATE, weight_decay=_DECAY)
    criterion = nn.NLLLoss()

    def step(batch: Batch) -> None:
        assert batch.labels is not None
        labels = batch.labels[batch.mask]
        data = {
            "length": batch.mask.sum(dim=1),
            "tensor": {name[0]: batch.inputs[name].data.squeeze(2) for name in WIDTHS},
            "label_tensor": labels,
        }
        model.zero_grad()
        scores, distance, own, ratio = model(data)
        loss = criterion(scores, labels) + distance
        for scores_of_one in own.values():
            criterion(scores_of_one, labels).item()
        loss.item()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=_CLIP)
        model.apply_modulation(ratio)
        optimizer.step()

    return step


def _model(size: str, noise: str) -> Ada2i:
    spec = load("models", "ada2i")
    encoders = {name: Precomputed("x", name, [], dim, standardise=False) for name, dim in WIDTHS.items()}
    settings: dict[str, Any] = {**_SIZES[size], "profile": "released", "alpha": 0.42, "noise": noise}
    model: Ada2i = spec.build(encoders, _CLASSES, spec.config(**settings))
    model.criterion = build_criterion("cross_entropy", [1] * _CLASSES)
    model.train()
    model.start_epoch(99)  # past the epochs without modulation
    return model


def _backward(model: Model, batch: Batch, *, mixed: bool) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        output = model(batch)
        terms: list[Tensor] = [term.float() for term in model.loss(output, batch).values()]
    torch.stack(terms).sum().backward()
    model.after_backward(batch, output)
    nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
