"""Kept results, in a CSV file and the tables that show it, are renewed run by run; all others stay."""

import csv
from pathlib import Path

import pytest
from tests.commandline import call

from merkit.core.errors import ConfigError, MerkitError
from merkit.data.files import write_texts
from merkit.reporting.kept_results import best_of_each_model, renewed
from merkit.reporting.reference import read_references, shipped_references
from merkit.reporting.report import renew_tables, write_report
from merkit.reporting.results import gather
from merkit.reporting.rows import ResultRow, read_rows
from merkit.reporting.section import section_markdown
from merkit.reporting.sections import results_section

MARKS = "before\n<!-- results:begin -->\n<!-- results:end -->\nafter\n"


@pytest.fixture
def runs(parley, nemo, make_run, tmp_path):
    """Two runs of nemo6 and one of parley, whose protocols stand in this order in `kept`."""
    return {
        name: make_run(tmp_path / "runs" / name, corpus, "single", skill)
        for name, corpus, skill in (("alone", nemo, 1.0), ("left", nemo, 1.5), ("calls", parley, 1.5))
    }


@pytest.fixture
def kept(runs, tmp_path):
    """A results file, a README and a page with both protocols."""
    results, readme, page = tmp_path / "ours.csv", tmp_path / "README.md", tmp_path / "results.md"
    readme.write_text(MARKS)
    page.write_text(MARKS)
    write_texts(renewed(gather([*runs.values()]), results, readme, page))
    return results, readme, page


def rows_of(results, protocol):
    return [line for line in results.read_text().splitlines() if line.startswith(f"{protocol},")]


def test_new_files_hold_the_protocols_of_the_runs_in_their_order(runs, kept):
    results, _, page = kept
    groups = gather([*runs.values()])

    assert [group.protocol for group in groups] == ["nemo6", "parley"]
    text = page.read_text()
    assert text.startswith("before\n<!-- results:begin -->\n\n## nemo6\n\n| System | Mean recall (UA) |")
    assert text.endswith("\n\n<!-- results:end -->\nafter\n")
    assert text.index("## nemo6") < text.index("## parley")
    for group in groups:
        table = section_markdown(results_section(group.rows, [])).splitlines()
        for row in table[2 : 2 + len(group.entries)]:
            *scores, features, _ = row.split("|")
            assert "|".join(scores) in text
            assert f"{scores[1]}|{features}|".lstrip() in text
        assert table[-1] in text
    with results.open(newline="") as file:
        rows = [(row["protocol"], row["run"]) for row in csv.DictReader(file)]
    assert list(dict.fromkeys(rows)) == [("nemo6", "alone"), ("nemo6", "left"), ("parley", "calls")]


def test_the_readme_has_the_best_run_of_each_model_on_validation_for_the_first_protocol(runs, kept):
    _, readme, _ = kept
    rows = [row for row in gather([*runs.values()])[0].rows if row.metric == "mean_recall"]
    best = max(rows, key=lambda row: row.valid)
    table = [line.split(" | ") for line in readme.read_text().splitlines() if line.startswith("|")]

    assert len(table) == 3
    assert {len(cells) for cells in table} == {4}
    assert table[0][1] == "Mean recall (UA)"
    assert table[2][::3] == [f"| {best.run}", "text: bert (minilm, frozen) |"]
    assert f"{best.mean:.2f}" in table[2][1]
    assert "[All runs, metrics and protocols](results.md)" in readme.read_text()


def test_at_most_ten_models_are_in_the_short_table_and_the_test_split_does_not_select_them(runs):
    row = gather([runs["calls"]])[0].rows[0]
    rows = [
        row.model_copy(update={"run": f"r{number}", "model": f"m{number % 12}", "valid": number, "mean": 100 - number})
        for number in range(24)
    ]

    chosen = [run[0].run for run in best_of_each_model(rows)]

    assert chosen == [f"r{number}" for number in range(14, 24)]


def test_the_repositorys_tables_are_those_of_its_results():
    root = Path(__file__).parents[3]
    readme, page = root / "README.md", root / "docs" / "results.md"

    texts = renewed([], root / "results" / "ours.csv", readme, page, read_references(shipped_references()))

    assert len(texts) == 3
    for path, text in texts.items():
        assert path.read_text() == text, (
            f"run: merkit report --results results/ours.csv --readme README.md --page {page}"
        )


def test_a_score_is_shown_as_the_file_has_it(runs):
    row = gather([runs["calls"]])[0].rows[0]

    new = ResultRow(**{**dict(row), "mean": 86.88499999})  # 86.8850 in the file

    assert new.mean == 86.885


@pytest.mark.parametrize(("given", "other"), [("alone", "parley"), ("calls", "nemo6")])
def test_protocols_without_a_given_run_stay_as_they_are(runs, kept, given, other):
    results, *_ = kept
    results.write_text(results.read_text().replace("0123456789abcdef", "edited"))
    before = rows_of(results, other)

    write_texts(renewed(gather([runs[given]]), results))

    assert before
    assert rows_of(results, other) == before


def test_a_given_run_replaces_that_of_its_name_and_all_others_stay_in_their_order(kept, make_run, nemo, tmp_path):
    results, readme, page = kept
    before = results.read_text().splitlines()

    write_texts(renewed(gather([make_run(tmp_path / "later" / "alone", nemo, "single", 3.0)]), results, readme, page))

    after = results.read_text().splitlines()
    assert [line.split(",")[:2] for line in after] == [line.split(",")[:2] for line in before]
    changed = [new != old for new, old in zip(after, before, strict=True)]
    assert changed == [line.startswith("nemo6,alone,") for line in before]
    assert page.read_text().index("| alone |") < page.read_text().index("| left |")


def test_a_new_run_follows_the_last_of_its_model(runs, kept, make_run, nemo, tmp_path):
    results, *_ = kept
    given = [
        make_run(tmp_path / "runs" / name, nemo, model) for name, model in (("both", "concat"), ("third", "single"))
    ]

    write_texts(renewed(gather(given), results))

    assert [row.run for row in read_rows(results)][::4] == ["alone", "left", "third", "both", "calls"]


def test_a_new_protocol_follows_the_others(runs, tmp_path):
    results, page = tmp_path / "ours.csv", tmp_path / "results.md"
    page.write_text(MARKS)
    for name in ("calls", "alone"):
        write_texts(renewed(gather([runs[name]]), results, page=page))

    assert [line.split(",")[0] for line in results.read_text().splitlines()] == ["protocol"] + 4 * ["parley"] + 4 * [
        "nemo6"
    ]
    assert page.read_text().index("## parley") < page.read_text().index("## nemo6")


def test_the_same_runs_again_or_none_change_nothing(runs, kept):
    before = [path.read_bytes() for path in kept]

    write_texts(renewed(gather([*runs.values()]), *kept))
    assert [path.read_bytes() for path in kept] == before

    assert renew_tables(*kept) == (kept[0], kept[2], kept[1])
    assert kept[0].read_bytes() == before[0]
    assert kept[1].read_bytes() == before[1]


def without_tasks(results):
    """Write a file of results as earlier versions did."""
    with results.open(newline="") as file:
        rows = list(csv.reader(file))
    with results.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(row[: rows[0].index("task")] for row in rows)


def test_rows_of_an_earlier_version_stay_until_their_run_is_given_again(runs, kept, make_run, parley, tmp_path):
    results, *_ = kept
    without_tasks(results)
    other = make_run(tmp_path / "runs" / "other", parley, "concat")
    provenance = other / "provenance.json"
    provenance.write_text(provenance.read_text().replace("ab" * 32, "cd" * 32))

    write_texts(renewed(gather([other]), results))
    assert [row.run for row in read_rows(results)][::4] == ["alone", "left", "calls", "other"]

    write_texts(renewed(gather([runs["calls"], other]), results))
    assert [row.run for row in read_rows(results)][::4] == ["alone", "left", "calls", "other"]
    assert [bool(row.task) for row in read_rows(results)][::4] == [False, False, True, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("pooled,", "", 1), "columns missing: pooled, unknown: none"),
        (lambda text: text.replace("pooled,", "pool,", 1), "columns missing: pooled, unknown: pool"),
        (lambda text: text.replace("std,", "sd,", 1), "columns missing: std, unknown: sd"),
        (
            lambda text: text.replace("protocol,run,", "run,protocol,", 1),
            "columns missing: none, unknown: none; expected in this order",
        ),
        (lambda text: "", "columns missing: .*, unknown: none"),
        (lambda text: text + "meld7,bc_lstm\n", "line 14: not 39 cells"),
        (lambda text: text.replace("\n", ",more\n").replace(",more", "", 1), "line 2: not 39 cells"),
        (lambda text: text + '"meld7,bc_lstm', r"line 1[34]: not CSV \(unexpected end of data\)"),
        (lambda text: text.replace(",macro_f1,", ",f1,", 1), "line .: metric 'f1': .*one of accuracy"),
        (lambda text: text.replace(",best_valid,", ",best,", 1), "line .: selection 'best': .*'best_valid'"),
    ],
    ids=["lacking", "renamed", "older", "reordered", "empty", "short", "long", "broken", "metric", "selection"],
)
def test_a_results_file_of_another_layout_is_refused(runs, kept, change, message):
    results, *_ = kept
    text = change(results.read_text().replace(",last,", ",best_valid,"))
    results.write_text(text)

    with pytest.raises(
        MerkitError, match=rf"ours\.csv: {message}.*; move it away and give the runs of all its protocols"
    ):
        renewed(gather([runs["calls"]]), results)


@pytest.mark.parametrize(
    "change", [("begin -->", "start -->"), ("results:end -->", "results:begin -->"), ("after", "<!-- results:end -->")]
)
@pytest.mark.parametrize("number", [1, 2])
def test_a_file_without_the_marks_is_refused_and_nothing_is_written(runs, kept, change, number, tmp_path):
    path = kept[number]
    path.write_text(path.read_text().replace(*change))
    before = [file.read_text() for file in kept]

    with pytest.raises(MerkitError, match=rf"{path.name}: .*once each, in this order"):
        write_report([runs["calls"]], tmp_path / "report", results=kept[0], readme=kept[1], results_page=kept[2])

    assert [file.read_text() for file in kept] == before
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("kind", ["missing", "folder", "latin"])
def test_a_readme_that_cannot_be_read_is_an_error_of_one_line(runs, tmp_path, kind):
    readme = tmp_path / "README.md"
    if kind == "folder":
        readme.mkdir()
    elif kind == "latin":
        readme.write_bytes(MARKS.encode() + b"\xff")

    with pytest.raises(MerkitError, match=r"README\.md"):
        renewed(gather([runs["calls"]]), tmp_path / "ours.csv", readme)


def test_a_readme_or_page_alone_is_refused(runs, kept, tmp_path):
    for option in ({"readme": kept[1]}, {"results_page": kept[2]}):
        with pytest.raises(ConfigError, match="--readme and --page show the scores of --results"):
            write_report([runs["calls"]], tmp_path / "report", **option)


def test_report_renews_all_files_and_names_all_that_it_wrote(runs, kept, tmp_path):
    results, readme, page = kept
    before = page.read_text()
    page.write_text(MARKS)
    out = tmp_path / "report"

    files = write_report([runs["alone"]], out, results=results, readme=readme, results_page=page)

    assert files.written == (out / "report.html", out / "report.md", out / "report.csv", results, page, readme)
    assert all(path.is_file() for path in files.written)
    assert page.read_text() == before
    assert rows_of(results, "parley")
    assert not rows_of(out / "report.csv", "parley")


def test_the_command_needs_no_runs_to_renew_the_tables(kept):
    results, readme, page = kept
    readme.write_text(MARKS)

    done = call("-q", "report", "--results", results, "--readme", readme, "--page", page)

    assert done.code == 0, done.error
    assert "| left |" in readme.read_text()
    assert call("-q", "report").code == 2
    assert "No results" in call("-q", "report", "--results", results.with_name("none.csv")).error.replace(
        "no r", "No r"
    )
