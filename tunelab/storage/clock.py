"""The database's own clock, so that leases written on several hosts are compared on one time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Double, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class DatabaseNow(FunctionElement[float]):
    """Seconds since 1970-01-01 UTC by the clock of the database server, as a SQL expression."""

    type = Double()
    inherit_cache = True


@compiles(DatabaseNow, "sqlite")
def _sqlite_now(_element: DatabaseNow, _compiler: SQLCompiler, **_: Any) -> str:
    # 2440587.5 is the Julian day of 1970-01-01; unixepoch() has no fractions before SQLite 3.42.
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(DatabaseNow, "postgresql")
def _postgresql_now(_element: DatabaseNow, _compiler: SQLCompiler, **_: Any) -> str:
    # clock_timestamp() moves on within a transaction; now() stands still at its start.
    return "extract(epoch from clock_timestamp())::double precision"


def database_now() -> DatabaseNow:
    """The present time as an expression, to compare and to compute with in statements."""
    return DatabaseNow()


def database_time(connection: Connection) -> float:
    """The present time, in seconds since 1970-01-01 UTC."""
    return float(connection.execute(select(database_now())).scalar_one())
