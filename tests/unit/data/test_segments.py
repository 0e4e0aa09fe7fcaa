"""Alignments are found by content, survive a kill, and never fall back silently."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.miniature import write_tone

from merkit.aligners.segments.run import align
from merkit.core.alignment import Aligner, Alignment, Interval, SegmentRequest
from merkit.core.errors import MerkitError, UnalignableError
from merkit.core.types import Turn, Utterance
from merkit.data.segments import AlignmentStore, open_segments

REQUEST = SegmentRequest("stub", ("word",))


class Stub(Aligner):
    """Gives every word a tenth of a second; refuses what says "mumble"."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def fingerprint(self) -> Mapping[str, Any]:
        return {"aligner": "stub", "version": 1}

    def align(self, turn: Turn) -> Alignment:
        self.asked.append(turn.utterance.id)
        words = str(turn.utterance.text).split()
        if "mumble" in words:
            raise UnalignableError("'mumble' is no word")
        if "broken" in words:
            raise MerkitError("the recording is broken")
        return {"word": tuple(Interval(word, n / 10, (n + 1) / 10) for n, word in enumerate(words))}


def turn(root: Path, name: str, text: str | None, audio: str | None = "a.wav") -> Turn:
    return Turn(Utterance(name, "c", 0, "s", text=text, audio=audio), (), root)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_tone(tmp_path / "a.wav", 300.0)
    return tmp_path


def store_of(corpus: Path) -> AlignmentStore:
    return AlignmentStore.create(corpus / "segments" / "stub", "stub", Stub().fingerprint())


def test_what_is_aligned_is_not_aligned_again_until_its_words_or_sound_change(corpus: Path) -> None:
    turns = [turn(corpus, "u1", "so it is"), turn(corpus, "u2", "well"), turn(corpus, "u3", None)]
    first, second, third = Stub(), Stub(), Stub()

    done = align(first, turns, store_of(corpus))
    again = align(second, turns, store_of(corpus))
    write_tone(corpus / "b.wav", 400.0)
    changed = [turns[0], replace(turns[1], utterance=replace(turns[1].utterance, audio="b.wav"))]
    align(third, changed, store_of(corpus))

    assert (done.new, done.old, done.absent, done.failed) == (2, 0, 1, {})
    assert (again.new, again.old) == (0, 2)
    assert (first.asked, second.asked, third.asked) == (["u1", "u2"], [], ["u2"])


def test_what_was_done_before_an_error_is_kept(corpus: Path) -> None:
    turns = [turn(corpus, "u1", "so"), turn(corpus, "u2", "broken")]

    with pytest.raises(MerkitError, match="broken"):
        align(Stub(), turns, store_of(corpus))

    row = store_of(corpus).get("u1")
    assert row is not None
    assert row.tiers == {"word": (Interval("so", 0.0, 0.1),)}


def test_an_unalignable_utterance_is_named_and_has_no_segments_only_where_the_user_says_so(corpus: Path) -> None:
    turns = [turn(corpus, "u1", "so it"), turn(corpus, "u2", "mumble"), turn(corpus, "u3", None)]

    done = align(Stub(), turns, store_of(corpus))

    assert done.failures == "1 of 2 utterances cannot be aligned: 'u2': 'mumble' is no word"
    with pytest.raises(MerkitError, match="lacks 1 of 2 utterances as they are now: u2"):
        open_segments(REQUEST, turns, corpus)

    align(Stub(), turns, store_of(corpus), unaligned_as_frames=True)
    found = open_segments(REQUEST, turns, corpus)["word"]

    np.testing.assert_array_equal(found("u1"), [[0.0, 0.1], [0.1, 0.2]])
    assert found("u2") is None
    assert found("u3") is None
    asked = Stub()
    assert align(asked, turns, store_of(corpus)).failed == {"u2": "'mumble' is no word"}, "without the option: an error"
    assert asked.asked == ["u2"]


def test_segments_of_changed_words_are_not_read(corpus: Path) -> None:
    align(Stub(), [turn(corpus, "u1", "so it")], store_of(corpus))

    with pytest.raises(MerkitError, match="lacks 1 of 1 utterances as they are now: u1"):
        open_segments(REQUEST, [turn(corpus, "u1", "so it was")], corpus)


def test_a_missing_alignment_or_tier_is_an_error_that_says_what_to_do(corpus: Path) -> None:
    turns = [turn(corpus, "u1", "so it")]
    with pytest.raises(MerkitError, match=r"No alignment 'stub'.*merkit align"):
        open_segments(REQUEST, turns, corpus)
    align(Stub(), turns, store_of(corpus))

    with pytest.raises(MerkitError, match=r"no phones of 1 utterances, 'u1' first; its tiers are word\."):
        open_segments(SegmentRequest("stub", ("phone",)), turns, corpus)


def test_another_aligner_does_not_write_into_an_alignment(corpus: Path) -> None:
    store_of(corpus)

    with pytest.raises(MerkitError, match="made by another aligner or with other settings"):
        AlignmentStore.create(corpus / "segments" / "stub", "stub", {"aligner": "stub", "version": 2})


@pytest.mark.parametrize("how", ["flip", "cut", "empty", "folder"])
@pytest.mark.parametrize("name", ["part-*.parquet", "aligner.json"])
def test_a_damaged_alignment_is_named_and_made_again_by_the_same_command(
    corpus: Path, name: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    turns = [turn(corpus, "u1", "so it"), turn(corpus, "u2", "well")]
    align(Stub(), turns, store_of(corpus))
    (path,) = (corpus / "segments" / "stub").glob(name)
    content = path.read_bytes()
    path.unlink()
    if how == "folder":
        path.mkdir()
    else:
        flipped = content[:-40] + bytes([content[-40] ^ 4]) + content[-39:]
        path.write_bytes({"flip": flipped, "cut": content[:40], "empty": b""}[how])

    with pytest.raises(MerkitError, match=r"lacks 2 of 2 .*merkit align .* --with stub --name stub|is damaged"):
        open_segments(REQUEST, turns, corpus)
    if (name, how) == ("aligner.json", "folder"):
        return  # it is not merkit's to remove
    done = align(Stub(), turns, store_of(corpus))

    assert done.new == (2 if name.startswith("part") else 0)
    assert f"{path.name}' is damaged" in caplog.text
    caplog.clear()
    assert open_segments(REQUEST, turns, corpus)["word"]("u1") is not None
    assert not caplog.records


def test_a_part_of_another_alignment_is_named_and_left_out(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    turns = [turn(corpus, "u1", "so it")]
    other = AlignmentStore.create(corpus / "segments" / "other", "stub", {"aligner": "stub", "version": 2})
    align(Stub(), turns, other)
    store = store_of(corpus)
    for part in other.folder.glob("part-*.parquet"):
        shutil.copy(part, store.folder)

    assert store_of(corpus).get("u1") is None
    assert "was made by another aligner and is left out" in caplog.text


def test_an_alignment_of_an_earlier_version_is_read(corpus: Path) -> None:
    turns = [turn(corpus, "u1", "so it")]
    align(Stub(), turns, store_of(corpus))
    (part,) = (corpus / "segments" / "stub").glob("part-*.parquet")
    pq.write_table(pq.read_table(part).replace_schema_metadata(None), part.with_name("part-00001-abcdabcd.parquet"))
    part.unlink()
    about = {"format": 1, "aligner": "stub", "fingerprint": dict(Stub().fingerprint())}
    part.with_name("aligner.json").write_text(json.dumps(about))

    assert align(Stub(), turns, store_of(corpus)).old == 1
