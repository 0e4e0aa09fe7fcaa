"""The lock on a folder."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from merkit.core.errors import MerkitError
from merkit.io.lock import alone

HOLD = (
    "import sys\nfrom pathlib import Path\nfrom merkit.io.lock import alone\n"
    "with alone(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()"
)


def hold(folder: Path) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_is_refused_while_another_process_holds_it_and_free_when_that_one_is_killed(tmp_path: Path) -> None:
    with hold(tmp_path / "out") as other:
        with pytest.raises(MerkitError, match=r"wait for it or stop it, or rest"), alone(tmp_path / "out", "rest"):
            pytest.fail("not reached")
        other.kill()
        other.wait()

        with alone(tmp_path / "out"):
            pass


def test_a_folder_that_its_holder_removed_is_made_again(tmp_path: Path) -> None:
    with alone(tmp_path / "out"):
        shutil.rmtree(tmp_path / "out")

    with alone(tmp_path / "out"):
        assert (tmp_path / "out").is_dir()
