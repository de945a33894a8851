"""How the database file is opened, locked and written, and what its errors say: SQLite."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import tempfile
import threading
import time
from unittest.mock import Mock

import numpy as np
import pytest
from sqlalchemy import event, select

from tests.storage.conftest import STUDY, completed
from tunelab.errors import DatabaseError, UsageError
from tunelab.storage import sqlite
from tunelab.storage.engine import Database
from tunelab.storage.location import database_url
from tunelab.storage.recorder import Recorder
from tunelab.storage.schema import open_database
from tunelab.storage.studies import all_studies, create_study
from tunelab.storage.tables import studies


@pytest.fixture
def database(sqlite_url):
    """In the place of both kinds."""
    database = open_database(sqlite_url)
    yield database
    database.close()


def names(database):
    with database.read() as connection:
        return [study.name for study in all_studies(connection)]


def create(database, name):
    with database.write() as connection:
        create_study(connection, name=name, **STUDY)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("foo", "is not a database URL"),
        ("foo://x", "is not a database URL"),
        ("", "is not a database URL"),
        ("sqlite://host:port/a.db", "is not a database URL"),
        ("sqlite://", "must be a file"),
        ("sqlite:///", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
        ("postgresql+asyncpg://user:s3cret@host/studies", "is not available"),
        ("postgresql://user:s3cret@host", "the name of the database is missing"),
        ("postgresql://user:s3cret@#/x@host/studies", "is not a database URL"),
        ("postgresql://user:s3cret@host:abc/studies", "is not a database URL"),
        ("mysql://user:s3cret@host/studies", "mysql is not available"),
        ("foo://user:s3cret@host/studies", "is not a database URL"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_showing_it(url, says):
    with pytest.raises(UsageError, match=says) as refused:
        Database(url)
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_url_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("TUNELAB_DATABASE_URL", raising=False)
    assert database_url() == "sqlite:///tunelab.db"
    monkeypatch.setenv("TUNELAB_DATABASE_URL", "sqlite:///other.db")
    assert database_url() == "sqlite:///other.db"


def test_a_missing_folder_is_named_and_not_made(tmp_path):
    with pytest.raises(DatabaseError, match=r"cannot open .*missing/a\.db: the folder is missing"):
        open_database(f"sqlite:///{tmp_path / 'missing' / 'a.db'}")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_place_of_the_file_cannot_be_opened(tmp_path):
    (tmp_path / "a.db").mkdir()
    with pytest.raises(DatabaseError, match=r"cannot open .*a\.db"):
        open_database(f"sqlite:///{tmp_path / 'a.db'}")


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path):
    path = tmp_path / "notes.db"
    text = b"these are notes, not a database\n" * 100
    path.write_bytes(text)
    with pytest.raises(DatabaseError, match=r"notes\.db is not a study database"):
        open_database(f"sqlite:///{path}")
    assert path.read_bytes() == text


def test_a_database_that_may_only_be_read_is_read_and_says_so_when_written(bench):
    bench.database.close()
    only_read = Database(bench.database.url.render_as_string())

    @event.listens_for(only_read.engine, "connect")
    def forbid(connection, _record):
        connection.execute("PRAGMA query_only=ON")

    assert names(only_read) == ["digits"]
    with pytest.raises(DatabaseError, match="it is read-only"):
        create(only_read, "other")
    only_read.close()


def test_a_disk_that_becomes_read_only_is_told_from_one_that_fails(tmp_path, monkeypatch):
    """To a file that is open already SQLite says `disk I/O error` in both cases."""
    refusal = OSError(errno.EROFS, os.strerror(errno.EROFS))
    database = tmp_path / "tunelab.db"
    says = "disk I/O error"
    assert sqlite.explain(says, database, 10**9).message == f"{database}: disk I/O error"
    monkeypatch.setattr(tempfile, "TemporaryFile", Mock(side_effect=refusal))
    told = sqlite.explain(says, database, 10**6)
    assert told.message == f"cannot write {database}: it is read-only"


def test_a_database_that_is_deleted_or_replaced_while_in_use_ends_the_writer(bench):
    with bench.database.write() as connection:
        create_study(connection, name="before", **STUDY)
    for name in ("tunelab.db", "tunelab.db-wal", "tunelab.db-shm"):
        bench.database.path.with_name(name).unlink(missing_ok=True)
    with pytest.raises(DatabaseError, match="was deleted or replaced while it was in use"):
        create(bench.database, "lost")
    assert not bench.database.path.exists()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///file:x?mode=memory&uri=true",
        "sqlite:///x.db?timeout=abc",
        "sqlite://user:s3cret@host/x.db",
        "sqlite+aiosqlite:///x.db",
        "sqlite+pysqlcipher:///x.db",
    ],
)
def test_an_sqlite_url_with_more_than_a_path_is_refused_without_its_password(url, tmp_path):
    with pytest.raises(UsageError) as caught:
        Database(url)
    assert "s3cret" not in str(caught.value)


def test_a_full_disk_is_named_and_loses_nothing_that_was_stored(bench):
    bench.database.close()
    full = Database(bench.database.url.render_as_string())

    @event.listens_for(full.engine, "connect")
    def fill(connection, _record):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 1}")

    def create_many():
        with full.write() as connection:
            for number in range(1000):
                create_study(connection, name=f"study-{number}", **STUDY)

    with pytest.raises(DatabaseError, match=r"tunelab\.db: a quota or a limit .* \(\d.* bytes"):
        create_many()
    full.close()
    assert names(bench.database) == ["digits"]
    create(bench.database, "room again")
    with bench.database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def test_the_files_are_for_their_owner_only_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        database = open_database(f"sqlite:///{tmp_path / 'a.db'}")
        create(database, "digits")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"a.db": 0o600, "a.db-wal": 0o600, "a.db-shm": 0o600}
    database.close()


def test_connections_write_ahead_and_synchronously_and_check_references(database):
    with database.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    # synchronous 2 is FULL; the timeout is in milliseconds.
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 60_000,
    }


def test_a_write_lock_held_elsewhere_is_waited_for_and_readers_are_not_kept(bench):
    other = sqlite3.connect(bench.database.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE studies SET n_trials = 11")
    released_at = []

    def release():
        released_at.append(time.monotonic())
        other.execute("COMMIT")

    timer = threading.Timer(0.4, release)
    timer.start()
    assert names(bench.database) == ["digits"]
    assert released_at == []
    create(bench.database, "other")
    assert time.monotonic() >= released_at[0]
    timer.join()
    other.close()
    assert set(names(bench.database)) == {"digits", "other"}


def test_a_write_lock_that_is_never_released_is_reported(database, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_SECONDS", 0.1)
    impatient = Database(database.url.render_as_string())
    locked = pytest.raises(DatabaseError, match=r"tunelab\.db has been locked by another process")
    with database.write(), locked:
        create(impatient, "digits")
    create(impatient, "digits")
    impatient.close()


def test_an_exception_rolls_the_whole_transaction_back(bench):
    before = bench.dump()

    def fail():
        with bench.database.write() as connection:
            create_study(connection, name="other", **STUDY)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert bench.dump() == before
    create(bench.database, "other")


def test_a_writer_that_reads_first_is_never_overtaken(bench):
    """Each adds one to what it read: with a deferred BEGIN some would fail or be lost."""

    def count(url):
        own = Database(url)
        for _ in range(20):
            with own.write() as connection:
                n = connection.exec_driver_sql("SELECT n_trials FROM studies").scalar()
                connection.exec_driver_sql(f"UPDATE studies SET n_trials = {n + 1}")
        own.close()

    url = bench.database.url.render_as_string()
    threads = [threading.Thread(target=count, args=(url,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bench.rows(select(studies.c.n_trials)) == [(10 + 80,)]


def test_a_reader_sees_one_state_of_the_database(bench):
    with bench.database.read() as connection:
        assert len(all_studies(connection)) == 1
        create(bench.database, "other")
        assert len(all_studies(connection)) == 1
    assert len(names(bench.database)) == 2


def test_a_file_on_a_disk_that_became_read_only_is_still_read(bench, monkeypatch):
    bench.database.close()
    monkeypatch.setattr(sqlite, "_cannot_change", lambda _path: True)
    still = Database(bench.database.url.render_as_string())
    assert names(still) == ["digits"]
    with pytest.raises(DatabaseError, match=r"cannot write .*: it is read-only"):
        create(still, "another")
    still.close()


def test_a_document_that_is_none_is_damage_and_no_mistake_of_the_programs(bench):
    with bench.database.write() as connection:
        connection.exec_driver_sql("UPDATE studies SET spec = '{bad'")
    with pytest.raises(DatabaseError, match="is damaged: what should be a JSON document is none"):
        names(bench.database)


def test_whether_weights_are_kept_is_not_asked_of_every_trial_of_the_study(bench):
    """Else a trial costs the more the longer the study is."""
    asked = []
    event.listen(
        bench.database.engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, values, *_: asked.append((statement, values)),
    )
    bench.insert(1)
    weights = {"w": np.zeros(3)}
    Recorder(bench.database, bench.claim(), maximize=False).finish(
        completed(1, 0.5, weights=weights), None
    )
    question, *_ = [(text, values) for text, values in asked if "JOIN checkpoints" in text]
    with bench.database.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {question[0]}", question[1]).all()
    of_trials = [step[-1] for step in plan if " trials" in step[-1]]
    assert of_trials == ["SEARCH trials USING INTEGER PRIMARY KEY (rowid=?)"]
