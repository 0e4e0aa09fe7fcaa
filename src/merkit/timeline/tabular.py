"""Results as tables: a data frame, JSON, and HTML that a notebook shows."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from merkit.core.arguments import checked_arguments
from merkit.core.errors import MerkitError
from merkit.core.types import Prediction
from merkit.data.files import write_texts
from merkit.io.predictions import LABEL_SEPARATOR, PROBABILITY

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}table{border-collapse:"
    "collapse}th,td{padding:.25em .75em;text-align:left;border-bottom:1px solid #8884}"
)
_GENERATOR = '<meta name="generator" content="merkit">'


class Tabular(ABC):
    """A result with one row per utterance."""

    notes: Sequence[str] = ()
    """What a reader must know about the rows."""

    @property
    @abstractmethod
    def title(self) -> str:
        """One line that says what the rows are of."""

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """Return the rows: label, confidence, modalities, and the probability of each label as ``p:<label>``."""

    def to_dict(self) -> Any:
        """Return the result as JSON values."""
        return self.rows()

    def to_pandas(self) -> Any:
        """Return the rows as a ``pandas.DataFrame``.

        Raises:
            MerkitError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise MerkitError("to_pandas needs the extra 'pandas': pip install 'merkit[pandas]'") from None
        return pandas.DataFrame(self.rows())

    @checked_arguments
    def to_json(self, path: str | Path) -> Path:
        """Write the result as JSON and return the file's path; an earlier result there is replaced, and nothing else.

        Raises:
            MerkitError: The file cannot be written, or holds something else.
        """
        _refuse_foreign(Path(path), _is_result)
        write_texts({Path(path): json.dumps(self.to_dict(), indent=2, ensure_ascii=False)})
        return Path(path)

    @checked_arguments
    def to_html(self, path: str | Path) -> Path:
        """Write a page of HTML and return the file's path; an earlier page is replaced, and nothing else.

        Raises:
            MerkitError: The file cannot be written, or holds something else.
        """
        _refuse_foreign(Path(path), lambda content: _GENERATOR.encode() in content)
        write_texts({Path(path): self._page(Path(path).parent)})
        return Path(path)

    def _page(self, folder: Path) -> str:
        """Return the page that `to_html` writes into a folder."""
        title = f"<title>{escape(self.title)}</title>"
        return f'<!doctype html><meta charset="utf-8">{_GENERATOR}{title}<style>{_STYLE}</style>{self._repr_html_()}'

    def _repr_html_(self) -> str:
        """Return the rows as an HTML table, without the probabilities; all text is escaped."""
        rows = self.rows()
        names = [name for name in (rows[0] if rows else ()) if not name.startswith(PROBABILITY)]
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        cells = ("".join(f"<td>{escape(_shown(name, row[name]))}</td>" for name in names) for row in rows)
        body = "".join(f"<tr>{each}</tr>" for each in cells)
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f"<p><b>{escape(self.title)}</b></p>{table}{notes}"


def prediction_row(
    prediction: Prediction | None, labels: Sequence[str], has_arousal: bool = False, multi_label: bool = False
) -> dict[str, Any]:
    """Return a prediction's columns in the rows of a `Tabular`; ``None`` where it has none of it.

    Several labels are one text, with semicolons between them.
    """
    several = () if prediction is None else prediction.labels or ()
    probabilities = {} if prediction is None else prediction.probabilities
    arousal = None if prediction is None else prediction.arousal
    return {
        "label": None if prediction is None else prediction.label,
        **({"labels": LABEL_SEPARATOR.join(several)} if multi_label else {}),
        "confidence": None if prediction is None else prediction.confidence,
        **({"arousal": arousal} if has_arousal else {}),
        "modalities": "" if prediction is None else ",".join(prediction.modalities),
        **{PROBABILITY + label: probabilities.get(label) for label in labels},
    }


def _shown(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "confidence":
        return f"{100 * value:.0f} %"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _refuse_foreign(path: Path, is_own: Callable[[bytes], bool]) -> None:
    if path.exists() and not (path.is_file() and (path.stat().st_size == 0 or is_own(path.read_bytes()))):
        raise MerkitError(f"'{path}' exists, and merkit did not write it: move it away, or choose another name")


def _is_result(content: bytes) -> bool:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return False
    if isinstance(value, dict):
        return {"recording", "notes", "segments"} <= value.keys()
    rows = value if isinstance(value, list) else [None]
    return all(isinstance(row, dict) and {"label", "confidence", "modalities"} <= row.keys() for row in rows)
