"""CSV files whose columns are the fields of a pydantic model."""

import csv
import io
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from merkit.core.errors import MerkitError
from merkit.metrics.multi_label import KNOWN

Model = TypeVar("Model", bound=BaseModel)


def read_csv(path: Path, model: type[Model], remedy: str) -> list[Model]:
    """Return the rows of a CSV file.

    Args:
        path: The file.
        model: A row; its fields are the columns, in their order. A column may be missing if its field has a default.
        remedy: What to do about a mistake, for errors.

    Raises:
        MerkitError: The file cannot be read or has other columns, or a row is invalid; names the line.
    """
    columns = list(model.model_fields)
    reader = csv.DictReader(io.StringIO(read_text(path)), strict=True)
    rows = []
    try:
        names = list(reader.fieldnames or ())
        optional = {name for name, field in model.model_fields.items() if not field.is_required()}
        if names != [name for name in columns if name in names or name not in optional]:
            missing, unknown = set(columns) - set(names) - optional, set(names) - set(columns)
            raise MerkitError(
                f"{path}: columns missing: {', '.join(sorted(missing)) or 'none'}, unknown:"
                f" {', '.join(sorted(unknown)) or 'none'}; expected in this order: {', '.join(columns)}; {remedy}"
            )
        for cells in reader:
            if None in cells or None in cells.values():
                raise MerkitError(f"{path}: line {reader.line_num}: not {len(names)} cells, as expected; {remedy}")
            rows.append(model.model_validate(cells))
    except csv.Error as error:
        raise MerkitError(f"{path}: line {reader.line_num}: not CSV ({error}); {remedy}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise MerkitError(
            f"{path}: line {reader.line_num}: {first['loc'][0]} '{first['input']}': {first['msg']}; {remedy}"
        ) from error
    return rows


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file.

    Raises:
        MerkitError: It cannot be read, or has another encoding.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise MerkitError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise MerkitError(f"Cannot read '{path}': {error.strerror}") from error


def known_metric(name: str) -> str:
    """Return a metric's name.

    Raises:
        ValueError: There is no such metric.
    """
    if name not in KNOWN:
        raise ValueError(f"one of {', '.join(KNOWN)} expected")
    return name
