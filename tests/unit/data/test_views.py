"""Which view an utterance gets, and where made ones lie."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from tests.contract.fakes import DIM, FakeEncoder

from merkit.core.types import Turn, Utterance
from merkit.data.dataset import Dataset
from merkit.data.features.sources import FeatureSource
from merkit.data.views import Views, find_view, seed_of, view_path, write_view

NAMES = ("a", "b", "c")


class Sounds(FakeEncoder):
    """What it extracts is the number that an id ends in, once per character: views differ in length, too."""

    def extract(self, turns):
        names = [turn.utterance.id for turn in turns]
        return [np.full((len(n), DIM), float(n[-1]) if "#" in n else -1.0, dtype=np.float32) for n in names]


def turn(name: str) -> Turn:
    return Turn(Utterance(name, name.partition("#")[0], 0, "anna", text=name), (), Path())


@pytest.fixture
def dataset() -> Dataset:
    source = {"text": FeatureSource(Sounds("text"), None)}
    views = Views({name: [turn(f"{name}#{number}") for number in range(3)] for name in NAMES[:2]}, source)
    labels = dict.fromkeys(NAMES, 0)
    return Dataset([[turn(name)] for name in NAMES], source, "utterance", labels, with_texts=True, views=views)


def drawn(dataset: Dataset, draw: int, indices=(0, 1, 2)) -> dict[str, float]:
    batch = replace(dataset, draw=draw).batch(indices)
    assert batch.view is not None
    assert batch.view.ids == batch.ids
    assert batch.view.labels is None
    assert batch.view.texts == ()
    assert bool((batch.inputs["text"].data[batch.inputs["text"].mask] == -1.0).all())  # the original is untouched
    first = batch.view.inputs["text"].data[:, 0, 0].tolist()
    return dict(zip(batch.ids, first, strict=True))


def test_the_draw_decides_and_batch_mates_do_not(dataset: Dataset) -> None:
    assert drawn(dataset, 7) == drawn(dataset, 7)
    assert drawn(dataset, 7, (1,)) == {"b": drawn(dataset, 7)["b"]}


def test_over_draws_every_view_comes_equally_often_and_each_utterance_for_itself(dataset: Dataset) -> None:
    rows = [drawn(dataset, draw) for draw in range(300)]

    for name in NAMES[:2]:
        counts = np.bincount([int(row[name]) for row in rows], minlength=3)
        assert counts.sum() == 300
        assert counts.min() > 70  # of 100 expected, 4 standard deviations
    assert 0.2 < np.mean([row["a"] == row["b"] for row in rows]) < 0.47


def test_an_utterance_without_views_is_its_own(dataset: Dataset) -> None:
    assert drawn(dataset, 0)["c"] == -1.0


def test_without_views_a_batch_has_none(dataset: Dataset) -> None:
    assert replace(dataset, views=None).batch([0, 1]).view is None


def test_a_view_goes_to_the_device_with_its_batch(dataset: Dataset) -> None:
    moved = dataset.batch([0, 1]).to(torch.device("meta"))

    assert moved.view is not None
    assert moved.view.inputs["text"].data.is_meta
    assert moved.view.mask.is_meta


def test_a_view_is_found_by_all_that_it_was_made_of(tmp_path: Path) -> None:
    made_of = {"engine": {"engine": "edit", "drop": 0.1}, "text": "no", "seed": 1}

    path = view_path(tmp_path, "text", made_of)
    assert find_view(path) is None
    file = write_view(path, "no ąę")

    assert view_path(tmp_path, "text", dict(reversed(made_of.items()))) == path
    assert find_view(path) == file
    assert file.read_text(encoding="utf-8") == "no ąę"
    for key, value in (("text", "No"), ("seed", 2), ("engine", {"engine": "edit", "drop": 0.2})):
        assert view_path(tmp_path, "text", {**made_of, key: value}) != path
    assert view_path(tmp_path, "audio", made_of).suffix == ".flac"


def test_recordings_are_kept_to_16_bits(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, 1_000).astype(np.float32)

    file = write_view(tmp_path / "x" / "v.flac", samples)

    read, rate_hz = soundfile.read(file, dtype="float32")
    assert rate_hz == 16_000
    assert np.abs(read - samples).max() <= 2**-15


@pytest.mark.parametrize("content", ["no", np.zeros(9, np.float32)], ids=["text", "audio"])
def test_a_damaged_view_is_named_and_missing(
    tmp_path: Path, content: str | np.ndarray[Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    path = view_path(tmp_path, "text" if isinstance(content, str) else "audio", {"seed": 1})
    file = write_view(path, content)
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    assert find_view(path) is None
    assert f"{file.name}' is damaged" in caplog.text
    assert find_view(write_view(path, content).with_name(path.name)) == file
    assert not list(tmp_path.rglob(".tmp-*"))


def test_a_view_of_an_earlier_version_is_found(tmp_path: Path) -> None:
    path = view_path(tmp_path, "text", {"seed": 1})
    path.parent.mkdir(parents=True)
    path.write_text("no")

    assert find_view(path) == path


def test_seeds_are_known_numbers() -> None:
    assert seed_of("a", 1) == seed_of("a", "1") != seed_of("a", 2)
    assert 0 <= seed_of("b") < 2**63
