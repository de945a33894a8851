"""The study database as the rest of the program sees it: transactions, and what errors mean."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from tunelab.errors import DatabaseError, UsageError
from tunelab.storage import postgresql, sqlite
from tunelab.storage.outages import OutageError, Patience

DEFAULT_URL = "sqlite:///tunelab.db"

T = TypeVar("T")
Work = Callable[[Connection], T]


class Database:
    """An open study database.

    Args:
        url: A SQLAlchemy URL, ``sqlite:///tunelab.db``. The schema must exist
            (:func:`tunelab.storage.schema.open_database` sees to it).

    Attributes:
        patience: How :meth:`fetch` and :meth:`attempt` bear an outage; at first not at all.

    Raises:
        UsageError: If the URL cannot be understood, or names a database without a file.
    """

    def __init__(self, url: str) -> None:
        self.url = _checked(url)
        self.patience = Patience()
        if self.is_sqlite:
            self.engine = self._reader = sqlite.create_sqlite_engine(self.url)
        else:
            self.engine = postgresql.create_postgresql_engine(self.url)
            self._reader = postgresql.reader(self.engine)
        self._writer = self.engine.execution_options(tunelab_write=True)
        self._identity: tuple[int, int] | None = None  # of the file, once it has been opened
        # Connections that are merely dropped are a warning since Python 3.13.
        weakref.finalize(self, self.engine.dispose)

    def __str__(self) -> str:
        return str(self.path) if self.path else postgresql.place(self.url)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of this machine; else it is a PostgreSQL server."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def path(self) -> Path | None:
        """The database file, absolute; None for a server."""
        return Path(self.url.database or "").absolute() if self.is_sqlite else None

    @property
    def home(self) -> Path:
        """The folder for what belongs to this database but not into it: prepared data, logs."""
        return (self.path.parent if self.path else Path.cwd()) / ".tunelab"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and changes nothing."""
        with self._errors_named(), self._connected(self._reader) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is committed whole at the end, or rolled back on an exception."""
        with (
            self._errors_named(),
            self._connected(self._writer) as connection,
            connection.get_transaction() or connection.begin(),
        ):
            self._check_identity()
            yield connection

    def _connected(self, engine: Engine) -> AbstractContextManager[Connection]:
        return engine.connect() if self.is_sqlite else postgresql.connected(engine)

    def fetch(self, work: Work[T]) -> T:
        """What ``work`` returns in a read transaction; tried again through an outage.

        Raises:
            OutageError: If the outage outlasts :attr:`patience`.
        """
        return self._persist(self.read, work)

    def attempt(self, work: Work[T]) -> T:
        """What ``work`` returns in a write transaction; tried again through an outage.

        A connection may be cut after a commit and before its answer: ``work`` must do no harm
        when what it did has been done.

        Raises:
            OutageError: If the outage outlasts :attr:`patience`.
        """
        return self._persist(self.write, work)

    def _persist(
        self, transaction: Callable[[], AbstractContextManager[Connection]], work: Work[T]
    ) -> T:
        outage = self.patience.begin()
        while True:
            try:
                with transaction() as connection:
                    result = work(connection)
            except OutageError as error:
                outage.wait(error)
            else:
                outage.end()
                return result

    def check_place(self) -> None:
        """See that the database is there or can be made, before anything is written anywhere.

        Raises:
            DatabaseError: If its folder is missing, or something else stands in its place.
        """
        if self.path is None:
            with self.read() as connection:
                connection.exec_driver_sql("SELECT 1")
            return
        if not self.path.parent.is_dir():
            raise DatabaseError(
                f"cannot open {self.path}: the folder {self.path.parent} does not exist",
                hint="create the folder, or set TUNELAB_DATABASE_URL",
            )
        if self.path.exists():
            with self.read() as connection:
                connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")

    def _check_identity(self) -> None:
        """An open SQLite file can be deleted: what is written to it then is lost at the end."""
        if self.path is None:
            return
        try:
            status = self.path.stat()
            identity = (status.st_dev, status.st_ino)
        except OSError:
            identity = (0, 0)
        if self._identity is None:
            self._identity = identity
        if identity != self._identity:
            raise DatabaseError(
                f"{self.path} was deleted or replaced while it was in use",
                hint="what was stored since it was opened went with it",
            )

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._named(error) from error
        except json.JSONDecodeError as error:
            raise DatabaseError(
                f"{self} is damaged: what should be a JSON document is none ({error.msg})",
                hint="restore a backup of it: tunelab db restore",
            ) from error

    def _named(self, error: DBAPIError) -> DatabaseError:
        """What a driver's error means to the person who runs the study."""
        if self.path is not None:
            return sqlite.explain(str(error.orig), self.path, sqlite.free_bytes(self.path))
        named = postgresql.explain(error, self.url)
        if postgresql.is_passing(error):
            return OutageError(named.message, hint=named.hint)
        return named


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
        fault, hint = _fault(parsed)
    except (ArgumentError, NoSuchModuleError, ValueError, ImportError):
        # The text itself is not shown: it may hold a password.
        fault, hint = "this is not a database URL", None
    if fault:
        expected = f"expected something like {DEFAULT_URL}"
        raise UsageError(f"TUNELAB_DATABASE_URL: {fault}; {expected}", hint=hint)
    is_sqlite = parsed.get_backend_name() == "sqlite"
    return parsed if is_sqlite else postgresql.normalized(parsed)


def _fault(url: URL) -> tuple[str, str | None]:
    """What is wrong with a URL, or an empty text; and what to do."""
    backend = url.get_backend_name()
    if backend == "sqlite":
        return sqlite.fault(url)
    if backend == "postgresql":
        return postgresql.fault(url)
    return f"{backend} is not available", "SQLite and PostgreSQL are"
