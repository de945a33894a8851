"""Whether the study database can be written, and what its clock says. Nothing is changed."""

from __future__ import annotations

import time
import uuid

from sqlalchemy import insert, select

from tunelab.errors import DatabaseError
from tunelab.storage.clock import database_now
from tunelab.storage.engine import Database
from tunelab.storage.tables import leases


class _TakenBackError(Exception):
    """Rolls the trial write back."""


def check_writable(database: Database) -> None:
    """Write a row and take it back.

    Raises:
        DatabaseError: If it cannot be written, or is locked for as long as a writer waits.
    """
    try:
        with database.write() as connection:
            row = {"name": f"doctor:{uuid.uuid4()}", "token": 0, "expires_at": 0.0}
            connection.execute(insert(leases).values(**row))
            raise _TakenBackError
    except _TakenBackError:
        return


def clock_difference(database: Database) -> float:
    """Seconds by which the database's clock is ahead of this machine's, at least so many.

    Raises:
        DatabaseError: If the database cannot be asked.
    """
    before = time.time()
    with database.read() as connection:
        there = connection.scalar(select(database_now()))
    after = time.time()
    if there is None:
        raise DatabaseError(f"{database} does not tell the time")
    ahead = float(there)
    return min(ahead - before, 0.0) + max(ahead - after, 0.0)
