"""Another column in the place of the transcript."""

from pathlib import Path

import pytest

from merkit.core.errors import ManifestError
from merkit.core.types import Utterance
from merkit.data.corpus.manifest import Manifest, write_manifest
from merkit.data.corpus.text_column import with_plain_text, with_text_column


def write(folder: Path, heard: list[str | float | None]) -> Manifest:
    utterances = [
        Utterance(f"u{n}", "c", n, "anna", text=f"line {n}", audio="a.wav", attributes={"asr_text": cell, "label": "x"})
        for n, cell in enumerate(heard)
    ]
    return write_manifest(folder, utterances, name="calls", version=1)


def test_texts_are_the_column_s_and_all_else_stays(tmp_path: Path) -> None:
    manifest = write(tmp_path, ["lime zero", None, "line too"])

    other = with_text_column(manifest, "asr_text")

    assert [u.text for u in other.utterances] == ["lime zero", None, "line too"]
    assert [(u.id, u.audio, u.attributes) for u in other.utterances] == [
        (u.id, u.audio, u.attributes) for u in manifest.utterances
    ]
    assert [u.text for u in manifest.utterances] == ["line 0", "line 1", "line 2"]


def test_context_is_read_from_the_column_too_and_the_hash_is_another(tmp_path: Path) -> None:
    manifest = write(tmp_path, ["a", "b", "c"])

    other = with_text_column(manifest, "asr_text")

    assert [u.text for u in list(other.turns(None, 2))[2].previous] == ["a", "b"]
    assert other.by_id["u1"].text == "b"
    assert other.sha256 != manifest.sha256
    assert other.sha256 == with_text_column(manifest, "asr_text").sha256
    assert with_text_column(manifest, "text") is manifest


@pytest.mark.parametrize(
    ("heard", "column", "words"),
    [
        (["a", "b"], "asr_txt", r"No column named 'asr_txt'\. Did you mean 'asr_text'\? Known: text, asr_text, label"),
        ([1.5, 2.5], "asr_text", r"column 'asr_text' holds 1\.5 for utterance 'u0', expected a text"),
        ([None, None], "asr_text", r"column 'asr_text' is empty|No column named 'asr_text'"),
    ],
)
def test_a_column_that_is_missing_or_holds_no_texts_is_one_line(
    tmp_path: Path, heard: list[str | float | None], column: str, words: str
) -> None:
    with pytest.raises(ManifestError, match=words) as caught:
        with_text_column(write(tmp_path, heard), column)

    assert "\n" not in str(caught.value)


def test_plain_text_has_neither_case_nor_punctuation_and_stays_missing(tmp_path: Path) -> None:
    manifest = with_text_column(write(tmp_path, ["Don’t--GO!  Ann's (3:30)…", None, "?!"]), "asr_text")

    other = with_plain_text(manifest)

    assert [utterance.text for utterance in other.utterances] == ["don't go ann's 3 30", None, ""]
    assert other.sha256 != manifest.sha256
