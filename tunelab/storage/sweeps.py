"""Sweeps: which studies start by themselves, and by which rules.

A sweep's row keeps what its study file said when it was last right: the checked study, every
default written out and the path of the data absolute, as `StudySpec.to_mapping` gives it. It is a
mapping and not the file's text, so that a start needs neither the file's folder nor the settings
and the program's defaults of the day on which it was added, and cannot fail over what was right
then. It is not resolved, because the default space depends on the number of rows, and every start
reads the data anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from tunelab.errors import NotFoundError, StudyConflictError, nearest
from tunelab.spec.study import StudySpec
from tunelab.spec.sweep_section import SweepSpec
from tunelab.storage.locks import hold
from tunelab.storage.tables import sweep_slots, sweeps


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


_SWEEPS = select(
    sweeps,
    select(func.max(sweep_slots.c.slot_at))
    .where(sweep_slots.c.sweep_id == sweeps.c.id)
    .scalar_subquery()
    .label("newest_slot"),
)


def _sweeps(connection: Connection, query: Select[Any]) -> list[SweepRow]:
    return [SweepRow(**row) for row in connection.execute(query).mappings()]


def _compact(spec: Mapping[str, Any]) -> str:
    return json.dumps(spec, sort_keys=True)
