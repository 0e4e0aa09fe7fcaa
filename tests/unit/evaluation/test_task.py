"""A task is what was asked: it does not depend on where a corpus lies or on what the systems read."""

from dataclasses import replace

import pytest

from merkit.core.types import Utterance
from merkit.data.corpus.manifest import Manifest, write_manifest
from merkit.evaluation.task import Task, task_of
from merkit.protocols.table import Table, TableOptions

ROWS = [
    Utterance(
        f"u{n}",
        f"c{n // 2}",
        n % 2,
        f"s{n % 3}",
        text=f"line {n}",
        audio=f"wavs/{n}.wav",
        attributes={"label": "ab"[n % 2], "other": "abc"[n % 3], "split": ("train", "valid", "test")[n // 8]},
    )
    for n in range(24)
]


def task(folder, rows=ROWS, **options) -> Task:
    manifest: Manifest = write_manifest(folder, rows, name="table", version=1)
    checked = TableOptions(**options)
    return task_of("table", Table(checked), checked, manifest, "mine")


@pytest.fixture
def first(tmp_path):
    return task(tmp_path / "first")


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: [replace(u, audio=f"/elsewhere/{u.id}.flac") for u in rows],
        lambda rows: [replace(u, audio=None, video="v.mp4") for u in rows],
        lambda rows: [replace(u, attributes={**u.attributes, "asr_text": "um"}) for u in rows],
        lambda rows: [*rows, Utterance("x", "x", 0, "", text="left out", attributes={"label": "z", "split": "train"})],
        lambda rows: rows[::-1],
    ],
    ids=["other paths", "other media", "a further column", "a row that is left out", "another order"],
)
def test_what_systems_read_and_where_it_lies_is_no_part_of_the_task(first, tmp_path, change):
    rows = change(ROWS)
    left_out = ("z",) if len(rows) > len(ROWS) else ()

    assert task(tmp_path / "second", rows, leave_out=left_out).id == first.id


@pytest.mark.parametrize("options", [{"selection": "last"}, {"folds": 7}, {"labels": ("a", "b")}, {"valid_share": 0.3}])
def test_an_option_without_an_effect_on_what_is_asked_makes_no_other_task(first, tmp_path, options):
    assert task(tmp_path / "second", **options).id == first.id


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"label": "other"}, 'options none and label = "other"; classes 2 (a, b) and 3 (a, b, c); data'),
        ({"labels": ("b", "a")}, "classes 2 (a, b) and 2 (b, a)"),
        ({"label": "other", "leave_out": ("c",)}, "data"),
        ({"group": "speaker", "folds": 2}, "folds"),
        ({"metrics": ("macro_f1",)}, 'options none and metrics = ["macro_f1"]'),
    ],
)
def test_an_option_with_an_effect_makes_another_task(first, tmp_path, options, difference):
    other = task(tmp_path / "second", **options)

    assert other.id != first.id
    assert difference in "; ".join(first.differences(other))


@pytest.mark.parametrize(
    "change",
    [
        lambda u: replace(u, text=f"{u.text}!"),
        lambda u: replace(u, speaker="one"),
        lambda u: replace(u, id=f"x{u.id}"),
        lambda u: replace(u, attributes={**u.attributes, "label": "ba"[u.turn]}),
    ],
    ids=["text", "speaker", "id", "label"],
)
def test_other_utterances_make_another_task(first, tmp_path, change):
    assert task(tmp_path / "second", [change(u) for u in ROWS]).id != first.id


def test_a_task_says_what_was_asked(first):
    assert (first.corpus, first.options, first.labels) == ("mine", "", ("a", "b"))
