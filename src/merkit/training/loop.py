"""The training loop: one for every model, on one process or many, resumable after any epoch.

The loop never sees a test label: it reads labelled batches of the training split and calls a function that scores the
validation split. What is special about a model lives in the model (`loss`, `parameter_groups`, `logged_values` and the
hooks around a step).
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from merkit.core.batch import Batch, ModelOutput
from merkit.core.errors import NonFiniteLossError
from merkit.core.memory import keep_freed_memory
from merkit.core.model import Model
from merkit.core.protocol import Selection
from merkit.data.dataset import Dataset, load_batches
from merkit.data.files import write_texts
from merkit.nn.losses import distillation_loss
from merkit.training.config import TrainingConfig
from merkit.training.optimisation import (
    build_optimizer,
    groups_of,
    layers_of,
    plateau_factor,
    schedule_factor,
    set_learning_rates,
)
from merkit.training.plan import Plan
from merkit.training.seeding import derived_seed
from merkit.training.state import STATE, TrainingProgress, load_best, load_state, save_state

_CHECK_EVERY = 20
"""Steps between two checks of the losses, as each waits for the device."""

_log = logging.getLogger(__name__)

Measure = Callable[[Model], Mapping[str, float]]
"""Returns the validation scores of a model, with ``loss`` if the schedule is ``plateau``."""
Listener = Callable[[Mapping[str, Any]], None]
"""Called after every epoch with its row of the history."""
EpochCallback = Callable[[int, float | None], None]
"""Called when training starts or resumes and after every epoch: epochs done, best value of the metric so far."""


class _Step(nn.Module):
    """Forward and loss as one module: mixed precision and gradient averaging wrap both, and the model stays bare.

    For every model, distillation is one more term: its probabilities are pulled towards the teacher's.
    """

    def __init__(self, model: Model, teacher_weight: float):
        super().__init__()
        self.model = model
        self.teacher_weight = teacher_weight

    def forward(self, batch: Batch) -> tuple[ModelOutput, dict[str, Tensor]]:
        output = self.model(batch)
        terms = self.model.loss(output, batch)
        if batch.teacher is not None:
            loss = distillation_loss(output.logits[batch.mask].float(), batch.teacher[batch.mask])
            assert "teacher" not in terms  # a model's own distillation (`sdt`) has another name
            terms = {**terms, "teacher": self.teacher_weight * loss}
        return output, terms


def train(
    model: Model,
    dataset: Dataset,
    config: TrainingConfig,
    *,
    seed: int,
    folder: Path,
    measure: Measure,
    metric: str,
    selection: Selection,
    accelerator: Accelerator,
    listener: Listener | None = None,
    on_epoch: EpochCallback | None = None,
) -> TrainingProgress:
    """Train a model and leave the selected epoch's weights in it.

    Args:
        model: Fresh from its ``build``; encoders' statistics are fitted.
        dataset: The labelled training split.
        config: How to train.
        seed: Decides order, dropout and all other random draws, epoch by epoch.
        folder: Of this run's cell: ``state/`` and ``history.jsonl`` are written there, and training resumes from them.
        measure: Scores of the validation split, with ``metric``, and ``loss`` for the schedule ``plateau``.
        metric: What chooses the epoch (higher is better) and stops early.
        selection: ``best_valid``: the epoch best on validation, the first of equals; ``last``: the last one.
        accelerator: Devices, processes and precision.
        listener: Called after every epoch.
        on_epoch: Called at the start and after every epoch, for a progress bar.

    Raises:
        NonFiniteLossError: A loss became NaN or infinite; names the batch.
        ConfigError: Learning rates do not fit the model's parameter groups, ``batch_seconds`` or ``layer_decay`` the
            encoders, or batches cannot be balanced.
    """
    keep_freed_memory()
    model.to(accelerator.device)
    optimizer = build_optimizer(groups_of(model, config.learning_rates), config, layers_of(model))
    state = folder / STATE
    progress = load_state(state, model, optimizer)
    if progress.epoch:
        _log.info("resuming after epoch %d of %d", progress.epoch, config.epochs)
    step_module = accelerator.prepare_model(_Step(model, dataset.teacher_weight))
    if progress.scaler and accelerator.scaler is not None:
        accelerator.scaler.load_state_dict(progress.scaler)
    optimizer = accelerator.prepare_optimizer(optimizer)
    plans = Plan.of(dataset, config, seed, accelerator.num_processes)
    steps = plans.steps()
    if on_epoch is not None:
        on_epoch(progress.epoch, progress.best_value)

    patience = config.patience or config.epochs
    while progress.epoch < config.epochs and progress.epoch - progress.best_epoch < patience:
        started = time.perf_counter()
        epoch = progress.epoch + 1
        plan = plans.share(epoch, accelerator.process_index)
        torch.manual_seed(derived_seed(seed, "draws", epoch, accelerator.process_index))
        model.train()
        model.start_epoch(epoch)
        plateau = 1.0
        if config.schedule == "plateau":
            plateau = plateau_factor([row["valid"]["loss"] for row in progress.history], config)
        losses = _Losses(epoch)
        batches = load_batches(replace(dataset, draw=derived_seed(seed, "views", epoch)), plan, config.workers)
        for first in range(0, len(plan), config.accumulation):
            size = min(config.accumulation, len(plan) - first)
            factor = plateau * schedule_factor(progress.step, steps, config)
            set_learning_rates(optimizer.optimizer, factor)
            for number in range(size):
                batch = next(batches).to(accelerator.device)
                apart = number < size - 1 and accelerator.num_processes > 1
                with accelerator.no_sync(step_module) if apart else nullcontext():
                    output, terms = step_module(batch)
                    accelerator.backward(torch.stack([term.float() for term in terms.values()]).sum() / size)
                model.after_backward(batch, output)
                losses.add(terms, batch)
            if config.clip:
                accelerator.clip_grad_norm_(model.parameters(), config.clip)
            model.before_step()
            optimizer.step()
            model.after_step()
            optimizer.zero_grad()
            progress.step += 1
        means = losses.means()  # raises for a loss that is not finite before its weights are scored
        model.eval()
        scores = dict(measure(model))
        progress.epoch = epoch
        if selection == "last" or progress.best_value is None or scores[metric] > progress.best_value:
            progress.best_epoch, progress.best_value = epoch, scores[metric]
        seconds = time.perf_counter() - started
        progress.seconds += seconds
        row = {
            "epoch": epoch,
            "seconds": seconds,
            "loss": means,
            "learning_rate": {group["name"]: group["lr"] for group in optimizer.param_groups},
            "valid": scores,
            "model": dict(model.logged_values()),
        }
        progress.history.append(row)
        progress.scaler = accelerator.scaler.state_dict() if accelerator.scaler is not None else {}
        if listener is not None:
            listener(row)
        if accelerator.is_main_process:
            history = "".join(json.dumps(row) + "\n" for row in progress.history)
            write_texts({folder / "history.jsonl": history})  # first: what is in the state is never redone
            save_state(state, model.state_dict(), optimizer.optimizer, progress)
        if on_epoch is not None:
            on_epoch(epoch, progress.best_value)
        accelerator.wait_for_everyone()
    load_best(state, model)
    accelerator.wait_for_everyone()  # the state may be removed from here on
    model.eval()
    return progress


class _Losses:
    """Running means of the loss terms and a check for non-finite ones; stays on the device between checks."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._unseen: list[tuple[Mapping[str, Tensor], tuple[str, ...]]] = []

    def add(self, terms: Mapping[str, Tensor], batch: Batch) -> None:
        values = {name: term.detach().float() for name, term in terms.items()}
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        self._unseen.append((values, batch.ids))
        if len(self._unseen) >= _CHECK_EVERY:
            self._check()

    def means(self) -> dict[str, float]:
        self._check()
        means = {name: float(total) / self._count for name, total in self._sums.items()}
        return {"total": sum(means.values()), **means}

    def _check(self) -> None:
        if not self._unseen:
            return
        values = torch.stack([value for terms, _ in self._unseen for value in terms.values()])
        finite = iter(torch.isfinite(values).tolist())
        for terms, ids in self._unseen:
            bad = [name for name in terms if not next(finite)]
            if bad:
                guilty = ", ".join(bad)
                raise NonFiniteLossError(
                    f"The loss ({guilty}) became NaN or infinite in epoch {self._epoch}, in the batch of "
                    f"{', '.join(ids[:5])}{' …' if len(ids) > 5 else ''}. "
                    "Check those inputs with 'merkit doctor', or lower training.learning_rates."
                )
        self._unseen.clear()
