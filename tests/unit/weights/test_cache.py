"""What is made once and kept in the cache: complete or made anew, whatever happens while it is written."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from merkit.core.errors import MerkitError
from merkit.weights.cache import cache_folder, is_made, made_once

ORIGIN = {"sha256": "0" * 64}
WRITERS = {"a": lambda path: path.write_text("first"), "b": lambda path: path.write_text("second")}
SLOW = """
import sys, time
from pathlib import Path
from merkit.weights.cache import made_once

def write(path):
    with path.open("w") as file:
        file.write("half")
        file.flush()
        print("writing", flush=True)
        file.write(sys.stdin.readline().strip())

print(made_once(Path(sys.argv[1]), {"sha256": "0" * 64}, lambda: {"a": write}), flush=True)
"""


def never():
    pytest.fail("made again")


def make(folder, writers=WRITERS):
    return made_once(folder, ORIGIN, lambda: writers)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def slow(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def test_files_are_made_once(tmp_path):
    assert not is_made(tmp_path / "x", ORIGIN)

    folder = make(tmp_path / "x")

    assert made_once(folder, ORIGIN, never) == folder
    assert is_made(folder, ORIGIN)
    assert names(folder) == [".lock", "a", "b", "made.json"]
    assert (folder / "b").read_text() == "second"


@pytest.mark.parametrize("damage", ["changed", "truncated", "missing", "record", "no record"])
def test_what_was_damaged_is_made_anew(tmp_path, damage):
    folder = make(tmp_path / "x")
    file = folder / ("made.json" if "record" in damage else "b")
    if damage in ("missing", "no record"):
        file.unlink()
    else:
        content = file.read_bytes()
        file.write_bytes(content[:-3] if damage == "truncated" else content.replace(b"e", b"f", 1))

    make(folder)

    assert (folder / "b").read_text() == "second"
    assert made_once(folder, ORIGIN, never) == folder


def test_files_of_another_origin_are_made_anew(tmp_path):
    folder = make(tmp_path / "x")
    other = {"sha256": "1" * 64}
    assert not is_made(folder, other)

    made_once(folder, other, lambda: {"a": lambda path: path.write_text("new")})

    assert (folder / "a").read_text() == "new"


def test_a_process_that_is_killed_while_it_writes_leaves_nothing_that_is_read(tmp_path):
    folder = tmp_path / "x"
    with slow(folder) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not is_made(folder, ORIGIN)
    assert "a" not in names(folder)

    make(folder)

    assert (folder / "a").read_text() == "first"
    assert names(folder) == [".lock", "a", "b", "made.json"]


def test_a_second_process_waits_for_the_first_and_takes_what_it_made(tmp_path, monkeypatch):
    folder = tmp_path / "x"
    made, waits = [], threading.Event()
    monkeypatch.setattr("merkit.weights.cache._log.info", lambda *_: waits.set())
    with slow(folder) as process:
        thread = threading.Thread(target=lambda: made.append(made_once(folder, ORIGIN, never)))
        thread.start()
        assert waits.wait(60)
        assert made == []

        process.communicate("done\n")
        thread.join()

    assert made == [folder]
    assert (folder / "a").read_text() == "halfdone"


def test_threads_make_it_once(tmp_path):
    made = []
    writers = {"a": lambda path: (made.append(path), path.write_text("x"))}
    threads = [threading.Thread(target=make, args=(tmp_path / "x", writers)) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) == 1


def test_a_full_disk_is_an_error_of_one_line_and_leaves_nothing(tmp_path):
    def full(path):
        path.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(MerkitError, match="the disk is full: free some space; MERKIT_CACHE names another"):
        make(tmp_path / "x", {"a": WRITERS["a"], "b": full})

    assert not is_made(tmp_path / "x", ORIGIN)
    assert names(tmp_path / "x") == [".lock", "a"]
    make(tmp_path / "x")
    assert (tmp_path / "x" / "b").read_text() == "second"


def test_a_cache_that_is_a_file_is_an_error_that_names_the_variable(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(MerkitError, match=r"in this path is a file.*MERKIT_CACHE names another"):
        make(tmp_path / "file" / "x")


def test_a_cache_where_no_folder_can_be_made_is_an_error_that_names_the_variable():
    with pytest.raises(MerkitError, match=r"/proc/merkit.*MERKIT_CACHE names another"):
        make(Path("/proc/merkit/x"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_without_permission_is_an_error_that_names_the_variable(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(MerkitError, match=r"no permission to write there.*MERKIT_CACHE names another"):
            make(tmp_path / "x")
    finally:
        tmp_path.chmod(0o700)


def test_a_complete_cache_that_cannot_be_written_to_is_read(tmp_path, monkeypatch):
    folder = make(tmp_path / "x")
    monkeypatch.setattr("merkit.weights.cache._alone", never)

    assert made_once(folder, ORIGIN, never) == folder


def test_errors_of_what_the_files_are_made_from_are_passed_on_as_they_are(tmp_path):
    def broken():
        raise MerkitError("the source is damaged")

    with pytest.raises(MerkitError, match=r"^the source is damaged$"):
        made_once(tmp_path / "x", ORIGIN, broken)


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "home/.cache/merkit"),
        ("linux", {"XDG_CACHE_HOME": "/elsewhere"}, "/elsewhere/merkit"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "home/.cache/merkit"),
        ("darwin", {"XDG_CACHE_HOME": "/elsewhere"}, "home/Library/Caches/merkit"),
        ("linux", {"MERKIT_CACHE": "/named", "XDG_CACHE_HOME": "/elsewhere"}, "/named"),
        ("darwin", {"MERKIT_CACHE": "~/named"}, "home/named"),
        ("linux", {"MERKIT_CACHE": ""}, "home/.cache/merkit"),
    ],
)
def test_the_cache_is_where_the_variable_or_the_platform_says(tmp_path, monkeypatch, platform, environment, expected):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.delenv("MERKIT_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert cache_folder() == tmp_path / expected


def test_no_home_is_an_error_that_names_the_variable(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("MERKIT_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", no_home)

    with pytest.raises(MerkitError, match="MERKIT_CACHE"):
        cache_folder()
