"""Alignments that are there: found by the utterance's name or its recording's, in every format."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.miniature import write_iemocap
from tests.segment_files import write_ctm, write_seg

from merkit.aligners.files import SPEC, FilesConfig
from merkit.core.alignment import Alignment, Interval
from merkit.core.errors import MerkitError, UnalignableError
from merkit.core.types import Turn, Utterance
from merkit.corpora.iemocap import SPEC as IEMOCAP
from merkit.data.corpus.prepare import prepare

WORDS = (Interval("all", 0.0, 0.2), Interval("day", 0.2, 0.5))
PHONES = (
    Interval("AO", 0.0, 0.1),
    Interval("L", 0.1, 0.2),
    Interval("D", 0.2, 0.3),
    Interval("EY", 0.3, 0.5),
)


def align(folder: Path, **fields: object) -> Alignment:
    utterance = Utterance(**{"id": "u1", "conversation": "c", "turn": 0, "speaker": "", "text": "all day", **fields})  # type: ignore[arg-type]
    return SPEC.build(FilesConfig(folder=str(folder))).align(Turn(utterance, (), folder))


def test_iemocaps_files_are_found_below_the_release_and_give_all_three_tiers(tmp_path: Path) -> None:
    folder = tmp_path / "Session1" / "sentences" / "ForcedAlignment" / "Ses01F_impro01"
    folder.mkdir(parents=True)
    write_seg(folder / "u1.wdseg", WORDS, "word")
    write_seg(folder / "u1.phseg", PHONES, "phone")
    write_seg(folder / "u2.wdseg", WORDS, "word")

    found = align(tmp_path)

    assert found == {
        "word": WORDS,
        "phone": PHONES,
        "syllable": (Interval("AO L", 0.0, 0.2), Interval("D EY", 0.2, 0.5)),
    }


def test_a_miniature_release_of_iemocap_is_aligned_by_its_own_files(tmp_path: Path) -> None:
    count = write_iemocap(tmp_path / "raw", turns=2, dialogs=("impro01",))
    manifest = prepare(IEMOCAP, tmp_path / "raw", tmp_path / "data", IEMOCAP.options(), allow_partial=True)

    aligner = SPEC.build(FilesConfig(folder=str(tmp_path / "raw")))
    found = {turn.utterance.id: aligner.align(turn) for turn in manifest.turns()}

    assert len(found) == count == 20
    for turn in manifest.turns():
        words = found[turn.utterance.id]["word"]
        assert [each.label for each in words] == str(turn.utterance.text).rstrip(".").upper().split()
        assert words[0].start_s == 0.04
        assert set(found[turn.utterance.id]) == {"word", "phone", "syllable"}


def test_a_recordings_file_gives_the_utterance_its_part(tmp_path: Path) -> None:
    later = [Interval(each.label, each.start_s + 3.0, each.end_s + 3.0) for each in WORDS]
    write_ctm(tmp_path / "all.ctm", {"call": [Interval("before", 1.0, 1.4), *later, Interval("behind", 4.0, 4.5)]})

    found = align(tmp_path, audio="audio/call.wav", start_s=3.0, end_s=3.6)

    assert [(each.label, round(each.start_s, 6), round(each.end_s, 6)) for each in found["word"]] == [
        ("all", 0.0, 0.2),
        ("day", 0.2, 0.5),
    ]


def test_an_utterances_own_file_goes_before_its_recordings(tmp_path: Path) -> None:
    write_ctm(tmp_path / "a.ctm", {"call": [Interval("wrong", 0.0, 0.4)], "u1": WORDS})

    assert align(tmp_path, audio="audio/call.wav", start_s=0.0)["word"] == WORDS


def test_the_tier_of_a_ctm_is_in_its_name(tmp_path: Path) -> None:
    write_ctm(tmp_path / "a.ctm", {"u1": WORDS})
    write_ctm(tmp_path / "a.phone.ctm", {"u1": PHONES})

    assert set(align(tmp_path)) == {"word", "phone", "syllable"}


def test_parleys_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "c0.json").write_text(
        '{"utterances": [{"id": "u1", "start_s": 1.5, "words": [{"label": "hm", "start_s": 1.6, "end_s": 1.9}],'
        ' "phones": [{"label": "h", "start_s": 1.6, "end_s": 1.7}, {"label": "m", "start_s": 1.7, "end_s": 1.9}]}]}'
    )

    assert align(tmp_path)["word"] == (Interval("hm", 0.1, 0.4),)


def test_an_utterance_without_files_cannot_be_aligned(tmp_path: Path) -> None:
    with pytest.raises(UnalignableError, match="no segments of it below"):
        align(tmp_path)


def test_two_files_of_one_tier_are_an_error(tmp_path: Path) -> None:
    write_seg(tmp_path / "u1.wdseg", WORDS, "word")
    write_ctm(tmp_path / "a.ctm", {"u1": WORDS})

    with pytest.raises(MerkitError, match="'u1' has more than one tier of words"):
        align(tmp_path)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    turn = Turn(Utterance("u1", "c", 0, "", text="all day"), (), tmp_path)
    write_seg(tmp_path / "u1.wdseg", WORDS, "word")
    before = SPEC.build(FilesConfig(folder=str(tmp_path))).content(turn)
    write_seg(tmp_path / "u1.wdseg", WORDS[:1], "word")

    assert SPEC.build(FilesConfig(folder=str(tmp_path))).content(turn) != before


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="no folder"):
        FilesConfig(folder=str(tmp_path / "nowhere"))
