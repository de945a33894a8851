"""The list of worker processes, for people who want to know who is at work."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, or_, select, update

from tunelab.storage.clock import database_now
from tunelab.storage.leases import GRACE_SECONDS
from tunelab.storage.owners import Owner
from tunelab.storage.states import StudyState, TrialState
from tunelab.storage.tables import studies, trials, workers

_LONG_SILENCE_SECONDS = 10 * GRACE_SECONDS
_SEEN = update(workers).where(workers.c.owner == bindparam("by")).values(seen_at=database_now())


def register_worker(connection: Connection, owner: Owner, study_id: int | None) -> None:
    """Enter this process, and strike out the dead. In a write transaction.

    Dead are those of this host that are gone, and those of others that were silent for long.

    Args:
        connection: A write transaction.
        owner: This process.
        study_id: The study that it serves; None for all that the service runs.
    """
    silence = database_now() - workers.c.seen_at
    for row in connection.execute(select(workers.c.id, workers.c.owner, silence)).all():
        key, entry, silent_seconds = row
        if (
            entry == str(owner)
            or silent_seconds > _LONG_SILENCE_SECONDS
            or Owner.parse(entry).is_dead
        ):
            connection.execute(delete(workers).where(workers.c.id == key))
    connection.execute(
        insert(workers).values(
            owner=str(owner), study_id=study_id, started_at=time.time(), seen_at=database_now()
        )
    )


@dataclass(frozen=True)
class WorkerRow:
    """A worker process.

    Attributes:
        owner: The process.
        serves: The only study that it serves, as ``digits#7``; None: all of the service.
        study: The study of which it trains a trial; None if it trains none.
        trial: The number of that trial.
        started_at: When it joined.
        silent_seconds: For how long nothing has been heard of it.
    """

    owner: Owner
    serves: str | None
    study: str | None
    trial: int | None
    started_at: float
    silent_seconds: float

    @property
    def state(self) -> str:
        """What is known of it: training, idle, silent (it may be lost) or dead."""
        if self.owner.is_dead:
            return "dead"
        if self.silent_seconds > GRACE_SECONDS:
            return "silent"
        return "idle" if self.trial is None else "training"


def all_workers(connection: Connection) -> list[WorkerRow]:
    """Every worker of every host, those that joined first before the others."""
    own, training = studies.alias(), studies.alias()
    rows = connection.execute(
        select(
            workers.c.owner,
            workers.c.started_at,
            (database_now() - workers.c.seen_at).label("silent"),
            own.c.name.label("serves"),
            own.c.generation.label("serves_generation"),
            trials.c.number,
            training.c.name.label("trains"),
            training.c.generation.label("trains_generation"),
        )
        .select_from(workers)
        .outerjoin(own, own.c.id == workers.c.study_id)
        .outerjoin(
            trials,
            and_(trials.c.state == TrialState.RUNNING, trials.c.owner == workers.c.owner),
        )
        .outerjoin(training, training.c.id == trials.c.study_id)
        .order_by(workers.c.started_at, workers.c.id)
    )
    return [
        WorkerRow(
            Owner.parse(row.owner),
            _reference(row.serves, row.serves_generation),
            _reference(row.trains, row.trains_generation),
            row.number,
            row.started_at,
            max(0.0, row.silent),
        )
        for row in rows
    ]


def _reference(name: str | None, generation: int | None) -> str | None:
    return None if name is None else f"{name}#{generation}"


def note_seen(connection: Connection, owner: Owner) -> None:
    """Note that this process was at work a moment ago. In a write transaction."""
    connection.execute(_SEEN, {"by": str(owner)})


def unregister_worker(connection: Connection, owner: Owner) -> None:
    """Strike this process out. In a write transaction."""
    connection.execute(delete(workers).where(workers.c.owner == str(owner)))


def count_serving(connection: Connection, study_id: int) -> int:
    """How many workers serve this study, alone or among others, and were seen lately."""
    query = select(func.count()).where(
        or_(workers.c.study_id == study_id, workers.c.study_id.is_(None)),
        workers.c.seen_at > database_now() - GRACE_SECONDS,
    )
    return connection.scalar(query) or 0


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
