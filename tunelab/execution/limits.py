"""What one trial may use: training time and memory.

Time counts while the trial trains, over all its attempts: the seconds travel in its checkpoint.
It stands still while the worker writes or waits for the database. A trial that is over its time
ends at its next step. One whose step never returns cannot be asked: its process is then ended by
the system's alarm, whatever it hangs in, and whoever tends the workers sees that by the signal.

Memory is address space, because that is what Linux can refuse: an allocation beyond the limit
raises MemoryError in the trial, and nothing else in the worker suffers. The limit counts from the
worker's size before its first trial; while the database is written it is lifted.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tunelab.errors import UsageError
from tunelab.execution.memory import use_one_arena
from tunelab.spec.sections import SearchSpec
from tunelab.spec.sizes import shown_size

HUNG_SECONDS = 2.0  # over its time, and still in the same step
_BLAS_ROWS = 256  # a product of such matrices makes BLAS take its buffers


class TrialClock:
    """How long a trial has trained, and whether that is too long.

    Args:
        limit_seconds: The most that it may train; None for no limit.
    """

    def __init__(self, limit_seconds: float | None = None) -> None:
        self.limit_seconds = limit_seconds
        self._before = 0.0
        self._since: float | None = None

    def reset(self, seconds: float = 0.0) -> None:
        """Begin a trial that has trained for ``seconds`` in its earlier attempts."""
        self._before, self._since = seconds, None

    @property
    def seconds(self) -> float:
        """Training time so far."""
        running = 0.0 if self._since is None else time.monotonic() - self._since
        return self._before + running

    @property
    def is_over(self) -> bool:
        """Whether the trial has had its time."""
        return self.limit_seconds is not None and self.seconds >= self.limit_seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let time count in the block, and end this process if the block lasts far too long."""
        self._since = time.monotonic()
        if self.limit_seconds is not None:
            _set_alarm(max(self.limit_seconds - self._before, 0.0) + HUNG_SECONDS)
        try:
            yield
        finally:
            if self.limit_seconds is not None:
                _set_alarm(0.0)
            self._before, self._since = self.seconds, None


def _set_alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):  # without it, only a trial that takes steps is ended
        signal.setitimer(signal.ITIMER_REAL, seconds)


class MemoryLimit:
    """By how much the trials of this process may make it grow.

    Made before the first trial: the present size is what the limit counts from.

    Args:
        limit_bytes: The growth; None for no limit.

    Raises:
        UsageError: If there is a limit and this system cannot enforce it.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        self.limit_bytes = limit_bytes
        self._most = 0
        if limit_bytes is not None:
            check_memory_limit(limit_bytes)
            use_one_arena()
            matrix = np.ones((_BLAS_ROWS, _BLAS_ROWS), np.float32)
            _ = matrix @ matrix
            self._most = _address_space() + limit_bytes

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Refuse memory beyond the limit in the block.

        Raises:
            MemoryError: From the block, at the allocation that is too much.
        """
        if self.limit_bytes is None:
            yield
            return
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        within = [self._most, *(given for given in (soft, hard) if given != resource.RLIM_INFINITY)]
        resource.setrlimit(resource.RLIMIT_AS, (min(within), hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


class TrialLimits:
    """The limits of a study's trials, for one worker.

    Args:
        search: Says what they are; None for none.
    """

    def __init__(self, search: SearchSpec | None = None) -> None:
        self.clock = TrialClock(search.trial_timeout_seconds if search else None)
        self.memory = MemoryLimit(search.trial_memory_bytes if search else None)

    @contextmanager
    def training(self) -> Iterator[None]:
        """The block trains: its time counts, and its memory is limited."""
        with self.memory.applied(), self.clock.running():
            yield


def time_over(limit_seconds: float, reached: str) -> str:
    """The sentence for a trial that is over its time.

    >>> time_over(90.0, "epoch 7 after 90.2 s of training")
    'trial_timeout of 90 s exceeded: at epoch 7 after 90.2 s of training'
    """
    return f"trial_timeout of {limit_seconds:g} s exceeded: at {reached}"


def out_of_memory(limit_bytes: int | None) -> str:
    """The words for a trial that asked for more memory than there is.

    >>> out_of_memory(512_000_000), out_of_memory(None)
    ('out of memory: trial_memory is 512 MB', 'out of memory')
    """
    limit = "" if limit_bytes is None else f": trial_memory is {shown_size(limit_bytes)}"
    return f"out of memory{limit}"


def check_memory_limit(limit_bytes: int | None) -> None:
    """See that a limit can be enforced here.

    Raises:
        UsageError: If it cannot.
    """
    if limit_bytes is not None and not sys.platform.startswith("linux"):
        raise UsageError(
            "search.trial_memory cannot be enforced on this system, only on Linux",
            hint="remove the key",
        )


def _address_space() -> int:
    """Bytes of this process's address space that are in use."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()
