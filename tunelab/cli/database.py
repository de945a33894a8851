"""The study database, opened for commands that read and for orders to a study."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunelab.storage.engine import Database


@contextmanager
def existing_database() -> Iterator[Database]:
    """The study database; an error if there is none yet."""
    from tunelab.storage.location import database_url
    from tunelab.storage.schema import open_database

    database = open_database(database_url(), create=False)
    try:
        yield database
    finally:
        database.close()
