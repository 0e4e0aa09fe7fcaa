import re

import pytest
from pydantic import ValidationError

from merkit.core.errors import ConfigError, MerkitError
from merkit.core.lookup import load
from merkit.core.types import Scalar, Utterance
from merkit.evaluation.true_labels import true_labels
from merkit.protocols.table import Table, TableOptions


def row(number: int, part: Scalar = "train", label: Scalar = "yes", **attributes: Scalar) -> Utterance:
    speaker = str(attributes.pop("speaker", f"s{number % 3}"))
    return Utterance(f"u{number}", f"c{number}", 0, speaker, attributes={"split": part, "label": label, **attributes})


def table(**options: object) -> Table:
    return Table(TableOptions(**options), False)  # type: ignore[arg-type]


ROWS = [row(0), row(1, label="no"), row(2, "val", "no"), row(3, "test"), row(4, "test", "no")]


def test_splits_are_those_of_the_split_column_and_labels_are_sorted() -> None:
    protocol = table()

    (fold,) = protocol.folds(ROWS, 0)

    assert protocol.labels == ("no", "yes")
    assert (fold.name, dict(fold.train), dict(fold.valid), fold.test) == (
        "split",
        {"u0": 1, "u1": 0},
        {"u2": 0},
        ("u3", "u4"),
    )


def test_answers_need_no_folds_first() -> None:
    assert true_labels(table(), ROWS) == {"u0": 1, "u1": 0, "u2": 0, "u3": 1, "u4": 0}


def test_labels_of_the_test_split_are_not_looked_at_before_scoring() -> None:
    rows = [*ROWS, row(5, "test", "perhaps")]
    protocol = table()

    protocol.folds(rows, 0)

    assert protocol.labels == ("no", "yes")
    with pytest.raises(MerkitError, match="'u5' has label 'perhaps', which no training or validation utterance has"):
        true_labels(protocol, rows)


def test_unknown_speakers_are_not_one_group_when_validation_is_drawn() -> None:
    rows = [row(n, label="no" if n % 2 else "yes", speaker=f"s{n}" if n < 20 else "") for n in range(100)]

    folds = [table(valid_share=0.1).folds([*rows, row(100, "test")], seed)[0] for seed in range(30)]

    assert {len(fold.valid) for fold in folds} == {10}  # of 100 people, each with one utterance


def test_given_labels_fix_order_and_refuse_others() -> None:
    protocol = table(labels=("yes", "no"))

    assert protocol.folds(ROWS, 0)[0].train == {"u0": 0, "u1": 1}
    assert true_labels(protocol, ROWS)["u0"] == 0
    with pytest.raises(MerkitError, match="has label 'maybe'; labels names yes, no"):
        protocol.folds([*ROWS, row(5, label="maybe")], 0)


def test_labels_that_are_numbers_become_names() -> None:
    rows = [row(0, label=1), row(1, label=0), row(2, "val", True), row(3, "test", 1)]

    assert true_labels(table(), rows) == {"u0": 1, "u1": 0, "u2": 2, "u3": 1}


@pytest.mark.parametrize("empty", [None, "", " "])
def test_an_empty_label_is_an_error_unless_left_out(empty: Scalar) -> None:
    rows = [*ROWS, row(5, label=empty)]

    with pytest.raises(MerkitError, match=r"'u5' has no label in column 'label' .*leave_out"):
        table().folds(rows, 0)
    assert [u.id for u in table(leave_out=("",)).members(rows)] == ["u0", "u1", "u2", "u3", "u4"]


def test_a_missing_label_column_names_the_columns_there_are() -> None:
    with pytest.raises(MerkitError, match=r"column 'emotion' \(columns: split, label\)"):
        table(label="emotion").folds(ROWS, 0)


def test_an_unknown_split_is_an_error() -> None:
    with pytest.raises(MerkitError, match="'u9' has 'holdout' in column 'split'; known: train"):
        table().folds([*ROWS, row(9, "holdout")], 0)


def test_one_class_is_nothing_to_learn() -> None:
    with pytest.raises(MerkitError, match=r"has 1 class\(es\) to learn from \(yes\)"):
        table().folds([row(0), row(1, "val"), row(2, "test", "no")], 0)


def test_no_member_is_nothing_to_learn() -> None:
    with pytest.raises(MerkitError, match="has 0 class"):
        table().folds([], 0)


def test_a_missing_validation_split_is_cut_by_conversation_where_speakers_are_few() -> None:
    rows = [row(number, label=("yes", "no")[number % 2]) for number in range(20)] + [row(90, "test")]

    (fold,) = table().folds(rows, 0)

    assert len(fold.valid) == 2  # a tenth of twenty conversations


def test_a_missing_validation_split_is_cut_by_speaker_where_there_are_enough() -> None:
    rows = [row(number, label=("yes", "no")[number % 2], speaker=f"p{number % 10}") for number in range(40)]
    rows.append(row(90, "test", speaker="other"))
    speaker = {utterance.id: utterance.speaker for utterance in rows}

    (fold,) = table().folds(rows, 0)

    assert len({speaker[id_] for id_ in fold.valid}) == 1
    assert not {speaker[id_] for id_ in fold.valid} & {speaker[id_] for id_ in fold.train}


def test_a_group_column_beside_the_split_says_what_the_validation_split_is_cut_by() -> None:
    rows = [row(number, label=("yes", "no")[number % 2], room=f"r{number % 10}") for number in range(40)]
    rows.append(row(90, "test", room="r99"))
    protocol = table(split="split", group="room")

    (fold,) = protocol.folds(rows, 0)

    assert len(fold.valid) == 4
    assert len({int(id_[1:]) % 10 for id_ in fold.valid}) == 1


def test_a_group_column_alone_makes_folds() -> None:
    rows = [row(number, label=("yes", "no")[number // 20], room=number % 20) for number in range(40)]

    folds = table(group="room", folds=20).folds(rows, 0)

    assert [set(fold.test) for fold in folds] == [{f"u{room}", f"u{room + 20}"} for room in sorted(range(20), key=str)]
    assert all(len(fold.valid) == 2 for fold in folds)  # one of nineteen rooms


def test_conversations_are_validated_on_where_a_group_is_more_than_the_share() -> None:
    rows = [row(number, label=("yes", "no")[number % 2], room=number % 4) for number in range(80)]

    folds = table(group="room", folds=4).folds(rows, 0)

    assert [len(fold.valid) for fold in folds] == [6, 6, 6, 6]  # a tenth of 60 conversations, not a room of 20


@pytest.mark.parametrize(("share", "expected"), [(0.1, 6), (0.25, 15), (0.5, 20)])
def test_the_share_of_the_validation_split_is_an_option(share: float, expected: int) -> None:
    rows = [row(number, label=("yes", "no")[number % 2]) for number in range(60)] + [row(90, "test")]

    (fold,) = table(valid_share=share).folds(rows, 0)  # 0.5: one of three speakers

    assert len(fold.valid) == expected


def test_a_validation_split_that_exceeds_its_share_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    rows = [row(number, label=("yes", "no")[number % 2], room=number % 4) for number in range(4)]

    table(group="room", folds=4).folds(rows, 0)

    assert caplog.messages == [
        "table: fold '1' validates on 1 of its 3 training conversations, more than valid_share = 0.1: "
        "there are no smaller groups that can be kept apart."
    ]


def test_an_empty_group_is_an_error() -> None:
    with pytest.raises(MerkitError, match="'u4' has nothing in the group column 'room'"):
        table(group="room").folds(
            [row(number, room="r" if number < 4 else None, label=str(number)) for number in range(8)], 0
        )


def test_the_bootstrap_draws_speakers_where_they_are_the_group() -> None:
    assert table(group="speaker").cluster == "speaker"
    assert table(group="conversation").cluster == "conversation"
    assert table().cluster == "conversation"


def test_selection_and_metrics_come_from_the_options() -> None:
    protocol = table(selection="last", metrics=("macro_f1",))

    assert (protocol.selection, protocol.metrics) == ("last", ("macro_f1",))
    assert (table().selection, table().metrics[0]) == ("best_valid", "mean_recall")


def test_one_column_cannot_be_label_and_split() -> None:
    with pytest.raises(ConfigError, match="must be different columns, found x, x"):
        table(label="x", split="x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ("a", "a")}, "names a class twice"),
        ({"labels": ("a",)}, "at least 2 are needed"),
        ({"metrics": ()}, "metrics is empty"),
        ({"metrics": ("weighted_fi",)}, "No metric named 'weighted_fi'. Did you mean 'weighted_f1'?"),
        ({"selection": "best_test"}, "Input should be 'best_valid' or 'last'"),
        ({"labels": ("a", "b"), "leave_out": ("b",)}, "labels and leave_out both name b"),
        ({"folds": 1}, "greater than or equal to 2"),
        ({"lable": "x"}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        TableOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("named", ["-1", "-1.0"])
def test_whole_numbers_are_classes_without_a_point_and_can_be_left_out_either_way(named: str) -> None:
    rows = [row(0, label=1.0), row(1, label=0.0), row(2, "val", -1.0), row(3, "val", 0.0), row(4, "test", 1.0)]

    protocol = table(leave_out=(named,))
    protocol.check_options(rows)

    assert true_labels(protocol, rows) == {"u0": 1, "u1": 0, "u3": 0, "u4": 1}
    assert protocol.labels == ("0", "1")
    whole = table()
    assert (whole.label(rows[2]), whole.label(row(9, label=-0.0)), whole.label(row(9, label=0.5))) == ("-1", "0", "0.5")
    assert table(labels=("-1.0", "0.0", "1.0")).label(rows[2]) == "-1.0"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"leave_out": ("othr",)}, "leave_out names 'othr', which is no label in column 'label'. Labels: no, yes"),
        ({"leave_out": ("Yes",)}, "Did you mean 'yes'? Labels: no, yes"),
        ({"labels": ("yes", "no", "mabye")}, "labels names 'mabye', which is no label"),
        ({"label": "lable"}, "label: No column named 'lable'. Did you mean 'label'? Known: split, label, speaker"),
        ({"group": "speakers"}, "group: No column named 'speakers'. Did you mean 'speaker'?"),
        ({"split": "part"}, "split: No column named 'part'. Known: split, label"),
        ({"folds": 3}, "folds = 3 has no effect where the column 'split' makes the splits"),
        ({"split": "split", "group": "speaker", "folds": 3}, "has no effect"),
    ],
)
def test_an_option_that_matches_nothing_is_an_error_with_what_there_is(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(MerkitError, match=re.escape(message)):
        table(**options).check_options(ROWS)


def test_a_label_of_the_test_split_alone_is_an_error_before_training() -> None:
    with pytest.raises(MerkitError, match="'u5' has label 'perhaps', which no training or validation utterance has"):
        table().check_options([*ROWS, row(5, "test", "perhaps")])


@pytest.mark.parametrize(("part", "message"), [("dev", "no train split, found dev, test"), ("train", "no test split")])
def test_a_split_that_the_column_lacks_is_named_with_those_it_has(part: str, message: str) -> None:
    rows = [row(0, part), row(1, part, "no"), row(2, "test" if part == "dev" else "val")]

    with pytest.raises(MerkitError, match=f"table: column 'split' names {message}"):
        table().folds(rows, 0)


def test_options_that_match_are_fine_and_an_empty_cell_may_be_left_out_where_there_is_none() -> None:
    table(leave_out=("", "maybe")).check_options([*ROWS, row(5, label="maybe")])
    table(labels=("yes", "no")).check_options([row(0), row(1, "test", "no")])


@pytest.mark.parametrize("spelt", [float, str])
@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ([number / 5 for number in range(21)], "21 distinct numbers, 0 to 4: is this a regression?"),
        ([number / 2 for number in range(11)], "11 distinct numbers"),
        (range(21), "21 distinct numbers"),
        (range(20), ""),
        ([number / 2 for number in range(10)], ""),
    ],
)
def test_many_different_numbers_are_refused_as_classes(values, refused: str, spelt: type) -> None:
    rows = [row(number, label=spelt(value)) for number, value in enumerate(values)]

    if not refused:
        table().check_options(rows)
        return
    with pytest.raises(MerkitError, match=re.escape(refused) + ".*insist with numeric_classes = true"):
        table().check_options(rows)
    table(numeric_classes=True).check_options(rows)
    table(labels=tuple(map(str, values))).check_options(rows)


def test_labels_that_read_the_same_are_told_with_their_numbers() -> None:
    rows = [row(0), row(1, label="Yes"), row(2, "val", "no"), row(3, "test", "no "), row(4, "test", "None")]

    alike, nothing = table().warnings(rows)

    assert alike.startswith("column 'label': labels differ only in case, white space or Unicode form: ")
    assert "'yes' (1) and 'Yes' (1); 'no' (1) and 'no ' (1)" in alike
    assert nothing == "column 'label': labels are words for no value: 'None' (1)"
    assert table(leave_out=("None", "Yes", "no")).warnings(rows) == []


def test_the_table_is_for_any_corpus() -> None:
    assert load("protocols", "table").corpus is None


SEVERAL = [
    row(0, label="sad; angry"),
    row(1, label="glad"),
    row(2, "val", "angry;glad"),
    row(3, "test", "sad"),
    row(4, "test", "glad;glad"),
]


def test_a_separator_makes_several_labels_of_a_cell() -> None:
    protocol = table(separator=";")

    (fold,) = protocol.folds(SEVERAL, 0)

    assert protocol.labels == ("angry", "glad", "sad")
    assert protocol.metrics == ("macro_f1", "micro_f1", "macro_precision", "macro_recall")
    assert (dict(fold.train), dict(fold.valid), fold.test) == ({"u0": (0, 2), "u1": (1,)}, {"u2": (0, 1)}, ("u3", "u4"))
    assert true_labels(protocol, SEVERAL) == {**fold.train, **fold.valid, "u3": (2,), "u4": (1,)}


def test_utterances_with_one_of_the_labels_to_leave_out_are_left_out() -> None:
    protocol = table(separator=";", leave_out=("sad", ""))

    assert [u.id for u in protocol.members([*SEVERAL, row(5, label="")])] == ["u1", "u2", "u4"]


@pytest.mark.parametrize(
    ("label", "options", "message"),
    [
        (None, {}, "'u5' has no label in column 'label'"),
        ("", {}, "'u5' has no label in column 'label'"),
        (";", {}, "'u5' has no label in column 'label'"),
        ("sad;;glad", {}, "'u5' has 'sad;;glad' in column 'label': a label is missing beside ';'"),
        ("sad;", {}, "'u5' has 'sad;' in column 'label': a label is missing beside ';'"),
        ("sad;gald", {"labels": ("sad", "glad", "angry")}, "'u5' has label 'gald'; labels names sad, glad, angry"),
    ],
)
def test_a_cell_of_several_labels_that_cannot_be_read_is_named(
    label: Scalar, options: dict[str, object], message: str
) -> None:
    protocol = table(separator=";", **options)

    with pytest.raises(MerkitError, match=message):
        protocol.check_options([*SEVERAL, row(5, label=label)])


def test_a_label_of_the_test_split_alone_is_refused_among_several_too() -> None:
    with pytest.raises(MerkitError, match="'u5' has label 'afraid', which no training or validation utterance has"):
        true_labels(table(separator=";"), [*SEVERAL, row(5, "test", "sad;afraid")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ("accuracy",)}, "No metric named 'accuracy'.*macro_f1, .*micro_f1"),
        ({"labels": ("a;b", "c")}, "'a;b' holds the separator ';'"),
        ({"separator": " "}, "separator is white space"),
        ({"separator": ""}, "at least 1 character"),
    ],
)
def test_options_that_do_not_fit_several_labels_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        table(**{"separator": ";", **options})


def test_metrics_of_several_labels_are_none_of_one() -> None:
    with pytest.raises(ValidationError, match="No metric named 'micro_f1'"):
        table(metrics=("micro_f1",))
