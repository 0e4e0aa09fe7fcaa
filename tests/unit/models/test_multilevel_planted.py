"""A corpus in which only prosody at the level of words tells the class, whatever frames do by themselves.

Half of an utterance's frames are high and half are low, in both classes. In the one all frames of a word are alike, in
the other every word has as many high as low ones. So words' means tell the class, and the mean of the utterance does
not. Boundaries are exact, or moved at random.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.contract.fakes import DIM, HOP_S, FakeEncoder

from merkit.core.batch import Batch, Padded
from merkit.models.multilevel import SPEC, Multilevel, MultilevelConfig

WORDS = 4
EPOCHS = 10
TRAIN, TEST = 400, 500


def corpus(items: int, seed: int, jitter_s: float = 0.0) -> Batch:
    """Four words of 8 to 14 frames each (160 to 280 ms); inner boundaries are off by up to the jitter."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=items)
    lengths = 2 * rng.integers(4, 8, size=(items, 1)).repeat(WORDS, axis=1)
    most = int(lengths.sum(1).max())
    frames = rng.normal(scale=0.7, size=(items, most, DIM)).astype(np.float32)
    mask = np.arange(most) < lengths.sum(1, keepdims=True)
    times = np.zeros((items, WORDS, 2))
    for item in range(items):
        edges = np.concatenate([[0], lengths[item].cumsum()])
        highs = rng.permutation([1.5, 1.5, -1.5, -1.5])
        for high, (first, behind) in zip(highs, pairwise(edges), strict=True):
            half = (behind - first) // 2
            frames[item, first:behind, 0] += rng.permutation([1.5] * half + [-1.5] * half) if labels[item] else high
        moved = edges * HOP_S
        moved[1:-1] += rng.uniform(-jitter_s, jitter_s, WORDS - 1)
        times[item] = list(pairwise(moved))
    everywhere = torch.ones(items, WORDS, dtype=torch.bool)
    text = torch.ones(items, WORDS, DIM)
    return Batch(
        ids=tuple(str(item) for item in range(items)),
        mask=everywhere[:, 0],
        inputs={"text": Padded(text, everywhere), "audio": Padded(torch.from_numpy(frames), torch.from_numpy(mask))},
        present={"text": everywhere[:, 0], "audio": everywhere[:, 0]},
        speakers=torch.zeros(items, dtype=torch.long),
        labels=torch.from_numpy(labels),
        extras={"segments.word": torch.from_numpy(times), "segments.word.mask": everywhere},
    )


def part(batch: Batch, chosen: torch.Tensor) -> Batch:
    assert batch.labels is not None
    return replace(
        batch,
        ids=tuple(batch.ids[number] for number in chosen.tolist()),
        mask=batch.mask[chosen],
        inputs={name: Padded(each.data[chosen], each.mask[chosen]) for name, each in batch.inputs.items()},
        present={name: there[chosen] for name, there in batch.present.items()},
        speakers=batch.speakers[chosen],
        labels=batch.labels[chosen],
        extras={name: extra[chosen] for name, extra in batch.extras.items()},
    )


def trained(granularity: str, jitter_s: float = 0.0) -> Multilevel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = MultilevelConfig(
            granularities=(granularity,), branches=("early",), dim=32, heads=4, feed_forward=64, dropout=0.0
        )
        model: Multilevel = SPEC.build({name: FakeEncoder(name) for name in ("text", "audio")}, 2, config)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        batch = corpus(TRAIN, 1, jitter_s)
        for _ in range(EPOCHS):
            for chosen in torch.randperm(TRAIN).split(40):
                optimizer.zero_grad()
                given = part(batch, chosen)
                torch.stack(list(model.loss(model(given), given).values())).sum().backward()
                optimizer.step()
    return model.eval()


def accuracy(model: Multilevel, batch: Batch) -> float:
    assert batch.labels is not None
    with torch.no_grad():
        return float((model(batch).logits.argmax(-1) == batch.labels).float().mean())


def utterance_long(batch: Batch) -> Batch:
    """The same with one segment over everything."""
    times = batch.extras["segments.word"]
    times = torch.stack([times[:, :1, 0], times[:, -1:, 1]], dim=-1)
    return replace(batch, extras={"segments.word": times, "segments.word.mask": torch.ones(TEST, 1, dtype=torch.bool)})


@pytest.fixture(scope="module")
def word() -> Multilevel:
    return trained("word")


def test_words_tell_what_frames_do_not(word: Multilevel) -> None:
    frame = trained("frame")

    assert accuracy(word, corpus(TEST, 2)) >= 0.9
    assert accuracy(frame, corpus(TEST, 2)) <= accuracy(word, corpus(TEST, 2)) - 0.1


def test_boundaries_that_are_a_little_off_cost_little_and_none_at_all_cost_everything(word: Multilevel) -> None:
    exact, by_20_ms, by_50_ms = (accuracy(word, corpus(TEST, 2, jitter_s)) for jitter_s in (0.0, 0.02, 0.05))

    assert by_20_ms >= exact - 0.02
    assert by_50_ms >= exact - 0.1
    assert accuracy(word, utterance_long(corpus(TEST, 2))) <= 0.65
