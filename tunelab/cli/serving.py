"""What ``worker run`` and ``tracking run`` share: an open database, and signals that end them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from tunelab.cli.console import tell
from tunelab.cli.signals import two_step_signals
from tunelab.service.stop import StopRequest
from tunelab.storage.engine import Database
from tunelab.storage.location import database_url
from tunelab.storage.outages import OUTAGE_SECONDS, Patience
from tunelab.storage.schema import open_database


class Serving:
    """A service that this process runs until a signal ends it, the second one at once.

    Attributes:
        kill: Ends the service's processes, before the second signal ends this one.
    """

    def __init__(self) -> None:
        self.kill: Callable[[], None] = lambda: None
        self._stop = StopRequest()

    def should_leave(self) -> bool:
        """Whether a signal has come."""
        return self._stop.signal is not None

    @property
    def exit_code(self) -> int:
        """0, or what tells by which signal the service was ended."""
        return 0 if self._stop.signal is None else 128 + self._stop.signal

    @contextmanager
    def on_database(self) -> Iterator[Database]:
        """The study database, opened while signals are heeded, for the length of the block.

        Raises:
            DatabaseError: If it cannot be opened.
        """
        with two_step_signals(self._stop.request, before_exit=lambda: self.kill()):
            patience = Patience(OUTAGE_SECONDS, self.should_leave, tell)
            opened = open_database(database_url(), create=False, patience=patience)
            with closing(opened) as database:
                yield database
