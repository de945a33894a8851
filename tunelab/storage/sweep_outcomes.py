"""How the slots of sweeps ended, and who tells of those that ended badly.

A slot has ended badly if it was left out, could not be started or was too late, and also if the
study that it started has finished without one completed trial. Such an end is told of by one
process: the one that writes itself into the slot's row, before it tells. So an end is told of at
most once: if that process dies in between, nobody tells of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, exists, func, or_, select, update

from tunelab.spec.sweep_section import SweepSpec
from tunelab.storage.clock import database_now
from tunelab.storage.states import EndReason, SlotState, StudyState
from tunelab.storage.tables import studies, sweep_slots, sweeps, trials
from tunelab.storage.trials import SEARCH

TELL_SECONDS = 24 * 3600.0
"""How old a bad end may be and still be told of: after an absence of days it is no news."""


@dataclass(frozen=True)
class SweepOutcome:
    """How one slot of a sweep ended.

    Attributes:
        sweep_id: Key of the sweep.
        name: The study's name.
        study_file: Where the sweep was read.
        spec: What the sweep's study file says.
        slot_at: The instant.
        state: ``LAUNCHED``, ``SKIPPED``, ``FAILED`` or ``LATE``; ``FAILED`` also where the study
            was started and has finished without one completed trial.
        reason: Why, where there is something to say.
        generation: The generation that the slot started; None if there is none.
        ended_at: When the state became what it is.
    """

    sweep_id: int
    name: str
    study_file: str
    spec: Mapping[str, Any]
    slot_at: float
    state: SlotState
    reason: str | None
    generation: int | None
    ended_at: float

    @property
    def sweep(self) -> SweepSpec:
        """The sweep's rules as they are by now."""
        return SweepSpec.model_validate(self.spec["sweep"])

    @property
    def slot(self) -> str:
        """The instant as people read it, ``2026-11-23T02:00Z``."""
        return datetime.fromtimestamp(self.slot_at, UTC).strftime("%Y-%m-%dT%H:%MZ")


def untold_outcomes(connection: Connection) -> list[SweepOutcome]:
    """The bad ends of the last :data:`TELL_SECONDS` that nobody tells of yet, the oldest first."""
    since = database_now() - TELL_SECONDS
    untold = sweep_slots.c.told_by.is_(None)
    bad = sweep_slots.c.state.in_([SlotState.SKIPPED, SlotState.FAILED, SlotState.LATE])
    queries = (
        _OUTCOMES.where(untold, bad, sweep_slots.c.ended_at > since),
        _OUTCOMES.where(untold, _FRUITLESS, studies.c.ended_at > since),
    )
    found = [_outcome(row) for query in queries for row in connection.execute(query).mappings()]
    return sorted(found, key=lambda outcome: (outcome.ended_at, outcome.slot_at))


def take_on_telling(connection: Connection, outcome: SweepOutcome, teller: str) -> bool:
    """Take it on to tell of a slot's end; False if another has, or the sweep was removed.

    In a write transaction, which has to be committed before anything is told.

    Args:
        connection: A write transaction.
        outcome: The end.
        teller: Whoever asks, in words that nobody else uses and no other slot. If the answer to
            the first attempt was lost, the same words get True again.
    """
    taken = connection.execute(
        update(sweep_slots)
        .where(
            sweep_slots.c.sweep_id == outcome.sweep_id,
            sweep_slots.c.slot_at == outcome.slot_at,
            or_(sweep_slots.c.told_by.is_(None), sweep_slots.c.told_by == teller),
        )
        .values(told_by=teller)
    )
    return taken.rowcount == 1


def latest_outcome(connection: Connection, sweep_id: int) -> SweepOutcome | None:
    """How the newest slot of a sweep that has ended did so; None if none has."""
    query = _OUTCOMES.where(
        sweep_slots.c.sweep_id == sweep_id, sweep_slots.c.ended_at.is_not(None)
    ).order_by(sweep_slots.c.slot_at.desc())
    row = connection.execute(query.limit(1)).mappings().first()
    return None if row is None else _outcome(row)


_FRUITLESS = and_(
    sweep_slots.c.state == SlotState.LAUNCHED,
    studies.c.state == StudyState.FINISHED,
    ~exists().where(
        trials.c.study_id == studies.c.id,
        trials.c.kind == SEARCH,
        trials.c.end_reason.in_([reason for reason in EndReason if reason.is_complete]),
    ),
)
_OUTCOMES = (
    select(
        sweep_slots.c.sweep_id,
        sweeps.c.name,
        sweeps.c.study_file,
        sweeps.c.spec,
        sweep_slots.c.slot_at,
        sweep_slots.c.state,
        sweep_slots.c.reason,
        sweep_slots.c.ended_at,
        studies.c.generation,
        studies.c.ended_at.label("study_ended_at"),
        func.coalesce(_FRUITLESS, False).label("fruitless"),
    )
    .join_from(sweep_slots, sweeps, sweeps.c.id == sweep_slots.c.sweep_id)
    .outerjoin(studies, studies.c.id == sweep_slots.c.study_id)
)


def _outcome(row: RowMapping) -> SweepOutcome:
    values = dict(row)
    study_ended_at = values.pop("study_ended_at")
    if values.pop("fruitless"):
        reason = f"{row['name']} #{row['generation']} finished without one completed trial"
        values |= {"state": SlotState.FAILED, "reason": reason, "ended_at": study_ended_at}
    return SweepOutcome(**{**values, "state": SlotState(values["state"])})
