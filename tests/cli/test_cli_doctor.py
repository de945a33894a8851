"""`tunelab doctor`: one line for each thing, and what --fix repairs."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tunelab.service.doctor import machine, mlflow
from tunelab.storage.claims import claim_next
from tunelab.storage.leases import acquire_lease, coordinator_lease
from tunelab.storage.owners import Owner
from tunelab.storage.schema import open_database
from tunelab.storage.workers import register_worker

GONE = Owner.this_process().__class__(
    Owner.this_process().host, Owner.this_process().boot, 2**22 + 1, "1"
)  # no process has a number that great


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("tmp")))


def wrong(ended):
    return [line for line in ended.out.splitlines() if line.startswith("wrong")]


@contextmanager
def server(status: int, body: bytes, seconds: float = 0.0) -> Iterator[str]:
    """A web server that answers everything in one way."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(seconds)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Say nothing."""

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    try:
        yield f"http://me:s3cret@127.0.0.1:{made.server_port}"
    finally:
        made.shutdown()
        made.server_close()


def test_in_an_empty_folder_nothing_is_wrong_and_nothing_is_made(call, home):
    ended = call("doctor")
    assert (ended.code, ended.err, wrong(ended)) == (0, "", [])
    assert "none yet; the first study makes" in ended.out
    assert list(home.iterdir()) == []


def test_traces_of_dead_processes_are_named_and_repaired(call, maker):
    study = maker.study()
    with maker.database.write() as connection:
        claim_next(connection, study.id, GONE)
        acquire_lease(connection, coordinator_lease(study.id), GONE)
        register_worker(connection, GONE, study.id)
    ended = call("doctor")
    assert ended.code == 1
    assert [line.split()[1] for line in wrong(ended)] == ["trials", "leases", "workers"]
    assert "digits #1: trial 0 left running by workers that are gone" in ended.out
    assert "coordinator:1" in ended.out
    assert ended.out == call("doctor").out  # it only looks
    fixed = call("doctor", "--fix")
    assert fixed.code == 0
    assert fixed.out.count("\nfixed") == 3
    with maker.database.read() as connection:
        states = connection.exec_driver_sql("SELECT state, lost_leases FROM trials").all()
        assert set(states) == {("waiting", 0)}
        assert connection.exec_driver_sql("SELECT count(*) FROM workers").scalar() == 0
    assert call("doctor").code == 0


def test_what_living_processes_hold_is_left_alone(call, maker):
    study = maker.study()
    with maker.database.write() as connection:
        acquire_lease(connection, coordinator_lease(study.id), Owner.this_process())
        claim_next(connection, study.id, Owner.this_process())
        register_worker(connection, Owner.this_process(), study.id)
    assert call("doctor", "--fix").code == 0
    with maker.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM workers").scalar() == 1


def test_json_has_every_finding(call, maker):
    maker.study()
    Path("tunelab.db").chmod(0o644)
    ended = call("doctor", "--json")
    document = json.loads(ended.out)
    assert (ended.code, document["healthy"]) == (1, False)
    (bad,) = [finding for finding in document["findings"] if finding["state"] == "wrong"]
    assert bad["area"] == "database"
    assert "(mode 0644)" in bad["message"]
    assert "chmod 600" in bad["hint"]
    assert call("doctor", "--fix").code == 0
    assert Path("tunelab.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"no database at all, but words " * 50, "is not a study database"), (None, "it is a folder")],
)
def test_something_else_in_the_databases_place(call, home, content, said):
    if content is None:
        (home / "tunelab.db").mkdir(mode=0o700)
    else:
        (home / "tunelab.db").write_bytes(content)
    ended = call("doctor")
    assert ended.code == 1
    assert any(said in line for line in wrong(ended))


def test_a_schema_of_another_version_is_named(call, maker):
    with maker.database.write() as connection:
        connection.exec_driver_sql("UPDATE tunelab_version SET version_num = '9999'")
    (line,) = wrong(call("doctor"))
    assert "written by a newer tunelab (schema 9999" in line
    assert "install the newer tunelab" in line


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, b"Invalid Host header", "refuses requests for the host name 127.0.0.1 (HTTP 403)"),
        (401, b"", "asks for a login (HTTP 401)"),
        (500, b"", "answers with HTTP 500"),
        (404, b"", "is no MLflow server (HTTP 404)"),
        (200, b"<html>", "is no MLflow server"),
    ],
)
def test_a_server_that_refuses_is_told_with_its_status(call, home, monkeypatch, status, body, said):
    with server(status, body) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        ended = call("doctor")
    (line,) = wrong(ended)
    assert said in line
    assert "s3cret" not in ended.out + ended.err


def test_a_server_that_answers_is_well(call, home, monkeypatch):
    with server(200, b'{"experiments": []}') as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        ended = call("doctor")
    assert ended.code == 0
    assert "answers" in ended.out


def test_a_server_that_is_away_or_silent_is_wrong_after_seconds(call, home, monkeypatch):
    monkeypatch.setattr(mlflow, "_ANSWER_SECONDS", 0.3)
    with server(200, b"{}", seconds=1.0) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        (line,) = wrong(call("doctor"))
        assert "no answer in 0 s" in line
    (line,) = wrong(call("doctor"))
    assert "cannot be reached: Connection refused" in line


def test_another_program_on_the_port_is_wrong(call, home, monkeypatch):
    listener = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        client, _ = listener.accept()
        client.recv(1000)
        client.sendall(b"220 mail.example ready\r\n")
        client.close()

    thread = threading.Thread(target=greet)
    thread.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{listener.getsockname()[1]}")
    (line,) = wrong(call("doctor"))
    assert "answers, but not in HTTP" in line
    thread.join()
    listener.close()


def test_a_password_in_a_database_url_is_never_shown(call, home, monkeypatch):
    url = "postgresql+psycopg://me:s3cret@127.0.0.1:9/studies"
    monkeypatch.setenv("TUNELAB_DATABASE_URL", url)
    ended = call("doctor", "--json")
    assert ended.code == 1
    assert "s3cret" not in ended.out + ended.err
    assert "cannot reach the database studies on 127.0.0.1:9" in ended.out


def test_a_wrong_number_of_threads_is_named(call, home, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    (line,) = wrong(call("doctor"))
    assert line.endswith("OMP_NUM_THREADS must be a whole number from 1; unset OMP_NUM_THREADS")


def test_old_temporary_folders_are_removed_and_young_ones_left(call, home):
    old, young, other = (
        Path(tempfile.gettempdir()) / name
        for name in ("tunelab-ab12cd34", "tunelab-zz12cd34", "tunelab-notes-of-mine")
    )
    for folder in (old, young, other):
        folder.mkdir()
    for folder in (old, other):
        os.utime(folder, (time.time() - 90_000,) * 2)
    assert len(wrong(call("doctor"))) == 1
    assert call("doctor", "--fix").code == 0
    assert [folder.exists() for folder in (old, young, other)] == [False, True, True]


def test_a_library_that_is_too_old_or_missing_is_named(monkeypatch):
    monkeypatch.setattr(machine, "_version", {"mlflow": "3.15.9", "numpy": "2.1.0"}.get)
    messages = [finding.message for finding in machine.versions(with_postgresql=False)]
    assert "mlflow 3.15.9 is installed; needed is mlflow 3.16.1 or newer, before 4" in messages
    assert "optuna is not installed; tunelab needs optuna 5 or newer, before 6" in messages
    assert not any("numpy" in message for message in messages[:-1])


def test_on_postgresql_the_clock_is_compared(call, home, monkeypatch, postgresql_url):
    monkeypatch.setenv("TUNELAB_DATABASE_URL", postgresql_url)
    open_database(postgresql_url).close()
    ended = call("doctor")
    assert ended.code == 0, ended.out
    assert "clock      agrees with the server's" in ended.out
    assert "psycopg 3" in ended.out
