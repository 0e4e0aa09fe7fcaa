import pytest

from merkit.core.corpus import CorpusOptions
from merkit.core.errors import CountError, ManifestError
from merkit.corpora.nemo import SPEC
from merkit.data.corpus.prepare import prepare

HEADER = "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage"
ROWS = [
    'AB0_anger_1.flac\tanger\t"Żaba skacze.\tżaba skacze\t AB0 \tfemale\t27',
    "CD0_fear_1.flac\tfear\tŻaba.\tżaba\tCD0\tmale\t23",
]


@pytest.fixture
def release(tmp_path):
    def make(header=HEADER, rows=ROWS, clips=("AB0_anger_1", "CD0_fear_1")):
        (tmp_path / "data.tsv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        (tmp_path / "samples").mkdir()
        for clip in clips:
            (tmp_path / "samples" / f"{clip}.flac").write_bytes(b"clip")
        return tmp_path

    return make


def read(raw):
    return SPEC.read(raw, CorpusOptions())


def test_each_clip_is_a_conversation_with_a_speaker_free_of_blanks(release):
    first, second = read(release()).utterances

    assert (first.id, first.conversation, first.turn, first.speaker) == ("AB0_anger_1", "AB0_anger_1", 0, "AB0")
    assert (first.text, first.audio, first.language) == ('"Żaba skacze.', "samples/AB0_anger_1.flac", "pl")
    assert first.attributes == {
        "emotion": "anger",
        "gender": "female",
        "age": 27,
        "sentence": "1",
        "normalized_text": "żaba skacze",
    }
    assert second.speaker == "CD0"


def test_a_clip_that_is_named_but_missing_is_an_error(release):
    with pytest.raises(ManifestError, match=r"1 clip \(samples/CD0_fear_1\.flac\) named by data\.tsv not found"):
        read(release(clips=["AB0_anger_1"]))


def test_a_clip_without_a_row_is_reported(release):
    (finding,) = read(release(rows=ROWS[:1])).findings

    assert finding.code == "clips-without-row"
    assert "samples/CD0_fear_1.flac" in finding.message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"header": HEADER.replace("age", "years")}, "no column age, found file_id"),
        ({"header": "", "rows": []}, "no column file_id, .*found an empty file"),
        ({"rows": [ROWS[0], "CD0_fear_1.flac\tfear"]}, "line 3 has no raw_text"),
        ({"rows": [ROWS[0] + "\tmore"]}, "line 2 has more cells than columns"),
        ({"rows": [ROWS[0].replace("27", "old")]}, "line 2: age is 'old'"),
    ],
)
def test_a_malformed_table_is_an_error_that_names_the_line(release, changes, message):
    with pytest.raises(ManifestError, match=message):
        read(release(**changes))


def test_a_missing_table_is_an_error(tmp_path):
    with pytest.raises(ManifestError, match=r"no data\.tsv"):
        read(tmp_path)


def test_a_part_of_the_corpus_needs_to_be_asked_for(release, tmp_path):
    raw = release()

    with pytest.raises(CountError, match=r"utterances 2 found, 4,481 expected .*--allow-partial"):
        prepare(SPEC, raw, tmp_path / "data")
    manifest = prepare(SPEC, raw, tmp_path / "data", allow_partial=True)
    assert manifest.info.partial
    assert manifest.media_path(manifest.utterances[0].audio).read_bytes() == b"clip"
