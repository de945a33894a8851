"""A worker's memory: what one trial frees, the next one uses."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Allocates, fills and frees what a network of medium size needs, again and again, and prints how
# many pages the system had to hand out in the last of the rounds.
TRIALS = """
import resource, sys
import numpy as np
from tunelab.execution.memory import keep_freed_memory

if "keep" in sys.argv:
    assert keep_freed_memory()
for _ in range(5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(2**20, np.uint8) for _ in range(24)]
    del arrays
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages_of_a_trial(*arguments: str) -> int:
    ended = subprocess.run(
        [sys.executable, "-c", TRIALS, *arguments], capture_output=True, text=True, check=True
    )
    return int(ended.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_memory_serves_the_next_trial():
    assert pages_of_a_trial("keep") < pages_of_a_trial() / 10
