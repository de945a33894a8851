"""Freed memory is kept for the next trial.

Every trial allocates its network anew, in arrays of a few hundred kilobytes or megabytes. The C
library maps such arrays one by one and hands them back when they are freed, so that each trial
pays for every page again: for 30 MB 8000 page faults, which take longer than the first training
step.
"""

from __future__ import annotations

import ctypes
import sys

# The numbers of the settings in glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

KEPT_BYTES = 256 * 2**20
_MAPPED_BYTES = 32 * 2**20  # the most that glibc takes; larger arrays are mapped one by one


def keep_freed_memory() -> bool:
    """Keep up to ``KEPT_BYTES`` of what this process frees from here on, instead of unmapping it.

    Returns:
        Whether the C library can do that. glibc can; musl and those of macOS and Windows manage
        their memory in their own way.
    """
    return _set((_M_MMAP_THRESHOLD, _MAPPED_BYTES), (_M_TRIM_THRESHOLD, KEPT_BYTES))


def use_one_arena() -> bool:
    """Have all threads share one heap: glibc reserves 64 MB of addresses for each other one.

    Returns:
        Whether the C library can do that.
    """
    return _set((_M_ARENA_MAX, 1))


def _set(*settings: tuple[int, int]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(setting, size) == 1 for setting, size in settings)
