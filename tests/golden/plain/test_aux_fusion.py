"""Fusion with auxiliary tasks beside a plain implementation, one pair of streams after the other."""

import math

import numpy as np
import pytest
import torch
from tests.golden.plain.blocks import (
    Array,
    Weights,
    assert_equal,
    cross_entropy,
    linear,
    normal,
    post_norm_layer,
    weights_of,
)
from tests.golden.released.cases import Given
from torch import Tensor

from merkit.core.batch import Batch, Padded
from merkit.models import aux_fusion
from merkit.models.aux_fusion import SPEC
from merkit.nn.losses import build_criterion

DIMS = {"text": 5, "audio": 8}
LENGTHS = {"text": (3, 5, 2, 4, 1), "audio": (6, 4, 0, 7, 5)}  # the third utterance has no audio
LABELS = (1, 0, 1, 1, 0)
CLASSES, DIM, HEADS = 3, 8, 2
WEIGHTS = {"own_label": 0.5, "same_emotion_swap": 0.25, "emotion_match": 0.75}


def fused(w: Weights, first: Array, second: Array, layers: int) -> list[Array]:
    """Return the pooled vectors of two streams that have read each other."""
    for number in range(layers):
        v = w.below(f"fusion.layers.{number}")
        first, second = (
            post_norm_layer(v.below("text"), first, second, HEADS),
            post_norm_layer(v.below("audio"), second, first, HEADS),
        )
    return [
        stream.mean(axis=0) if len(stream) else w[f"pooled.{name}.absent"]
        for name, stream in (("text", first), ("audio", second))
    ]


def binary_cross_entropy(score: float, target: bool) -> float:
    probability = 1.0 / (1.0 + math.exp(-score))
    return -math.log(probability if target else 1.0 - probability)


def plain(w: Weights, data: dict[str, list[Array]], layers: int, alike: list[bool]) -> tuple[Array, dict[str, float]]:
    """Return the scores of all utterances and the losses; partners are the first that a task allows."""
    text = [linear(w.below("projection.text"), stream) if layers else stream for stream in data["text"]]
    audio = data["audio"]
    head = w.below("head.1")
    scores = [linear(head, np.concatenate(fused(w, t, a, layers))) for t, a in zip(text, audio, strict=True)]
    usable = [i for i in range(len(LABELS)) if len(text[i]) and len(audio[i])]
    own: dict[str, list[tuple[Array, int]]] = {"text": [], "audio": []}
    swapped, matched = [], []
    for i in usable:
        others = [j for j in usable if j != i]
        j = others[0]
        vectors = fused(w, text[i], audio[j], layers)
        own["text"].append((linear(w.below("own_heads.text.1"), vectors[0]), LABELS[i]))
        own["audio"].append((linear(w.below("own_heads.audio.1"), vectors[1]), LABELS[j]))
        same = [j for j in others if LABELS[j] == LABELS[i]]
        if same:
            pair = fused(w, text[i], audio[same[0]], layers)
            swapped.append((linear(head, np.concatenate(pair)), LABELS[i]))
        wanted = [j for j in others if (LABELS[j] == LABELS[i]) == alike[i]]
        if wanted:
            pair = fused(w, text[i], audio[wanted[0]], layers)
            score = float(linear(w.below("match_head.1"), np.concatenate(pair))[0])
            matched.append(binary_cross_entropy(score, LABELS[wanted[0]] == LABELS[i]))
    losses = {
        "classification": cross_entropy(list(zip(scores, LABELS, strict=True))),
        "own_label": WEIGHTS["own_label"] * (cross_entropy(own["text"]) + cross_entropy(own["audio"])),
        "same_emotion_swap": WEIGHTS["same_emotion_swap"] * cross_entropy(swapped),
        "emotion_match": WEIGHTS["emotion_match"] * float(np.mean(matched)),
    }
    return np.array(scores), losses


def first_allowed(allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return as partners the first utterance that each one may have, in place of drawn ones."""
    partners = [row.nonzero().flatten().tolist() for row in allowed]
    chosen = [row[0] if row else place for place, row in enumerate(partners)]
    return torch.tensor(chosen), allowed.any(dim=-1)


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_aux_fusion_computes_what_the_equations_say(layers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aux_fusion, "draw_partners", first_allowed)
    weights = {f"{name}_weight": weight for name, weight in WEIGHTS.items()}
    config = SPEC.config(layers=layers, dim=DIM, heads=HEADS, feed_forward=9, auxiliary=tuple(WEIGHTS), **weights)
    model = SPEC.build({name: Given(name, dim) for name, dim in DIMS.items()}, CLASSES, config).double().eval()
    model.criterion = build_criterion("cross_entropy", [1] * CLASSES)
    w = weights_of(model, seed=3)
    data = {n: [normal(f"{n}.{i}", (t, DIMS[n]), 4) for i, t in enumerate(LENGTHS[n])] for n in DIMS}
    inputs = {}
    for name, streams in data.items():
        frames = torch.full((len(LABELS), max(LENGTHS[name]), DIMS[name]), 1e3, dtype=torch.float64)
        for item, stream in enumerate(streams):
            frames[item, : len(stream)] = torch.from_numpy(stream)
        mask = torch.arange(frames.shape[1]) < torch.tensor(LENGTHS[name]).unsqueeze(1)
        inputs[name] = Padded(frames, mask)
    real = torch.ones(len(LABELS), dtype=torch.bool)
    batch = Batch(
        ids=tuple(map(str, LABELS)),
        mask=real,
        inputs=inputs,
        present={name: padded.mask.any(-1) for name, padded in inputs.items()},
        speakers=torch.zeros(len(LABELS), dtype=torch.long),
        labels=torch.tensor(LABELS),
    )

    output = model(batch)
    torch.manual_seed(0)
    losses = model.loss(output, batch)

    torch.manual_seed(0)
    alike = (torch.rand(len(LABELS), 1) < 0.5).flatten().tolist()
    assert set(alike) == {True, False}
    scores, expected = plain(w, data, layers, alike)
    assert_equal(output.logits, scores)
    assert losses.keys() == expected.keys()
    for term, value in expected.items():
        assert_equal(losses[term], value)
