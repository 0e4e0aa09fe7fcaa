"""The reader of delimited tables that corpora and transcripts share."""

import csv
import io
import random

import pytest

from merkit.core.errors import MerkitError
from merkit.data.corpus.manifest import read_manifest
from merkit.data.delimited import read_table

KNOWN = {"id", "text"}


@pytest.mark.parametrize(
    ("content", "names", "rows"),
    [
        ('id,text\na,\nb,""\n', ["id", "text"], [["a", None], ["b", ""]]),
        ("id;text\na;1,5\n", ["id", "text"], [["a", "1,5"]]),
        ("sep=\t\nid\ttext\na\tb,c;d\n", ["id", "text"], [["a", "b,c;d"]]),
        ('"sep=;"\r\nid;text\r\na;b\r\n', ["id", "text"], [["a", "b"]]),
        ("id,text,,\na,b,,\n,,,\nc,d,,\n\n,,,\n", ["id", "text"], [["a", "b"], ["c", "d"]]),
        ("id,text\na,b,,\n", ["id", "text"], [["a", "b"]]),
        (",id,text\n0,a,b\n", ["", "id", "text"], [["0", "a", "b"]]),
        ('id,text\na,"b\r\nc"\rd,e', ["id", "text"], [["a", "b\r\nc"], ["d", "e"]]),
        ("", [], []),
    ],
    ids=[
        "empty cells",
        "semicolons",
        "sep",
        "quoted sep",
        "Excel's columns and rows",
        "Excel's cells",
        "no name",
        "rows",
        "nothing",
    ],
)
def test_cells_are_read_as_written(content: str, names: list[str], rows: list[list[str | None]]) -> None:
    table = read_table(content, "t.csv", KNOWN)

    assert table.names == names
    assert [cells for _, cells in table.rows] == rows


def test_rows_know_the_line_in_which_they_begin() -> None:
    table = read_table('sep=,\nid,text\n\na,"b\n\nc"\nd,e\n', "t.csv", KNOWN)

    assert [number for number, _ in table.rows] == [4, 7]


@pytest.mark.parametrize("seed", range(3))
def test_what_pythons_writer_writes_reads_back(seed: int) -> None:
    draw = random.Random(seed)
    rows = [["".join(draw.choices('ab ,;"\n\té', k=draw.randint(1, 6))) for _ in range(3)] for _ in range(200)]
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["id", "text", "more"], *rows])

    assert [cells for _, cells in read_table(text.getvalue(), "t.csv", KNOWN).rows] == rows


def test_a_long_cell_that_is_not_closed_is_one_error() -> None:
    with pytest.raises(MerkitError, match="line 3: a quote that is never closed"):
        read_table('id,text\na,b\nc,"' + '""' * 200_000 + "d\n" * 100_000, "t.csv", KNOWN)


@pytest.mark.parametrize(
    ("name", "content", "cells"),
    [
        ("T.CSV", b"\xef\xbb\xbfsep=;\r\nid;text;end_s;score;\r\na;oh, no;1,5;0,25;\r\n;;;;\n", ("oh, no", 1.5, 0.25)),
        ("t.tsv", "id\ttext\tend_s\tscore\na\t\"oh\t1,5\t0,25\n".encode("utf-16"), ('"oh', 1.5, 0.25)),
        ("t.csv", b'id,text,end_s,score\na,oh,1.5,"0,25"\n', ("oh", 1.5, "0,25")),
        ("t.csv", b"id;text;end_s;score\na;oh;1.5;0.25\n", ("oh", 1.5, 0.25)),
    ],
    ids=["Excel", "UTF-16", "a comma in quotes", "points"],
)  # fmt: skip
def test_a_corpus_reads_what_spreadsheets_write(tmp_path, name, content, cells) -> None:
    (tmp_path / name).write_bytes(content)

    (utterance,) = read_manifest(tmp_path / name).utterances

    assert (utterance.text, utterance.end_s, utterance.attributes["score"]) == cells
    assert set(utterance.attributes) == {"score"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b'id,text\na,"oh\nb,no\n', "line 2: a quote that is never closed"),
        ("t.csv", b"id,text\na,oh, no\n", r"line 2: 3 cells for 2 columns \(id, text\); a cell that has ','"),
        ("t.csv", b"id,text\na,b\x00\n", "is no text: it has a zero byte"),
        ("t.csv", b"id,text,score\na,oh," + b"9" * 5000 + b"\n", "attribute 'score' is inf in 1 rows"),
        ("t.csv", b"id,text,end_s\na,oh," + b"9" * 5000 + b"\n", "end_s is inf"),
        ("t.jsonl", b"[" * 100_000, "line 1 is not JSON: its values are nested too deeply"),
        ("t.jsonl", b'{"id": "a", "text": "b", "id": "c"}', "the key 'id' occurs twice"),
        ("t.jsonl", b'{"id": 1' + b"0" * 5000 + b"}", "a number has thousands of digits"),
        ("t.xlsx", b"PK\x03\x04", r"found '\.xlsx'; save it as CSV \(UTF-8\)"),
        ("t.csv", b"PK\x03\x04", "a ZIP file, such as an Excel workbook"),
    ],
)  # fmt: skip
def test_a_corpus_refuses_a_damaged_table_in_one_line(tmp_path, name, content, message) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(MerkitError, match=message) as refused:
        read_manifest(tmp_path / name)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["utterances.CSV", "Utterances.tsv"])
def test_a_folder_is_searched_for_tables_in_any_case(tmp_path, name) -> None:
    (tmp_path / name).write_text("id\ttext\na\toh\n")

    assert [utterance.text for utterance in read_manifest(tmp_path).utterances] == ["oh"]
