"""The order to leave, and how much time a mirror has after it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# After the order to leave: how long an unreachable MLflow is tried, how long one that answers is
# used, and when the process ends even in the middle of a call.
TRY_SECONDS, SEND_SECONDS, HARD_SECONDS = 2.0, 10.0, 12.0


class Orders:
    """The order to leave, and the time that is left after it."""

    def __init__(self) -> None:
        self._leave = threading.Event()
        self._ready = threading.Event()
        self._asked_at = self._ready_at = 0.0

    def leave(self) -> None:
        """Order the mirror to send what is left and end."""
        if not self._leave.is_set():
            self._asked_at = time.monotonic()
            self._leave.set()

    def ready(self) -> None:
        """Note that MLflow has been loaded: the time to leave does not count before."""
        if not self._ready.is_set():
            self._ready_at = time.monotonic()
            self._ready.set()

    @property
    def leaving(self) -> bool:
        """Whether the order has been given."""
        return self._leave.is_set()

    @property
    def seconds_over(self) -> float:
        """Seconds since the mirror could have begun to leave; 0 if it need not."""
        if not (self._leave.is_set() and self._ready.is_set()):
            return 0.0
        return time.monotonic() - max(self._asked_at, self._ready_at)

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than until the order comes."""
        self._leave.wait(seconds)

    def at_the_latest(self, act: Callable[[], None]) -> None:
        """Call ``act`` in a thread of its own when the mirror should have left for long."""

        def wait() -> None:
            self._leave.wait()
            self._ready.wait()
            time.sleep(HARD_SECONDS)
            act()

        threading.Thread(target=wait, daemon=True).start()
