"""A user's own table: classes from a column, splits from a ``split`` column or k folds by a group column.

Nothing is published about such a corpus, so the options say which columns hold the labels, the splits, and the groups
that are never cut. The class names, unless given, are the labels found, sorted; with a split column only those of the
training and validation splits, so that the test labels stay unread. An option that matches nothing in the table is an
error, and so are many different numbers: they are a quantity, not classes.
"""

import difflib
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from merkit.core.errors import ConfigError, MerkitError
from merkit.core.lookup import unknown
from merkit.core.protocol import Fold, Label, Protocol, ProtocolOptions, ProtocolSpec, Selection
from merkit.core.types import Scalar, Utterance
from merkit.data.corpus.labels import label_name, label_warnings, number_of
from merkit.metrics.multi_label import MULTI_LABEL_METRICS, metrics_of
from merkit.protocols._folds import Group, balanced, conversation, cut, fold, known_speaker

SPLITS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
}
_RESERVED = ("speaker", "conversation", "language")
"""Columns of an utterance itself that may hold splits and groups."""
_SHOWN = 20
MOST_NUMBERS, MOST_FRACTIONS = 20, 10
"""More different numbers than these, all whole or not, are refused as classes."""
_log = logging.getLogger(__name__)


class TableOptions(ProtocolOptions):
    """Which columns hold labels, splits and groups.

    ``split`` alone: splits as the column says; a missing validation split is drawn from the training split. ``group``
    alone: ``folds`` folds, no group of the test split in another. Both: splits as the column says, a missing validation
    split is drawn by ``group``. Neither: the column ``split``, a missing validation split is drawn by speaker.
    """

    label: str = "label"
    split: str | None = None
    group: str | None = None
    folds: int = Field(default=5, ge=2)
    valid_share: float = Field(default=0.1, gt=0.0, le=0.5)
    """Share of the training groups that is drawn for validation; of conversations where a group is more than that."""
    labels: tuple[str, ...] | None = None
    """Class names in the order of their numbers; ``None``: those found, sorted."""
    separator: Annotated[str, Field(min_length=1)] | None = None
    """What stands between the labels of a cell, such as ``;``: an utterance has one label or more, and a model learns
    each of them. ``None``: a cell is one label."""
    leave_out: tuple[str, ...] = ()
    """Labels whose utterances are left out; ``""`` is an empty cell."""
    numeric_classes: bool | None = None
    """Whether many different numbers are classes all the same; so are those that ``labels`` names."""
    selection: Selection = "best_valid"
    metrics: tuple[str, ...] = ("mean_recall", "accuracy", "weighted_f1", "macro_f1")
    """With a separator those of several labels: by default macro and micro F1, macro precision and recall."""

    @model_validator(mode="before")
    @classmethod
    def _metrics_of_several_labels(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("separator") is not None and "metrics" not in values:
            return {**values, "metrics": tuple(MULTI_LABEL_METRICS)}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.labels is not None and len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels names a class twice: {', '.join(self.labels)}")
        if self.labels is not None and len(self.labels) < 2:
            raise ValueError(f"labels has {len(self.labels)} class(es), at least 2 are needed")
        if both := [label for label in self.labels or () if label in self.leave_out]:
            raise ValueError(f"labels and leave_out both name {', '.join(both)}")
        if not self.metrics:
            raise ValueError("metrics is empty; the first one selects the epoch")
        known = metrics_of(multi_label=self.separator is not None)
        for metric in self.metrics:
            if metric not in known:
                raise ValueError(unknown("metric", metric, known))
        if self.separator is not None:
            if not self.separator.strip():
                raise ValueError("separator is white space, which labels may hold; expected a sign such as ';' or ','")
            if odd := [name for name in (*(self.labels or ()), *self.leave_out) if self.separator in name]:
                raise ValueError(f"'{odd[0]}' holds the separator '{self.separator}': name each label alone")
        return self


class Table(Protocol):
    """The protocol of a user's table.

    Unless the options name the classes, ``labels`` is empty before ``folds`` or ``check_labels`` is called. There are
    no published counts, so that ``allow_partial`` means nothing.

    Raises:
        ConfigError: Label, split and group name the same column.
    """

    def __init__(self, options: TableOptions, allow_partial: bool = False) -> None:
        columns = [column for column in (options.label, options.split, options.group) if column is not None]
        if len(set(columns)) != len(columns):
            raise ConfigError(f"table: label, split and group must be different columns, found {', '.join(columns)}.")
        self.options = options
        self.labels = options.labels or ()
        self.multi_label = options.separator is not None
        self.selection = options.selection
        self.metrics = options.metrics
        self._warned = False
        self.split = options.split or (None if options.group else "split")
        self.cluster: Literal["conversation", "speaker"] = "speaker" if options.group == "speaker" else "conversation"

    def label(self, utterance: Utterance) -> Label | None:
        """Return the name of the label column's value, or ``None`` where ``leave_out`` names it.

        With a separator these are the names of the cell's labels; ``None`` where ``leave_out`` names one of them.
        """
        if not self.multi_label:
            return self._class_of(_cell(utterance, self.options.label), utterance)
        names = [self._class_of(part, utterance) for part in self._parts(utterance)]
        return None if None in names else tuple(dict.fromkeys(name for name in names if name is not None))

    def _parts(self, utterance: Utterance) -> list[Scalar]:
        """Return what a cell holds: its value, or with a separator the labels between those; one at least."""
        value = _cell(utterance, self.options.label)
        if not self.multi_label or not isinstance(value, str):
            return [value]
        parts = value.split(self.options.separator)
        if any(parts) and not all(map(str.strip, parts)):
            raise MerkitError(
                f"table: utterance '{utterance.id}' has '{value}' in column '{self.options.label}': a label is missing "
                f"beside '{self.options.separator}'. Expected labels with one '{self.options.separator}' between two."
            )
        return list(parts)

    def _class_of(self, value: Scalar, utterance: Utterance) -> str | None:
        if _named(value, self.options.leave_out) is not None:
            return None
        found = label_name(value)
        if not found:
            raise MerkitError(
                f"table: utterance '{utterance.id}' has no label in column '{self.options.label}' "
                f"(columns: {', '.join(utterance.attributes) or 'none'}). "
                f"Fill it in, name another column, or leave such rows out with leave_out = ['']."
            )
        if self.options.labels is None:
            return found
        named = _named(value, self.options.labels)
        if named is None:
            raise MerkitError(
                f"table: utterance '{utterance.id}' has label '{found}'; "
                f"labels names {', '.join(self.options.labels)}. Add it to labels or to leave_out."
            )
        return named

    def folds(self, utterances: Sequence[Utterance], seed: int) -> list[Fold]:
        """Return the one fold of the split column, ``split``, or the folds by group, ``1`` to ``k``.

        Folds by group do not depend on the seed; validation splits do.

        Raises:
            MerkitError: A cell is missing or unknown, a split is empty, there are fewer than two classes, or fewer
                groups than folds.
        """
        members = self.members(utterances)
        self._find_labels(members)
        if self.split is not None:
            return [self._by_column(members, seed)]
        number = balanced(members, self._group, self.options.folds)
        return [
            self._cut(
                str(tested + 1),
                [utterance for utterance in members if number[self._group(utterance)] != tested],
                [utterance for utterance in members if number[self._group(utterance)] == tested],
                seed,
                tested,
            )
            for tested in range(self.options.folds)
        ]

    def check_labels(self, utterances: Sequence[Utterance]) -> None:
        """Check that every member's label is one of ``labels``, which are found here unless ``folds`` was called."""
        members = self.members(utterances)
        if not self.labels:
            self._find_labels(members)
        for utterance in members:
            for label in self._labels_of(utterance):
                if label not in self.labels:
                    raise MerkitError(
                        f"table: utterance '{utterance.id}' has label '{label}', which no training or validation "
                        f"utterance has ({', '.join(self.labels)}). Mend the label, leave it out with leave_out, or "
                        f"name all classes with labels."
                    )

    def _labels_of(self, utterance: Utterance) -> tuple[str, ...]:
        label = self.label(utterance)
        return (label,) if isinstance(label, str) else label or ()

    def _find_labels(self, members: Sequence[Utterance]) -> None:
        if self.options.labels is not None:
            return
        seen = members if self.split is None else [u for u in members if self._split_of(u) != "test"]
        found = sorted({label for utterance in seen for label in self._labels_of(utterance)})
        if len(found) < 2:
            raise MerkitError(
                f"table: column '{self.options.label}' has {len(found)} class(es) to learn from"
                f"{' (' + found[0] + ')' if found else ''}, at least 2 are needed."
            )
        self.labels = tuple(found)

    def warnings(self, utterances: Sequence[Utterance]) -> list[str]:
        """Return what is odd about the labels, left-out ones aside."""
        column = self.options.label
        found = label_warnings(part for utterance in self.members(utterances) for part in self._parts(utterance))
        return [f"column '{column}': {warning.message}" for warning in found]

    def check_options(self, utterances: Sequence[Utterance]) -> None:
        """Check that columns, and labels of ``labels`` and ``leave_out``, exist, and that the labels are classes.

        Raises:
            MerkitError: A name does not exist, with those there are; the labels are many different numbers; the test
                split has a label of its own; or ``folds`` has no effect.
        """
        default = TableOptions.model_fields["folds"].default
        if self.split is not None and self.options.folds != default:
            raise ConfigError(
                f"table: folds = {self.options.folds} has no effect where the column '{self.split}' makes the splits: "
                f"give a group, such as group = 'speaker', without split; or leave folds out."
            )
        known = [*dict.fromkeys(name for utterance in utterances for name in utterance.attributes), *_RESERVED]
        for option, column in (("label", self.options.label), ("split", self.split), ("group", self.options.group)):
            if column is not None and column not in known:
                raise MerkitError(f"table: {option}: {unknown('column', column, known)}")
        values = {part for utterance in utterances for part in self._parts(utterance)}
        for option, names in (("leave_out", self.options.leave_out), ("labels", self.options.labels or ())):
            for name in names:
                if name and not any(_named(value, (name,)) is not None for value in values):
                    found = sorted({label_name(value) for value in values} - {""})
                    shown = [*found[:_SHOWN], *(["…"] if found[_SHOWN:] else [])]
                    near = difflib.get_close_matches(name.casefold(), [label.casefold() for label in found], n=1)
                    hint = next((f" Did you mean '{label}'?" for label in found if [label.casefold()] == near), "")
                    raise MerkitError(
                        f"table: {option} names '{name}', which is no label in column '{self.options.label}'."
                        f"{hint} Labels: {', '.join(shown) or 'none'}"
                    )
        self._refuse_quantities(self.members(utterances))
        self.check_labels(utterances)  # before the hours of training, not after them

    def _refuse_quantities(self, utterances: Sequence[Utterance]) -> None:
        numbers = [number_of(part) for utterance in utterances for part in self._parts(utterance)]
        distinct = {number for number in numbers if number is not None}
        fractions = any(not number.is_integer() for number in distinct)
        insisted = self.options.numeric_classes or self.options.labels is not None
        if None not in numbers and len(distinct) > (MOST_FRACTIONS if fractions else MOST_NUMBERS) and not insisted:
            raise MerkitError(
                f"table: column '{self.options.label}' has {len(distinct)} distinct numbers, {min(distinct):g} to "
                f"{max(distinct):g}: is this a regression? The protocol needs classes: write names for ranges of the "
                f"numbers into a column and name it with label, or insist with numeric_classes = true."
            )

    def _split_of(self, utterance: Utterance) -> str:
        assert self.split is not None
        found = _text(utterance, self.split)
        if found not in SPLITS:
            raise MerkitError(
                f"table: utterance '{utterance.id}' has '{found}' in column '{self.split}'; "
                f"known: {', '.join(SPLITS)}. "
                f"Mend the column, or make folds with group = 'speaker' (or another column)."
            )
        return SPLITS[found]

    def _by_column(self, members: Sequence[Utterance], seed: int) -> Fold:
        splits: dict[str, list[Utterance]] = {"train": [], "valid": [], "test": []}
        for utterance in members:
            splits[self._split_of(utterance)].append(utterance)
        for split in ("train", "test"):
            if not splits[split]:
                found = ", ".join(sorted({_text(utterance, str(self.split)) for utterance in members}))
                raise MerkitError(
                    f"table: column '{self.split}' names no {split} split, found {found or 'nothing'}. "
                    f"Mend the column, or make folds with group = 'speaker' (or another column)."
                )
        if splits["valid"]:
            return fold(self, "split", splits["train"], splits["valid"], splits["test"])
        return self._cut("split", splits["train"], splits["test"], seed, "split")

    def _cut(
        self, name: str, learnable: Sequence[Utterance], test: Sequence[Utterance], seed: int, key: str | int
    ) -> Fold:
        """Return a fold whose validation split is drawn by group, by conversation where a group exceeds its share."""
        group: Group = self._group if self.options.group else known_speaker
        if not self._share_of(learnable, group):
            group = conversation
        count = self._share_of(learnable, group)
        if not count and not self._warned:
            self._warned = True
            number = len({utterance.conversation for utterance in learnable})
            _log.warning(
                f"table: fold '{name}' validates on 1 of its {number} training conversations, more than "
                f"valid_share = {self.options.valid_share:g}: there are no smaller groups that can be kept apart."
            )
        return cut(self, name, learnable, test, group, max(1, count), seed, key)

    def _share_of(self, utterances: Sequence[Utterance], group: Group) -> int:
        """Return how many whole groups are within the share of the validation split."""
        return int(self.options.valid_share * len({group(utterance) for utterance in utterances}) + 1e-9)

    def _group(self, utterance: Utterance) -> str:
        column = str(self.options.group)
        found = _text(utterance, column)
        if not found:
            raise MerkitError(
                f"table: utterance '{utterance.id}' has nothing in the group column '{column}'. "
                f"Every utterance needs a group, so that none is in two splits."
            )
        return found


def _cell(utterance: Utterance, column: str) -> Scalar:
    """Return a column's value, reserved columns included; ``None`` where there is none."""
    return getattr(utterance, column) if column in _RESERVED else utterance.attributes.get(column)


def _text(utterance: Utterance, column: str) -> str:
    """Return a column's value as text; an empty text where there is none."""
    value = _cell(utterance, column)
    return "" if value is None else str(value).strip()


def _named(value: Scalar, names: Collection[str]) -> str | None:
    """Return which of an option's names means a label; a number may be written as 1 or as 1.0."""
    found = label_name(value)
    if found in names or not isinstance(value, int | float) or isinstance(value, bool):
        return found if found in names else None
    return next((name for name in names if number_of(name) == value), None)


SPEC = ProtocolSpec(
    name="table",
    summary="a user's own table: split column, or k folds by a group column",
    corpus=None,
    options=TableOptions,
    build=Table,
)
