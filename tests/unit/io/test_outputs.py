"""Files at paths that a user names, and the record beside them."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from merkit.core.errors import MerkitError
from merkit.io.outputs import Outputs, content_of, file_ids


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return Outputs(tmp_path / "call.json", (tmp_path / "call.csv",))


def write(outputs: Outputs, text: str = "a,b\n", **made_of: object) -> None:
    (table,) = outputs.files
    outputs.write({"label": text}, made_of, {table: lambda path: path.write_text(text)})


def test_outputs_know_what_they_were_made_of_and_are_replaced_by_others(outputs: Outputs) -> None:
    assert outputs.made_of() is None

    write(outputs, "first", checkpoint="a")
    assert outputs.made_of() == {"checkpoint": "a"}
    write(outputs, "second", checkpoint="b")

    assert outputs.made_of() == {"checkpoint": "b"}
    assert outputs.files[0].read_text() == "second"
    assert content_of(outputs.record) == {"label": "second"}
    assert sorted(path.name for path in outputs.record.parent.iterdir()) == ["call.csv", "call.json"]


@pytest.mark.parametrize("name", ["call.json", "call.csv"])
@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text('[{"start_s": 0, "end_s": 1, "text": "mine"}]'),
        lambda path: path.write_text('{"merkit": {"files": []}}'),
        lambda path: path.mkdir(),
        lambda path: os.mkfifo(path),
    ],
    ids=["file", "key", "folder", "pipe"],
)
def test_what_merkit_did_not_write_is_never_replaced(
    outputs: Outputs, name: str, make: Callable[[Path], object]
) -> None:
    path = outputs.record.parent / name
    make(path)
    before = path.read_bytes() if path.is_file() else None

    with pytest.raises(MerkitError, match=rf"{name}' .*: move it away, or choose another place"):
        write(outputs)

    assert [each.name for each in outputs.record.parent.iterdir()] == [name]
    assert before is None or path.read_bytes() == before


@pytest.mark.parametrize("name", ["call.json", "call.csv"])
def test_what_was_edited_after_merkit_wrote_it_is_never_replaced(outputs: Outputs, name: str) -> None:
    write(outputs)
    path = outputs.record.parent / name
    path.write_text(path.read_text().replace("a,b", "c,d"))

    with pytest.raises(MerkitError, match=rf"{name}' was changed after merkit wrote it"):
        write(outputs)

    assert "c,d" in path.read_text()
    assert outputs.made_of() is None


def test_an_empty_file_holds_nothing_to_lose(outputs: Outputs) -> None:
    outputs.record.touch()
    outputs.files[0].touch()

    write(outputs)

    assert outputs.made_of() == {}


@pytest.mark.parametrize("link", [os.link, os.symlink], ids=["hard", "symbolic"])
def test_a_link_to_an_input_is_an_input(outputs: Outputs, link: Callable[[Path, Path], None]) -> None:
    write(outputs)
    given = outputs.record.parent / "transcript.json"
    outputs.record.rename(given)
    link(given, outputs.record)

    with pytest.raises(MerkitError, match=r"call.json' is an input"):
        outputs.check(file_ids([given]))


def test_what_a_kill_leaves_between_the_record_and_its_file_is_merkits(outputs: Outputs) -> None:
    write(outputs, "first")
    outputs.files[0].unlink()

    assert outputs.made_of() is None
    write(outputs, "second")

    assert outputs.files[0].read_text() == "second"


def test_the_record_takes_its_place_before_the_file_that_it_names(
    outputs: Outputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(outputs, "first")
    places: list[list[str]] = []
    real = Path.replace

    def replace(path: Path, target: Path) -> Path:
        places.append(sorted(each.name for each in target.parent.glob("call.*")))
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    write(outputs, "second")

    assert places == [["call.json"], ["call.json"]]  # the older table is gone before the record is new


def test_files_of_an_earlier_set_stay_known(tmp_path: Path) -> None:
    def save(*names: str) -> None:
        files = tuple(tmp_path / name for name in names)
        Outputs(tmp_path / "report.json", files).write({}, {}, {path: lambda p: p.write_text("x") for path in files})

    save("report.csv", "subsets.csv")
    save("report.csv")
    save("report.csv", "subsets.csv")


def test_a_file_of_an_earlier_result_is_removed_unless_it_was_edited(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def save(words: str, *names: str) -> Outputs:
        outputs = Outputs(tmp_path / "call.json", tuple(tmp_path / name for name in names))
        outputs.write(
            {"words": words}, {"words": words}, {path: lambda p: p.write_text(words) for path in outputs.files}
        )
        return outputs

    first = save("a secret", "call.csv", "call.srt", "call.vtt")
    (tmp_path / "call.vtt").write_text("corrected by hand")
    save("", "call.csv")

    assert not (tmp_path / "call.srt").exists()
    assert "call.srt' is removed: it was written with an earlier result" in caplog.text
    assert (tmp_path / "call.vtt").read_text() == "corrected by hand"
    assert first.made_of() is None
    with pytest.raises(MerkitError, match=r"call\.vtt' exists, and merkit did not write it"):
        first.check()

    save("", "call.srt")  # of the same result as the table, which stays
    assert Outputs(tmp_path / "call.json", (tmp_path / "call.csv", tmp_path / "call.srt")).made_of() == {"words": ""}


def test_half_a_character_in_a_name_is_written_as_json_and_read_again(outputs: Outputs) -> None:
    outputs.write({"recording": "caf\udce9.wav"}, {}, {})

    assert content_of(outputs.record) == {"recording": "caf\udce9.wav"}
    assert Outputs(outputs.record).made_of() == {}
