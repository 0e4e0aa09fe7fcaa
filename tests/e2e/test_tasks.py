"""Labels and tasks from the table to the report: odd labels are told, and only runs of one task are compared."""

import csv
import json
import re

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


@pytest.mark.parametrize("prepared", ["17"], indirect=True)
def test_a_class_with_a_vertical_bar_breaks_no_table(prepared, cases, tmp_path):
    data, _ = prepared
    assert call("-q", "train", cases / "tables" / "17-r.toml", "--data", data, "--out", tmp_path / "run").code == 0

    assert call("-q", "report", tmp_path / "run", "--out", tmp_path / "report").code == 0

    markdown = (tmp_path / "report" / "report.md").read_text()
    assert r"| System | a\|b (5) | c (5) |" in markdown
    for table in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert r"* Classes: a\|b, c" in next(tmp_path.rglob("README.md")).read_text()
    facts = json.loads(next(tmp_path.rglob("cell.json")).read_text())
    assert (facts["selection"], facts["epochs_run"]) == ("none", 0)


def test_a_quantity_is_no_label_unless_the_user_insists(tmp_path):
    lines = [f"u{n},line {n},{n % 21 / 4},{('train', 'valid', 'test')[n // 21]}" for n in range(63)]
    (tmp_path / "mine.csv").write_text("\n".join(["id,text,label,split", *lines]))
    recipe = write_recipe(tmp_path / "r.toml", {"model": "majority", "protocol": "table", "seeds": 1})
    command = ("train", recipe, "--data", tmp_path / "mine.csv", "--out", tmp_path / "run")

    refused = call(*command)

    assert refused.code == 2
    assert "21 distinct numbers, 0 to 5: is this a regression?" in refused.error
    assert call(*command, "--set", "options.numeric_classes=true").code == 0
    (tmp_path / "other.csv").write_text("id,text\nu,beside it\n")
    assert call("-q", "report", tmp_path / "run", "--out", tmp_path / "report").code == 0
    assert "Protocol table on mine; numeric_classes = true; 1 fold" in (tmp_path / "report" / "report.md").read_text()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs on two corpora with the same ids and labels, two label columns, and two, three or four folds."""
    home = tmp_path_factory.mktemp("tasks")
    for name in ("calls", "films"):
        lines = [
            f"u{n},{name} {n % 3} {n % 2},{'AB'[n % 2]},{'xyz'[n % 3]},{('train', 'valid', 'test')[n // 8]},s{n % 4}"
            for n in range(24)
        ]
        (home / f"{name}.csv").write_text("\n".join(["id,text,label,topic,split,speaker", *lines]))
        assert call("-q", "prepare", "table", "--raw", home / f"{name}.csv", "--out", home / name).code == 0
    recipe = write_recipe(home / "r.toml", {"model": "bag_of_words", "protocol": "table", "seeds": 1})
    plain = write_recipe(home / "m.toml", {"model": "majority", "protocol": "table", "seeds": 1})
    made = {
        "base": (recipe, "calls"),
        "majority": (plain, "calls"),
        "films": (recipe, "films"),
        "topic": (recipe, "calls", "--set", "options.label=topic"),
        **{f"folds{n}": (recipe, "calls", "--group", "speaker", "--folds", n) for n in (2, 3, 4)},
    }
    for name, (path, data, *options) in made.items():
        done = call("-q", "train", path, "--data", home / data, "--out", home / "runs" / name, *options)
        assert done.code == 0, done.error
    return {name: home / "runs" / name for name in made}


def tables_of(markdown):
    """Titles of the tasks, each with the systems of its table of results and of its comparisons."""
    parts = re.split(r"^## (.*)$", markdown, flags=re.MULTILINE)[1:]
    return {
        title: [re.findall(r"^\| (\w+)", section, re.MULTILINE)[1:] for section in text.split("### ")[1:]]
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    }


def test_each_task_has_tables_of_its_own_and_nothing_is_compared_across_tasks(runs, tmp_path):
    done = call("-q", "report", *runs.values(), "--out", tmp_path)

    assert done.code == 0, done.error
    markdown = (tmp_path / "report.md").read_text()
    tables = tables_of(markdown)
    assert {title: systems[0] for title, systems in tables.items()} == {
        "table (corpus calls; default options; 1 fold)": ["majority", "base"],
        "table (corpus films; default options; 1 fold)": ["films"],
        'table (corpus calls; label = "topic"; 1 fold)': ["topic"],
        'table (corpus calls; group = "speaker"; 2 folds)': ["folds2"],
        'table (corpus calls; group = "speaker"; 3 folds)': ["folds3"],
        'table (corpus calls; group = "speaker"; 4 folds)': ["folds4"],
    }
    assert markdown.count("UA) compared with ") == 1
    assert markdown.startswith("# Results on table: 6 tasks\n")
    html = (tmp_path / "report.html").read_text()
    ids = re.findall(r'<section id="([^"]+)"', html)
    assert len(ids) == len(set(ids)) == 6 + 7
    assert all(f'href="#{id_}"' in html for id_ in ids)


def test_results_keep_the_rows_of_other_tasks(runs, tmp_path):
    results, page = tmp_path / "ours.csv", tmp_path / "page.md"
    page.write_text("<!-- results:begin -->\n<!-- results:end -->\n")
    files = ("--out", tmp_path / "report", "--results", results, "--page", page)

    def systems():
        with results.open(newline="") as file:
            return list(dict.fromkeys((row["corpus"], row["run"]) for row in csv.DictReader(file)))

    for name in ("base", "films", "topic", "folds2", "folds3"):
        assert call("-q", "report", runs[name], *files).code == 0
    assert systems() == [
        ("calls", "base"), ("films", "films"), ("calls", "topic"), ("calls", "folds2"), ("calls", "folds3"),
    ]  # fmt: skip

    assert call("-q", "report", runs["majority"], *files).code == 0
    assert systems()[:3] == [("calls", "base"), ("calls", "majority"), ("films", "films")]
    assert len(systems()) == 6
    assert len(tables_of(page.read_text())) == 5


def test_a_run_elsewhere_is_of_the_same_task(runs, tmp_path):
    (tmp_path / "deep" / "calls").mkdir(parents=True)
    table = (runs["base"].parents[1] / "calls.csv").read_text().splitlines()
    lines = [f"{table[0]},asr_text,audio", *(f"{line},um,{n}.wav" for n, line in enumerate(table[1:]))]
    (tmp_path / "deep" / "calls" / "utterances.csv").write_text("\n".join(lines))
    recipe = runs["base"].parents[1] / "m.toml"
    assert call("-q", "train", recipe, "--data", tmp_path / "deep" / "calls", "--out", tmp_path / "again").code == 0

    assert call("-q", "report", runs["base"], tmp_path / "again", "--out", tmp_path / "report").code == 0

    assert list(tables_of((tmp_path / "report" / "report.md").read_text())) == ["table"]
