"""Databases of other programs that studies are written to: what is there, what errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, inspect, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from tunelab.errors import DatabaseError, UsageError
from tunelab.storage import postgresql


@dataclass(frozen=True)
class ForeignDatabase:
    """A database that belongs to another program.

    Attributes:
        url: As SQLAlchemy takes it, its password included.
        place: What people call it, without a password.
        path: The file, absolute; None for a server.
    """

    url: str
    place: str
    path: Path | None

    def moved_to(self, path: Path) -> ForeignDatabase:
        """The same kind of database in another file; messages name the first."""
        url = make_url(self.url).set(database=str(path))
        return ForeignDatabase(url.render_as_string(hide_password=False), self.place, path)

    @contextmanager
    def errors_named(self) -> Iterator[None]:
        """Whatever the database refuses becomes a DatabaseError."""
        try:
            yield
        except SQLAlchemyError as error:
            cause = str(getattr(error, "orig", None) or error).strip().splitlines()
            raise DatabaseError(
                f"{self.place}: {cause[0] if cause else 'unknown error'}"
            ) from error

    def tables(self) -> frozenset[str]:
        """The names of its tables.

        Raises:
            DatabaseError: If it cannot be read.
        """
        with self.errors_named():
            engine = create_engine(self.url)
            try:
                return frozenset(inspect(engine).get_table_names())
            finally:
                engine.dispose()


def foreign_database(url: str, option: str) -> ForeignDatabase:
    """The database that a URL names; it need not exist.

    Args:
        url: A SQLAlchemy URL.
        option: What gave it, for messages.

    Raises:
        UsageError: If it cannot be understood, or names a database without a file.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql":
            parsed = postgresql.normalized(parsed)
        parsed.get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError, ValueError, ImportError):
        # The text itself is not shown: it may hold a password.
        raise UsageError(
            f"{option}: this is not a database URL, or its driver is not installed; expected "
            "something like sqlite:///optuna.db"
        ) from None
    path = None
    if parsed.get_backend_name() == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise UsageError(f"{option}: a database in memory would be gone at once")
        path = Path(parsed.database or "").absolute()
    place = str(path) if path else parsed.render_as_string(hide_password=True)
    return ForeignDatabase(parsed.render_as_string(hide_password=False), place, path)
