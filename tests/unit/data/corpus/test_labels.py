"""Labels that read the same, or that stand for nothing, are told and never changed."""

import json

import pytest

from merkit.core.types import Utterance
from merkit.data.corpus.doctor import examine
from merkit.data.corpus.labels import check_label_columns, label_name, label_warnings, number_of
from merkit.data.corpus.manifest import read_manifest


@pytest.mark.parametrize(
    "other",
    [
        "Zażółć",
        "ZAŻÓŁĆ",
        " zażółć",
        "zażółć\u00a0",
        "zaz\u0307o\u0301\u0142c\u0301",
        "za\u200bżółć",
        "\ufeffzażółć",
        "ｚażółć",
        "za żółć",
        "za\u00adżółć",
    ],
)
def test_labels_that_read_the_same_are_told(other: str) -> None:
    (warning,) = label_warnings(["zażółć", other, other, "spokój"])

    assert warning.code == "labels-alike"
    assert warning.labels == {"zażółć", other}
    assert "'zażółć' (1) and '" in warning.message
    assert warning.message.endswith(" (2)")
    shown = warning.message.split(" and ")[1]
    assert shown.removesuffix(" (2)") not in ("'zażółć'", "'za\u200bżółć'")  # the two look different


@pytest.mark.parametrize(
    "word", ["nan", "NaN", "None", "null", "NA", "n/a", "<NA>", "-", " nil ", "?", "ＮＡ", "\u200b"]
)
def test_words_for_nothing_are_told(word: str) -> None:
    (warning,) = label_warnings(["sad", word])

    assert warning.code == "labels-of-nothing"
    assert warning.labels == {word}


def test_classes_of_real_corpora_are_no_words_for_nothing() -> None:
    assert (
        label_warnings(["unknown", "other", "neutral", "no", "none of these", "e", "é", "angry", "anger", 1, 1.0]) == []
    )


@pytest.mark.parametrize(
    ("value", "name"), [(-1.0, "-1"), (-0.0, "0"), (0.5, "0.5"), (3, "3"), (True, "True"), (None, ""), (" a ", "a"),
                        ("1.0", "1.0"), (1e16, "10000000000000000")],
)  # fmt: skip
def test_a_class_has_one_name_whatever_its_cells_are(value: object, name: str) -> None:
    assert label_name(value) == name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "number"), [(1, 1.0), ("2.5", 2.5), (True, None), (None, None), ("a", None), ("nan", None)]
)
def test_a_number_may_be_spelt(value: object, number: float | None) -> None:
    assert number_of(value) == number  # type: ignore[arg-type]


def test_doctor_looks_at_columns_whose_words_repeat() -> None:
    words = ["Angry", "angry", "sad"] * 4
    rows = [
        Utterance(
            f"u{n}", f"c{n}", 0, "", text="Yes", attributes={"mood": word, "note": f"note {n}", "NOTE": f"Note {n}"}
        )
        for n, word in enumerate(words)
    ]
    rows.append(Utterance("x", "x", 0, "", text="Yes", attributes={"mood": None, "label": "none"}))

    alike, nothing = sorted(check_label_columns(rows), key=lambda finding: finding.code)

    assert alike.message.startswith("column 'mood': ")
    assert alike.ids == tuple(f"u{n}" for n, word in enumerate(words) if word != "sad")
    assert (nothing.message, nothing.ids) == ("column 'label': labels are words for no value: 'none' (1)", ("x",))


def test_a_manifest_is_told_about_once(tmp_path) -> None:
    rows = [{"id": f"u{n}", "text": f"word {n}", "label": ("Glad", "glad")[n % 2]} for n in range(6)]
    (tmp_path / "utterances.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    codes = [finding.code for finding in examine(read_manifest(tmp_path))]

    assert codes.count("labels-alike") == 1
