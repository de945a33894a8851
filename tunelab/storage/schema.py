"""The schema: created once however many processes start together, and never a newer one touched.

Alembic runs in one write transaction, so a process that is killed in the middle leaves the
database as it was, and one that comes second waits and finds the work done.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from tunelab.errors import DatabaseError
from tunelab.storage.engine import Database
from tunelab.storage.locks import hold

HEAD = "0001"  # the newest migration under migrations/versions; a test compares the two
VERSION_TABLE = "tunelab_version"  # not Alembic's default name, which MLflow and Optuna use

_version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32)))


def open_database(url: str, *, create: bool = True) -> Database:
    """Open the study database at ``url``.

    Args:
        url: A SQLAlchemy URL.
        create: Whether to create a missing database; if not, a missing one is an error.

    Raises:
        DatabaseError: If it cannot be opened, its schema is newer than this program, or it is
            missing and ``create`` is false.
    """
    database = Database(url)
    if not create and database.path is not None and not database.path.exists():
        raise DatabaseError(
            f"there is no study database at {database.path}",
            hint="`tunelab study start FILE` creates one; TUNELAB_DATABASE_URL names another",
        )
    with database.read() as connection:
        present = _present_version(connection)
    if present != HEAD:
        _upgrade(database)
    return database


def schema_version(database: Database) -> str | None:
    """The version that the database's tables have; None if there are none. Changes nothing."""
    with database.read() as connection:
        return _present_version(connection)


def _present_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.scalar(select(_version.c.version_num))


def _upgrade(database: Database) -> None:
    # Alembic is loaded only where a schema has to be made: it costs a start 0.1 s.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with database.write() as connection:
        hold(connection, "schema")
        present = _present_version(connection)
        if present is not None and present not in known:
            raise DatabaseError(
                f"{database} was written by a newer tunelab (schema {present}, "
                f"this one knows {HEAD})",
                hint="install the newer version",
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
