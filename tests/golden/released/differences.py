"""How far merkit's models are from their authors' released code: ``python -m tests.golden.released.differences``.

The ``.npz`` files hold what that code gave, in float64 and without dropout, for the weights and inputs of ``cases.py``:
scores, losses, and of each parameter the norm of the total loss's gradient, its inner product with a fixed direction
and (Ada2I) its norm after clipping at 2 and modulation.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.golden.released.cases import CASES, batch_of, build, probe
from torch import Tensor

from merkit.core.batch import Batch, ModelOutput
from merkit.core.model import Model
from merkit.models.ada2i import ORDER, Ada2i

FOLDER = Path(__file__).parent
CLIP = 2.0
"""Ada2I's released code clips gradients at this norm, then modulates them."""

Stored = Mapping[str, Any]


def stored(name: str) -> Stored:
    """Return the released code's numbers of a case."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def commit_of(name: str) -> str:
    """Return the commit of the released code that made a case's numbers."""
    return str(json.loads(str(stored(name)["about"]))["commit"])


def differences(name: str) -> dict[str, float]:
    """Return the largest difference of each kind of quantity, relative to the released value where that is above 1."""
    expected, model, batch = stored(name), build(CASES[name]), batch_of(CASES[name])
    model.start_epoch(1)
    output = model(batch)
    losses = model.loss(output, batch)
    torch.stack([term.double() for term in losses.values()]).sum().backward()
    model.after_backward(batch, output)

    parameters = dict(model.named_parameters())
    names = expected["parameter"].tolist()
    gradients = [_gradient(parameters[parameter]) for parameter in names]
    probes = [
        float((gradient * probe(key, gradient.shape)).sum()) for key, gradient in zip(names, gradients, strict=True)
    ]
    terms = sorted(losses)
    assert {f"loss.{term}" for term in terms} == {key for key in expected if key.startswith("loss.")}
    found = {
        "scores": _scores(output, batch, expected),
        "losses": _largest([float(losses[term].detach()) for term in terms], [expected[f"loss.{t}"] for t in terms]),
        "gradients": max(
            _largest([float(gradient.norm()) for gradient in gradients], expected["gradient_norm"]),
            _largest(probes, expected["gradient_probe"]),
        ),
    }
    return found | _modulation(model, names, expected)


def _scores(output: ModelOutput, batch: Batch, expected: Stored) -> float:
    """Return the largest difference of logits, or of log-probabilities where the released code gives those."""
    found = []
    for key, value in expected.items():
        kind, _, modality = key.partition(".")
        if kind in ("logits", "log_probabilities"):
            logits = output.auxiliary[f"logits.{modality}"] if modality else output.logits
            real = logits.detach()[batch.mask]
            found.append(_largest(real if kind == "logits" else real.log_softmax(dim=-1), value))
    return max(found)


def _modulation(model: Model, names: Iterable[str], expected: Stored) -> dict[str, float]:
    if not isinstance(model, Ada2i):
        return {}
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    model.before_step()
    logged, parameters = model.logged_values(), dict(model.named_parameters())
    ratios = [logged[f"disparity.{modality}"] for modality in ORDER if f"disparity.{modality}" in logged]
    norms = [float(_gradient(parameters[name]).norm()) for name in names]
    return {
        "disparity": _largest(ratios, expected["disparity"]),
        "modulated gradients": _largest(norms, expected["modulated_norm"]),
    }


def _gradient(parameter: torch.nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.detach()


def _largest(found: Any, expected: Any) -> float:
    found, expected = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    assert found.shape == expected.shape
    assert expected.size
    return float((np.abs(found - expected) / np.maximum(np.abs(expected), 1.0)).max())


if __name__ == "__main__":
    for case in CASES:
        print(case, commit_of(case), *(f"{kind} {value:.1e}" for kind, value in differences(case).items()), sep=" | ")
