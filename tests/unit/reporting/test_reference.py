import pytest

from merkit.core import lookup
from merkit.core.errors import MerkitError
from merkit.reporting.reference import above, read_references, shipped_references

HEAD = "system,variant,protocol,modalities,metric,value,selection,features,source,evidence,note\n"
GOOD = "mmer,,iemocap4-session,text+audio,mean_recall,81.2,on the test set,some,a paper,secondary,\n"


def write(tmp_path, text):
    path = tmp_path / "reference.csv"
    path.write_text(text)
    return path


def test_the_shipped_file_reads_and_every_score_has_its_source_and_rule():
    references = read_references(shipped_references())

    assert len(references) > 40
    assert all(r.source and r.features and r.selection for r in references)
    assert {r.selection for r in references} == {"on a validation set", "on the test set", "not stated"}
    assert len({(r.system, r.variant, r.protocol, r.modalities, r.metric) for r in references}) == len(references)


def test_scores_of_the_shipped_file_belong_to_protocols_there_are():
    known = [*lookup.names("protocols"), "mosei2", "mosei7"]  # CMU-MOSEI is planned

    for reference in read_references(shipped_references()):
        assert any(reference.is_for(protocol) for protocol in known), reference


def test_a_familys_score_is_for_all_its_protocols_but_not_for_others():
    family = next(r for r in read_references(shipped_references()) if r.protocol == "iemocap4")

    assert family.is_for("iemocap4-session")
    assert family.is_for("iemocap4-speaker")
    assert not family.is_for("iemocap6")


def test_scores_of_the_same_modalities_stand_above_a_run():
    references = read_references(shipped_references())

    assert {r.value for r in above(references, "ada2i", "meld7", "text+audio")} == {60.08, 62.64}
    assert {r.value for r in above(references, "ada2i", "meld7", "audio")} == {60.38, 63.03}
    assert above(references, "majority", "meld7", "") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("system,value\nmmer,81.2\n", "columns missing: .*, unknown: none; expected in this order"),
        (HEAD + GOOD.replace("81.2", "high"), "line 2: value 'high': .*valid number"),
        (HEAD + GOOD + GOOD.replace("81.2", "812"), "line 3: value '812': .*less than 100"),
        (HEAD + GOOD.replace("mean_recall", "UA"), "line 2: metric 'UA': .*one of accuracy"),
        (HEAD + GOOD.replace("secondary", "hearsay"), "line 2: evidence 'hearsay': .*'paper'"),
        (HEAD + GOOD.strip() + ",more\n", "line 2: not 11 cells"),
    ],
)
def test_a_mistake_in_the_file_is_named_by_its_line(text, message, tmp_path):
    with pytest.raises(MerkitError, match=message):
        read_references(write(tmp_path, text))


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(MerkitError, match=r"Cannot read .*none\.csv"):
        read_references(tmp_path / "none.csv")
