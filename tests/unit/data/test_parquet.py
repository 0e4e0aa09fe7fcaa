"""A Parquet file is not believed: what it claims, and what its repeated texts come to, is bounded by its size."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from merkit.core.errors import MerkitError, UnsafeFileError
from merkit.data.corpus.tables import read_columns
from merkit.data.parquet import read_parquet_table

LONG = "x" * 1_000_000
ZEROS = np.zeros(10_000_000, np.float32)
BOMBS = {
    "a text in many rows": pa.table({"id": pa.array([LONG]).take(pa.array(np.zeros(200, np.int8)))}),
    "a dictionary": pa.table({"id": pa.DictionaryArray.from_arrays(pa.array(np.zeros(200, np.int32)), [LONG])}),
    "a long list": pa.table({"id": ["a"], "f": pa.array([ZEROS], pa.list_(pa.float32()))}),
    "texts in a list": pa.table({"f": pa.array([[LONG] * 100], pa.list_(pa.string()))}),
    "many rows": pa.table({"id": ZEROS}),
    "many rows of nothing": pa.table({"id": pa.nulls(10_000_000)}),
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
@pytest.mark.parametrize("dictionary", [True, False])
def test_a_small_file_that_stands_for_much_is_refused(tmp_path: Path, content: pa.Table, dictionary: bool) -> None:
    path = tmp_path / "utterances.parquet"
    pq.write_table(content, path, compression="zstd", use_dictionary=dictionary)

    with pytest.raises(UnsafeFileError, match=r"utterances\.parquet: stands for [0-9,]+ bytes"):
        read_parquet_table(path)
    with pytest.raises(MerkitError, match="stands for"):
        read_columns(path)


def test_texts_of_a_dictionary_are_read_as_they_are(tmp_path: Path) -> None:
    names = pa.array(["b", None, "a", "b"]).dictionary_encode()
    content = pa.table({"id": names, "number": [1, 2, None, 4], "long": pa.array(["x"] * 4, pa.large_string())})
    pq.write_table(content, tmp_path / "t.parquet", row_group_size=2)

    assert read_columns(tmp_path / "t.parquet") == {
        "id": ["b", None, "a", "b"],
        "number": [1, 2, None, 4],
        "long": ["x"] * 4,
    }
