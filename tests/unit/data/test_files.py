"""Atomic writing and content hashes."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from merkit.core.errors import MerkitError
from merkit.data.files import (
    TEMPORARY,
    atomic_path,
    file_hash,
    open_file,
    remove_leftovers,
    write_safetensors,
    write_texts,
)


def test_a_written_file_takes_its_place_and_leaves_no_sibling(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "table.csv"

    with atomic_path(target) as temporary:
        temporary.write_text("a")

        assert temporary.parent == target.parent
        assert temporary.suffix == ".csv"
        assert not target.exists()

    assert target.read_text() == "a"
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_takes_its_place_when_all_that_is_in_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "checkpoint"
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))

    with atomic_path(target) as temporary:
        (temporary / "encoders").mkdir(parents=True)
        (temporary / "encoders" / "weights").write_text("a")

    expected = [target / "encoders" / "weights", target / "encoders", target, tmp_path]
    assert synced == [path.stat().st_ino for path in expected]


def test_a_failure_keeps_the_older_file_and_removes_the_unfinished_one(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("code", "remedy"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission")]
)
def test_a_disk_that_cannot_be_written_to_is_told_with_folder_and_remedy(
    tmp_path: Path, code: int, remedy: str
) -> None:
    with pytest.raises(MerkitError, match=remedy) as caught, atomic_path(tmp_path / "x"):
        raise OSError(code, os.strerror(code))

    assert str(tmp_path) in str(caught.value)


def test_a_folder_below_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(MerkitError, match="folder in this path is a file"), atomic_path(tmp_path / "file" / "x"):
        pytest.fail("not reached")


def test_an_error_about_another_file_is_not_blamed_on_the_target(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), atomic_path(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "denied", "/elsewhere/source")


def test_of_several_texts_all_are_written_or_none(tmp_path: Path) -> None:
    first, second, blocked = tmp_path / "first", tmp_path / "new" / "second", tmp_path / "first" / "third"
    first.write_text("old")

    with pytest.raises(MerkitError, match="a folder in this path is a file"):
        write_texts({first: "new", second: "new", blocked: "new"})
    assert first.read_text() == "old"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [first]

    write_texts({first: "ä", second: ""})
    assert (first.read_text(encoding="utf-8"), second.read_text()) == ("ä", "")


def test_a_hash_is_of_the_content_and_follows_its_change(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"speech")
    second.write_bytes(b"speech")

    assert file_hash(first) == file_hash(second) == hashlib.blake2b(b"speech", digest_size=20).hexdigest()

    second.write_bytes(b"speech!")
    assert file_hash(second) != file_hash(first)


def test_a_hash_of_a_missing_file_or_a_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MerkitError, match=r"No file .*gone"):
        file_hash(tmp_path / "gone")
    with pytest.raises(MerkitError, match="Cannot read"):
        file_hash(tmp_path)


def test_what_a_killed_process_left_is_removed_by_the_next_writer_and_what_a_living_one_writes_is_kept(
    tmp_path: Path,
) -> None:
    hold = (
        "import sys\nfrom pathlib import Path\nfrom merkit.data.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('mine')\n    print('begun', flush=True)\n    sys.stdin.read()"
    )

    def begin(name: str) -> subprocess.Popen[str]:
        arguments = [sys.executable, "-c", hold, str(tmp_path / name)]
        process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        return process

    with begin("killed") as killed, begin("living") as living:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert len(list(tmp_path.glob(f"{TEMPORARY}*"))) == 4  # each with its lock

        write_texts({tmp_path / "new": "text"})

        assert len(list(tmp_path.glob(f"{TEMPORARY}*"))) == 2
        living.communicate("")

    assert (tmp_path / "living").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["living", "new"]


def test_an_unfinished_folder_is_a_leftover_as_well(tmp_path: Path) -> None:
    (tmp_path / f"{TEMPORARY}1-ab-checkpoint" / "half").mkdir(parents=True)
    (tmp_path / f"{TEMPORARY}1-ab.lock").touch()
    (tmp_path / f"{TEMPORARY}notes of the user").touch()

    remove_leftovers(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [f"{TEMPORARY}notes of the user"]


def test_a_link_keeps_its_place_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "elsewhere" / "table.csv", tmp_path / "table.csv"
    target.parent.mkdir()
    link.symlink_to(target)

    write_texts({link: "first"})
    write_texts({link: "second"})

    assert link.is_symlink()
    assert target.read_text() == "second"


def test_a_link_to_a_pipe_or_device_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").symlink_to("pipe")
    for path in (tmp_path / "file", tmp_path / "pipe"):
        with pytest.raises(MerkitError, match="pipe' is a pipe or a device"), atomic_path(path) as temporary:
            temporary.write_text("new")
    assert (tmp_path / "pipe").is_fifo()


def test_the_hash_of_a_path_with_a_null_byte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MerkitError, match="has a character that no file's name can have"):
        file_hash(tmp_path / "a\0b.wav")


def test_a_folder_in_a_file_s_place_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(MerkitError, match="a folder, pipe or device, expected a file"), open_file(tmp_path):
        pytest.fail("not reached")


def test_what_the_library_leaves_beside_safetensors_is_a_leftover_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside: list[Path] = []

    def stopped(arrays: object, path: Path, metadata: object) -> None:
        stray = path.with_name(".tmpAbCdEf")  # the library's own temporary name
        stray.write_bytes(b"half")
        beside.append(stray.relative_to(tmp_path))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(safetensors.numpy, "save_file", stopped)
        with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "x.safetensors") as temporary:
            write_safetensors({"a": np.ones(2)}, temporary, {})
    assert beside[0].parts[0].startswith(TEMPORARY)  # which the next writer removes after a kill
    assert list(tmp_path.iterdir()) == []

    with atomic_path(tmp_path / "x.safetensors") as temporary:
        write_safetensors({"a": np.ones(2)}, temporary, {"format": "pt"})

    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]
    np.testing.assert_array_equal(safetensors.numpy.load_file(tmp_path / "x.safetensors")["a"], [1.0, 1.0])
