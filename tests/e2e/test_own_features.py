"""Features of one's own: imported from every kind of file with the same scores, refused in one line, exported."""

import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from tests.commandline import call
from tests.tiny import WIDTH, recipe_values, write_corpus, write_recipe

from merkit.core.corpus import PublishedFeatures
from merkit.data.features.published import read_published, write_published
from merkit.data.files import file_hash
from merkit.io.feature_files.files import read_features

Arrays = dict[str, np.ndarray]


def vectors(arrays: Arrays) -> Arrays:
    return {name: array[:1] for name, array in arrays.items()}


def npz_by_id(path: Path, arrays: Arrays) -> Path:
    np.savez(path, **{name: array if len(array) > 1 else array[0] for name, array in arrays.items()})
    return path


def npz_table(path: Path, arrays: Arrays) -> Path:
    lengths = [len(array) for array in arrays.values()]
    np.savez(path, ids=np.array(list(arrays)), features=np.concatenate(list(arrays.values())), lengths=lengths)
    return path


def npz_padded(path: Path, arrays: Arrays) -> Path:
    lengths = np.array([len(array) for array in arrays.values()])
    padded = np.full((len(arrays), lengths.max() + 1, WIDTH), 1e3)
    for row, array in enumerate(arrays.values()):
        padded[row, : len(array)] = array
    np.savez(path, id=np.array(list(arrays)), audio=padded, audio_lengths=lengths, text=np.zeros((len(arrays), 2)))
    return path


def csv(path: Path, arrays: Arrays, delimiter: str = ",") -> Path:
    rows = [[name, *map(repr, row.tolist())] for name, array in arrays.items() for row in array]
    head = ["id", *(f"measure {number}" for number in range(WIDTH))]
    path.write_text("".join(delimiter.join(row) + "\n" for row in [head, *rows]))
    return path


def tsv(path: Path, arrays: Arrays) -> Path:
    return csv(path, arrays, "\t")


def parquet_columns(path: Path, arrays: Arrays) -> Path:
    rows = np.concatenate(list(arrays.values()))
    ids = [name for name, array in arrays.items() for _ in array]
    pyarrow.parquet.write_table(pyarrow.table({"id": ids, **{f"m{n}": rows[:, n] for n in range(WIDTH)}}), path)
    return path


def parquet_lists(path: Path, arrays: Arrays) -> Path:
    values = [array.tolist() if len(array) > 1 else array[0].tolist() for array in arrays.values()]
    flat = all(len(array) == 1 for array in arrays.values())
    values = values if flat else [array.tolist() for array in arrays.values()]
    pyarrow.parquet.write_table(pyarrow.table({"id": list(arrays), "embedding": values}), path)
    return path


def hdf5_by_id(path: Path, arrays: Arrays) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


def computational_sequence(path: Path, arrays: Arrays) -> Path:
    with h5py.File(path, "w") as file:
        root = file.create_group("COVAREP")
        root.create_group("metadata")["creator"] = "someone"
        for name, array in arrays.items():
            group = root.create_group(f"data/{name}")
            group["features"], group["intervals"] = array, np.zeros((len(array), 2))
    return path


def pickle_by_id(path: Path, arrays: Arrays) -> Path:
    path.write_bytes(pickle.dumps({"audio": arrays, "text": {name: np.zeros(2) for name in arrays}}))
    return path


def pickle_of_splits(path: Path, arrays: Arrays) -> Path:
    names, longest = list(arrays), max(map(len, arrays.values()))
    padded = np.stack([np.pad(array, ((0, longest - len(array)), (0, 0))) for array in arrays.values()])
    lengths = [len(array) for array in arrays.values()]
    parts = {"train": slice(0, 100), "valid": slice(100, 120), "test": slice(120, None)}
    tree = {
        split: {"id": names[part], "audio": padded[part], "audio_lengths": lengths[part], "vision": padded[part, :, :2]}
        for split, part in parts.items()
    }
    path.write_bytes(pickle.dumps(tree, protocol=2))
    return path


def pickle_of_conversations(path: Path, arrays: Arrays) -> Path:
    conversations: dict[str, list[str]] = {}
    for name in arrays:
        conversations.setdefault(name.partition("_")[0], []).append(name)
    audio = {key: [arrays[name] for name in names] for key, names in conversations.items()}
    speakers = {key: ["M"] * len(names) for key, names in conversations.items()}
    labels = {key: [0] * len(names) for key, names in conversations.items()}
    path.write_bytes(pickle.dumps((conversations, speakers, labels, audio, ["c000"], ["c001"])))
    return path


KINDS: dict[str, tuple[Callable[[Path, Arrays], Path], str]] = {
    "npz by id": (npz_by_id, "f.npz"),
    "npz table": (npz_table, "f.npz"),
    "npz padded": (npz_padded, "f.npz"),
    "csv": (csv, "f.csv"),
    "tsv": (tsv, "f.tsv"),
    "parquet columns": (parquet_columns, "f.parquet"),
    "parquet lists": (parquet_lists, "f.parquet"),
    "hdf5": (hdf5_by_id, "f.h5"),
    "csd": (computational_sequence, "f.csd"),
    "pickle": (pickle_by_id, "f.pkl"),
    "pickle of splits": (pickle_of_splits, "f.pkl"),
    "pickle of conversations": (pickle_of_conversations, "f.pkl"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with the features ``sound``, sequences of 6 columns."""
    folder = tmp_path_factory.mktemp("own") / "data"
    write_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def sound(data: Path) -> Arrays:
    return dict(read_published(data / "precomputed" / "sound").arrays)


def imported(data: Path, file: Path, *options: str, name: str = "mine") -> Any:
    return call("features", "import", str(data), str(file), "--modality", "audio", "--name", name, *options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", ["vectors", "sequences"])
def test_features_come_in_as_they_are_from_every_kind_of_file(
    kind: str, shape: str, data: Path, sound: Arrays, tmp_path: Path
) -> None:
    write, file = KINDS[kind]
    arrays = vectors(sound) if shape == "vectors" else sound

    done = imported(data, write(tmp_path / file, arrays), name=f"{kind} {shape}")

    assert done.code == 0, done.error
    several = sum(len(array) > 1 for array in arrays.values())
    told = f", {several} of them with several frames" if several else ""
    assert f"150 utterances, audio {shape} of 6 columns{told}\n" in done.out
    found = read_published(data / "precomputed" / f"{kind} {shape}")
    assert found.modality == "audio"
    assert list(found.arrays) == list(sound)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
    if kind in ("csv", "tsv"):
        assert found.columns[:2] == ("measure 0", "measure 1")


def test_scores_are_those_of_the_features_that_came_with_the_corpus_to_the_digit(
    data: Path, sound: Arrays, tmp_path: Path
) -> None:
    write, file = KINDS["csv"]  # that all kinds of files give equal arrays is tested above
    assert imported(data, write(tmp_path / file, sound), name="same").code == 0
    scores = {}
    for name in ("sound", "same"):
        values = {**recipe_values("linear"), "seeds": 1}
        values["encoders"]["audio"]["features"] = name
        del values["training"]
        done = call(
            *("train", str(write_recipe(tmp_path / "r.toml", values)), "--data", str(data)),
            *("--out", str(tmp_path / name), "--json"),
        )
        assert done.code == 0, done.error
        scores[name] = json.loads(done.out)["test"]

    assert scores["sound"]["accuracy"]["mean"] > 0.6  # three classes
    assert scores["same"] == scores["sound"]


def changed(sound: Arrays, what: str) -> Arrays:
    arrays = {name: array.astype(np.float64) for name, array in sound.items()}
    first = next(iter(arrays))
    if what == "missing":
        del arrays[first]
    elif what in ("nan", "inf", "huge"):
        arrays[first][0, 2] = {"nan": np.nan, "inf": np.inf, "huge": 1e300}[what]
    elif what == "other ids":
        arrays = {f"x{name}": array for name, array in arrays.items()}
    return arrays


@pytest.mark.parametrize("kind", ["npz by id", "csv", "parquet columns", "parquet lists", "hdf5", "pickle"])
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", r"1 of 150 utterances have no features \(c000_0\); add them, or give --allow-missing"),
        ("nan", r"1 values are NaN or empty, first in 'c000_0'; correct them, or give --allow-undefined"),
        ("inf", r"'c000_0' has 1 infinite values"),
        ("huge", r"'c000_0' has 1 infinite values, or larger ones than float32 holds"),
        ("other ids", r"none of its 150 ids is an utterance of the corpus: found 'xc000_0', .*expected 'c000_0'"),
    ],
)
def test_what_does_not_fit_is_one_line_and_stores_nothing(
    kind: str, what: str, message: str, data: Path, sound: Arrays, tmp_path: Path
) -> None:
    write, file = KINDS[kind]

    done = imported(data, write(tmp_path / file, changed(sound, what)), name="refused")

    assert done.code == 2
    assert re.search(message, done.error), done.error
    assert done.error.count("\n") == 1
    assert file in done.error
    assert not (data / "precomputed" / "refused").exists()


def test_missing_and_surplus_ids_are_counted_and_missing_ones_lack_the_modality(
    data: Path, sound: Arrays, tmp_path: Path
) -> None:
    arrays = {**changed(sound, "missing"), "someone else": np.zeros((1, WIDTH)), "another": np.zeros((1, WIDTH))}

    done = imported(data, npz_by_id(tmp_path / "f.npz", arrays), "--allow-missing", name="most")

    assert done.code == 0
    assert " of them with several frames, 1 without features, 2 ids of the file are in no" in done.out
    assert "c000_0" not in read_published(data / "precomputed" / "most").arrays


def test_text_of_a_parquet_file_that_is_no_utf8_is_one_line(data: Path, sound: Arrays, tmp_path: Path) -> None:
    file = parquet_lists(tmp_path / "f.parquet", sound)
    file.write_bytes(file.read_bytes().replace(b"c000_0", b"c\xb000_0"))
    (tmp_path / "corpus").mkdir()
    table = pyarrow.table({"id": ["c000_0"], "text": ["a"]})
    pyarrow.parquet.write_table(table, tmp_path / "corpus" / "utterances.parquet", use_dictionary=False)
    manifest = (tmp_path / "corpus" / "utterances.parquet").read_bytes()
    (tmp_path / "corpus" / "utterances.parquet").write_bytes(manifest.replace(b"c000_0", b"c\xb000_0"))

    for done in (imported(data, file, name="refused"), call("doctor", str(tmp_path / "corpus"))):
        assert (done.code, done.error.count("\n")) == (2, 1), done.error
        assert "parquet" in done.error.lower()


def test_padding_of_sequences_without_lengths_is_told(data: Path, sound: Arrays, tmp_path: Path) -> None:
    padded = np.stack([np.pad(array, ((0, 5 - len(array)), (0, 0))) for array in sound.values()])
    np.savez(tmp_path / "f.npz", ids=list(sound), features=padded)

    done = imported(data, tmp_path / "f.npz", name="padded")

    short = sum(len(array) < 5 for array in sound.values())
    assert f"{short} sequences begin or end with frames of zeros, which are read as data" in done.out


def test_undefined_values_are_kept_where_they_are_allowed(data: Path, sound: Arrays, tmp_path: Path) -> None:
    file = csv(tmp_path / "f.csv", vectors(sound))
    lines = file.read_text().splitlines()
    lines[1] = re.sub(r",[^,]+$", ",", lines[1])
    file.write_text("\n".join(lines))

    assert "1 values are NaN or empty" in imported(data, file, name="gaps").error
    done = imported(data, file, "--allow-undefined", name="gaps")

    assert "1 undefined values" in done.out
    assert np.isnan(read_published(data / "precomputed" / "gaps").arrays["c000_0"][0, -1])


def test_a_pipe_in_place_of_features_is_refused_and_never_waited_for(data: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f.csv")

    done = imported(data, tmp_path / "f.csv", name="refused")

    assert (done.code, done.error.count("\n")) == (2, 1), done.error
    assert "a folder, pipe or device, expected a file" in done.error


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.csv", "id,a\nc000_0,1\nc000_1,two\n", "column 'a' of 'c000_1' is 'two', expected a number"),
        ("f.csv", "id,a\nc000_0,1\nc000_1,2\nc000_0,3\n", "1 duplicate ids; rows of a sequence must follow each other"),
        ("f.csv", "name,a\nc000_0,1\n", "has the columns name, a, expected 'id' and columns of numbers"),
        ("f.csv", "id\nc000_0\n", "has the columns id, expected 'id' and columns of numbers"),
        ("f.csv", "id,a\n", "has no rows"),
        ("f.csv", "id,a\n,1\n", "1 rows without an id, first row 1"),
        ("f.csv", "", "expected 'id' and columns of numbers"),
        ("f.npz", "PK\x03\x04 nonsense", "cannot be read as npz"),
        ("f.parquet", "PAR1 nonsense", "cannot be read as Parquet"),
        ("f.h5", "\x89HDF\r\n\x1a\n nonsense", "cannot be read as HDF5"),
        ("f.pkl", "nonsense", "no pickle of arrays"),
        ("f.docx", "nonsense", "is neither npz, Parquet, HDF5, CSV, TSV, JSONL nor a pickle"),
        ("f.pkl", pickle.dumps({"c000_0": "words"}), "'c000_0' holds text, expected numbers"),
        ("f.pkl", pickle.dumps({"c000_0": None}), "'c000_0' is no array of numbers"),
        ("f.pkl", pickle.dumps({"c000_0": [[1.0], [1.0, 2.0]]}), "'c000_0' is no array of numbers of one width"),
        ("f.pkl", pickle.dumps({"c000_0": np.zeros((2, 2, 2))}), "'c000_0' has the shape [2, 2, 2], expected [dim]"),
        ("f.pkl", pickle.dumps({"c000_0": np.zeros(2), "c000_1": np.zeros(3)}), "has 3 columns, the others have 2"),
        ("f.pkl", pickle.dumps({"c000_0": np.zeros((0, 2))}), "'c000_0' is empty: it has no frame"),
        ("f.pkl", pickle.dumps({"c000_0": np.zeros(0)}), "has 0 columns"),
        ("f.pkl", pickle.dumps({}), "holds nothing"),
        ("f.pkl", pickle.dumps(np.zeros(3)), "holds an array [3], expected features by utterance id"),
        ("f.pkl", pickle.dumps({"ids": ["a"], "features": np.zeros((2, 3))}), "'features' has 2 rows for 1 ids"),
        ("f.pkl", pickle.dumps({"ids": ["a"], "other": np.zeros((1, 3))}), "name one with --array"),
        ("f.pkl", pickle.dumps({"ids": ["a"] * 2, "features": np.zeros((2, 3, 1))}), "has 1 duplicate ids: a"),
        ("f.pkl", pickle.dumps({"ids": ["a"] * 2, "features": np.zeros((2, 3))}), "has 1 duplicate ids: a"),
        ("f.pkl", pickle.dumps({"ids": ["a"], "features": np.zeros((2, 3)), "lengths": [3]}), "1 ids with 3 frames"),
        ("f.pkl", pickle.dumps({"ids": ["a"], "features": np.zeros((2, 3)), "lengths": [-1]}), "no 1 counts of frames"),
        ("f.pkl", pickle.dumps(({"c": ["a"]}, {"c": [[1.0]]}, {"c": [[1.0, 2.0]]})), "1 (1 columns), 2 (2 columns)"),
        ("f.pkl", pickle.dumps(({"a": [1.0]}, {"a": [2.0]})), "1 duplicate ids in several splits: a"),
        ("f.pkl", pickle.dumps({1.5: [1.0]}), "has the id '1.5', expected text or a whole number"),
    ],
)
def test_a_file_that_holds_no_features_is_one_line(
    name: str, content: str | bytes, message: str, data: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode("latin1"))

    done = imported(data, tmp_path / name, "--allow-missing", name="refused")

    assert (done.code, done.error.count("\n")) == (2, 1), done.error
    assert message in done.error
    assert done.error.count(name) == 1
    assert not (data / "precomputed" / "refused").exists()


def test_features_of_a_tuple_or_a_group_are_chosen_by_position_or_name(
    data: Path, sound: Arrays, tmp_path: Path
) -> None:
    ids = {"c000": [f"c000_{number}" for number in range(5)]}
    rows = {"c000": [[float(number)] for number in range(5)]}
    (tmp_path / "f.pkl").write_bytes(pickle.dumps((ids, {"c000": [[0.0, 1.0]] * 5}, rows)))
    (tmp_path / "g.pkl").write_bytes(pickle.dumps({"first": {"c000_0": [1.0]}, "second": {"c000_0": [1.0, 2.0]}}))
    npz_padded(tmp_path / "f.npz", sound)

    assert imported(data, tmp_path / "f.pkl", "--array", "2", "--allow-missing", name="tuple").code == 0
    assert imported(data, tmp_path / "g.pkl", "--array", "second", "--allow-missing", name="group").code == 0
    assert imported(data, tmp_path / "f.npz", "--array", "text", name="array").code == 0

    assert read_published(data / "precomputed" / "tuple").arrays["c000_4"].tolist() == [[4.0]]
    assert read_published(data / "precomputed" / "group").arrays["c000_0"].tolist() == [[1.0, 2.0]]
    assert read_published(data / "precomputed" / "array").arrays["c000_0"].shape == (1, 2)
    assert (
        "has no features 'third', found first, second"
        in imported(data, tmp_path / "g.pkl", "--array", "third", name="x").error
    )


def test_the_same_import_twice_changes_nothing_and_another_is_refused(
    data: Path, sound: Arrays, tmp_path: Path
) -> None:
    file, other = npz_table(tmp_path / "f.npz", sound), npz_table(tmp_path / "g.npz", vectors(sound))
    assert imported(data, file, name="twice").code == 0
    before = {path: file_hash(path) for path in (data / "precomputed" / "twice").iterdir()}

    again, refused = imported(data, file, name="twice"), imported(data, other, name="twice")

    assert again.code == 0
    assert "already imported" in again.out
    assert refused.code == 2
    assert "holds other features; choose another --name, or remove the folder" in refused.error
    assert {path: file_hash(path) for path in before} == before


def test_a_folder_that_is_no_set_of_features_is_never_written_into(data: Path, sound: Arrays, tmp_path: Path) -> None:
    folder = data / "precomputed" / "notes"
    folder.mkdir()
    (folder / "diary.txt").write_text("mine")

    done = imported(data, npz_table(tmp_path / "f.npz", sound), name="notes")

    assert done.code == 2
    assert "is no folder of features" in done.error
    assert [path.name for path in folder.iterdir()] == ["diary.txt"]


@pytest.mark.parametrize("name", ["../mine", "", ".hidden", "a/b"])
def test_a_name_that_leaves_the_folder_is_refused(name: str, data: Path, sound: Arrays, tmp_path: Path) -> None:
    done = imported(data, npz_table(tmp_path / "f.npz", sound), name=name)

    assert done.code == 2
    assert "--name: features" in done.error


def test_an_unknown_modality_is_refused(data: Path, sound: Arrays, tmp_path: Path) -> None:
    file = npz_table(tmp_path / "f.npz", sound)

    done = call("features", "import", str(data), str(file), "--modality", "vision", "--name", "mine")

    assert done.code == 2
    assert "No modality named 'vision'" in done.error


@pytest.mark.parametrize("out", ["f.npz", "f.parquet", "f.h5", "f.HDF5"])
@pytest.mark.parametrize("columns", [(), tuple(f"measure {number} (Hz)" for number in range(WIDTH)), ("id",) * WIDTH])
def test_exported_features_are_read_back_equal(
    out: str, columns: tuple[str, ...], data: Path, sound: Arrays, tmp_path: Path
) -> None:
    arrays = {name: array.copy() for name, array in sound.items()}
    arrays["c000_1"][0, 0] = np.nan
    write_published(tmp_path / "precomputed" / "odd", PublishedFeatures("odd", "audio", arrays, columns))
    (tmp_path / "utterances.csv").write_bytes(("id,text\n" + "".join(f"{name},x\n" for name in arrays)).encode())

    done = call("features", "export", str(tmp_path), str(tmp_path / out), "--name", "odd")
    found = read_features(tmp_path / out, "audio")
    back = imported(tmp_path, tmp_path / out, "--allow-undefined", name="odd")

    assert done.code == 0, done.error
    assert "150 utterances, 6 columns, 1 undefined values (NaN)" in done.out
    assert list(found.arrays) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
    if len(set(columns)) == WIDTH or out != "f.parquet":
        assert found.columns == columns
        assert "already imported" in back.out


def test_an_encoders_features_are_extracted_and_exported(tmp_path: Path) -> None:
    (tmp_path / "utterances.csv").write_text("id,text\na,one\nb,two\n")
    write_published(
        tmp_path / "precomputed" / "words", PublishedFeatures("words", "text", {"a": np.ones((1, 2), np.float32)})
    )

    both = call("features", "export", str(tmp_path), str(tmp_path / "o.npz"))
    nothing = call(
        *("features", "export", str(tmp_path), str(tmp_path / "o.npz"), "--encoder", "precomputed"),
        *("--modality", "text", "--set", "features=words"),
    )

    assert "give the features' --name, or the --encoder" in both.error
    assert (both.code, nothing.code) == (2, 2)
    assert not (tmp_path / "o.npz").exists()


def test_a_target_that_exists_is_refused_before_any_feature_is_extracted(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merkit.experiments.own_features.corpus_features", lambda *_: pytest.fail("extracted"))
    (tmp_path / "o.npz").touch()

    done = call("features", "export", str(data), str(tmp_path / "o.npz"), "--encoder", "praat")

    assert (done.code, done.error.count("\n")) == (2, 1), done.error
    assert "exists; choose another file" in done.error


@pytest.mark.parametrize(
    ("out", "message"), [("there.npz", "exists; choose another file"), ("o.mat", "features are written as .npz")]
)
def test_an_export_replaces_nothing_and_knows_its_kinds(out: str, message: str, data: Path, tmp_path: Path) -> None:
    (tmp_path / "there.npz").write_text("mine")

    done = call("features", "export", str(data), str(tmp_path / out), "--name", "sound")

    assert done.code == 2
    assert message in done.error
    assert (tmp_path / "there.npz").read_text() == "mine"


def test_links_and_claims_of_an_hdf5_file_are_refused(data: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["c000_0"] = np.zeros(3)
    with h5py.File(tmp_path / "external.h5", "w") as file:
        file["c000_0"] = h5py.ExternalLink("secret.h5", "c000_0")
    with h5py.File(tmp_path / "soft.h5", "w") as file:
        file["c000_0"] = h5py.SoftLink("/c000_0")
    with h5py.File(tmp_path / "loop.h5", "w") as file:
        file.create_group("a")["b"] = file
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
        layout[:] = h5py.VirtualSource("secret.h5", "c000_0", shape=(3,))
        file.create_virtual_dataset("c000_0", layout)
    with h5py.File(tmp_path / "type.h5", "w") as file:
        file["c000_0"] = np.dtype("f8")
    with h5py.File(tmp_path / "packed.h5", "w") as file:
        zeros = file.create_dataset("c000_0", (50_000_000,), "f4", chunks=(10_000_000,), compression="gzip")
        zeros[:] = 0
    with h5py.File(tmp_path / "woven.h5", "w") as file:
        above = [file.create_group("0")]
        for _ in range(6):  # 30 to the power of 6 ways to the last
            below = above[-1].create_group("0")
            for number in range(1, 30):
                above[-1][str(number)] = below
            above.append(below)
    with h5py.File(tmp_path / "echo.h5", "w") as file:
        ids = file.create_dataset("ids", (20_000,), h5py.string_dtype())
        ids[0] = "c" * 1_000_000
        ids[1:] = "x"
        at = ids.id.get_offset()
    content = bytearray((tmp_path / "echo.h5").read_bytes())
    content[at : at + 16 * 20_000] = content[at : at + 16] * 20_000  # each is the long one
    (tmp_path / "echo.h5").write_bytes(content)
    with h5py.File(tmp_path / "vlen.h5", "w") as file:
        file.create_dataset("c000_0", (3,), h5py.vlen_dtype("f4"))
    os.mkfifo(tmp_path / "pipe.h5")
    with h5py.File(tmp_path / "names.h5", "w") as file:
        file.create_group("c000\n0")["\nx"] = np.zeros(3)
        file["c000_1"] = np.zeros(3)
    with h5py.File(tmp_path / "claim.h5", "w") as file:
        file.create_dataset("c000_0", shape=(10**12,), chunks=(1024,), dtype="f8")

    for name, message in (
        ("external", "is a link to elsewhere"),
        ("soft", "is a link to elsewhere"),
        ("loop", "groups in groups"),
        ("virtual", "lies in another file"),
        ("type", "is a type, expected data"),
        ("names", r"'c000\n0' is a group of \nx, expected an array"),
        ("claim", "claims 8,000,000,000,000 bytes"),
        ("packed", "claims 200,000,000 bytes"),
        ("woven", "do not explain"),
        ("echo", "'/ids' claims"),
        ("vlen", "expected numbers or text"),
        ("pipe", "a folder, pipe or device"),
    ):
        done = imported(data, tmp_path / f"{name}.h5", "--allow-missing", name="refused")
        assert (done.code, done.error.count("\n")) == (2, 1)
        assert message in done.error, done.error


def test_hdf5_without_its_extra_says_what_to_install(
    data: Path, sound: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = hdf5_by_id(tmp_path / "f.h5", sound)
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)

    assert "pip install 'merkit[hdf5]'" in imported(data, file).error
    done = call("features", "export", str(data), str(tmp_path / "o.h5"), "--name", "sound")
    assert "pip install 'merkit[hdf5]'" in done.error
    assert not (tmp_path / "o.h5").exists()


def test_the_command_without_a_word_extracts_as_before(tmp_path: Path) -> None:
    (tmp_path / "utterances.csv").write_text("id,text\na,one\n")

    before = call("features", str(tmp_path), "--encoder", "nobody")
    options_first = call("features", "--encoder", "nobody", str(tmp_path))
    named = call("features", "extract", str(tmp_path), "--encoder", "nobody")

    assert "No encoder named 'nobody'" in before.error
    assert before.error == options_first.error == named.error
    assert "import" in call("features", "--help").out


@pytest.mark.data
def test_features_of_mosi_imported_from_three_kinds_of_files_give_the_adapters_arrays(
    real_data: Path, tmp_path: Path
) -> None:
    assert call("prepare", "cmu_mosi", "--raw", str(real_data / "mosi"), "--out", str(tmp_path / "mosi")).code == 0
    expected = dict(read_published(tmp_path / "mosi" / "precomputed" / "audio").arrays)
    names = [f"m{number}" for number in range(expected[next(iter(expected))].shape[1])]
    rows = np.concatenate(list(expected.values()))
    lines = [",".join([key, *map(repr, row.tolist())]) for key, row in zip(expected, rows, strict=True)]
    (tmp_path / "f.csv").write_text("\n".join([",".join(["id", *names]), *lines]))
    hdf5_by_id(tmp_path / "f.h5", expected)
    npz_by_id(tmp_path / "f.npz", expected)

    for ending in ("npz", "csv", "h5"):
        assert imported(tmp_path / "mosi", tmp_path / f"f.{ending}", name=ending).code == 0
        found = read_published(tmp_path / "mosi" / "precomputed" / ending).arrays
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[key], array) for key, array in expected.items())


def test_a_hostile_file_is_refused_before_torch_is_imported() -> None:
    code = "import sys, merkit.cli.features, merkit.io.feature_files.files; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
