"""Sweeps and their slots: each instant of a sweep is started by one controller, once.

A sweep's row keeps what its study file said when it was last right: the checked study, every
default written out and the path of the data absolute, as `StudySpec.to_mapping` gives it. It is a
mapping and not the file's text, so that a start needs neither the file's folder nor the settings
and the program's defaults of the day on which it was added, and cannot fail over what was right
then. It is not resolved, because the default space depends on the number of rows, and every start
reads the data anew.

A slot's row is unique, so of all controllers that see the instant come one inserts it. While the
study is not created yet the row is a lease with owner, token and expiry by database time, as trials
have it: when the owner dies, another controller takes the slot up. Who creates the study calls
:func:`mark_launched` in the same transaction, so there is never a second one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from tunelab.errors import NotFoundError, StudyConflictError, TunelabError, nearest
from tunelab.spec.study import StudySpec
from tunelab.spec.sweep_section import SweepSpec
from tunelab.storage.clock import database_now, database_time
from tunelab.storage.inserts import insert_into
from tunelab.storage.leases import GRACE_SECONDS
from tunelab.storage.locks import hold
from tunelab.storage.owners import Owner
from tunelab.storage.states import SlotState, StudyState
from tunelab.storage.tables import studies, sweep_slots, sweeps

MAX_LOST_CLAIMS = 3  # a slot is taken up again twice; then it has failed


class LostSlotError(TunelabError):
    """The slot is no longer this process's: its lease ran out, or the sweep was removed."""


@dataclass(frozen=True)
class SweepRow:
    """A sweep as it stands in its table.

    Attributes:
        id: Key of its row.
        name: The study's name.
        study_file: Where it was read.
        spec: The study, not resolved.
        problem: What has been wrong with the file since then; None for nothing.
        paused: Whether a person has ordered it to wait.
        counts_from: The moment from which slots are its own.
        created_at: When it was added.
        changed_at: When the file was last read with another meaning.
        newest_slot: The newest slot that has a row; None if none has.
    """

    id: int
    name: str
    study_file: str
    spec: Mapping[str, Any]
    problem: str | None
    paused: bool
    counts_from: float
    created_at: float
    changed_at: float
    newest_slot: float | None

    @property
    def study(self) -> StudySpec:
        """The study that each slot starts, to be resolved with the data of the day."""
        return StudySpec.from_mapping(self.spec)

    @property
    def sweep(self) -> SweepSpec:
        """The rules by which it starts."""
        return SweepSpec.model_validate(self.spec["sweep"])

    @property
    def since(self) -> float:
        """The moment up to which its slots are settled."""
        return max(self.counts_from, self.newest_slot or self.counts_from)

    @property
    def is_active(self) -> bool:
        """Whether it starts anything."""
        return not self.paused and self.sweep.enabled

    def is_up_to_date(self, spec: StudySpec, study_file: str) -> bool:
        """Whether :func:`put_sweep` would change nothing: asked before the write lock is taken."""
        there = (self.study_file, self.problem, _compact(self.spec))
        return there == (study_file, None, _compact(spec.to_mapping()))


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


def put_sweep(
    connection: Connection, spec: StudySpec, study_file: str, *, now: float, moved: bool = False
) -> SweepRow:
    """Add the sweep of a study file, or replace what it said before. In a write transaction.

    A pause outlasts that. Slots before ``now`` are not counted where the instants are others than
    before, or the sweep was switched on in the file; else what was missed stays to be caught up.

    Args:
        connection: A write transaction.
        spec: The study, not resolved.
        study_file: The file's absolute path.
        now: The present moment, by the database's clock.
        moved: Whether the file may take the place of another.

    Raises:
        StudyConflictError: If another file has put a sweep of this name.
        ValueError: If the study has no section ``sweep``.
    """
    if spec.sweep is None:
        raise ValueError(f"the study {spec.name} has no sweep")
    hold(connection, f"sweep {spec.name}")  # there may be no row yet to lock
    old = find_sweep(connection, spec.name)
    content = {"study_file": study_file, "spec": spec.to_mapping(), "problem": None}
    if old is None:
        times = {"counts_from": now, "created_at": now, "changed_at": now}
        connection.execute(insert(sweeps).values(name=spec.name, paused=False, **content, **times))
        return get_sweep(connection, spec.name)
    if old.study_file != study_file and not moved:
        raise StudyConflictError(
            f"the sweep {spec.name} was added from {old.study_file}, not from {study_file}",
            hint="give one of the studies another name, or remove the sweep first",
        )
    before, after = old.sweep, spec.sweep
    anew = before.cron != after.cron or (after.enabled and not before.enabled)
    changed = _compact(old.spec) != _compact(spec.to_mapping())
    times = {
        "counts_from": now if anew else old.counts_from,
        "changed_at": now if changed else old.changed_at,
    }
    connection.execute(update(sweeps).where(sweeps.c.id == old.id).values(**content, **times))
    return get_sweep(connection, spec.name)


def report_problem(connection: Connection, sweep_id: int, problem: str) -> None:
    """Note that the file cannot be used as it is now; the sweep goes on as it was.

    In a write transaction. The next :func:`put_sweep` takes the note away.
    """
    connection.execute(update(sweeps).where(sweeps.c.id == sweep_id).values(problem=problem))


def pause_sweep(connection: Connection, sweep_id: int) -> None:
    """Let nothing be claimed from here on. In a write transaction."""
    connection.execute(update(sweeps).where(sweeps.c.id == sweep_id).values(paused=True))


def resume_sweep(connection: Connection, sweep_id: int, *, now: float) -> None:
    """End a pause; what came during it is not caught up. In a write transaction."""
    connection.execute(
        update(sweeps)
        .where(sweeps.c.id == sweep_id, sweeps.c.paused)
        .values(paused=False, counts_from=now)
    )


def remove_sweep(connection: Connection, sweep_id: int) -> None:
    """Delete a sweep with its history; the studies stay. In a write transaction."""
    connection.execute(delete(sweeps).where(sweeps.c.id == sweep_id))


def find_sweep(connection: Connection, name: str) -> SweepRow | None:
    """The sweep ``name``; None if there is none."""
    rows = _sweeps(connection, _SWEEPS.where(sweeps.c.name == name))
    return rows[0] if rows else None


def get_sweep(connection: Connection, name: str) -> SweepRow:
    """The sweep ``name``.

    Raises:
        NotFoundError: If there is none; the message names those that there are.
    """
    row = find_sweep(connection, name)
    if row is not None:
        return row
    names = connection.scalars(select(sweeps.c.name).order_by(sweeps.c.name)).all()
    if not names:
        raise NotFoundError(f"no sweep {name!r}; there are none yet")
    close = nearest(name, names)
    raise NotFoundError(
        f"no sweep {name!r}; there are: {', '.join(names)}",
        hint=f"did you mean {close!r}?" if close else None,
    )


def all_sweeps(connection: Connection) -> list[SweepRow]:
    """Every sweep, by name."""
    return _sweeps(connection, _SWEEPS.order_by(sweeps.c.name))


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


_SWEEPS = select(
    sweeps,
    select(func.max(sweep_slots.c.slot_at))
    .where(sweep_slots.c.sweep_id == sweeps.c.id)
    .scalar_subquery()
    .label("newest_slot"),
)
_SLOTS = select(
    *(sweep_slots.c[name] for name in SlotRow.__dataclass_fields__ if name != "generation"),
    studies.c.generation,
).join_from(sweep_slots, studies, studies.c.id == sweep_slots.c.study_id, isouter=True)
_CLAIMED = (
    select(sweep_slots, (sweep_slots.c.expires_at < database_now()).label("expired"))
    .where(sweep_slots.c.state == SlotState.CLAIMED)
    .order_by(sweep_slots.c.slot_at)
)


def _sweeps(connection: Connection, query: Select[Any]) -> list[SweepRow]:
    return [SweepRow(**row) for row in connection.execute(query).mappings()]


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


def _compact(spec: Mapping[str, Any]) -> str:
    return json.dumps(spec, sort_keys=True)
