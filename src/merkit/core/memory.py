"""Keep freed memory in the process, for the next step."""

import ctypes
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of ``mallopt``, by the names of glibc's ``malloc.h``."""
_KEPT, _LARGEST = 2**28, 2**25
"""In bytes: what is kept in all, and the largest block that is kept."""


@cache
def keep_freed_memory() -> None:
    """Let glibc keep up to 256 MiB of what was freed last; does nothing with other C libraries.

    By default glibc returns tensors of a few MiB to the system as soon as they are freed, and each step fetches them
    again page by page: up to a third of a step in bf16. Blocks of over 32 MiB are still returned at once.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_MMAP_THRESHOLD, _LARGEST)
