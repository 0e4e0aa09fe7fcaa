"""Labels and tasks from the table to the report: odd labels are told, and only runs of one task are compared."""

import json

import pytest
from tests.commandline import call
from tests.tiny import write_recipe


@pytest.fixture
def prepared(cases, tmp_path, request, caplog):
    """A table of the cases as a corpus."""
    done = call("prepare", "table", "--raw", cases / "tables" / f"{request.param}-my.csv", "--out", tmp_path / "data")
    assert done.code == 0, done.error
    return tmp_path / "data", done


@pytest.mark.parametrize("prepared", ["08"], indirect=True)
def test_a_number_is_left_out_by_its_name_and_a_label_that_is_not_there_is_an_error(prepared, cases, tmp_path):
    data, _ = prepared

    done = call("train", cases / "tables" / "08-r.toml", "--data", data, "--out", tmp_path / "run")
    typo = call("train", cases / "tables" / "08-typo.toml", "--data", data, "--out", tmp_path / "typo")

    assert done.code == 0, done.error
    assert json.loads((tmp_path / "run" / "scores.json").read_text())["labels"] == ["0", "1"]
    assert typo.code == 2
    assert typo.error == (
        "merkit: table: leave_out names 'othr', which is no label in column 'label'. Labels: -1, 0, 1\n"
    )
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize("prepared", ["09"], indirect=True)
def test_labels_that_read_the_same_are_told_by_prepare_doctor_train_and_report(prepared, cases, tmp_path, caplog):
    data, _ = prepared
    words = (
        "labels differ only in case, white space or Unicode form: 'Angry' (16) and 'angry' (16); 'sad' (16) and 'Sad'"
    )

    assert [words in record.getMessage() for record in caplog.get_records("setup")] == [True]
    assert words in call("doctor", data).out
    trained = call("train", cases / "tables" / "09-r.toml", "--data", data, "--out", tmp_path / "run")
    assert words in caplog.text
    assert words in trained.out
    assert call("-q", "report", tmp_path / "run", "--out", tmp_path / "report").code == 0
    for ending in ("html", "md"):
        text = (tmp_path / "report" / f"report.{ending}").read_text().replace("&#x27;", "'")
        assert words in text


def test_a_quantity_is_no_label_unless_the_user_insists(tmp_path):
    lines = [f"u{n},line {n},{n % 21 / 4},{('train', 'valid', 'test')[n // 21]}" for n in range(63)]
    (tmp_path / "mine.csv").write_text("\n".join(["id,text,label,split", *lines]))
    recipe = write_recipe(tmp_path / "r.toml", {"model": "majority", "protocol": "table", "seeds": 1})
    command = ("train", recipe, "--data", tmp_path / "mine.csv", "--out", tmp_path / "run")

    refused = call(*command)

    assert refused.code == 2
    assert "21 distinct numbers, 0 to 5: is this a regression?" in refused.error
    assert call(*command, "--set", "options.numeric_classes=true").code == 0
