"""Multi-level fusion beside a plain implementation, one utterance, segment and frame after the other."""

import math

import numpy as np
import torch
from tests.golden.plain.blocks import (
    Array,
    Weights,
    assert_equal,
    cross_entropy,
    linear,
    normal,
    positions,
    post_norm_layer,
    softmax,
    weights_of,
)
from tests.golden.released.cases import Given

from merkit.core.batch import Batch, Padded
from merkit.models.multilevel import SPEC
from merkit.nn.losses import build_criterion

HOP_S, CENTRE_S = 0.02, 0.0125
DIMS = {"text": 5, "audio": 6}
FRAMES, TOKENS = (9, 4, 6), (3, 5, 0)  # the third utterance has no words
SEGMENTS = {  # some hold no frame: the nearest is a later one, or the first
    "phone": ([(0.0, 0.05), (0.05, 0.055), (0.09, 0.17)], [(0.0, 0.01), (0.01, 0.09)], [(0.0, 0.031), (0.04, 0.12)]),
    "word": ([(0.0, 0.05), (0.06, 0.18)], [(0.0, 0.02), (0.02, 0.08)], [(0.02, 0.1)]),
}
LEVELS = ("frame", "phone", "word")
LABELS = (2, 0, 1)
CLASSES, DIM, HEADS = 3, 8, 2


def segments(frames: Array, times: list[tuple[float, float]]) -> Array:
    """Return the mean of the frames whose centre lies in each segment, of none the frame nearest to its middle."""
    centres = [CENTRE_S + HOP_S * number for number in range(len(frames))]
    rows = []
    for start, end in times:
        inside = [frame for frame, centre in zip(frames, centres, strict=True) if start <= centre < end]
        nearest = min(range(len(frames)), key=lambda number: abs(centres[number] - (start + end) / 2))
        rows.append(np.mean(inside, axis=0) if inside else frames[nearest])
    return np.array(rows)


def projected(w: Weights, key: str, stream: Array) -> Array:
    return linear(w.below(f"project.{key}"), stream) + positions(len(stream), DIM)


def answer(w: Weights, name: str, speech: Array, text: Array) -> Array | None:
    """Return the scores of one of the models that late fusion averages; ``None`` where it has nothing to read."""
    branch, _, level = name.partition("_")
    if branch == "text":
        return linear(w.below("heads.text.1"), projected(w, "text_text_text", text).mean(axis=0)) if len(text) else None
    audio = projected(w, f"{branch}_{level}_audio", speech)
    if branch == "audio":
        return linear(w.below(f"heads.{name}.1"), audio.mean(axis=0))
    key = f"early_{level}"
    words = projected(w, f"{key}_text", text)
    v = w.below(f"coattention.{key}")
    audio, words = (
        post_norm_layer(v.below("first.0"), audio, words, HEADS),
        post_norm_layer(v.below("second.0"), words, audio, HEADS),
    )
    said = words.mean(axis=0) if len(words) else w[f"pools.{key}_text.absent"]
    return linear(w.below(f"heads.{name}.1"), np.concatenate([audio.mean(axis=0), said]))


def test_multilevel_computes_what_the_equations_say() -> None:
    names = [f"audio_{level}" for level in LEVELS] + ["text"] + [f"early_{level}" for level in LEVELS]
    shares = dict(zip(names, (0.1, 0.05, 0.2, 0.25, 0.1, 0.2, 0.1), strict=True))
    config = SPEC.config(granularities=LEVELS, dim=DIM, heads=HEADS, feed_forward=9, weights=shares)
    encoders = {name: Given(name, dim) for name, dim in DIMS.items()}
    encoders["audio"].hop_s, encoders["audio"].centre_s = HOP_S, CENTRE_S
    model = SPEC.build(encoders, CLASSES, config).double().eval()
    model.criterion = build_criterion("cross_entropy", [1] * CLASSES)
    w = weights_of(model, seed=5)
    lengths = {"audio": FRAMES, "text": TOKENS}
    data = {n: [normal(f"{n}.{i}", (t, DIMS[n]), 6) for i, t in enumerate(lengths[n])] for n in DIMS}
    inputs, extras = {}, {}
    for name, streams in data.items():
        padded = torch.full((len(LABELS), max(lengths[name]), DIMS[name]), 1e3, dtype=torch.float64)
        for item, stream in enumerate(streams):
            padded[item, : len(stream)] = torch.from_numpy(stream)
        mask = torch.arange(padded.shape[1]) < torch.tensor(lengths[name]).unsqueeze(1)
        inputs[name] = Padded(padded, mask)
    for tier, rows in SEGMENTS.items():
        times = torch.full((len(rows), max(map(len, rows)), 2), 1e3, dtype=torch.float64)
        real = torch.zeros(times.shape[:2], dtype=torch.bool)
        for item, row in enumerate(rows):
            times[item, : len(row)], real[item, : len(row)] = torch.tensor(row, dtype=torch.float64), True
        extras |= {f"segments.{tier}": times, f"segments.{tier}.mask": real}
    batch = Batch(
        ids=("a", "b", "c"),
        mask=torch.ones(3, dtype=torch.bool),
        inputs=inputs,
        present={name: padded.mask.any(-1) for name, padded in inputs.items()},
        speakers=torch.zeros(3, dtype=torch.long),
        labels=torch.tensor(LABELS),
        extras=extras,
    )

    output = model(batch)
    losses = model.loss(output, batch)

    pairs: dict[str, list[tuple[Array, int]]] = {name: [] for name in names}
    for item, label in enumerate(LABELS):
        frames, text = data["audio"][item], data["text"][item]
        speech = {"frame": frames} | {tier: segments(frames, rows[item]) for tier, rows in SEGMENTS.items()}
        mixture, total = np.zeros(CLASSES), 0.0
        for name in names:
            scores = answer(w, name, speech.get(name.partition("_")[2], frames), text)
            if scores is None:
                continue
            pairs[name].append((scores, label))
            assert_equal(output.auxiliary[f"logits.{name}"][item], scores)
            if len(text) or name.startswith("audio"):  # without words the models of speech alone have all they read
                mixture, total = mixture + shares[name] * softmax(scores), total + shares[name]
        assert_equal(output.logits[item], [math.log(p / total) for p in mixture])
    assert losses.keys() == pairs.keys()
    for name, each in pairs.items():
        assert_equal(losses[name], cross_entropy(each))
