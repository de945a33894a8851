"""Where a worker's next trial comes from: one study, or all that the service's workers serve.

The service's workers are shared fairly: the next trial is one of the study that has the fewest
running trials, then of the oldest such study, and within it the one with the lowest number.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection, func, select

from tunelab.storage.claims import Claim, any_waiting, claim_next, held_claim
from tunelab.storage.owners import Owner
from tunelab.storage.states import Executor, StudyState, TrialState
from tunelab.storage.tables import studies, trials


class Queue(Protocol):
    """A source of trials."""

    def any_waiting(self, connection: Connection) -> bool:
        """Whether a trial may wait: asked before the write lock is taken."""

    def claim(self, connection: Connection, owner: Owner) -> Claim | None:
        """Claim the next trial; None if none waits. In a write transaction."""

    def held(self, connection: Connection, owner: Owner) -> Claim | None:
        """The claim that ``owner`` holds, for one who was not told of it; None if there is none."""


@dataclass(frozen=True)
class StudyQueue:
    """The trials of one study."""

    study_id: int

    def any_waiting(self, connection: Connection) -> bool:
        """See :class:`Queue`."""
        return any_waiting(connection, self.study_id)

    def claim(self, connection: Connection, owner: Owner) -> Claim | None:
        """See :class:`Queue`."""
        return claim_next(connection, self.study_id, owner)

    def held(self, connection: Connection, owner: Owner) -> Claim | None:
        """See :class:`Queue`."""
        return held_claim(connection, self.study_id, owner)


@dataclass(frozen=True)
class ServiceQueue:
    """The trials of all studies that the service runs.

    Attributes:
        avoided: Keys of studies to leave alone.
    """

    avoided: Collection[int] = ()

    def any_waiting(self, connection: Connection) -> bool:
        """See :class:`Queue`."""
        return bool(self._in_order(connection))

    def claim(self, connection: Connection, owner: Owner) -> Claim | None:
        """See :class:`Queue`.

        On PostgreSQL, claims at one moment do not see each other's: for that moment two workers
        may go to one study.
        """
        claims = (claim_next(connection, key, owner) for key in self._in_order(connection))
        return next((claim for claim in claims if claim is not None), None)

    def held(self, connection: Connection, owner: Owner) -> Claim | None:
        """See :class:`Queue`."""
        claims = (held_claim(connection, key, owner) for key in service_studies(connection))
        return next((claim for claim in claims if claim is not None), None)

    def _in_order(self, connection: Connection) -> list[int]:
        return [key for key in connection.scalars(_IN_ORDER) if key not in self.avoided]


def service_studies(connection: Connection) -> Sequence[int]:
    """Keys of the running studies that the service's workers serve."""
    return connection.scalars(select(studies.c.id).where(*_SERVED).order_by(studies.c.id)).all()


_SERVED = (
    studies.c.state == StudyState.RUNNING,
    studies.c.executor.in_([Executor.EXTERNAL, Executor.OPEN]),
)
_OF_STUDY = trials.c.study_id == studies.c.id
_N_RUNNING = (
    select(func.count())
    .select_from(trials)
    .where(_OF_STUDY, trials.c.state == TrialState.RUNNING)
    .correlate(studies)
    .scalar_subquery()
)
_ANY_WAITS = (
    select(trials.c.id)
    .where(_OF_STUDY, trials.c.state == TrialState.WAITING)
    .correlate(studies)
    .exists()
)
_IN_ORDER = (
    select(studies.c.id)
    .where(*_SERVED, studies.c.stop_requested.is_(False), _ANY_WAITS)
    .order_by(_N_RUNNING, studies.c.created_at, studies.c.id)
)
