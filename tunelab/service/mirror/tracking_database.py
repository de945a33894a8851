"""A missing SQLite tracking database appears whole, or not at all.

MLflow migrates a new database in dozens of transactions, and one that was killed in between can
never be opened again. So the database is made under a temporary name in the same folder and put
into place when it is complete. Two processes may do so at once: the first to put its file into
place wins, the other throws its own away.

``python -m tunelab.service.mirror.tracking_database URI`` does it as a process of its own.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import time
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, unquote

from tunelab.errors import TrackingError, TunelabError
from tunelab.service.mirror.environment import prepare, sqlite_path
from tunelab.storage.owners import Owner

_MARK = ".creating-"
_SIDE_FILES = ("-journal", "-wal", "-shm")
_STRANGER_SECONDS = 3600.0  # leftovers of other hosts, whose processes cannot be asked for
_LOCK_SECONDS = 10.0


def ensure_database(uri: str) -> None:
    """Create the SQLite database that ``uri`` names, if it is missing; other URIs are left alone.

    Raises:
        TrackingError: If it cannot be created.
    """
    path = sqlite_path(uri)
    if path is None:
        return
    if path.exists() and not path.is_file():
        raise TrackingError(f"{path} is not a file, and so no tracking database")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        if path.exists():
            return
        temporary = path.with_name(_temporary_name(path))
        try:
            _migrate(temporary)
            _put_into_place(temporary, path)
        finally:
            _remove(temporary)
    except (OSError, sqlite3.Error) as error:
        cause = getattr(error, "strerror", None) or error
        raise TrackingError(
            f"cannot create {path}: {cause}",
            hint="run from a folder that may be written, or set MLFLOW_TRACKING_URI",
        ) from error


def _migrate(temporary: Path) -> None:
    """Make an empty file a tracking database, by MLflow's own code, and close it."""
    prepare(os.environ)
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    store = SqlAlchemyStore(  # type: ignore[no-untyped-call]
        f"sqlite:///{temporary}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    )
    store.engine.dispose()
    # Nothing may be left in side files: they do not move with the database.
    with contextlib.closing(sqlite3.connect(temporary)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    descriptor = os.open(temporary, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put_into_place(temporary: Path, path: Path) -> None:
    """Give the database its name, unless another process has done so meanwhile."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        _rename_under_lock(temporary, path)


def _rename_under_lock(temporary: Path, path: Path) -> None:
    # A rename overwrites: the lock makes "is it there?" and the rename one step.
    lock = path.with_name(path.name + ".lock")
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            if path.exists():
                return
            if time.monotonic() > deadline:  # its process died within a few microseconds' work
                lock.unlink(missing_ok=True)
            time.sleep(0.02)
    try:
        if not path.exists():
            temporary.rename(path)
    finally:
        lock.unlink(missing_ok=True)


def _temporary_name(path: Path) -> str:
    owner = Owner.this_process()
    return f".{path.name}{_MARK}{_host_mark(owner)}-{owner.pid}-{quote(owner.started, safe='')}"


def _host_mark(owner: Owner) -> str:
    return sha256(owner.host.encode()).hexdigest()[:8]


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files of creations whose process is gone."""
    prefix = f".{path.name}{_MARK}"
    for item in path.parent.iterdir():
        temporary = item.name.startswith(prefix) and not item.name.endswith(_SIDE_FILES)
        if temporary and _is_abandoned(item, item.name.removeprefix(prefix)):
            _remove(item)


def _is_abandoned(item: Path, mark: str) -> bool:
    here = Owner.this_process()
    host, _, process = mark.partition("-")
    pid, _, started = process.partition("-")
    if host == _host_mark(here) and pid.isdecimal():
        return Owner(here.host, here.boot, int(pid), unquote(started)).is_dead
    try:
        return time.time() - item.stat().st_mtime > _STRANGER_SECONDS
    except FileNotFoundError:
        return False


def _remove(temporary: Path) -> None:
    # The side files first: as long as the main file is there, all of them will be found again.
    for suffix in (*_SIDE_FILES, ""):
        temporary.with_name(temporary.name + suffix).unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        ensure_database(sys.argv[1])
    except TunelabError as error:
        sys.exit(f"error: {error}")
