import os
from pathlib import Path

import pytest

from merkit.core.errors import MediaError
from merkit.data.media.audio import duration_s
from merkit.data.media.missing import spelling_hint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Calls").mkdir()
    (tmp_path / "Calls" / "Anna.WAV").touch()
    (tmp_path / "Calls" / "caf\u00e9.wav").touch()
    if (tmp_path / "calls").exists():
        pytest.skip("this file system ignores letter case")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "present", "difference"),
    [
        ("Calls\\Anna.WAV", "Calls/Anna.WAV", "separators"),
        ("calls\\anna.wav", "Calls/Anna.WAV", "separators and letter case"),
        ("calls/Anna.wav", "Calls/Anna.WAV", "letter case"),
        ("Calls/cafe\u0301.wav", "Calls/caf\u00e9.wav", "Unicode form"),
        ("Calls/CAFE\u0301.wav", "Calls/caf\u00e9.wav", "letter case"),
        ("Calls/../calls/Anna.WAV", "Calls/../Calls/Anna.WAV", "letter case"),
    ],
)
def test_a_file_of_another_spelling_is_named(folder: Path, name: str, present: str, difference: str) -> None:
    assert spelling_hint(folder / name) == (
        f" There is '{folder / present}', which differs in {difference}: write the name as it is on the disk."
    )


def test_a_relative_path_is_looked_for_where_it_points(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    assert f"There is '{Path('Calls', 'Anna.WAV')}'" in spelling_hint(Path("calls", "Anna.WAV"))


@pytest.mark.parametrize("name", ["Calls/Berta.wav", "Calls/Anna.WAV/inside.wav", "other/Anna.WAV"])
def test_nothing_is_guessed_where_no_file_has_the_name(folder: Path, name: str) -> None:
    assert spelling_hint(folder / name) == ""


def test_backslashes_are_named_where_no_file_has_the_name(folder: Path) -> None:
    assert spelling_hint(folder / "Calls\\Berta.wav").startswith(" Its path has backslashes")


def test_a_link_to_nothing_is_no_other_spelling(folder: Path) -> None:
    (folder / "Calls" / "dead.wav").symlink_to("nowhere.wav")

    assert spelling_hint(folder / "Calls" / "dead.wav").endswith("dead.wav' is a link to a file that is not there.")


def test_the_error_of_a_missing_recording_carries_the_hint(folder: Path) -> None:
    with pytest.raises(MediaError, match=rf"No recording .*anna\.wav'.* There is .*Calls{os.sep}Anna\.WAV"):
        duration_s(folder / "Calls" / "anna.wav")
