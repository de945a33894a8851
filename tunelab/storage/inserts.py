"""Inserts that say what happens to rows that are there already."""

from __future__ import annotations

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

Insert = sqlite.Insert | postgresql.Insert


def insert_into(dialect: str, table: Table) -> Insert:
    """An insert with ``on_conflict_do_nothing`` and ``on_conflict_do_update``.

    Both databases have them, in SQLAlchemy under two names.
    """
    if dialect == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
