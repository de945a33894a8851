"""A study database in an SQLite file, shared by the processes of one machine.

The file is in WAL mode with synchronous=FULL, so that readers never wait and a commit survives a
power cut. Writers take the write lock when they begin (BEGIN IMMEDIATE): a transaction that reads
first and writes later cannot fail for having been overtaken.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from tunelab.errors import DatabaseError

DRIVERS = ("sqlite", "sqlite+pysqlite")
BUSY_TIMEOUT_SECONDS = 60.0
_FULL_BYTES = 10_000_000  # an I/O error with less than this left is a full disk


def fault(url: URL) -> tuple[str, str | None]:
    """What is wrong with an SQLite URL, or an empty text; and what to do."""
    if url.drivername not in DRIVERS:
        return f"the driver {url.drivername} is not available", None
    if url.host or url.username or url.query:
        hint = "four slashes begin an absolute path: sqlite:////data/tunelab.db"
        return "an SQLite URL has three slashes, a path and nothing else", hint
    if "\0" in (url.database or ""):
        return "a path has no null characters", None
    if url.database in (None, "", ":memory:"):
        return "a study database must be a file, because several processes share it", None
    return "", None


def create_sqlite_engine(url: URL) -> Engine:
    """The engine of one file."""
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})

    @event.listens_for(engine, "do_connect")
    def open_file(_dialect: Any, _record: Any, _args: Any, _kwargs: Any) -> Any:
        path = Path(url.database or "")
        if _cannot_change(path):
            uri = f"{path.absolute().as_uri()}?immutable=1"
            return sqlite3.connect(uri, uri=True, check_same_thread=False)
        if path.parent.is_dir() and not path.exists():
            # 0600 from the start: a study tells about data. O_CREAT leaves an existing file alone.
            try:
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            except OSError as error:
                raise DatabaseError(f"cannot create {path}: {error.strerror}") from error
        return None

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # SQLAlchemy's begin event decides, not the driver
        if _cannot_change(Path(url.database or "")):
            return
        _use_wal(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("tunelab_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def explain(text: str, path: Path, free: int) -> DatabaseError:
    """What SQLite's message means to the person who runs the study."""
    fails = "disk I/O error" in text
    if "readonly" in text or "read-only" in text or (fails and _is_read_only(path.parent)):
        return DatabaseError(
            f"cannot write {_unwritable(path)}: it is read-only",
            hint="allow writing to it, or set TUNELAB_DATABASE_URL",
        )
    if "disk is full" in text and free >= _FULL_BYTES:
        return DatabaseError(
            f"cannot write {path}: a quota or a limit on the size of files is reached "
            f"({free:,} bytes of the disk are free)",
            hint="raise it and run the same command again: nothing that was stored is lost",
        )
    if "disk is full" in text or (fails and free < _FULL_BYTES):
        return DatabaseError(
            f"cannot write {path}: the disk is full ({free:,} bytes free)",
            hint="make room and run the same command again: nothing that was stored is lost",
        )
    if "locked" in text:
        return DatabaseError(
            f"{path} has been locked by another process for {BUSY_TIMEOUT_SECONDS:.0f} s",
            hint="end the program that holds it, then run the same command again",
        )
    if "unable to open" in text and path.is_dir():
        return DatabaseError(
            f"cannot open {path}: it is a folder",
            hint="TUNELAB_DATABASE_URL must name a file: sqlite:///tunelab.db",
        )
    if "unable to open" in text:
        return DatabaseError(
            f"cannot open {path}: the folder is missing or may not be written",
            hint="create the folder, or set TUNELAB_DATABASE_URL",
        )
    if "not a database" in text or "malformed" in text:
        return DatabaseError(
            f"{path} is not a study database, or it is damaged: {text}",
            hint="TUNELAB_DATABASE_URL names another",
        )
    return DatabaseError(f"{path}: {text}")


def free_bytes(path: Path) -> int:
    """What is free of the disk that holds ``path``; 0 if that cannot be read."""
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return 0


def _cannot_change(path: Path) -> bool:
    """Whether the file is whole and lies on a disk that has become read-only.

    In WAL mode SQLite makes files beside it even to read it, unless it is told that nobody writes.
    """
    wal = path.with_name(path.name + "-wal")
    if not hasattr(os, "statvfs") or not path.is_file() or wal.exists():
        return False
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _unwritable(path: Path) -> Path:
    """The file that may not be written: the database, or one of the two that SQLite puts beside it.

    Those keep the mode that the database had when they were made.
    """
    beside = [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]
    return next((file for file in beside if file.exists() and not os.access(file, os.W_OK)), path)


def _is_read_only(folder: Path) -> bool:
    """Whether the folder's disk has become read-only, as it does after an error.

    The database itself is not opened for this: closing it would end SQLite's locks on it.
    """
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return error.errno == errno.EROFS
    return False


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
