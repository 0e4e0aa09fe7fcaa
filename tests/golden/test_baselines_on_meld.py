"""The floors on MELD's text against figures that anyone can recompute from the release's tables alone."""

import csv
from pathlib import Path

import pytest
import torch

from merkit.core import lookup
from merkit.core.batch import Batch
from merkit.core.model import FittedModel
from merkit.metrics.classification import accuracy, confusion, weighted_f1

EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")

pytestmark = pytest.mark.data


def batch(folder: Path, split: str) -> Batch:
    with (folder / "meld" / f"{split}_sent_emo.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    labels = torch.tensor([EMOTIONS.index(row["Emotion"]) for row in rows])
    return Batch(
        ids=tuple(str(number) for number in range(len(rows))),
        mask=torch.ones(len(rows), dtype=torch.bool),
        inputs={},
        present={},
        speakers=torch.zeros_like(labels),
        labels=labels,
        texts=tuple(row["Utterance"] for row in rows),
    )


def measure(name: str, folder: Path) -> tuple[float, float]:
    spec = lookup.load("models", name)
    model: FittedModel = spec.build({}, len(EMOTIONS), spec.config())
    model.fit([batch(folder, "train")], seed=0)
    test = batch(folder, "test")
    assert test.labels is not None
    predictions = model(test).logits.argmax(dim=-1).numpy()
    counts = confusion(test.labels.numpy(), predictions, len(EMOTIONS))
    return 100 * float(accuracy(counts)), 100 * float(weighted_f1(counts))


def test_the_commonest_class_has_the_published_floor(real_data: Path) -> None:
    found_accuracy, found_f1 = measure("majority", real_data)

    # 1256 of 2610 are neutral: 48.12; F1 of neutral 0.64974 times its share
    assert found_accuracy == pytest.approx(48.12, abs=0.005)
    assert found_f1 == pytest.approx(31.27, abs=0.005)


def test_bag_of_words_reaches_what_scikit_learn_reaches(real_data: Path) -> None:
    _, found_f1 = measure("bag_of_words", real_data)

    assert found_f1 >= 46.0


def test_sentences_of_the_test_part_are_known_from_training(real_data: Path) -> None:
    _, majority_f1 = measure("majority", real_data)
    _, lookup_f1 = measure("text_lookup", real_data)

    assert lookup_f1 > majority_f1 + 5.0, "short replies repeat: memory alone beats the floor"
