"""What programs that run for long share: the request to leave, and how many cores there are."""

from __future__ import annotations

import os


class StopRequest:
    """Set by signal handlers: the study is to be left in order."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def request(self, signal: int) -> None:
        """Ask for an orderly stop, because of ``signal``."""
        self.signal = signal


def available_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
