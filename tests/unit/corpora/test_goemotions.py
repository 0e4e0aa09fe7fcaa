"""GoEmotions: labels by number, one or several, and the lines that are none of the release's."""

from pathlib import Path

import pytest

from merkit.core.errors import ManifestError
from merkit.core.lookup import load
from merkit.corpora.goemotions import SPEC, read
from merkit.data.corpus.manifest import count


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    assert SPEC.example is not None
    SPEC.example(tmp_path)
    return tmp_path


def test_each_comment_has_the_names_of_its_labels_in_their_order(raw: Path) -> None:
    corpus = read(raw, SPEC.options())

    assert [(u.id, u.attributes["split"], u.attributes["emotions"]) for u in corpus.utterances[:3]] == [
        ("a0", "train", "admiration;joy"),
        ("b0", "train", "neutral"),
        ("a1", "dev", "admiration;joy"),
    ]
    assert {u.text for u in corpus.utterances} == {"What a day!", "It is Monday."}


def test_the_names_may_lie_in_the_file_of_the_makers_repository_and_lines_may_end_as_on_windows(raw: Path) -> None:
    before = read(raw, SPEC.options()).utterances
    (raw / "labels.txt").rename(raw / "emotions.txt")
    for path in raw.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))

    assert read(raw, SPEC.options()).utterances == before


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train.tsv", b"A text\t0,3\tx1\n", r"line 1 \('x1'\) has the label '3', expected numbers from 0 to 2"),
        ("dev.tsv", b"A text\t1\tx1\nNo label\t\tx2\n", r"line 2 \('x2'\) has no label, expected numbers from 0 to 2"),
        ("dev.tsv", b"A text\tjoy\tx1\n", r"has the label 'joy', expected numbers"),
        ("test.tsv", b"A text\t1\n", "line 1 has 2 cells, expected text, numbers of labels and id"),
        ("test.tsv", b"A text\t1\t\n", "line 1 has 3 cells"),
        ("test.tsv", b"Caf\xe9\t1\tx1\n", "not UTF-8"),
        ("labels.txt", b"joy\njoy\n", "2 lines found, expected different names"),
    ],
)
def test_a_line_that_is_none_of_the_release_is_named(raw: Path, file: str, content: bytes, message: str) -> None:
    (raw / file).write_bytes(content)

    with pytest.raises(ManifestError, match=message):
        read(raw, SPEC.options())


@pytest.mark.parametrize(
    ("file", "message"), [("test.tsv", "no test.tsv in"), ("labels.txt", "no labels.txt or emotions.txt in")]
)
def test_a_missing_file_is_named(raw: Path, file: str, message: str) -> None:
    (raw / file).unlink()

    with pytest.raises(ManifestError, match=message):
        read(raw, SPEC.options())


def test_the_release_has_the_published_counts_and_its_groups_those_of_the_emotions(
    real_data: Path,
) -> None:
    utterances = read(real_data / "goemotions", SPEC.options()).utterances

    assert count(utterances).items() >= SPEC.expected.items()
    for name in ("goemotions28", "goemotions-ekman"):
        spec = load("protocols", name)
        assert spec.build(spec.options(), False).differences(utterances) == []
