"""What a study database on a server does when the server does not answer, or says no."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url, text

from tests.postgresql import Server, free_port
from tests.storage.conftest import STUDY
from tunelab.errors import DatabaseError
from tunelab.storage import postgresql
from tunelab.storage.engine import Database
from tunelab.storage.outages import OutageError, Patience
from tunelab.storage.schema import open_database
from tunelab.storage.studies import all_studies, create_study

PASSWORD = "s3cret"


@pytest.fixture
def database(postgresql_url):
    """In the place of both kinds."""
    database = open_database(postgresql_url)
    yield database
    database.close()


@pytest.fixture
def server():
    """A server of the test's own, which it may stop."""
    folder = Path(tempfile.mkdtemp(prefix="tunelab-postgresql-"))
    server = Server(folder)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def elsewhere(server):
    """A study database on that server."""
    with server.connect() as connection:
        connection.execute("CREATE DATABASE studies")
    database = open_database(server.url("studies"))
    yield database
    database.close()


def create(connection, name="digits"):
    return create_study(connection, name=name, **STUDY)


def names(database):
    return [study.name for study in database.fetch(all_studies)]


def changed(url, **parts):
    return make_url(url).set(password=PASSWORD, **parts).render_as_string(hide_password=False)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"database": "nowhere"}, "cannot use the database nowhere on .*: there is no such"),
        ({"username": "nobody-here"}, "cannot use .*: there is no user nobody-here"),
        (
            {"host": "no.such.host.invalid"},
            "cannot reach .* on no.such.host.invalid.*: no such host",
        ),
        ({"port": free_port()}, "cannot reach the database .* on 127.0.0.1:.*: connection refused"),
    ],
)
def test_what_a_server_refuses_is_said_with_host_and_database_and_no_password(
    postgresql_url, parts, says
):
    with pytest.raises(DatabaseError, match=says) as caught:
        open_database(changed(postgresql_url, **parts))
    assert PASSWORD not in str(caught.value) + str(caught.value.hint)
    assert "\n" not in str(caught.value)


def test_a_session_that_was_cut_while_idle_is_noticed_before_it_is_used(database):
    with database.write() as connection:
        create(connection)
    with database.read() as connection:
        (backend,) = connection.execute(text("SELECT pg_backend_pid()")).one()
    cut(database, backend)
    assert names(database) == ["digits"]


@pytest.mark.parametrize("kind", ["read", "write"])
def test_the_look_whether_a_session_lives_is_part_of_its_transaction(database, kind):
    with getattr(database, kind)() as connection:
        status = connection.connection.dbapi_connection.info.transaction_status
        assert status is psycopg.pq.TransactionStatus.INTRANS
        (began, now) = connection.execute(text("SELECT now(), statement_timestamp()")).one()
        assert began < now


def cut(database, backend):
    other = Database(database.url.render_as_string(hide_password=False))
    with other.write() as connection:
        connection.execute(text(f"SELECT pg_terminate_backend({backend})"))
    other.close()


def test_a_session_that_is_cut_in_the_middle_of_the_work_is_done_again(database):
    database.patience = Patience(10)
    tries = []

    def work(connection):
        create(connection)
        if not tries:
            (backend,) = connection.execute(text("SELECT pg_backend_pid()")).one()
            cut(database, backend)
        tries.append(1)
        connection.execute(text("SELECT 1"))

    database.attempt(work)
    assert len(tries) == 2
    assert names(database) == ["digits"]


def test_a_client_that_freezes_with_rows_locked_keeps_nobody_from_them(database, monkeypatch):
    with database.write() as connection:
        create(connection)
    monkeypatch.setattr(postgresql, "_SESSION", "SET idle_in_transaction_session_timeout = '1s'")
    frozen = Database(database.url.render_as_string(hide_password=False))
    frozen.patience = Patience(10)
    tries = []

    def lock_and_freeze(connection):
        connection.execute(text("UPDATE studies SET n_trials = n_trials + 1"))
        tries.append(1)
        if len(tries) == 1:
            other = threading.Thread(target=database.attempt, args=(increase,))
            other.start()
            other.join(20)
            assert not other.is_alive()
        connection.execute(text("SELECT 1"))

    def increase(connection):
        connection.execute(text("UPDATE studies SET n_trials = n_trials + 1"))

    frozen.attempt(lock_and_freeze)
    frozen.close()
    assert len(tries) == 2
    assert {study.n_trials for study in database.fetch(all_studies)} == {STUDY["n_trials"] + 2}


def test_a_host_whose_name_is_unknown_for_a_while_is_waited_for(postgresql_url):
    gone = Database(changed(postgresql_url, host="no.such.host.invalid"))
    gone.patience = Patience(1.2)
    with pytest.raises(OutageError, match=r"no such host; waited"):
        names(gone)


def test_of_two_transactions_that_wait_for_each_other_the_loser_is_done_again(database):
    database.patience = Patience(10)
    for name in "ab":
        with database.write() as connection:
            create(connection, name)
    one_each = threading.Barrier(2)
    tries = []

    def raise_both(first, second):
        def work(connection):
            tries.append(first)
            increase(connection, first)
            if tries.count(first) == 1:
                one_each.wait(10)
            increase(connection, second)

        database.attempt(work)

    def increase(connection, name):
        statement = text("UPDATE studies SET n_trials = n_trials + 1 WHERE name = :name")
        connection.execute(statement, {"name": name})

    threads = [threading.Thread(target=raise_both, args=pair) for pair in ("ab", "ba")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tries) == 3
    assert {study.n_trials for study in database.fetch(all_studies)} == {12}


def test_a_server_that_crashes_is_waited_for_and_nothing_is_lost(server, elsewhere):
    said = []
    elsewhere.patience = Patience(20, notice=said.append)
    with elsewhere.write() as connection:
        create(connection)
    server.stop(signal.SIGQUIT)
    timer = threading.Timer(2.0, server.start)
    timer.start()
    elsewhere.attempt(lambda connection: create(connection, "after"))
    timer.join()
    assert set(names(elsewhere)) == {"digits", "after"}
    begun, over = said
    assert begun.startswith(f"cannot reach the database studies on 127.0.0.1:{server.port}: ")
    assert begun.endswith("; waiting until it is back")
    assert over == "the database is back"


def test_patience_ends_in_one_sentence_or_when_the_process_has_to_leave(server, elsewhere):
    server.stop()
    elsewhere.patience = Patience(1.2)
    with pytest.raises(OutageError, match=r"studies on 127\.0\.0\.1:.* refused; waited [12] s"):
        names(elsewhere)
    leave = threading.Event()
    elsewhere.patience = Patience(60, give_up=leave.is_set)
    threading.Timer(0.3, leave.set).start()
    began = time.monotonic()
    with pytest.raises(OutageError):
        names(elsewhere)
    assert time.monotonic() - began < 3
    server.start()
    assert names(elsewhere) == []


def test_a_server_without_a_free_connection_is_waited_for(server, elsewhere):
    elsewhere.close()
    held = sessions_until_full(server)
    try:
        with pytest.raises(OutageError, match="no connection left"):
            names(elsewhere)
        timer = threading.Timer(0.5, lambda: held.pop().close())
        timer.start()
        # A process that starts just then waits as well.
        late = open_database(server.url("studies"), patience=Patience(20))
        assert names(late) == []
        late.close()
        timer.join()
    finally:
        for session in held:
            session.close()


def sessions_until_full(server):
    held = []
    while True:
        try:
            held.append(server.connect("studies"))
        except psycopg.OperationalError:
            return held


def test_readers_change_nothing_and_writers_do_not_keep_them(database):
    with database.write() as connection:
        create(connection)
        assert names(database) == []
    with pytest.raises(DatabaseError, match="read-only"), database.read() as connection:
        create(connection)
