"""How the study database is opened: settings, transactions and what its errors mean.

SQLite runs in WAL mode with synchronous=FULL, so that readers never wait and a commit survives
a power cut. Writers take the write lock when they begin (BEGIN IMMEDIATE): a transaction that
reads first and writes later cannot fail for having been overtaken.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from tunelab.errors import DatabaseError, UsageError

DEFAULT_URL = "sqlite:///tunelab.db"
BUSY_TIMEOUT_SECONDS = 60.0
_FULL_BYTES = 10_000_000  # an I/O error with less than this left is a full disk


class Database:
    """An open study database.

    Args:
        url: A SQLAlchemy URL, ``sqlite:///tunelab.db``. The schema must exist
            (:func:`tunelab.storage.schema.open_database` sees to it).

    Raises:
        UsageError: If the URL cannot be understood, or names a database without a file.
    """

    def __init__(self, url: str) -> None:
        self.url = _checked(url)
        self.engine = _engine(self.url)
        self._identity: tuple[int, int] | None = None  # of the file, once it has been opened
        # Connections that are merely dropped are a warning since Python 3.13.
        weakref.finalize(self, self.engine.dispose)
        self._writer = self.engine.execution_options(tunelab_write=True)

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)

    @property
    def path(self) -> Path | None:
        """The database file, absolute; None for a server."""
        return Path(self.url.database or "").absolute() if _is_sqlite(self.url) else None

    @property
    def home(self) -> Path:
        """The folder for what belongs to this database but not into it: prepared data, logs."""
        return (self.path.parent if self.path else Path.cwd()) / ".tunelab"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and changes nothing."""
        with self._errors_named(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is committed whole at the end, or rolled back on an exception."""
        with self._errors_named(), self._writer.begin() as connection:
            self._check_identity()
            yield connection

    def check_place(self) -> None:
        """See that the database is there or can be made, before anything is written anywhere.

        Raises:
            DatabaseError: If its folder is missing, or something else stands in its place.
        """
        if self.path is None:
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
            raise database_error(error, self) from error


def database_error(error: DBAPIError, database: Database) -> DatabaseError:
    """What a driver's error means to the person who runs the study."""
    text = str(error.orig)
    place = database.path or database
    free = _free_bytes(database)
    if "disk is full" in text or ("disk I/O error" in text and free < _FULL_BYTES):
        return DatabaseError(
            f"cannot write {place}: the disk is full ({free:,} bytes free)",
            hint="make room and run the same command again: nothing that was stored is lost",
        )
    if "readonly" in text or "read-only" in text:
        return DatabaseError(
            f"cannot write {place}: it is read-only",
            hint="allow writing to it, or set TUNELAB_DATABASE_URL",
        )
    if "locked" in text:
        return DatabaseError(
            f"{place} has been locked by another process for {BUSY_TIMEOUT_SECONDS:.0f} s",
            hint="end the program that holds it, then run the same command again",
        )
    if "unable to open" in text and database.path is not None and database.path.is_dir():
        return DatabaseError(
            f"cannot open {place}: it is a folder",
            hint="TUNELAB_DATABASE_URL must name a file: sqlite:///tunelab.db",
        )
    if "unable to open" in text:
        return DatabaseError(
            f"cannot open {place}: the folder is missing or may not be written",
            hint="create the folder, or set TUNELAB_DATABASE_URL",
        )
    if "not a database" in text or "malformed" in text:
        return DatabaseError(
            f"{place} is not a study database, or it is damaged: {text}",
            hint="TUNELAB_DATABASE_URL names another",
        )
    return DatabaseError(f"{place}: {text}")


def _free_bytes(database: Database) -> int:
    try:
        return shutil.disk_usage(database.path.parent).free if database.path else 0
    except OSError:
        return 0


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
        fault, hint = _fault(parsed)
    except (ArgumentError, NoSuchModuleError, ValueError):
        # The text itself is not shown: it may hold a password.
        fault, hint = "this is not a database URL", None
    if fault:
        expected = f"expected something like {DEFAULT_URL}"
        raise UsageError(f"TUNELAB_DATABASE_URL: {fault}; {expected}", hint=hint)
    return parsed


def _fault(url: URL) -> tuple[str, str | None]:
    """What is wrong with a URL, or an empty text; and what to do."""
    if not _is_sqlite(url):
        return f"{url.get_backend_name()} is not available in this version", None
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        return f"the driver {url.drivername} is not available", None
    if url.host or url.username or url.query:
        hint = "four slashes begin an absolute path: sqlite:////data/tunelab.db"
        return "an SQLite URL has three slashes, a path and nothing else", hint
    if "\0" in (url.database or ""):
        return "a path has no null characters", None
    if url.database in (None, "", ":memory:"):
        return "a study database must be a file, because several processes share it", None
    return "", None


def _engine(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})

    @event.listens_for(engine, "do_connect")
    def create_private(_dialect: Any, _record: Any, _args: Any, _kwargs: Any) -> None:
        path = Path(url.database or "")
        if path.parent.is_dir() and not path.exists():
            # 0600 from the start: a study tells about data. O_CREAT leaves an existing file alone.
            try:
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            except OSError as error:
                raise DatabaseError(f"cannot create {path}: {error.strerror}") from error

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # SQLAlchemy's begin event decides, not the driver
        _use_wal(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("tunelab_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL mode; the switch does not honour the busy timeout by itself."""
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
                return
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            if mode != "wal":
                raise DatabaseError(
                    "the study database cannot be shared by several processes here: its file "
                    f"system knows no write-ahead log (journal mode {mode})",
                    hint="put it on a local disk",
                )
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
