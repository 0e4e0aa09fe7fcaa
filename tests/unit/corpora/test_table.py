import os
from pathlib import Path

import pytest

from merkit.core.corpus import CorpusOptions
from merkit.core.errors import ManifestError
from merkit.core.lookup import load
from merkit.corpora.table import read

ROWS = """id,speaker,text,audio,mood,split,room
a,p1,Well now.,clips/a.wav,fine,train,1
b,p2,"Oh, no.",,bad,train,1
c,p1,Right.,/elsewhere/c.wav,fine,valid,2
d,p2,Hm.,clips/d.wav,bad,test,2
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text(ROWS, encoding="utf-8")
    return path


def test_columns_that_are_not_reserved_become_attributes(table: Path) -> None:
    corpus = read(table, CorpusOptions())

    assert [utterance.id for utterance in corpus.utterances] == ["a", "b", "c", "d"]
    assert dict(corpus.utterances[1].attributes) == {"mood": "bad", "split": "train", "room": 1}
    assert corpus.utterances[1].text == "Oh, no."


def test_media_are_looked_for_beside_the_table(table: Path) -> None:
    corpus = read(table, CorpusOptions())

    paths = [utterance.audio for utterance in corpus.utterances]
    assert os.path.normpath(table / str(paths[0])) == str(table.parent / "clips" / "a.wav")
    assert paths[1:3] == [None, "/elsewhere/c.wav"]


def test_a_folder_with_a_table_will_do(table: Path) -> None:
    table.rename(table.parent / "utterances.csv")

    corpus = read(table.parent, CorpusOptions())

    assert corpus.utterances[0].audio == "clips/a.wav"


def test_a_broken_table_is_an_error(table: Path) -> None:
    table.write_text(ROWS.replace("b,p2", "a,p2"), encoding="utf-8")

    with pytest.raises(ManifestError, match="a"):
        read(table, CorpusOptions())


def test_the_protocol_reads_labels_and_parts_from_its_columns(table: Path) -> None:
    spec = load("protocols", "table")
    protocol = spec.build(spec.options(label="mood"), False)

    (fold,) = protocol.folds(read(table, CorpusOptions()).utterances, 0)

    assert protocol.labels == ("bad", "fine")
    assert (dict(fold.train), dict(fold.valid), fold.test) == ({"a": 1, "b": 0}, {"c": 1}, ("d",))
