"""Results that are kept, in a CSV file and a README, are renewed by protocol; all others stay as they stand."""

import csv

import pytest

from merkit.core.errors import ConfigError, MerkitError
from merkit.data.files import write_texts
from merkit.reporting.kept_results import renewed
from merkit.reporting.report import write_report
from merkit.reporting.results import gather
from merkit.reporting.tables import results_markdown

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
    """A results file and a README with both protocols."""
    results, readme = tmp_path / "ours.csv", tmp_path / "README.md"
    readme.write_text(MARKS)
    write_texts(renewed(gather([*runs.values()]), results, readme))
    return results, readme


def rows_of(results, protocol):
    return [line for line in results.read_text().splitlines() if line.startswith(f"{protocol},")]


def section_of(readme, protocol):
    inside = readme.read_text().partition("begin -->")[2].partition("<!-- results:end")[0]
    return next(part for part in inside.split("\n**") if part.startswith(f"{protocol}**")).rstrip("\n")


def test_new_files_hold_the_protocols_of_the_runs_in_their_order(runs, kept):
    results, readme = kept
    groups = gather([*runs.values()])

    tables = [f"**{group.protocol}**\n\n{results_markdown(group)}" for group in groups]
    assert [group.protocol for group in groups] == ["nemo6", "parley"]
    assert readme.read_text() == MARKS.replace("-->\n<!--", "\n\n".join(["-->", *tables, "<!--"]))
    with results.open(newline="") as file:
        rows = [(row["protocol"], row["run"]) for row in csv.DictReader(file)]
    assert list(dict.fromkeys(rows)) == [("nemo6", "alone"), ("nemo6", "left"), ("parley", "calls")]


@pytest.mark.parametrize(("given", "other"), [("alone", "parley"), ("calls", "nemo6")])
def test_protocols_that_no_run_is_for_stay_as_they_stand(runs, kept, given, other):
    results, readme = kept
    results.write_text(results.read_text().replace("0123456789abcdef", "edited"))
    readme.write_text(readme.read_text().replace("one fold;", "one fold (a remark);").replace("9 folds", "nine folds"))
    before = rows_of(results, other), section_of(readme, other)

    write_texts(renewed(gather([runs[given]]), results, readme))

    assert before[0]
    assert (rows_of(results, other), section_of(readme, other)) == before


def test_the_protocols_of_the_runs_are_replaced_whole_and_keep_their_place(runs, kept):
    results, readme = kept
    assert any(line.startswith("nemo6,left,") for line in rows_of(results, "nemo6"))

    write_texts(renewed(gather([runs["alone"]]), results, readme))

    assert {line.split(",")[1] for line in rows_of(results, "nemo6")} == {"alone"}
    assert "left" not in section_of(readme, "nemo6")
    lines = [line.split(",")[0] for line in results.read_text().splitlines()]
    assert list(dict.fromkeys(lines)) == ["protocol", "nemo6", "parley"]
    assert readme.read_text().index("**nemo6**") < readme.read_text().index("**parley**")


def test_a_new_protocol_follows_those_that_are_there(runs, tmp_path):
    results, readme = tmp_path / "ours.csv", tmp_path / "README.md"
    readme.write_text(MARKS)
    for name in ("calls", "alone"):
        write_texts(renewed(gather([runs[name]]), results, readme))

    assert [line.split(",")[0] for line in results.read_text().splitlines()] == ["protocol"] + 4 * ["parley"] + 4 * [
        "nemo6"
    ]
    assert readme.read_text().index("**parley**") < readme.read_text().index("**nemo6**")
    assert readme.read_text().startswith("before\n<!-- results:begin -->\n\n**parley**\n\n| system |")
    assert readme.read_text().endswith("\n\n<!-- results:end -->\nafter\n")


def test_the_same_runs_again_change_nothing(runs, kept):
    before = [path.read_bytes() for path in kept]

    write_texts(renewed(gather([*runs.values()]), *kept))

    assert [path.read_bytes() for path in kept] == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("pooled,", "", 1), "columns lacking: pooled, unknown: none"),
        (lambda text: text.replace("pooled,", "pool,", 1), "columns lacking: pooled, unknown: pool"),
        (lambda text: text.replace("protocol,run,", "run,protocol,", 1), "columns in another order or twice"),
        (lambda text: "", "no columns found"),
        (lambda text: text + "meld7,bc_lstm\n", "line 14: 2 cells found, 27 expected"),
        (lambda text: text.replace("\n", ",more\n").replace(",more", "", 1), "line 2: 28 cells found, 27 expected"),
        (lambda text: text + '"meld7,bc_lstm', r"line 14: not CSV \(unexpected end of data\)"),
    ],
    ids=["lacking", "renamed", "reordered", "empty", "short", "long", "broken"],
)
def test_a_results_file_of_another_layout_is_refused(runs, kept, change, told):
    results, _ = kept
    text = change(results.read_text())
    results.write_text(text)

    with pytest.raises(MerkitError, match=rf"ours\.csv: {told}.*; put it away and give the runs of all its protocols"):
        renewed(gather([runs["calls"]]), results)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("**nemo6**", "nemo6"), r"'nemo6' found before the first line"),
        (lambda text: text.replace("**nemo6**", "**parley**"), r"more than one section '\*\*parley\*\*' found"),
        (lambda text: text.replace("**nemo6**", "**meld7**"), "found: meld7, parley, .*: nemo6, parley; the same"),
        (lambda text: MARKS, "found: none, .*: nemo6, parley; the same expected: give runs of nemo6 as well"),
        (lambda text: text.replace("begin -->", "start -->"), "once each, in this order"),
        (lambda text: text.replace("results:end -->", "results:begin -->"), "once each, in this order"),
        (lambda text: text + "<!-- results:end -->", "once each, in this order"),
    ],
    ids=["stray", "doubled", "foreign", "lacking", "no-begin", "no-end", "two-ends"],
)
def test_a_readme_whose_sections_are_not_those_of_the_results_is_refused(runs, kept, change, told, tmp_path):
    results, readme = kept
    readme.write_text(change(readme.read_text()))
    before = results.read_text(), readme.read_text()

    with pytest.raises(MerkitError, match=told):
        write_report([runs["calls"]], tmp_path / "report", results=results, readme=readme)

    assert (results.read_text(), readme.read_text()) == before
    assert not (tmp_path / "report").exists()


def test_a_section_that_the_results_lack_is_no_obstacle_if_its_runs_are_given(runs, kept):
    results, readme = kept
    results.unlink()

    with pytest.raises(MerkitError, match=r"nemo6, parley, .*: none; the same expected: give runs of nemo6 as well"):
        renewed(gather([runs["calls"]]), results, readme)
    write_texts(renewed(gather([*runs.values()]), results, readme))

    assert rows_of(results, "nemo6")


@pytest.mark.parametrize("kind", ["missing", "folder", "latin"])
def test_a_readme_that_cannot_be_read_is_told_in_one_line(runs, tmp_path, kind):
    readme = tmp_path / "README.md"
    if kind == "folder":
        readme.mkdir()
    elif kind == "latin":
        readme.write_bytes(MARKS.encode() + b"\xff")

    with pytest.raises(MerkitError, match=r"README\.md"):
        renewed(gather([runs["calls"]]), tmp_path / "ours.csv", readme)


def test_a_readme_alone_is_refused(runs, kept, tmp_path):
    with pytest.raises(ConfigError, match="--readme shows the figures of --results: give both"):
        write_report([runs["calls"]], tmp_path / "report", readme=kept[1])


def test_report_renews_both_files_and_names_all_that_it_wrote(runs, kept, tmp_path):
    results, readme = kept
    before = readme.read_text()
    out = tmp_path / "report"

    files = write_report([runs["alone"]], out, results=results, readme=readme)

    assert files.written == (out / "report.html", out / "report.md", out / "report.csv", results, readme)
    assert all(path.is_file() for path in files.written)
    assert readme.read_text() != before
    assert rows_of(results, "parley")
    assert not rows_of(out / "report.csv", "parley")
