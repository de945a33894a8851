"""Waiting through an outage: how long, how often to try, and who may call it off."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from tunelab.errors import DatabaseError

OUTAGE_SECONDS = 300.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 5.0
_SLICE_SECONDS = 0.05  # between looks at whether to give up
_WORTH_TELLING_SECONDS = 1.0  # unless someone else has waited before
# One who has to leave still tries again for a moment: a cut connection costs him nothing.
_LEAVING_SECONDS = 2.0


class OutageError(DatabaseError):
    """The database cannot be reached, or took a transaction back: the same may succeed later."""


def _never() -> bool:
    return False


def _say_nothing(_message: str) -> None:
    """Tell nobody."""


@dataclass
class Patience:
    """How a process bears an outage.

    Attributes:
        seconds: How long it waits; 0 is not at all.
        give_up: Whether to wait for no more than a moment, because the process has to leave.
        notice: Told once per outage that it has begun, and once that it is over.
        silence: Seconds for which nobody is told.
    """

    seconds: float = 0.0
    give_up: Callable[[], bool] = _never
    notice: Callable[[str], None] = _say_nothing
    silence: float = _WORTH_TELLING_SECONDS

    def begin(self) -> Outage:
        """What one piece of work needs to be tried again."""
        return Outage(self)


class Outage:
    """One piece of work that is tried until it succeeds or patience ends."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._began: float | None = None
        self._told = False
        self._pause = _FIRST_PAUSE_SECONDS

    def wait(self, error: OutageError) -> None:
        """Wait before the next attempt.

        Raises:
            OutageError: ``error``, with the time that was waited, if patience is at its end.
        """
        now = time.monotonic()
        if self._began is None:
            self._began = now
        waited = now - self._began
        if self._is_over(waited):
            if waited > _WORTH_TELLING_SECONDS:
                error = OutageError(f"{error.message}; waited {waited:.0f} s", hint=error.hint)
            raise error
        # Many processes wait for the same server: they do not all come back at one moment.
        until = now + self._pause * random.uniform(0.5, 1.0)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        while (now := time.monotonic()) < until and not self._is_over(now - self._began):
            if now - self._began >= self._patience.silence and not self._told:
                self._told = True
                self._patience.notice(f"{error.message}; waiting until it is back")
            time.sleep(_SLICE_SECONDS)

    def _is_over(self, waited: float) -> bool:
        patience = self._patience
        return waited >= patience.seconds or (waited >= _LEAVING_SECONDS and patience.give_up())

    def end(self) -> None:
        """Note that the work has succeeded; the next failure begins another outage."""
        if self._told:
            self._patience.notice("the database is back")
        self._began, self._told, self._pause = None, False, _FIRST_PAUSE_SECONDS
