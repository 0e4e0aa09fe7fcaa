import json

import pytest

from merkit.core.corpus import Finding
from merkit.core.errors import ManifestError
from merkit.data.corpus.findings import read_findings, render, to_json, write_findings

FINDINGS = [
    Finding("info", "text-mended", "2 texts were mended", ("a", "b")),
    Finding("error", "missing-media", "7 are missing", tuple("cdefghi")),
]


def test_findings_read_back_as_they_were_written(tmp_path):
    write_findings(tmp_path / "findings.json", FINDINGS)

    assert read_findings(tmp_path / "findings.json") == FINDINGS


def test_no_file_means_no_findings(tmp_path):
    assert read_findings(tmp_path / "findings.json") == []


def test_a_file_of_something_else_is_an_error(tmp_path):
    (tmp_path / "findings.json").write_text('{"level": "info"}')

    with pytest.raises(ManifestError, match="not a list of findings"):
        read_findings(tmp_path / "findings.json")


def test_the_gravest_finding_is_told_first_with_five_ids():
    lines = render(FINDINGS).splitlines()

    assert lines == [
        "error    missing-media: 7 are missing",
        "         c, d, e, f, g and 2 more",
        "info     text-mended: 2 texts were mended",
        "         a, b",
        "error: 1, warning: 0, info: 1",
    ]


def test_a_healthy_corpus_is_told_in_words():
    assert render([]) == "nothing to report"


def test_programs_get_objects():
    assert json.loads(to_json(FINDINGS))[0] == {
        "level": "info",
        "code": "text-mended",
        "message": "2 texts were mended",
        "ids": ["a", "b"],
    }
