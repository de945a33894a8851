"""The beat: a thread that keeps a worker's lease alive while an epoch takes its time.

It never ends its worker. A beat that cannot be written is tried again at the next; when the lease
is lost all the same, the recorder finds out at its next write.
"""

from __future__ import annotations

import contextlib
import threading

from tunelab.storage.claims import Claim, beat
from tunelab.storage.engine import Database
from tunelab.storage.leases import BEAT_SECONDS


class Beat:
    """Beats for whatever trial the worker holds: set :attr:`claim`."""

    def __init__(self, database: Database, interval_seconds: float = BEAT_SECONDS) -> None:
        self.claim: Claim | None = None
        self._database = database
        self._interval = interval_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beat", daemon=True)

    def __enter__(self) -> Beat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._interval):
            claim = self.claim
            if claim is not None:
                # Whatever it is, also memory that the trial has used up: a worker without a beat
                # would lose its trial and be blamed for it.
                with contextlib.suppress(Exception), self._database.write() as connection:
                    beat(connection, claim)
