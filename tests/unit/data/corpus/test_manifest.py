import csv
import json
import math
import os
import sys

import pyarrow
import pyarrow.parquet
import pytest

from merkit.core.errors import ManifestError
from merkit.core.types import Utterance
from merkit.data.corpus import manifest as manifest_module
from merkit.data.corpus.manifest import count, read_manifest, write_manifest
from merkit.data.corpus.tables import read_columns

ROWS = [
    {"id": "a0", "conversation": "a", "turn": 0, "speaker": "x", "text": "hello, you", "split": "train", "score": 1.5},
    {"id": "a1", "conversation": "a", "turn": 1, "speaker": "y", "text": "", "split": "train", "score": None},
    {"id": "b0", "conversation": "b", "turn": 0, "speaker": "x", "text": "NA", "split": "test", "score": -2.0},
]


def utterance(identity, conversation="c", turn=0, **fields):
    return Utterance(identity, conversation, turn, **{"speaker": "s", "text": "words", **fields})


def write_table(folder, rows, suffix):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"utterances{suffix}"
    if suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(rows[0])
            for row in rows:
                stream.write(",".join("" if cell is None else json.dumps(cell) for cell in row.values()) + "\n")
    return path


def written(folder, utterances, **info):
    return write_manifest(folder, utterances, **{"name": "toy", "version": 1, **info})


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_the_same_table_reads_the_same_from_every_format(tmp_path, suffix):
    expected = read_manifest(write_table(tmp_path / "first", ROWS, ".jsonl").parent)

    found = read_manifest(write_table(tmp_path / "second", ROWS, suffix).parent)

    assert found.utterances == expected.utterances
    assert found.sha256 == expected.sha256
    assert [u.text for u in found.utterances] == ["hello, you", "", "NA"]
    assert [u.attributes for u in found.utterances] == [
        {"split": "train", "score": 1.5},
        {"split": "train", "score": None},
        {"split": "test", "score": -2.0},
    ]


def test_a_manifest_reads_back_as_it_was_written(tmp_path):
    utterances = [
        utterance("c1", turn=1, audio="x.wav", start_s=0.5, end_s=2.0, language="pl", attributes={"emotion": "joy"}),
        utterance("c0", turn=0, text=None, video="x.mp4", attributes={"age": 3, "new": True}),
    ]

    first = written(tmp_path / "m", utterances, licence="free", facts={"best": 0.9}, partial=True)
    second = read_manifest(tmp_path / "m")

    assert second == first
    assert [u.id for u in second.utterances] == ["c0", "c1"]
    assert second.utterances[1].attributes == {"emotion": "joy", "age": None, "new": None}
    assert (second.info.name, second.info.licence, second.info.facts, second.info.partial) == (
        "toy",
        "free",
        {"best": 0.9},
        True,
    )


def test_writing_the_same_utterances_again_gives_the_same_bytes(tmp_path):
    for name in ("first", "second"):
        written(tmp_path / name, [utterance("c0", attributes={"b": 1, "a": "x"}), utterance("c1", turn=1)])

    for file in ("utterances.parquet", "corpus.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_only_the_id_and_one_modality_are_needed(tmp_path):
    (tmp_path / "mine.csv").write_text("id,audio\n007,a.wav\n8,b.wav\n", encoding="utf-8")

    manifest = read_manifest(tmp_path / "mine.csv")

    assert [(u.id, u.conversation, u.turn, u.speaker) for u in manifest.utterances] == [
        ("007", "007", 0, ""),
        ("8", "8", 0, ""),
    ]
    assert manifest.info.name == "table"
    assert manifest.media_path("a.wav") == tmp_path / "a.wav"


def test_turns_count_up_in_the_order_of_rows_where_the_column_is_absent(tmp_path):
    (tmp_path / "t.csv").write_text("id,conversation,text\n1,a,x\n2,b,x\n3,a,x\n", encoding="utf-8")

    found = read_manifest(tmp_path / "t.csv").utterances

    assert [(u.id, u.turn) for u in found] == [("1", 0), ("3", 1), ("2", 0)]


def test_turns_with_gaps_are_numbered_again_and_told(tmp_path, caplog):
    (tmp_path / "t.csv").write_text("id,conversation,turn,text\n1,a,7,x\n2,b,1,x\n3,a,3,x\n4,c,0,x\n", encoding="utf-8")

    found = read_manifest(tmp_path / "t.csv").utterances

    assert [(u.id, u.turn) for u in found] == [("3", 0), ("1", 1), ("2", 0), ("4", 0)]
    (message,) = caplog.messages
    assert "the turns of 2 conversations (a, b) do not count up from 0 without gaps" in message


@pytest.mark.parametrize("rows", ["id,text\n1,\n2,words\n", "id,label\n1,x\n2,y\n"])
def test_an_utterance_may_have_features_alone(tmp_path, caplog, rows):
    (tmp_path / "t.csv").write_text(rows, encoding="utf-8")

    assert read_manifest(tmp_path / "t.csv").utterances[0].text is None
    (message,) = caplog.messages
    assert "(1" in message
    assert "without text, audio and video, and no features" in message

    caplog.clear()
    (tmp_path / "precomputed").mkdir()
    read_manifest(tmp_path / "t.csv")
    assert not caplog.messages


def test_numbers_in_a_csv_with_leading_zeros_stay_text(tmp_path):
    (tmp_path / "t.csv").write_text("id,text,code,age,part\n1,42,01,7,0.5\n2,x,2,8,2\n", encoding="utf-8")

    found = read_manifest(tmp_path / "t.csv").utterances

    assert found[0].text == "42"
    assert found[0].attributes == {"code": "01", "age": 7, "part": 0.5}


def test_times_and_turns_in_a_csv_are_numbers_cell_by_cell(tmp_path):
    (tmp_path / "t.csv").write_text("id,text,turn,start_s,end_s\na,x,0,.5,1e1\nb,x,0,,2\n", encoding="utf-8")

    found = read_manifest(tmp_path / "t.csv").utterances

    assert [(u.turn, u.start_s, u.end_s) for u in found] == [(0, 0.5, 10.0), (0, None, 2.0)]


def test_one_bad_cell_in_a_csv_leaves_the_others_numbers(tmp_path):
    rows = ["id,text,turn,end_s", "a,x,0,1", "b,x,first,nan", "c,x,0,1_0", "d,x,0,soon"]
    (tmp_path / "t.csv").write_text("\n".join(rows), encoding="utf-8")

    with pytest.raises(ManifestError) as caught:
        read_manifest(tmp_path / "t.csv")

    assert str(caught.value).split(": ", 1)[1] == (
        "'b': turn is 'first', expected a whole number from 0; 'b': end_s is nan, expected seconds from 0;"
        " 'c': end_s is '1_0', expected seconds from 0; 'd': end_s is 'soon', expected seconds from 0"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "a0"}, "id 'a0' occurs 2 times"),
        ({"id": None}, "row 3: id is empty"),
        ({"id": " "}, "id is empty"),
        ({"id": 1.5}, r"id is 1\.5, expected text"),
        ({"speaker": True}, "'b0': speaker is True, expected text"),
        ({"text": 3}, "'b0': text is 3, expected text"),
        ({"text": "\ud800"}, "'b0': text is not valid Unicode"),
        ({"conversation": "\ud800"}, "conversation is .* not valid Unicode"),
        ({"split": "\ud800"}, "attribute 'split' is not valid Unicode in row 3"),
        ({"audio": ""}, "'b0': audio is empty"),
        ({"start_s": -1}, "'b0': start_s is -1, expected seconds from 0"),
        ({"start_s": 10**400}, "'b0': start_s is 1000"),
        ({"start_s": math.nan}, "'b0': start_s is nan"),
        ({"end_s": math.inf}, "'b0': end_s is inf"),
        ({"end_s": "soon"}, "'b0': end_s is 'soon'"),
        ({"start_s": 2, "end_s": 2}, r"'b0': end_s is 2, expected more than start_s 2"),
        ({"end_s": 0}, r"'b0': end_s is 0, expected more than start_s 0"),
        ({"turn": None}, "'b0': turn is None, expected a whole number"),
        ({"turn": -1}, "'b0': turn is -1"),
        ({"turn": 0.5}, r"'b0': turn is 0\.5"),
        ({"conversation": "a", "turn": 1}, "conversation 'a' has turn 1 2 times, expected once"),
        ({"score": math.nan}, "attribute 'score' is nan in 1 rows, first in row 3; leave such a cell empty"),
        ({"score": "high"}, "attribute 'score' holds float, str, expected one of"),
        ({"score": 2**64}, "attribute 'score' is too large a number in row 3"),
        ({"Speaker": "x"}, "column 'Speaker' must be written 'speaker'"),
    ],
)
def test_a_mistake_is_named(tmp_path, change, message):
    rows = [*ROWS[:2], {**ROWS[2], **change}]

    with pytest.raises(ManifestError, match=message):
        read_manifest(write_table(tmp_path, rows, ".jsonl"))


def test_whole_and_real_numbers_together_are_real_numbers(tmp_path):
    rows = [{**row, "score": score} for row, score in zip(ROWS, (1, 2.5, None), strict=True)]

    found = read_manifest(write_table(tmp_path, rows, ".jsonl")).utterances

    assert [type(u.attributes["score"]) for u in found] == [float, float, type(None)]


def test_all_mistakes_are_told_at_once_ten_in_words(tmp_path):
    rows = [{"id": f"u{n}", "text": "x", "start_s": -1} for n in range(14)]

    with pytest.raises(ManifestError, match=r"'u0': .*'u9': .*; and 4 more$") as caught:
        read_manifest(write_table(tmp_path, rows, ".jsonl"))

    assert "'u10'" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("utt_id,text", "no column 'id', found utt_id, text: rename 'utt_id' to 'id'?"),
        ("id,Utterance", "no column 'text', 'audio' or 'video', found id, Utterance: rename 'Utterance' to 'text'?"),
        ("id,text,text", "column 'text' occurs twice"),
        ("ID,text", "column 'ID' must be written 'id'"),
        ("", "no column 'id', found no column"),
    ],
)
def test_a_missing_column_is_named_with_what_was_found(tmp_path, header, message):
    (tmp_path / "t.csv").write_text(header + "\n", encoding="utf-8")

    with pytest.raises(ManifestError) as caught:
        read_manifest(tmp_path / "t.csv")

    assert message in str(caught.value)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_table_without_rows_is_an_error(tmp_path, suffix):
    (tmp_path / f"t{suffix}").write_text("id,text\n" if suffix == ".csv" else "", encoding="utf-8")

    with pytest.raises(ManifestError, match=r"has no utterance|no column"):
        read_manifest(tmp_path / f"t{suffix}")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"id,text\n1,caf\xe9\n", "UTF-?8"),
        ("t.csv", b"id,te\xe9t\n1,x\n", "not UTF-8 at byte 5"),
        ("t.csv", b"id,text\n1,x,y\n", r"line 2: 3 cells for 2 columns \(id, text\)"),
        ("t.parquet", b"not parquet", "cannot be read as Parquet"),
        ("t.jsonl", b"{]\n", "line 1 is not JSON"),
        ("t.jsonl", b"[1]\n", "line 1 is list, expected an object"),
        ("t.jsonl", b'\n{"id": "a", "text": ["x"]}\n', "line 2: 'text' is a list"),
        ("t.txt", b"", "tables are read from .*, found '.txt'"),
    ],
)
def test_a_malformed_table_is_an_error_that_names_the_file(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ManifestError, match=message) as caught:
        read_manifest(tmp_path / name)

    assert name in str(caught.value)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_pipe_in_place_of_a_table_is_refused_and_never_waited_for(tmp_path, suffix):
    os.mkfifo(tmp_path / f"t{suffix}")

    with pytest.raises(ManifestError, match=r"expected a (file|table)"):
        read_columns(tmp_path / f"t{suffix}")


def test_a_parquet_column_of_another_kind_is_an_error(tmp_path):
    table = pyarrow.table({"id": ["a"], "text": ["x"], "tags": [["y"]]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")

    with pytest.raises(ManifestError, match="column 'tags' is of type list"):
        read_manifest(tmp_path / "t.parquet")


def test_what_other_tools_leave_in_parquet_is_understood(tmp_path):
    labels = pyarrow.array(["x", "y"]).dictionary_encode()
    table = pyarrow.table({"id": [1, 2], "text": ["x", "y"], "label": labels, "__index_level_0__": [0, 1]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")

    found = read_manifest(tmp_path / "t.parquet").utterances

    assert [(u.id, u.attributes) for u in found] == [("1", {"label": "x"}), ("2", {"label": "y"})]


def test_a_folder_without_a_table_says_what_it_holds(tmp_path):
    (tmp_path / "clips").mkdir()

    with pytest.raises(ManifestError, match=r"expected utterances\.parquet, \.csv, \.jsonl or \.tsv, found clips"):
        read_manifest(tmp_path)


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(ManifestError, match="no such folder; `merkit prepare` makes one"):
        read_manifest(tmp_path / "nowhere")


def test_a_missing_table_is_an_error(tmp_path):
    with pytest.raises(ManifestError, match=r"t\.csv: no such file"):
        read_manifest(tmp_path / "t.csv")


def test_two_tables_in_one_folder_are_an_error(tmp_path):
    write_table(tmp_path, ROWS, ".csv")
    write_table(tmp_path, ROWS, ".jsonl")

    with pytest.raises(ManifestError, match=r"expected one table, found utterances\.csv and utterances\.jsonl"):
        read_manifest(tmp_path)


def test_writing_beside_another_table_is_refused(tmp_path):
    write_table(tmp_path, ROWS, ".csv")

    with pytest.raises(ManifestError, match=r"has utterances\.csv already"):
        written(tmp_path, [utterance("c0")])


def test_an_attribute_cannot_take_a_reserved_name(tmp_path):
    with pytest.raises(ManifestError, match="attribute 'turn' has the name of a reserved column"):
        written(tmp_path, [utterance("c0", attributes={"turn": 1})])


def test_changed_utterances_do_not_pass_for_the_ones_described(tmp_path):
    written(tmp_path, [utterance("c0")])
    page = (tmp_path / "corpus.json").read_text()
    written(tmp_path, [utterance("c0", text="other")])
    (tmp_path / "corpus.json").write_text(page)

    with pytest.raises(ManifestError, match=r"delete corpus\.json if you changed the table on purpose"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("already", [True, False])
def test_an_interrupted_writing_leaves_nothing_that_reads_as_whole(tmp_path, monkeypatch, already):
    if already:
        written(tmp_path, [utterance("c0", text="old")])

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(manifest_module.pyarrow.parquet, "write_table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path, [utterance("c0", text="new")])

    assert (tmp_path / "corpus.json").is_file()
    with pytest.raises(ManifestError):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "schema None found"),
        ('{"schema": 99}', "schema 99 found, this merkit reads 1"),
        ('{"schema": 1}', "name: Field required"),
        ('{"schema": 1, "nmae": "x"}', "nmae: "),
    ],
)
def test_a_malformed_corpus_json_is_an_error(tmp_path, content, message):
    written(tmp_path, [utterance("c0")])
    (tmp_path / "corpus.json").write_text(content)

    with pytest.raises(ManifestError, match=message):
        read_manifest(tmp_path)


def test_counts_are_by_split_where_there_is_one(tmp_path):
    manifest = read_manifest(write_table(tmp_path, ROWS, ".jsonl"))

    assert count(manifest.utterances) == {
        "utterances": 3,
        "conversations": 2,
        "test": 1,
        "test.conversations": 1,
        "train": 2,
        "train.conversations": 1,
    }
    assert manifest.info.counts == count(manifest.utterances)


def conversation_of_five(tmp_path):
    label = {"emotion": "joy"}
    return written(tmp_path, [utterance(f"c{n}", turn=n, attributes=label) for n in range(5)] + [utterance("d0", "d")])


def test_conversations_come_in_order_of_first_appearance(tmp_path):
    conversations = conversation_of_five(tmp_path).conversations()

    assert [(c.id, len(c.utterances)) for c in conversations] == [("c", 5), ("d", 1)]


def test_a_turn_brings_only_members_as_context_and_no_attribute(tmp_path):
    manifest = conversation_of_five(tmp_path)

    turns = list(manifest.turns(members=["c0", "c2", "c3", "c4", "d0"], context=2))

    assert {t.utterance.id: [u.id for u in t.previous] for t in turns} == {
        "c0": [],
        "c2": ["c0"],
        "c3": ["c0", "c2"],
        "c4": ["c2", "c3"],
        "d0": [],
    }
    assert all(not u.attributes for t in turns for u in (t.utterance, *t.previous))
    assert {t.root for t in turns} == {tmp_path}


def test_a_turn_brings_later_members_next_one_first_where_asked_for(tmp_path):
    manifest = conversation_of_five(tmp_path)

    some = list(manifest.turns(members=["c0", "c2", "c3", "c4"], following=2))
    every = list(manifest.turns(context=sys.maxsize, following=sys.maxsize))

    assert [[later.id for later in turn.following] for turn in some] == [["c2", "c3"], ["c3", "c4"], ["c4"], []]
    assert not any(turn.previous for turn in some)
    assert not any(later.attributes for turn in some for later in turn.following)
    for turn in every:
        whole = [*turn.previous, turn.utterance, *turn.following]
        assert [u.id for u in whole] == [u.id for u in manifest.utterances if u.conversation == whole[0].conversation]


def test_without_members_everybody_takes_part_and_context_is_none_unless_asked_for(tmp_path):
    turns = list(conversation_of_five(tmp_path).turns())

    assert len(turns) == 6
    assert all(turn.previous == () for turn in turns)


def test_an_unknown_member_is_an_error(tmp_path):
    with pytest.raises(ManifestError, match=r"1 requested utterance \(zz\) not in the manifest"):
        list(conversation_of_five(tmp_path).turns(members=["c0", "zz"]))
