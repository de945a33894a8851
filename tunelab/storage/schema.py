"""The schema: created once however many processes start together, and upgraded only when asked.

An empty database gets the newest schema from whoever opens it first. One with an older schema is
changed by ``tunelab db upgrade`` alone, and one with a newer schema by nobody.

Alembic runs in one write transaction, so a process that is killed in the middle leaves the
database as it was, and one that comes second waits and finds the work done.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from tunelab.errors import DatabaseError, DiskError
from tunelab.storage.engine import Database
from tunelab.storage.files import new_file
from tunelab.storage.locks import hold
from tunelab.storage.outages import Patience

HEAD = "0005"  # the newest migration under migrations/versions; a test compares the two
VERSION_TABLE = "tunelab_version"  # not Alembic's default name, which MLflow and Optuna use

_version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32)))


@dataclass(frozen=True)
class Schema:
    """A history of migrations.

    Attributes:
        migrations: Alembic's folder.
        head: The newest migration in it.
    """

    migrations: Path
    head: str


SCHEMA = Schema(Path(__file__).parent / "migrations", HEAD)


@dataclass(frozen=True)
class Upgrade:
    """What an upgrade did.

    Attributes:
        before: The schema that was found; None if the database was empty.
        after: The schema now.
        backup: The copy that was made of the file before; None if there was nothing to copy.
    """

    before: str | None
    after: str
    backup: Path | None


def open_database(
    url: str, *, create: bool = True, patience: Patience | None = None, schema: Schema = SCHEMA
) -> Database:
    """Open the study database at ``url``.

    Args:
        url: A SQLAlchemy URL.
        create: Whether to create a missing database; if not, a missing one is an error.
        patience: How it bears an outage, from the first look on; None: not at all.
        schema: The schema that it must have, or gets if it is empty.

    Raises:
        DatabaseError: If it cannot be opened, its schema is older or newer than this program's,
            or it is missing and ``create`` is false.
    """
    database = Database(url)
    if not create:
        _refuse_missing(database)
    database.patience = patience or database.patience
    present = database.fetch(present_schema)
    if present is None:
        present = database.attempt(lambda connection: _create_schema(connection, schema))
    check_schema(present, str(database), schema)
    return database


def _create_schema(connection: Connection, schema: Schema) -> str:
    hold(connection, "schema")
    present = present_schema(connection)
    if present is not None:
        return present  # another process came first
    migrate(connection, schema)
    return schema.head


def schema_version(database: Database) -> str | None:
    """The version that the database's tables have; None if there are none. Changes nothing."""
    with database.read() as connection:
        return present_schema(connection)


def upgrade_database(url: str, schema: Schema = SCHEMA) -> Upgrade:
    """Bring the study database at ``url`` to the newest schema; nothing is done twice.

    An SQLite file is copied first: ``tunelab.db.schema-0001.20260131T235959.000000Z`` beside it.

    Raises:
        DatabaseError: If it is missing or cannot be opened, or its schema is newer than this
            program's.
        DiskError: If the copy cannot be written; then nothing has been changed.
    """
    database = Database(url)
    _refuse_missing(database)
    with closing(database), database.write() as connection:
        hold(connection, "schema")
        present = present_schema(connection)
        if present == schema.head:
            return Upgrade(present, present, None)
        if present is not None and present not in _known(schema):
            raise _newer(str(database), present, schema)
        copy = None
        if present is not None and database.path is not None:
            # The write lock is held: what is copied is all that there is.
            copy = _copy_beside(database.path, present)
        migrate(connection, schema)
        return Upgrade(present, schema.head, copy)


def present_schema(connection: Connection) -> str | None:
    """The schema that a database has; None if it has none yet."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.scalar(select(_version.c.version_num))


def check_schema(present: str | None, name: str, schema: Schema = SCHEMA) -> None:
    """See that a database has the schema that this program knows.

    Raises:
        DatabaseError: If it has an older or a newer one.
    """
    if present == schema.head:
        return
    if present is None or present in _known(schema):
        raise DatabaseError(
            f"{name} has the schema {present} of an older tunelab, and this one needs "
            f"{schema.head}: run `tunelab db upgrade`",
            hint="end what uses the database first; an SQLite file is copied before the upgrade",
        )
    raise _newer(name, present, schema)


def migrate(connection: Connection, schema: Schema = SCHEMA) -> None:
    """Run the migrations that a database lacks. In a write transaction, with the schema held."""
    # Alembic is loaded only where a schema has to be made: it costs a start 0.1 s.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", _escaped(schema.migrations))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _known(schema: Schema) -> set[str]:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", _escaped(schema.migrations))
    return {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}


def _escaped(folder: Path) -> str:
    return str(folder).replace("%", "%%")  # Alembic interpolates


def _newer(name: str, present: str, schema: Schema) -> DatabaseError:
    return DatabaseError(
        f"{name} was written by a newer tunelab (schema {present}, this one knows {schema.head})",
        hint="install the newer version",
    )


def _refuse_missing(database: Database) -> None:
    if database.path is not None and not database.path.exists():
        raise DatabaseError(
            f"there is no study database at {database.path}",
            hint="`tunelab study start FILE` creates one; TUNELAB_DATABASE_URL names another",
        )


def _copy_beside(path: Path, schema: str) -> Path:
    """Copy a database file, whatever is in its write-ahead log included.

    Raises:
        DiskError: If that fails.
    """
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    copy = path.with_name(f"{path.name}.schema-{schema}.{now}")
    try:
        with (
            new_file(copy) as part,
            closing(sqlite3.connect(path)) as source,
            closing(sqlite3.connect(part)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise DiskError(f"cannot copy {path} to {copy}: {error}") from error
    return copy
