"""Ada2I, SDT, DialogueRNN and MMER compute what their authors' released code computes.

The ``.npz`` files hold what that code gave, in float64 and without dropout, for the weights and inputs of ``cases.py``:
scores, losses, and of each parameter the norm of the total loss's gradient, its inner product with a fixed direction
and (Ada2I) its norm after clipping at 2 and modulation. docs/parity.md names repositories, commits and differences.

When this fails: a renamed parameter draws other weights (keep the old name in ``cases.draw_weights``); a changed default
of a ``released`` profile must be mended; a deliberate change of what a profile computes needs new files, made by running
the released code on the same cases.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.golden.released.cases import CASES, batch_of, build, probe
from torch import Tensor

from merkit.core.batch import Batch, ModelOutput
from merkit.core.lookup import load
from merkit.core.model import Model
from merkit.models.ada2i import Ada2i
from merkit.nn.modulation import disparity_ratios

FOLDER = Path(__file__).parent
TOLERANCE = 1e-6
"""Relative, and absolute below 1: losses are taken in float32 at least, gradients in float64 from there."""


class Result:
    """A model's output, losses and gradients on its case's batch."""

    def __init__(self, name: str) -> None:
        self.case = CASES[name]
        self.model: Model = build(self.case)
        self.batch: Batch = batch_of(self.case)
        self.model.start_epoch(1)
        self.output: ModelOutput = self.model(self.batch)
        self.losses = self.model.loss(self.output, self.batch)
        torch.stack([loss.double() for loss in self.losses.values()]).sum().backward()
        self.model.after_backward(self.batch, self.output)
        self.gradients = {
            name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
            for name, parameter in self.model.named_parameters()
        }


@cache
def result(name: str) -> Result:
    return Result(name)


@cache
def golden(name: str) -> dict[str, Any]:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def assert_equal(found: Tensor | Any, expected: Any) -> None:
    found = torch.as_tensor(found, dtype=torch.float64).detach()
    torch.testing.assert_close(found, torch.as_tensor(expected, dtype=torch.float64), rtol=TOLERANCE, atol=TOLERANCE)


def by_parameter(name: str, key: str, measure: Callable[[str, Tensor], Tensor]) -> None:
    stored = golden(name)
    found = [float(measure(parameter, result(name).gradients[parameter])) for parameter in stored["parameter"].tolist()]
    assert_equal(found, stored[key])


def test_every_case_has_its_numbers_and_every_file_its_case() -> None:
    assert CASES
    assert {path.stem for path in FOLDER.glob("*.npz")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_name_the_commit_that_the_spec_names(name: str) -> None:
    spec = load("models", CASES[name].model)

    assert spec.released is not None
    assert spec.released.commit == json.loads(str(golden(name)["about"]))["commit"]


@pytest.mark.parametrize("name", CASES)
def test_scores_are_those_of_the_released_code(name: str) -> None:
    stored, found = golden(name), result(name)
    expected = {key: value for key, value in stored.items() if key.partition(".")[0] in ("logits", "log_probabilities")}
    assert expected

    for key, value in expected.items():
        kind, _, modality = key.partition(".")
        logits = found.output.auxiliary[f"logits.{modality}"] if modality else found.output.logits
        real = logits[found.batch.mask]
        assert_equal(real if kind == "logits" else real.log_softmax(dim=-1), value)


@pytest.mark.parametrize("name", CASES)
def test_losses_are_those_of_the_released_code(name: str) -> None:
    expected = {key.partition(".")[2]: value for key, value in golden(name).items() if key.startswith("loss.")}

    assert result(name).losses.keys() == expected.keys()
    for term, value in expected.items():
        assert_equal(result(name).losses[term], value)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_the_released_code(name: str) -> None:
    assert len(golden(name)["parameter"])
    by_parameter(name, "gradient_norm", lambda _, gradient: gradient.norm())
    by_parameter(name, "gradient_probe", lambda parameter, g: (g * probe(parameter, g.shape)).sum())


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.model == "ada2i"])
def test_disparity_and_modulated_gradients_are_those_of_the_released_code(name: str) -> None:
    found, stored = Result(name), golden(name)
    assert isinstance(found.model, Ada2i)
    torch.nn.utils.clip_grad_norm_(found.model.parameters(), 2.0)
    found.model.before_step()
    disparity = found.model.logged_values()

    order = [modality for modality in ("audio", "text", "video") if modality in found.case.dims]
    assert_equal([disparity[f"disparity.{modality}"] for modality in order], stored["disparity"])
    parameters = dict(found.model.named_parameters())
    norms = [float(_gradient(parameters[name]).norm()) for name in stored["parameter"].tolist()]
    assert_equal(norms, stored["modulated_norm"])


def _gradient(parameter: torch.nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
