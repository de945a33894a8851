"""The beat: a thread that keeps a worker's lease alive, and its entry in the list of workers fresh.

It never ends its worker. A beat that cannot be written is tried again at the next; when the lease
is lost all the same, the recorder finds out at its next write.
"""

from __future__ import annotations

import contextlib
import threading

from tunelab.storage.claims import Claim, beat
from tunelab.storage.engine import Database
from tunelab.storage.leases import BEAT_SECONDS
from tunelab.storage.owners import Owner
from tunelab.storage.workers import note_seen


class Beat:
    """Beats for whatever trial the worker holds: set :attr:`claim`."""

    def __init__(self, database: Database, interval_seconds: float = BEAT_SECONDS) -> None:
        self.claim: Claim | None = None
        self._database = database
        self._owner = Owner.this_process()
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
            # Whatever it is, also memory that the trial has used up: a worker without a beat
            # would lose its trial and be blamed for it.
            with contextlib.suppress(Exception), self._database.write() as connection:
                claim = self.claim
                if claim is not None:
                    beat(connection, claim)
                note_seen(connection, self._owner)
