"""For all tests: shapes in types are checked at run time, torch keeps to one core, real corpora found or skipped."""

import logging
import os
import sys
from pathlib import Path

import pytest
from jaxtyping import install_import_hook
from tests.executed_lines import ExecutedLines

install_import_hook(["merkit.nn", "merkit.models", "merkit.encoders", "merkit.core.batch"], "beartype.beartype")
EXECUTED = ExecutedLines("merkit")
if "COVERAGE_FILE" in os.environ:
    assert "merkit" not in sys.modules
    sys.meta_path.insert(0, EXECUTED)


def pytest_sessionfinish() -> None:
    if EXECUTED in sys.meta_path:
        EXECUTED.write(Path(f"{os.environ['COVERAGE_FILE']}.{os.getpid()}"))


try:
    import torch
except ModuleNotFoundError:
    pass
else:
    torch.set_num_threads(1)  # on two cores, many threads on small tensors cost more than they give


@pytest.fixture(scope="session")
def real_data():
    """The folder of the real corpora; nothing of it may be copied."""
    named = os.environ.get("MERKIT_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real corpora in {folder}; set MERKIT_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def cases(real_data):
    """The folder of small inputs that went wrong once, beside the real corpora."""
    folder = real_data.parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"no cases in {folder}")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what is made from packaged weights in a folder that all processes of a run share, not in the user's."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    os.environ["MERKIT_CACHE"] = str(shared / "cache")


@pytest.fixture(autouse=True)
def _log_level() -> None:
    """Undo what an earlier command with ``--quiet`` set for the whole process: other tests read warnings."""
    logging.getLogger("merkit").setLevel(logging.NOTSET)
