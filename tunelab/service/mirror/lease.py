"""The lease of a study's one writer to MLflow: the mirror, or ``tracking sync`` in its place."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from tunelab.storage.engine import Database
from tunelab.storage.leases import (
    BEAT_SECONDS,
    Lease,
    acquire_lease,
    mirror_lease,
    release_lease,
    renew_lease,
)
from tunelab.storage.owners import Owner

POLL_SECONDS = 0.5


class LostMirrorLeaseError(Exception):
    """Another mirror has taken over."""


class HeldLease:
    """The lease while this process has it."""

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease
        self.lost = threading.Event()

    def check(self) -> None:
        """Raise if the lease is known to be lost.

        Raises:
            LostMirrorLeaseError: If another holds it.
        """
        if self.lost.is_set():
            raise LostMirrorLeaseError

    def release(self) -> None:
        """Give it up, unless another has it by now."""
        with self._database.write() as connection:
            release_lease(connection, self._lease)

    def confirm(self, connection: Connection) -> None:
        """See that what this transaction writes is written by the holder.

        A process that was frozen for a minute may not know yet that another has taken over.

        Raises:
            LostMirrorLeaseError: If another holds it.
        """
        if not renew_lease(connection, self._lease):
            self.lost.set()
            raise LostMirrorLeaseError


@contextmanager
def held_lease(
    database: Database,
    study_id: int,
    give_up: Callable[[], bool],
    pause: Callable[[float], None],
) -> Iterator[HeldLease | None]:
    """Wait for the study's mirror lease and keep it.

    Args:
        database: The study database.
        study_id: Key of the study.
        give_up: Asked while another holds the lease; when true, None is yielded.
        pause: Waits between two attempts.

    Yields:
        The lease; None if it was given up.
    """
    lease: Lease | None = None
    while lease is None:
        with database.write() as connection:
            lease = acquire_lease(connection, mirror_lease(study_id), Owner.this_process())
        if lease is None:
            if give_up():
                yield None
                return
            pause(POLL_SECONDS)
    taken = lease
    held, done = HeldLease(database, taken), threading.Event()

    def keep() -> None:
        while not held.lost.is_set() and not done.wait(BEAT_SECONDS):
            # Whatever it is: there are several beats to a lease's life.
            with contextlib.suppress(Exception), database.write() as connection:
                if not renew_lease(connection, taken):
                    held.lost.set()

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        done.set()
        thread.join()
        held.release()
