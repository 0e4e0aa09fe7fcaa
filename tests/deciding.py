"""A model with a decision rule that needs no training: it predicts arousal and compares speakers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from merkit.core.batch import Batch, ModelOutput
from merkit.core.encoder import Encoder
from merkit.core.model import Model, ModelConfig, ModelSpec
from merkit.inference.recognizer import Recognizer
from merkit.io.checkpoint import CheckpointConfig, build_encoders, choose_encoders
from merkit.io.decision_rule import DecisionRule

LABELS = ("neutral", "happy", "sad", "angry", "fear")
RULE: dict[str, Any] = {
    "labels": ["neutral", "happy", "sad", "angry"],
    "prior": {"neutral": 0.8},
    "unsure_below": 0.5,
    "least_utterances": 5,
    "least_s": 10.0,
    "arousal": True,
}
ENCODERS = {"audio": {"name": "logmel", "n_mels": 8, "dim": 4, "normalize": "speaker"}}


class Told(Model):
    """The mean of the frames to logits and to a logit of arousal."""

    def __init__(self, encoders: Mapping[str, Encoder], classes: int, config: ModelConfig) -> None:
        super().__init__(encoders)
        self.head = torch.nn.Linear(4, classes + 1)
        self.head.weight.data *= 40.0  # utterances differ by little from their speaker's average

    def forward(self, batch: Batch) -> ModelOutput:
        frames = self.encoders["audio"](batch.inputs["audio"])
        kept = torch.where(frames.mask.unsqueeze(-1), frames.data, 0.0)
        rows = self.head(kept.sum(-2) / frames.mask.sum(-1, keepdim=True).clamp(min=1))
        return ModelOutput(rows[..., :-1], {"arousal": rows[..., -1]})


SPEC = ModelSpec(name="told", summary="for tests", level="utterance", config=ModelConfig, build=Told)


def recognizer(rule: Mapping[str, Any] | None = None, seed: int = 0, **encoder: Any) -> Recognizer:
    """Return the model with random weights; ``rule`` are changes of ``RULE``."""
    torch.manual_seed(seed)
    chosen = choose_encoders({"audio": {**ENCODERS["audio"], **encoder}})
    rule_ = DecisionRule(**{**RULE, **(rule or {})})
    config = CheckpointConfig(SPEC, ModelConfig(), LABELS, chosen, "table", decision_rule=rule_)
    return Recognizer(Told(build_encoders(chosen, None, None), len(LABELS), config.config), config)


def add_rule(checkpoint: Path, rule: Mapping[str, Any] | None = None) -> Path:
    """Give a checkpoint a decision rule without arousal; ``rule`` are changes of ``RULE``."""
    from tests.checkpoints import reseal

    return reseal(checkpoint, {"decision_rule": {**RULE, "arousal": False, **(rule or {})}})


class Read(Model):
    """Three times the number of a label's name in the text so far, to logits; no encoder."""

    def forward(self, batch: Batch) -> ModelOutput:
        logits = torch.zeros(*batch.mask.shape, len(LABELS))
        texts = iter(batch.texts)
        for item, turns in enumerate(batch.mask.tolist()):
            said: list[str] = []
            for turn in [number for number, real in enumerate(turns) if real]:
                said += (next(texts) or "").split()
                logits[item, turn] = 3.0 * torch.tensor([float(said.count(label)) for label in LABELS])
        return ModelOutput(logits, {})


READ = ModelSpec(
    name="read",
    summary="for tests",
    level="conversation",
    config=ModelConfig,
    build=Read,
    modalities=(0, 0),
    inputs=frozenset({"texts"}),
)


def reader(rule: Mapping[str, Any] | None = None) -> Recognizer:
    """Return a model of conversations that reads texts alone; ``rule`` is its decision rule."""
    rule_ = DecisionRule(**{"prior": {"neutral": 0.6}, "unsure_below": 0.5, **(rule or {})})
    config = CheckpointConfig(READ, ModelConfig(), LABELS, {}, "table", decision_rule=rule_)
    return Recognizer(Read({}), config)
