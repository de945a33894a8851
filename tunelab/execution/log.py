"""What a child process says: its standard output and error are a log file of its parent's."""

from __future__ import annotations

import contextlib
import sys
from typing import TextIO


def say(line: str, stream: TextIO | None = None) -> None:
    """Write a line at once, to the standard error by default.

    A disk that is too full for a line of a log is no reason to end a trial or the mirror.
    """
    with contextlib.suppress(OSError):
        print(line, file=stream or sys.stderr, flush=True)
