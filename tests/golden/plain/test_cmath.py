"""CMATH beside a plain implementation of its three stages, one conversation and one turn after the other."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from tests.golden.plain.blocks import (
    Array,
    Weights,
    assert_equal,
    attention,
    cross_entropy,
    feed_forward,
    gelu,
    layer_norm,
    linear,
    normal,
    positions,
    sigmoid,
    softmax,
    weights_of,
)
from tests.golden.released.cases import Given

from merkit.core.batch import Batch, Padded
from merkit.models.cmath import SPEC
from merkit.nn.losses import build_criterion

DIMS = {"text": 6, "audio": 5, "video": 4}
TURNS = (4, 2, 5)
FRAMES = 3
ABSENT = {(0, 1, "audio"), (2, 0, "text"), (2, 3, "video"), (2, 3, "audio")}
CLASSES, DIM, HIDDEN, HEADS, KERNEL = 3, 8, 7, 2, 3
SMALL = {"dim": DIM, "hidden_size": HIDDEN, "heads": HEADS, "feed_forward": 9, "kernel": KERNEL, "temperature": 2.0}
WEIGHTS = {"branch": 0.9, "prediction": 0.8, "latent": 0.3, "prior": 0.2, "reconstruction": 0.7}
WARMUP = 10

Gaussian = tuple[Array, Array]


def convolution(w: Weights, rows: list[Array | None], outputs: int) -> list[Array | None]:
    """Return the convolution along the turns at those that are present; the others count as zeros."""
    weight, bias, result = w["convolve.weight"], w["convolve.bias"], []
    for turn, row in enumerate(rows):
        total = bias.copy()
        for tap in range(KERNEL):
            near = turn + tap - KERNEL // 2
            source = rows[near] if 0 <= near < len(rows) else None
            if source is not None:
                total += weight[:, :, tap] @ source
        assert len(total) == outputs
        result.append(None if row is None else total)
    return result


def active(rows: list[Array | None]) -> list[Array | None]:
    return [None if row is None else gelu(row) for row in rows]


def reconstruct(w: Weights, rows: list[Array | None], inputs: int) -> tuple[list[Array | None], list[Array | None]]:
    """Return the compressed turns and the rebuilt ones."""
    outer = active(convolution(w.below("outer_encoder"), rows, HIDDEN))
    inner = active(convolution(w.below("inner_encoder"), outer, DIM))
    decoded = active(convolution(w.below("inner_decoder"), inner, HIDDEN))
    joined = [None if a is None or b is None else np.concatenate([a, b]) for a, b in zip(decoded, outer, strict=True)]
    return inner, convolution(w.below("outer_decoder"), joined, inputs)


def branch(w: Weights, centre: str, streams: dict[str, list[Array | None]], layers: int) -> list[Array | None]:
    """Return the fine-grained representation of each turn whose central modality is present."""
    present = [turn for turn, row in enumerate(streams[centre]) if row is not None]
    c = np.array([streams[centre][turn] for turn in present])
    others = {name: np.array([r for r in rows if r is not None]) for name, rows in streams.items() if name != centre}
    for number in range(layers):
        v = w.below(f"layers.{number}")
        own = layer_norm(v.below("own_norm"), c)
        c = c + attention(v.below("own"), own, own, HEADS)
        query = layer_norm(v.below("query_norm"), c)
        added = np.zeros_like(c)
        for name, rows in others.items():
            read = attention(v.below(f"readers.{name}"), query, layer_norm(v.below(f"norms.{name}"), rows), HEADS)
            gate = sigmoid(linear(v.below(f"gates.{name}"), np.concatenate([query, read], axis=1)))
            added = added + gate * read
        c = c + added
        c = c + feed_forward(v.below("feed_forward"), layer_norm(v.below("feed_forward_norm"), c))
    by_turn = dict(zip(present, c, strict=True))
    return [by_turn.get(turn) for turn in range(len(streams[centre]))]


def gaussian(parameters: Array) -> Gaussian:
    return parameters[:DIM], np.clip(parameters[DIM:], -8.0, 8.0)


def kl(first: Gaussian, second: Gaussian) -> float:
    """Return KL(first || second) of Gaussians with diagonal covariances."""
    total = 0.0
    for m1, v1, m2, v2 in zip(first[0], np.exp(first[1]), second[0], np.exp(second[1]), strict=True):
        total += 0.5 * (math.log(v2 / v1) + (v1 + (m1 - m2) ** 2) / v2 - 1.0)
    return total


def coarse_of(w: Weights, fine: dict[str, Array | None], posterior: str) -> Gaussian:
    if posterior == "experts":
        precision, weighted = np.zeros(DIM), np.zeros(DIM)
        for name, row in fine.items():
            if row is not None:
                mean, log_variance = gaussian(linear(w.below(f"fine.{name}"), row))
                precision, weighted = precision + np.exp(-log_variance), weighted + mean * np.exp(-log_variance)
        return weighted / precision, -np.log(precision)
    joined = np.concatenate([np.zeros(DIM) if row is None else row for row in fine.values()])
    return gaussian(linear(w.below("network.3"), gelu(linear(w.below("network.0"), joined))))


def plain(w: Weights, data: dict[Any, Array], labels: list[list[int]], speakers: list[list[int]], settings: Any) -> Any:
    """Return the scores of all turns, the scores of the branches, and the losses in epoch 1."""
    scores, own, pairs = [], [], []
    terms: dict[str, list[float]] = {}
    branches: dict[str, list[tuple[Array, int]]] = {name: [] for name in DIMS}
    for conversation, turns in enumerate(TURNS):
        streams = {}
        code = positions(turns, DIM)
        for name, inputs in DIMS.items():
            rows = [
                None if (conversation, turn, name) in ABSENT else data[conversation, turn, name].mean(axis=0)
                for turn in range(turns)
            ]
            inner, rebuilt = reconstruct(w.below(f"reconstruction.{name}"), rows, inputs)
            for row, copy in zip(rows, rebuilt, strict=True):
                if row is not None and copy is not None:
                    terms.setdefault(f"reconstruction {name}", []).append(float(((row - copy) ** 2).sum() / inputs))
            who = w["speakers.table.weight"]
            streams[name] = [
                None if row is None else row + code[turn] + who[speakers[conversation][turn]]
                for turn, row in enumerate(inner)
            ]
        fine = {name: branch(w.below(f"branches.{name}"), name, streams, settings["layers"]) for name in DIMS}
        for turn in range(turns):
            here = {name: rows[turn] for name, rows in fine.items()}
            coarse = coarse_of(w.below("fusion"), here, settings["posterior"])
            score, label = linear(w.below("head"), coarse[0]), labels[conversation][turn]
            scores.append(score)
            pairs.append((score, label))
            terms.setdefault("prior", []).append(kl(coarse, (np.zeros(DIM), np.zeros(DIM))))
            for name, row in here.items():
                if row is None:
                    continue
                distribution = gaussian(linear(w.below(f"fusion.fine.{name}"), row))
                answer = linear(w.below(f"heads.{name}"), distribution[0])
                own.append((conversation, turn, name, answer))
                branches[name].append((answer, label))
                p, q = softmax(score / 2.0), softmax(answer / 2.0)
                terms.setdefault(f"predictions {name}", []).append(4.0 * float((p * np.log(p / q)).sum()))
                terms.setdefault(f"latents {name}", []).append(kl(coarse, distribution))
    means = {name: sum(float(np.mean(v)) for k, v in terms.items() if k.startswith(name)) for name in
             ("predictions", "latents", "prior", "reconstruction")}  # fmt: skip
    losses = {
        "classification": cross_entropy(pairs),
        "branches": WEIGHTS["branch"] * sum(cross_entropy(each) for each in branches.values()),
        "predictions": WEIGHTS["prediction"] * means["predictions"],
        "latents": WEIGHTS["latent"] * means["latents"],
        "prior": WEIGHTS["prior"] / WARMUP * means["prior"],
        "reconstruction": WEIGHTS["reconstruction"] * means["reconstruction"],
    }
    return np.array(scores), own, losses


@pytest.mark.parametrize("settings", [{"posterior": "network", "layers": 1}, {"posterior": "experts", "layers": 2}])
def test_cmath_computes_what_its_stages_say(settings: dict[str, Any]) -> None:
    config = SPEC.config(**SMALL, **settings, **{f"{name}_weight": weight for name, weight in WEIGHTS.items()})
    model = SPEC.build({name: Given(name, dim) for name, dim in DIMS.items()}, CLASSES, config).double().eval()
    model.criterion = build_criterion("cross_entropy", [1] * CLASSES)
    w = weights_of(model, seed=1)
    longest = max(TURNS)
    data = {
        (c, t, name): normal(f"{c}.{t}.{name}", (FRAMES - t % 2, dim), 2)
        for c, turns in enumerate(TURNS) for t in range(turns) for name, dim in DIMS.items()
    }  # fmt: skip
    labels = [[(3 * c + t) % CLASSES for t in range(turns)] for c, turns in enumerate(TURNS)]
    speakers = [[t % 2 for t in range(turns)] for turns in TURNS]
    mask = torch.arange(longest) < torch.tensor(TURNS).unsqueeze(1)
    inputs, present = {}, {}
    for name, dim in DIMS.items():
        frames = torch.full((len(TURNS), longest, FRAMES, dim), 1e3, dtype=torch.float64)
        real = torch.zeros(len(TURNS), longest, FRAMES, dtype=torch.bool)
        for c, t, n in data:
            if n == name and (c, t, n) not in ABSENT:
                frames[c, t, : len(data[c, t, n])] = torch.from_numpy(data[c, t, n])
                real[c, t, : len(data[c, t, n])] = True
        inputs[name], present[name] = Padded(frames, real), real.any(-1)
    padded = [row + [-100] * (longest - len(row)) for row in labels]
    batch = Batch(
        ids=tuple(map(str, range(sum(TURNS)))), mask=mask, inputs=inputs, present=present,
        speakers=torch.tensor([row + [0] * (longest - len(row)) for row in speakers]), labels=torch.tensor(padded),
    )  # fmt: skip

    model.start_epoch(1)
    output = model(batch)
    losses = model.loss(output, batch)

    scores, own, expected = plain(w, data, labels, speakers, settings)
    assert_equal(output.logits[mask], scores)
    assert len(own) == 3 * sum(TURNS) - len(ABSENT)
    for c, t, name, answer in own:
        assert_equal(output.auxiliary[f"logits.{name}"][c, t], answer)
    assert losses.keys() == expected.keys()
    for term, value in expected.items():
        assert_equal(losses[term], value)
