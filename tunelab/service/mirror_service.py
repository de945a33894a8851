"""``tracking run``: the service's mirror, which is started again whatever it dies of.

This process never loads MLflow, so it can leave at once whatever keeps a request waiting.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator

from tunelab.service.children import Child
from tunelab.service.mirror.orders import HARD_SECONDS
from tunelab.storage.engine import Database

TICK_SECONDS = 0.1
_LEAVE_SECONDS = HARD_SECONDS + 8.0  # it bounds itself once MLflow is loaded
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 120.0  # until a dead mirror is replaced
_LONG_LIFE_SECONDS = 600.0  # one that has lived so long dies for the first time


class MirrorService:
    """The mirror of all studies, kept alive.

    Args:
        database: The study database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._child: Child | None = None
        self._n_deaths = 0
        self._starts_at = 0.0

    def run(self, should_leave: Callable[[], bool]) -> Generator[str, None, None]:
        """Keep the mirror alive; close it, and none is left.

        Args:
            should_leave: Whether to end it; what it can send in seconds is sent before.

        Yields:
            A line for each notable event.
        """
        try:
            while not should_leave():
                yield from self._tend()
                time.sleep(TICK_SECONDS)
        finally:
            child = self._child
            if child is not None:
                child.order_to_leave()
                child.wait(time.monotonic() + _LEAVE_SECONDS)
        if child is not None:
            yield from child.new_lines()

    def kill(self) -> None:
        """End the mirror at once; what it has not sent, the next one sends."""
        if self._child is not None:
            self._child.kill()

    def _tend(self) -> Iterator[str]:
        if self._child is None:
            if time.monotonic() >= self._starts_at:
                self._child = Child("tunelab.service.mirror", [], self._database, None)
            return
        child = self._child
        code = child.process.poll()
        yield from child.new_lines()
        if code is None:
            return
        self._child = None
        lived = time.monotonic() - child.started
        self._n_deaths = 1 if lived > _LONG_LIFE_SECONDS else self._n_deaths + 1
        pause = min(_FIRST_PAUSE_SECONDS * 4.0 ** (self._n_deaths - 1), _LONGEST_PAUSE_SECONDS)
        self._starts_at = time.monotonic() + pause
        ended = f"warning: the mirror ended (exit code {code})"
        yield f"{ended}; another takes its place in {pause:g} s"
