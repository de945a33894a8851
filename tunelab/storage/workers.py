"""The list of worker processes, for people who want to know who is at work."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from tunelab.storage.clock import database_now
from tunelab.storage.leases import GRACE_SECONDS
from tunelab.storage.owners import Owner
from tunelab.storage.states import StudyState, TrialState
from tunelab.storage.tables import studies, trials, workers

_SEEN = update(workers).where(workers.c.owner == bindparam("by")).values(seen_at=database_now())


def register_worker(connection: Connection, owner: Owner, study_id: int | None) -> None:
    """Enter this process, and strike out the dead of this host. In a write transaction.

    Args:
        connection: A write transaction.
        owner: This process.
        study_id: The study that it serves; None for all that the service runs.
    """
    for row in connection.execute(select(workers.c.id, workers.c.owner)).all():
        if row.owner == str(owner) or Owner.parse(row.owner).is_dead:
            connection.execute(delete(workers).where(workers.c.id == row.id))
    connection.execute(
        insert(workers).values(
            owner=str(owner), study_id=study_id, started_at=time.time(), seen_at=database_now()
        )
    )


def note_seen(connection: Connection, owner: Owner) -> None:
    """Note that this process was at work a moment ago. In a write transaction."""
    connection.execute(_SEEN, {"by": str(owner)})


def unregister_worker(connection: Connection, owner: Owner) -> None:
    """Strike this process out. In a write transaction."""
    connection.execute(delete(workers).where(workers.c.owner == str(owner)))


def count_idle_workers(connection: Connection, study_id: int) -> int:
    """How many workers could take a trial of the study at once: alive, and at work on no trial.

    One that serves all studies is counted for each of them. Workers of other hosts count as alive
    until they have not been heard of for the grace.
    """
    at_work = select(trials.c.owner).where(
        trials.c.state == TrialState.RUNNING,
        trials.c.owner == workers.c.owner,
        trials.c.study_id.in_(select(studies.c.id).where(studies.c.state == StudyState.RUNNING)),
    )
    query = select(func.count()).where(
        or_(workers.c.study_id.is_(None), workers.c.study_id == study_id),
        workers.c.seen_at > database_now() - GRACE_SECONDS,
        ~at_work.exists(),
    )
    return connection.scalar(query) or 0


def dead_workers(connection: Connection) -> list[str]:
    """The entries of processes of this host that are gone, as they stand in the table."""
    owners = connection.scalars(select(workers.c.owner).order_by(workers.c.id)).all()
    return [owner for owner in owners if Owner.parse(owner).is_dead]


def strike_out(connection: Connection, owners: Sequence[str]) -> None:
    """Strike these entries out. In a write transaction."""
    connection.execute(delete(workers).where(workers.c.owner.in_(owners)))
