"""Memory that was freed is there for the next step: what the system counts as page faults, in a process of its own."""

import platform
import subprocess
import sys

import pytest

STEPS = """
import resource
import numpy as np
from merkit.core.memory import keep_freed_memory

if {kept}:
    keep_freed_memory()
for step in range(20):
    if step == 5:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(2**21) for _ in range(4)]  # 16 MiB each
    del arrays
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(*, kept: bool) -> int:
    code = STEPS.format(kept=kept)
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_freed_memory_is_not_fetched_again() -> None:
    assert page_faults(kept=True) * 10 < page_faults(kept=False)
