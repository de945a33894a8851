"""The study database: its place, schema, clock, and what dead processes hold in it."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from tunelab.errors import DatabaseError
from tunelab.service.doctor.findings import Finding, ok, wrong
from tunelab.storage.claims import lost_trials, requeue_lost
from tunelab.storage.engine import Database
from tunelab.storage.health import check_writable, clock_difference
from tunelab.storage.leases import coordinator_lease, lease_holder, stale_leases, void_leases
from tunelab.storage.schema import HEAD, schema_version
from tunelab.storage.studies import StudyRow, all_studies
from tunelab.storage.workers import dead_workers, strike_out

_LEAST_FREE_BYTES = 200_000_000
_CLOCK_SECONDS = 5.0  # leases count in tens of seconds
_AREA = "database"
_FIX = "run with --fix"


def place(database: Database) -> tuple[list[Finding], bool]:
    """Whether the database can be used.

    Returns:
        What was found, and whether its tables can be looked into.
    """
    found = list(_file(database.path)) if database.path else []
    try:
        database.check_place()
        if database.path is not None and not database.path.exists():
            return [*found, ok(_AREA, f"none yet; the first study makes {database}")], False
        version = schema_version(database)
    except DatabaseError as error:
        return [*found, wrong(_AREA, error.message, error.hint)], False
    if version is None:
        return [*found, ok(_AREA, f"{database} is empty; the first study fills it")], False
    if version != HEAD:
        newer = version > HEAD
        hint = "install the newer tunelab" if newer else "`tunelab db upgrade` brings it up to date"
        age = "a newer" if newer else "an older"
        message = f"{database} was written by {age} tunelab (schema {version}, this one has {HEAD})"
        return [*found, wrong(_AREA, message, hint)], False
    try:
        check_writable(database)
        found += _clock(database)
    except DatabaseError as error:
        return [*found, wrong(_AREA, error.message, error.hint)], True
    return [ok(_AREA, f"{database}, schema {version}, can be written"), *found], True


def _file(path: Path) -> Iterator[Finding]:
    if path.is_file():
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:

            def restrict() -> str:
                for suffix in ("", "-wal", "-shm"):
                    part = path.with_name(path.name + suffix)
                    if part.exists():
                        part.chmod(0o600)
                return f"{path} may be read by its owner alone"

            yield wrong(
                _AREA,
                f"others may read {path} (mode {mode:04o}); whoever writes to it decides what runs",
                f"chmod 600 {path}, or {_FIX}",
                restrict,
            )
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError:
        return  # the folder is missing, which is said elsewhere
    if free < _LEAST_FREE_BYTES:
        message = f"only {free / 1e6:,.0f} MB are free at {path.parent}"
        yield wrong("disk", message, "make room before a long study")
    else:
        yield ok("disk", f"{free / 1e9:,.1f} GB free")


def _clock(database: Database) -> Iterator[Finding]:
    if database.is_sqlite:
        return  # it has this machine's clock
    ahead = clock_difference(database)
    if abs(ahead) > _CLOCK_SECONDS:
        way = "ahead of" if ahead > 0 else "behind"
        message = f"the server's clock is {abs(ahead):.0f} s {way} this machine's"
        yield wrong("clock", message, "set both by a time server (NTP)")
    else:
        yield ok("clock", "agrees with the server's")


def abandoned(database: Database) -> Iterator[Finding]:
    """What processes hold that are gone: trials, leases, entries in the list of workers."""
    with database.read() as connection:
        unled = [
            study
            for study in all_studies(connection)
            # A coordinator that lives takes them back by itself.
            if lease_holder(connection, coordinator_lease(study.id)) is None
        ]
        lost = [(study, lost_trials(connection, study.id)) for study in unled]
        leases = stale_leases(connection)
        dead = dead_workers(connection)
    for study, numbers in lost:
        if numbers:
            yield _lost(database, study, numbers)
    if leases:

        def free() -> str:
            with database.write() as connection:
                names = stale_leases(connection)
                void_leases(connection, names)
            return f"freed {', '.join(names)}"

        message = f"held by processes that are gone: {', '.join(leases)}"
        yield wrong("leases", message, f"{_FIX}; a start of the study takes them over too", free)
    if dead:

        def strike() -> str:
            with database.write() as connection:
                strike_out(connection, dead_workers(connection))
            return "struck out the workers that are gone"

        one = len(dead) == 1
        workers = (
            "1 worker that is gone stands" if one else f"{len(dead)} workers that are gone stand"
        )
        yield wrong("workers", f"{workers} in the list", _FIX, strike)
    if not (leases or dead or any(numbers for _, numbers in lost)):
        yield ok("processes", "nothing is held by one that is gone")


def _lost(database: Database, study: StudyRow, numbers: list[int]) -> Finding:
    listed = ", ".join(map(str, numbers[:10])) + (" ..." if len(numbers) > 10 else "")

    def requeue() -> str:
        with database.write() as connection:
            taken = requeue_lost(connection, study.id, blamed=False)
        return (
            f"{study.title}: {len(taken)} taken back, `tunelab study resume {study.name}` goes on"
        )

    word = "trial" if len(numbers) == 1 else "trials"
    return wrong(
        "trials",
        f"{study.title}: {word} {listed} left running by workers that are gone",
        f"`tunelab study resume {study.name}` goes on with them; or {_FIX}",
        requeue,
    )
