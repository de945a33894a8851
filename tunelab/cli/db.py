"""``tunelab db ...``: the study database as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunelab.cli.console import tell
from tunelab.cli.database import existing_database
from tunelab.cli.signals import tidy_at_sigterm

_BackupFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="The backup, an SQLite file.", show_default=False),
]


def register(group: typer.Typer) -> None:
    """Add these commands to ``tunelab db``."""
    group.command(epilog="Example: tunelab db upgrade")(upgrade)
    group.command(epilog="Example: tunelab db backup studies.backup")(backup)
    group.command(
        epilog="Example: TUNELAB_DATABASE_URL=sqlite:///new.db tunelab db restore studies.backup"
    )(restore)


def upgrade() -> None:
    """Bring the study database to the schema of this tunelab; an SQLite file is copied first."""
    from tunelab.storage.location import database_url
    from tunelab.storage.schema import upgrade_database

    with tidy_at_sigterm():
        done = upgrade_database(database_url())
    if done.before == done.after:
        tell(f"the database has the newest schema, {done.after}: nothing to do")
        return
    tell(f"upgraded from schema {done.before or 'none'} to {done.after}")
    if done.backup is not None:
        tell(f"what it was before is in {done.backup}")


def backup(file: _BackupFile) -> None:
    """Copy the study database to FILE, also while studies run; it must not exist yet."""
    from tunelab.storage.backup import backup_database

    with existing_database() as database, tidy_at_sigterm():
        content = backup_database(database, file)
        tell(f"backed up {database} to {file}: {content}")


def restore(file: _BackupFile) -> None:
    """Fill the study database, which must be missing or empty, from a backup.

    The backup may come from SQLite or PostgreSQL, whatever the database is that is filled.
    """
    from contextlib import closing

    from tunelab.storage.backup import check_backup, restore_database
    from tunelab.storage.location import database_url
    from tunelab.storage.schema import open_database

    check_backup(file)  # before a database is made for it
    with closing(open_database(database_url())) as database:
        content = restore_database(database, file)
        tell(f"restored {file} to {database}: {content}")
