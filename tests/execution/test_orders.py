"""The order to leave comes through whatever the process is doing."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, resource, signal, sys, threading
from tunelab.execution.orders import obey
left = threading.Event()
obey(left.set)
if "no memory" in sys.argv:
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
if "signal" in sys.argv:
    os.kill(os.getpid(), signal.SIGTERM)
print("ready", flush=True)
print(left.wait(20), flush=True)
"""


@pytest.mark.parametrize("order", ["signal", "end of the input"])
@pytest.mark.parametrize("memory", ["no memory", "memory"])
def test_the_order_needs_no_memory(order, memory):
    """A trial may have used up what it may have, and must not be blamed for the order."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, order, memory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        if order == "end of the input":
            process.stdin.close()
        assert process.stdout.readline() == "True\n"
        process.kill()
