"""Backups: the whole study database as one SQLite file, whatever it came from and goes to.

A backup is read in one transaction, so it is one state of the database, also while studies run.
It has the schema of a study database and can be used as one. Because rows are copied by their
columns, a backup also moves studies from SQLite to PostgreSQL and back.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    create_engine,
    func,
    select,
)
from sqlalchemy.exc import DBAPIError

from tunelab.errors import DatabaseError, DiskError, NotFoundError, UsageError
from tunelab.storage import sqlite
from tunelab.storage.engine import Database
from tunelab.storage.files import new_file
from tunelab.storage.locks import hold
from tunelab.storage.schema import check_schema, migrate, present_schema
from tunelab.storage.studies import take_all_back
from tunelab.storage.tables import checkpoints, leases, metadata, studies, sweeps, trials, workers

BATCH = 500  # rows in memory
_BLOB_BATCH = 4  # rows of checkpoints: each may be megabytes

_OF_PROCESSES = (leases, workers)  # who is at work; not what a study knows


@dataclass(frozen=True)
class Content:
    """What a database holds."""

    n_studies: int
    n_trials: int

    def __str__(self) -> str:
        return f"{_count(self.n_studies, 'study', 'studies')}, {_count(self.n_trials, 'trial')}"


def backup_database(database: Database, path: Path) -> Content:
    """Write all that the database holds to a new SQLite file.

    Args:
        database: Studies may run in it meanwhile.
        path: The file, which must not exist yet. It is whole or not there.

    Returns:
        What the backup holds.

    Raises:
        UsageError: If the file exists.
        DiskError: If it cannot be written.
        DatabaseError: If the database cannot be read.
    """
    with new_file(path) as part, database.read() as source:
        engine = _scratch_engine(part)
        try:
            with _target_named(path), engine.begin() as target:
                migrate(target)
            with engine.connect() as target:
                for table in metadata.sorted_tables:
                    for rows in _batches(source, table):
                        with _target_named(path):
                            target.execute(_plain(table).insert(), rows)
                with _target_named(path):
                    target.commit()
            with engine.connect() as target:
                return _content(target)
        finally:
            engine.dispose()


def restore_database(database: Database, path: Path) -> Content:
    """Fill an empty database from a backup, all of it or nothing.

    Trials that were running when the backup was taken wait again, with the checkpoints that it
    holds: their workers are those of the other database.

    Args:
        database: Must hold nothing.
        path: The backup.

    Returns:
        What the database holds now.

    Raises:
        NotFoundError: If there is no such file.
        UsageError: If the database holds something already.
        DatabaseError: If the file is no backup, or is damaged, or one of the two cannot be used.
    """
    with _opened(path) as source, database.write() as target:
        hold(target, "schema")
        _refuse_content(target, str(database))
        for table in metadata.sorted_tables:
            if table in _OF_PROCESSES:
                continue
            for rows in _read_batches(source, table, path):
                target.execute(_plain(table).insert(), rows)
        take_all_back(target, target.scalars(select(studies.c.id)).all())
        _restart_sequences(target)
        return _content(target)


def check_backup(path: Path) -> None:
    """See that a file is a backup that can be restored.

    Raises:
        NotFoundError: If there is no such file.
        DatabaseError: If it is no backup, or is damaged, or of another version.
    """
    with _opened(path):
        pass


@contextmanager
def _opened(path: Path) -> Iterator[Connection]:
    """A backup, whole, and in one state whatever file it is."""
    if not path.is_file():
        raise NotFoundError(f"there is no backup {path}")
    engine = create_engine("sqlite://", creator=lambda: _opened_to_read(path))
    try:
        with _source_named(path):
            source = engine.connect()
        with source:
            with _source_named(path):
                source.exec_driver_sql("BEGIN")
                _check(source, path)
            yield source
    finally:
        engine.dispose()


def _refuse_content(connection: Connection, name: str) -> None:
    content = _content(connection)
    sweeps_there = connection.scalar(select(func.count()).select_from(sweeps)) or 0
    if not (content.n_studies or sweeps_there):
        return
    also = f", {_count(sweeps_there, 'sweep')}" if sweeps_there else ""
    raise UsageError(
        f"{name} holds {content}{also} already; a backup is restored into an empty database only",
        hint="name a new one by TUNELAB_DATABASE_URL",
    )


def _batches(source: Connection, table: Table) -> Iterator[list[dict[str, object]]]:
    """The rows of a table, a few at a time."""
    size = _BLOB_BATCH if table is checkpoints else BATCH
    query = select(_plain(table)).order_by(*(column.name for column in table.primary_key))
    with source.execute(query, execution_options={"yield_per": size}) as result:
        for rows in result.mappings().partitions():
            yield [dict(row) for row in rows]


def _read_batches(
    source: Connection, table: Table, path: Path
) -> Iterator[list[dict[str, object]]]:
    with _source_named(path):  # an error here is the backup's, not that of the database
        yield from _batches(source, table)


def _plain(table: Table) -> Table:
    """The table's columns as they are copied: without defaults, and no value is NULL."""
    columns = []
    for column in table.columns:
        kind = JSON(none_as_null=True) if isinstance(column.type, JSON) else column.type
        columns.append(Column(column.name, kind, primary_key=column.primary_key))
    return Table(table.name, MetaData(), *columns)


def _content(connection: Connection) -> Content:
    n_studies, n_trials = (
        connection.scalar(select(func.count()).select_from(table)) or 0
        for table in (studies, trials)
    )
    return Content(n_studies, n_trials)


def _restart_sequences(connection: Connection) -> None:
    """Have PostgreSQL go on counting behind the keys that were copied."""
    if connection.dialect.name != "postgresql":
        return
    for table in metadata.sorted_tables:
        key = table.autoincrement_column
        if key is None or not isinstance(key.type, Integer) or key.foreign_keys:
            continue
        last = connection.scalar(select(func.max(key)))
        if last is not None:
            sequence = func.pg_get_serial_sequence(table.name, key.name)
            connection.execute(select(func.setval(sequence, last)))


def _scratch_engine(path: Path) -> Engine:
    """The engine of a file that nobody else opens, and that is thrown away if writing it fails."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")  # once, at the end, by whoever renames it
        return connection

    return create_engine("sqlite://", creator=connect)


def _opened_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, isolation_level=None
    )


def _check(source: Connection, path: Path) -> None:
    (verdict,) = source.exec_driver_sql("PRAGMA integrity_check(1)").one()
    if verdict != "ok":
        raise DatabaseError(f"the backup {path} is damaged: {verdict}")
    present = present_schema(source)
    if present is None:
        raise DatabaseError(f"{path} is no backup of a study database")
    check_schema(present, str(path))


@contextmanager
def _target_named(path: Path) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        named = sqlite.explain(str(error.orig), path, sqlite.free_bytes(path))
        raise DiskError(named.message, hint=named.hint) from error


@contextmanager
def _source_named(path: Path) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise DatabaseError(f"cannot read the backup {path}: {error.orig}") from error
    except json.JSONDecodeError as error:
        raise DatabaseError(
            f"the backup {path} is damaged: what should be a JSON document is none ({error.msg})"
        ) from error


def _count(n: int, one: str, many: str | None = None) -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"
