"""A reader of Parquet files that believes no header: a file of 500 bytes can stand for gigabytes.

Values that repeat are stored once: as runs, and as numbers of the entries of a dictionary. So the values that a file
claims are counted before they are read, and its texts are kept as entries of a dictionary until their length is known.
"""

from pathlib import Path

import pyarrow
import pyarrow.compute
import pyarrow.parquet

from merkit.core.errors import UnsafeFileError
from merkit.data.expansion import most_bytes
from merkit.data.files import open_file

_VALUE_BYTES = 16
"""What a value takes at least, on the way to Python."""
_TEXT = "BYTE_ARRAY"


def read_parquet_table(path: Path) -> pyarrow.Table:
    """Read a whole file; texts are UTF-8 and offsets lie within the data.

    Raises:
        UnsafeFileError: It stands for more than its size explains.
        MerkitError: It is missing, or no regular file.
        pyarrow.ArrowException: It is damaged, or no Parquet file. An ``OSError`` may stand for that, too.
    """
    with open_file(path) as stream:
        most = most_bytes(stream.seek(0, 2))
    with pyarrow.OSFile(str(path)) as source:
        metadata = pyarrow.parquet.read_metadata(source)
        _check_claims(path, metadata, most)
        texts = [
            column.path
            for column in map(metadata.schema.column, range(metadata.num_columns))
            if column.physical_type == _TEXT and "." not in column.path
        ]
        table = pyarrow.parquet.ParquetFile(source, read_dictionary=texts).read()
    table.validate(full=True)
    _refuse_above(path, sum(_text_bytes(column) for column in table.columns), most)
    for number, (field, column) in enumerate(zip(table.schema, table.columns, strict=True)):
        if pyarrow.types.is_dictionary(column.type):
            table = table.set_column(number, field.name, column.cast(column.type.value_type))
    return table


def _check_claims(path: Path, metadata: pyarrow.parquet.FileMetaData, most: int) -> None:
    claimed = 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            claimed += max(column.total_uncompressed_size, column.num_values * _VALUE_BYTES)
            if column.physical_type == _TEXT and "." in column.path_in_schema:  # each value may be the longest
                claimed += column.num_values * column.total_uncompressed_size
        claimed += group.num_rows
    _refuse_above(path, claimed, most)


def _text_bytes(column: pyarrow.ChunkedArray) -> int:
    """Return how many bytes the texts of a dictionary take when each stands in its row."""
    if not pyarrow.types.is_dictionary(column.type) or pyarrow.types.is_primitive(column.type.value_type):
        return 0
    sums = (
        pyarrow.compute.sum(pyarrow.compute.binary_length(chunk.dictionary).take(chunk.indices)).as_py()
        for chunk in column.chunks
    )
    return sum(each or 0 for each in sums)


def _refuse_above(path: Path, claimed: int, most: int) -> None:
    if claimed > most:
        raise UnsafeFileError(
            f"{path}: stands for {claimed:,} bytes, which its size does not explain: get the file again, or give a CSV"
        )
