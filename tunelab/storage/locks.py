"""Locks for what no row stands for yet: the schema, the next generation of a name."""

from __future__ import annotations

from sqlalchemy import Connection, func, select


def hold(connection: Connection, name: str) -> None:
    """Until this transaction ends, no other one gets past the same call. In a write transaction.

    SQLite's write transactions exclude each other anyway.
    """
    if connection.dialect.name == "postgresql":
        key = func.hashtextextended(f"tunelab {name}", 0)
        connection.execute(select(func.pg_advisory_xact_lock(key)))
