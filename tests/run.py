"""Run the whole test suite and hold its line coverage: 90 % in all, every line of the parts that figures rest on."""

import os
import sys
import tempfile
from pathlib import Path

import coverage
import pytest

OVERALL = 90.0
COMPLETE = ("core", "metrics", "protocols")
PROCESSES = 4
"""At most: each holds PyTorch and small models, about 1.5 GB."""


def main() -> int:
    folder = Path(tempfile.mkdtemp())
    os.environ["COVERAGE_FILE"] = str(folder / "coverage")  # conftest.py writes beside it what ran in each process
    processes = ["-n", str(min(os.cpu_count() or 1, PROCESSES)), "--dist", "loadfile"]
    code = pytest.main([f"--basetemp={folder / 'tmp'}", *processes, *sys.argv[1:]])
    if code:
        return int(code)
    measured = coverage.Coverage(data_file=os.environ["COVERAGE_FILE"])
    measured.combine(strict=True)
    missing = 0
    for name in COMPLETE:
        share = measured.report(include=[f"*/merkit/{name}/*"], show_missing=True, skip_covered=True)
        missing += share < 100.0
    share = measured.report(show_missing=True, skip_covered=True)
    if missing or share < OVERALL:
        print(
            f"coverage: {share:.1f} % of all lines (at least {OVERALL}), and every line of {', '.join(COMPLETE)} wanted"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
