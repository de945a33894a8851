"""The lease of a study's one writer to MLflow: the mirror, or ``tracking sync`` in its place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tunelab.errors import DatabaseError
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


@contextmanager
def held_lease(
    database: Database,
    study_id: int,
    give_up: Callable[[], bool],
    pause: Callable[[float], None],
) -> Iterator[Callable[[], None] | None]:
    """Wait for the study's mirror lease and keep it.

    Args:
        database: The study database.
        study_id: Key of the study.
        give_up: Asked while another holds the lease; when true, None is yielded.
        pause: Waits between two attempts.

    Yields:
        A function that raises `LostMirrorLeaseError` once another holds the lease.
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
    held = lease
    done, lost = threading.Event(), threading.Event()

    def keep() -> None:
        while not done.wait(BEAT_SECONDS):
            try:
                with database.write() as connection:
                    if not renew_lease(connection, held):
                        lost.set()
                        return
            except DatabaseError:
                continue  # there are several beats to a lease's life

    def check() -> None:
        if lost.is_set():
            raise LostMirrorLeaseError

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield check
    finally:
        done.set()
        thread.join()
        with database.write() as connection:
            release_lease(connection, held)
