"""Slots of sweeps: each instant of a sweep is started by one controller, once.

A slot's row is unique, so of all controllers that see the instant come one inserts it. While the
study is not created yet the row is a lease with owner, token and expiry by database time, as trials
have it: when the owner dies, another controller takes the slot up. Who creates the study calls
:func:`mark_launched` in the same transaction, so there is never a second one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select, update

from tunelab.errors import TunelabError
from tunelab.storage.clock import database_now, database_time
from tunelab.storage.inserts import insert_into
from tunelab.storage.leases import GRACE_SECONDS
from tunelab.storage.owners import Owner
from tunelab.storage.states import SlotState, StudyState
from tunelab.storage.tables import studies, sweep_slots, sweeps

MAX_LOST_CLAIMS = 3  # a slot is taken up again twice; then it has failed


class LostSlotError(TunelabError):
    """The slot is no longer this process's: its lease ran out, or the sweep was removed."""


@dataclass(frozen=True)
class SlotClaim:
    """One slot in the hands of one process.

    Attributes:
        sweep_id: Key of the sweep.
        slot_at: The instant.
        owner: The process that holds it.
        token: Tells this claim from the slot's earlier and later ones.
    """

    sweep_id: int
    slot_at: float
    owner: str
    token: int


@dataclass(frozen=True)
class SlotRow:
    """What became of one slot.

    Attributes:
        sweep_id: Key of the sweep.
        slot_at: The instant.
        state: What became of it.
        reason: Why, where there is something to say.
        study_id: Key of the study; None if none was started, or it was deleted.
        generation: The study's generation, likewise.
        lost_claims: How many processes died over it or fell silent.
        created_at: When it was first claimed or recorded.
        ended_at: When its state became final; None before that.
    """

    sweep_id: int
    slot_at: float
    state: SlotState
    reason: str | None
    study_id: int | None
    generation: int | None
    lost_claims: int
    created_at: float
    ended_at: float | None


def claim_slot(
    connection: Connection, sweep_id: int, slot_at: float, owner: Owner
) -> SlotClaim | None:
    """Claim a slot that is due; None if another has it, or the sweep starts nothing any more.

    In a write transaction. Slots of a sweep are claimed in their order, each before the next.
    """
    if not _may_start(connection, sweep_id):
        return None
    lease = {"owner": str(owner), "token": 1, "expires_at": database_now() + GRACE_SECONDS}
    if _insert(connection, sweep_id, slot_at, state=SlotState.CLAIMED, **lease):
        return SlotClaim(sweep_id, slot_at, str(owner), 1)
    # This process may have it without knowing: the answer to its first attempt was lost.
    row = connection.execute(
        _CLAIMED.where(
            sweep_slots.c.sweep_id == sweep_id,
            sweep_slots.c.slot_at == slot_at,
            sweep_slots.c.owner == str(owner),
        )
    ).one_or_none()
    return None if row is None else _take(connection, row, owner)


def record_late(connection: Connection, sweep_id: int, slot_at: float, reason: str) -> bool:
    """Leave a row for a slot that is not started any more; False if it has one.

    In a write transaction.
    """
    if not _may_start(connection, sweep_id):
        return False
    values = {"state": SlotState.LATE, "reason": reason, "ended_at": database_now()}
    return _insert(connection, sweep_id, slot_at, token=0, **values)


def renew_slot(connection: Connection, claim: SlotClaim) -> bool:
    """Put off the claim's expiry; False if the lease is lost. In a write transaction."""
    return _write(connection, claim, expires_at=database_now() + GRACE_SECONDS)


def has_lost_slots(connection: Connection) -> bool:
    """Whether a slot could be taken up or given up: asked before the write lock is taken."""
    return any(_is_lost(row) for row in connection.execute(_CLAIMED).all())


def take_up_slot(connection: Connection, owner: Owner) -> SlotClaim | None:
    """Claim the oldest slot whose owner is dead or silent; None if there is none.

    In a write transaction. What :func:`give_up_slots` would end is left to it.
    """
    for row in _lost(connection):
        if row.lost_claims + 1 < MAX_LOST_CLAIMS:
            return _take(connection, row, owner, lost_claims=row.lost_claims + 1)
    return None


def give_up_slots(connection: Connection) -> list[SlotRow]:
    """End the slots that have cost :data:`MAX_LOST_CLAIMS` controllers, and return them.

    In a write transaction.
    """
    ended = []
    for row in _lost(connection):
        lost = row.lost_claims + 1
        if lost < MAX_LOST_CLAIMS:
            continue
        of_slot = (sweep_slots.c.sweep_id == row.sweep_id) & (sweep_slots.c.slot_at == row.slot_at)
        connection.execute(
            update(sweep_slots)
            .where(of_slot)
            .values(
                state=SlotState.FAILED,
                owner=None,
                token=row.token + 1,
                expires_at=None,
                lost_claims=lost,
                reason=f"{lost} controllers died or fell silent while they started it",
                ended_at=database_now(),
            )
        )
        ended += _slots(connection, _SLOTS.where(of_slot))
    return ended


def queue_slot(connection: Connection, claim: SlotClaim, reason: str) -> None:
    """Let a slot wait for its turn. In a write transaction.

    Raises:
        LostSlotError: If the slot is no longer this claim's.
    """
    _write_or_raise(
        connection, claim, state=SlotState.QUEUED, owner=None, expires_at=None, reason=reason
    )


def claim_queued(connection: Connection, sweep_id: int, owner: Owner) -> SlotClaim | None:
    """Claim the oldest slot of a sweep that waits for its turn; None if none does.

    In a write transaction. Whether its turn has come is asked of :func:`obstacle`.
    """
    if not _may_start(connection, sweep_id):
        return None
    row = connection.execute(
        select(sweep_slots)
        .where(sweep_slots.c.sweep_id == sweep_id, sweep_slots.c.state == SlotState.QUEUED)
        .order_by(sweep_slots.c.slot_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    return None if row is None else _take(connection, row, owner)


def next_queued(connection: Connection, sweep_id: int) -> float | None:
    """The oldest slot of a sweep that waits for its turn; None if none does."""
    slot_at: float | None = connection.scalar(
        select(func.min(sweep_slots.c.slot_at)).where(
            sweep_slots.c.sweep_id == sweep_id, sweep_slots.c.state == SlotState.QUEUED
        )
    )
    return slot_at


def mark_launched(connection: Connection, claim: SlotClaim, study_id: int) -> None:
    """Note which study the slot started, in the transaction that creates the study.

    Raises:
        LostSlotError: If the slot is no longer this claim's; the study must not be created then.
    """
    _end(connection, claim, state=SlotState.LAUNCHED, study_id=study_id, reason=None)


def end_slot(connection: Connection, claim: SlotClaim, state: SlotState, reason: str) -> None:
    """Note that the slot started nothing. In a write transaction.

    Args:
        connection: A write transaction.
        claim: The slot.
        state: ``SKIPPED``, ``FAILED`` or ``LATE``.
        reason: Why.

    Raises:
        LostSlotError: If the slot is no longer this claim's.
    """
    if state not in (SlotState.SKIPPED, SlotState.FAILED, SlotState.LATE):
        raise ValueError(f"a slot cannot end as {state}")
    _end(connection, claim, state=state, reason=reason)


def obstacle(connection: Connection, name: str, slot_at: float) -> str | None:
    """What a slot of the sweep ``name`` would overlap with, in words; None for nothing.

    That is a generation of the study that runs, whoever started it, or an earlier slot that waits
    or is being started.
    """
    generation = connection.scalar(
        select(func.max(studies.c.generation)).where(
            studies.c.name == name, studies.c.state == StudyState.RUNNING
        )
    )
    if generation is not None:
        return f"{name} #{generation} runs"
    earlier = connection.execute(
        select(sweep_slots.c.slot_at, sweep_slots.c.state)
        .join(sweeps, sweeps.c.id == sweep_slots.c.sweep_id)
        .where(
            sweeps.c.name == name,
            sweep_slots.c.slot_at < slot_at,
            sweep_slots.c.state.in_([SlotState.CLAIMED, SlotState.QUEUED]),
        )
        .order_by(sweep_slots.c.slot_at)
        .limit(1)
    ).one_or_none()
    if earlier is None:
        return None
    at = datetime.fromtimestamp(earlier.slot_at, UTC).strftime("%Y-%m-%dT%H:%MZ")
    does = "waits" if earlier.state == SlotState.QUEUED else "is being started"
    return f"the slot of {at} {does}"


def sweep_history(connection: Connection, sweep_id: int, limit: int | None = None) -> list[SlotRow]:
    """The slots of a sweep, the newest first; at most ``limit`` of them."""
    query = _SLOTS.where(sweep_slots.c.sweep_id == sweep_id)
    return _slots(connection, query.order_by(sweep_slots.c.slot_at.desc()).limit(limit))


def slot_of_study(connection: Connection, study_id: int) -> SlotRow | None:
    """The slot that started a study; None if none did, or its sweep was removed."""
    rows = _slots(connection, _SLOTS.where(sweep_slots.c.study_id == study_id))
    return rows[0] if rows else None


_SLOTS = select(
    *(sweep_slots.c[name] for name in SlotRow.__dataclass_fields__ if name != "generation"),
    studies.c.generation,
).join_from(sweep_slots, studies, studies.c.id == sweep_slots.c.study_id, isouter=True)
_CLAIMED = (
    select(sweep_slots, (sweep_slots.c.expires_at < database_now()).label("expired"))
    .where(sweep_slots.c.state == SlotState.CLAIMED)
    .order_by(sweep_slots.c.slot_at)
)


def _slots(connection: Connection, query: Select[Any]) -> list[SlotRow]:
    rows = connection.execute(query).mappings()
    return [SlotRow(**{**row, "state": SlotState(row["state"])}) for row in rows]


def _may_start(connection: Connection, sweep_id: int) -> bool:
    """Whether the sweep is there and goes on; it stays so until this transaction ends."""
    query = select(sweeps.c.id).where(sweeps.c.id == sweep_id, sweeps.c.paused.is_(False))
    return connection.execute(query.with_for_update(read=True)).first() is not None


def _insert(connection: Connection, sweep_id: int, slot_at: float, **values: Any) -> bool:
    """Insert a slot's row; False if there is one."""
    inserted = connection.execute(
        insert_into(connection.dialect.name, sweep_slots)
        .values(
            sweep_id=sweep_id,
            slot_at=slot_at,
            lost_claims=0,
            created_at=database_now(),
            **values,
        )
        .on_conflict_do_nothing()
        # SQLAlchemy asks for the count at updates alone.
        .execution_options(preserve_rowcount=True)
    )
    return inserted.rowcount == 1


def _lost(connection: Connection) -> Sequence[Row[Any]]:
    rows = connection.execute(_CLAIMED.with_for_update(skip_locked=True)).all()
    return [row for row in rows if _is_lost(row)]


def _is_lost(row: Row[Any]) -> bool:
    return bool(row.expired) or Owner.parse(row.owner).is_dead


def _take(connection: Connection, row: Row[Any], owner: Owner, **values: Any) -> SlotClaim | None:
    """Give a slot that was read in this transaction to ``owner``."""
    claim = SlotClaim(row.sweep_id, row.slot_at, str(owner), row.token + 1)
    taken = connection.execute(
        update(sweep_slots)
        .where(
            sweep_slots.c.sweep_id == row.sweep_id,
            sweep_slots.c.slot_at == row.slot_at,
            sweep_slots.c.token == row.token,
        )
        .values(
            state=SlotState.CLAIMED,
            owner=claim.owner,
            token=claim.token,
            expires_at=database_now() + GRACE_SECONDS,
            **values,
        )
    )
    return claim if taken.rowcount == 1 else None


def _write(connection: Connection, claim: SlotClaim, **values: Any) -> bool:
    written = connection.execute(
        update(sweep_slots)
        .where(
            sweep_slots.c.sweep_id == claim.sweep_id,
            sweep_slots.c.slot_at == claim.slot_at,
            sweep_slots.c.token == claim.token,
            sweep_slots.c.state == SlotState.CLAIMED,
        )
        .values(**values)
    )
    return written.rowcount == 1


def _write_or_raise(connection: Connection, claim: SlotClaim, **values: Any) -> None:
    if not _write(connection, claim, **values):
        raise LostSlotError("the slot was taken from this controller, or its sweep was removed")


def _end(connection: Connection, claim: SlotClaim, **values: Any) -> None:
    ended_at = database_time(connection)
    _write_or_raise(connection, claim, owner=None, expires_at=None, ended_at=ended_at, **values)
