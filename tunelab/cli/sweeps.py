"""What ``tunelab sweep`` does and prints."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from tunelab.cli.console import is_terminal, put, put_json, put_lines, tell, terminal_width
from tunelab.cli.formats import NOTHING, instant
from tunelab.cli.tables import Column, tab_separated, table
from tunelab.errors import UsageError
from tunelab.service.summary import SCHEMA
from tunelab.service.sweeps.slots import upcoming
from tunelab.spec.study_file import read_study_file
from tunelab.spec.sweep_section import SweepSpec
from tunelab.storage.clock import database_time
from tunelab.storage.engine import Database
from tunelab.storage.location import database_url
from tunelab.storage.schema import open_database
from tunelab.storage.sweep_slots import SlotRow, sweep_history
from tunelab.storage.sweeps import (
    SweepRow,
    all_sweeps,
    get_sweep,
    pause_sweep,
    put_sweep,
    remove_sweep,
    resume_sweep,
)


@dataclass(frozen=True)
class _Listed:
    """A sweep as ``sweep list`` shows it."""

    row: SweepRow
    next_at: float | None
    last: SlotRow | None

    @property
    def state(self) -> str:
        if self.row.paused:
            return "paused"
        if not self.row.sweep.enabled:
            return "disabled"
        return "broken file" if self.row.problem else "active"

    def to_json(self) -> dict[str, Any]:
        sweep, last = self.row.sweep, self.last
        return {
            "name": self.row.name,
            "state": self.state,
            "cron": sweep.expression,
            "timezone": sweep.timezone,
            "next": _optional(self.next_at),
            "last": last
            and {
                "slot": instant(last.slot_at),
                "state": str(last.state),
                "reason": last.reason,
                "generation": last.generation,
            },
            "study_file": self.row.study_file,
            "problem": self.row.problem,
        }


def add_and_tell(study_file: Path) -> None:
    """Add a study file's sweep.

    Raises:
        UsageError: If the file has none.
        TunelabError: If the file cannot be used, or another one has put a sweep of this name.
    """
    # Absolute, so that the path of its data is: a controller stands in another folder.
    spec = read_study_file(study_file.absolute()).spec
    if spec.sweep is None:
        raise UsageError(
            f"{study_file} has no section sweep", hint='add for example sweep: {cron: "0 2 * * *"}'
        )
    with closing(open_database(database_url())) as database:

        def put_it(connection: Connection) -> tuple[SweepRow, float]:
            now = database_time(connection)
            return put_sweep(connection, spec, str(study_file.absolute()), now=now), now

        with database.write() as connection:
            row, now = put_it(connection)
    put(row.name)
    if not row.is_active:
        tell(f"added; it starts nothing: it is {_Listed(row, None, None).state}")
        return
    (first,) = upcoming(row.sweep.cron, now, 1)
    tell(f"added; a controller starts it next at {_local(row.sweep, first)}")


def show_sweeps(database: Database, *, as_json: bool) -> None:
    """Print all sweeps."""
    with database.read() as connection:
        now = database_time(connection)
        listed = [_listed(connection, row, now) for row in all_sweeps(connection)]
    if as_json:
        put_json({"schema": SCHEMA, "sweeps": [item.to_json() for item in listed]})
    elif is_terminal(sys.stdout):
        if not listed:
            tell("no sweeps yet; `tunelab sweep add FILE` adds one")
            return
        put_lines(table(_columns(listed), terminal_width()))
    else:
        head = ["name", "state", "cron", "timezone", "next", "last", "last_state", "reason"]
        for line in tab_separated(head, map(_cells, listed)):
            put(line)


def show_next(database: Database, name: str, n_slots: int, *, as_json: bool) -> None:
    """Print when a sweep starts next, in UTC and by its own clock."""
    with database.read() as connection:
        row = get_sweep(connection, name)
        now = database_time(connection)
    slots = upcoming(row.sweep.cron, now, n_slots)
    if as_json:
        document = {"name": row.name, "active": row.is_active, "next": list(map(instant, slots))}
        put_json({"schema": SCHEMA, **document})
        return
    for slot in slots:
        put(_local(row.sweep, slot))
    if not row.is_active:
        tell(f"none of them is started: the sweep is {_Listed(row, None, None).state}")


def run_and_tell(database: Database, name: str) -> None:
    """Create the sweep's next generation now.

    Raises:
        TunelabError: If there is no such sweep, or its study cannot be started.
    """
    from tunelab.service.launch import launch_generation

    with database.read() as connection:
        row = get_sweep(connection, name)
    study = launch_generation(database, row.study, lambda _connection, _study: None)
    put(study.title)
    tell(f"submitted; `tunelab study watch {study.name}` follows it")


def pause_and_tell(database: Database, name: str) -> None:
    """Let a sweep start nothing."""
    with database.write() as connection:
        pause_sweep(connection, get_sweep(connection, name).id)
    tell(f"paused; `tunelab sweep resume {name}` ends that. A study that runs goes on")


def resume_and_tell(database: Database, name: str) -> None:
    """End a pause."""
    with database.write() as connection:
        now = database_time(connection)
        resume_sweep(connection, get_sweep(connection, name).id, now=now)
        row = get_sweep(connection, name)
    (first,) = upcoming(row.sweep.cron, now, 1)
    tell(f"resumed; it starts next at {_local(row.sweep, first)}")


def remove_and_tell(database: Database, name: str) -> None:
    """Delete a sweep."""
    with database.write() as connection:
        row = get_sweep(connection, name)
        remove_sweep(connection, row.id)
    tell(f"removed {name}; its studies stay")
    if Path(row.study_file).exists():
        tell(
            f"{row.study_file} still has it: a controller that watches this folder takes it up "
            "again when it starts anew, unless the file says sweep.enabled: false"
        )


def _listed(connection: Connection, row: SweepRow, now: float) -> _Listed:
    history = sweep_history(connection, row.id, limit=1)
    slots = upcoming(row.sweep.cron, now, 1) if row.is_active else []
    return _Listed(row, slots[0] if slots else None, history[0] if history else None)


def _columns(listed: list[_Listed]) -> list[Column]:
    lasts = [item.last for item in listed]
    return [
        Column("SWEEP", [item.row.name for item in listed]),
        Column("STATE", [item.state for item in listed], drop=1),
        Column("CRON", [item.row.sweep.expression for item in listed], drop=3),
        Column("ZONE", [item.row.sweep.timezone for item in listed], drop=5),
        Column("NEXT", [instant(item.next_at) for item in listed], drop=2),
        Column("LAST", [instant(last.slot_at if last else None) for last in lasts], drop=4),
        Column("RESULT", [_result(item) for item in listed], drop=6, least=12),
    ]


def _result(item: _Listed) -> str:
    last = item.last
    if item.row.problem:
        return " ".join(item.row.problem.split())
    if last is None:
        return NOTHING
    generation = f" #{last.generation}" if last.generation else ""
    return f"{last.state}{generation}" + (f": {last.reason}" if last.reason else "")


def _cells(item: _Listed) -> list[object]:
    last, sweep = item.last, item.row.sweep
    cells: list[object] = [item.row.name, item.state, sweep.expression, sweep.timezone]
    cells += [_optional(item.next_at), _optional(last.slot_at if last else None)]
    return [*cells, str(last.state) if last else None, last.reason if last else None]


def _optional(moment: float | None) -> str | None:
    return None if moment is None else instant(moment)


def _local(sweep: SweepSpec, slot: float) -> str:
    """A slot in UTC, and by the clock of the sweep's zone where that is another."""
    if sweep.timezone == "UTC":
        return instant(slot)
    there = datetime.fromtimestamp(slot, ZoneInfo(sweep.timezone))
    return f"{instant(slot)}  {there:%Y-%m-%d %H:%M} {sweep.timezone}"
