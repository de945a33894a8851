"""The mirror while MLflow hangs, refuses or is slow, and killed in mid-write."""

from __future__ import annotations

import json
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from tests.service.conftest import environment, running_study
from tests.service.unhelpful import hanging, refusing
from tunelab.service.dashboard import start_server
from tunelab.spec.default_space import default_configuration
from tunelab.spec.study import StudySpec
from tunelab.storage.engine import Database
from tunelab.storage.mirror_runs import count_behind
from tunelab.storage.rungs import RungLimits
from tunelab.storage.schema import open_database
from tunelab.storage.states import EndReason, StudyState, TrialState
from tunelab.storage.studies import StudyRow, mark_ended, mark_started
from tunelab.storage.tables import epochs, trials
from tunelab.storage.trials import NewTrial, insert_trials

START = 1_700_000_000.0
SPEC = StudySpec.from_mapping(
    {"name": "iris", "task": "classification", "data": {"source": "sklearn", "name": "iris"}}
).resolve(90)


def new_study(database: Database, n_trials: int, n_epochs: int) -> StudyRow:
    """A finished study."""
    study = running_study(database, SPEC, n_trials)
    for number in range(n_trials):
        add_epochs(database, study, number, 1, n_epochs)
        end_trial(database, study, number, n_epochs)
    with database.write() as connection:
        state = StudyState.FINISHED
        mark_ended(connection, study.id, state, end_reason="done", running_seconds=1.0)
    return study


def add_epochs(database: Database, study: StudyRow, number: int, first: int, last: int) -> None:
    with database.write() as connection:
        write_epochs(connection, study, number, first, last)


def write_epochs(connection: Any, study: StudyRow, number: int, first: int, last: int) -> None:
    """What a worker's flush writes."""
    trial = (trials.c.study_id == study.id) & (trials.c.number == number)
    key = connection.scalar(trials.select().with_only_columns(trials.c.id).where(trial))
    begin = START + 100 * number
    values = {"state": TrialState.RUNNING, "attempts": 1, "started_at": begin, "n_epochs": last}
    connection.execute(update(trials).where(trial).values(**values))
    rows = [
        {
            "trial_id": key,
            "epoch": epoch,
            "recorded_at": begin + epoch,
            "train_loss": 1 / epoch,
            "validation_loss": 1 / epoch + 0.25,
            "train_score": 0.9,
            "validation_score": 0.8,
            "learning_rate": 0.01,
            "gradient_norm": 1.5,
            "seconds": 0.5,
            "signal": "learning",
        }
        for epoch in range(first, last + 1)
    ]
    connection.execute(insert(epochs), rows)


def end_trial(database: Database, study: StudyRow, number: int, n_epochs: int) -> None:
    trial = (trials.c.study_id == study.id) & (trials.c.number == number)
    values = {
        "state": TrialState.FINISHED,
        "end_reason": EndReason.COMPLETED,
        "value": 1.0 + number,
        "best_epoch": 1,
        "signal": "plateau",
        "reason": "enough",
        "ended_at": START + 100 * number + n_epochs + 0.5,
    }
    with database.write() as connection:
        connection.execute(update(trials).where(trial).values(**values))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path / 'tunelab.db'}")
    yield database
    database.close()


def start_mirror(tmp_path: Path, study: StudyRow, uri: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tunelab.service.mirror", "--study", str(study.id)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={
            **environment(),
            "TUNELAB_DATABASE_URL": f"sqlite:///{tmp_path / 'tunelab.db'}",
            "MLFLOW_TRACKING_URI": uri,
            **more,
        },
    )


def sync(tmp_path: Path, uri: str, url: str | None = None) -> dict[str, int]:
    """What `tunelab tracking sync` finds to repair."""
    result = subprocess.run(
        [sys.executable, "-m", "tunelab", "tracking", "sync", "--json"],
        cwd=tmp_path,
        env={
            **environment(),
            "TUNELAB_DATABASE_URL": url or f"sqlite:///{tmp_path / 'tunelab.db'}",
            "MLFLOW_TRACKING_URI": uri,
        },
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert result.returncode == 0, result.stderr + result.stdout
    (study,) = json.loads(result.stdout)["studies"]
    return {kind: n for kind, n in study["repaired"].items() if n}


def wait_until_sent(database: Database, study: StudyRow, uri: str) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with database.read() as connection:
            if not count_behind(connection, study, uri):
                return
        time.sleep(0.2)
    raise AssertionError("not all was sent in 90 s")


FAULTS = {
    "hangs": hanging(),
    "500": refusing(500),
    "403": refusing(403),
    "another program": refusing(404),
}


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_mlflow_does_it_costs_one_line_and_no_more_than_seconds(
    tmp_path: Path, database: Database, fault: str
) -> None:
    study = new_study(database, 2, 3)
    with FAULTS[fault] as address:
        mirror = start_mirror(
            tmp_path, study, f"http://me:s3cret@{address}", MLFLOW_HTTP_REQUEST_TIMEOUT="1"
        )
        assert mirror.stderr is not None
        line = mirror.stderr.readline()
        assert line.startswith(f"warning: MLflow at http://***@{address} cannot be reached: ")
        time.sleep(2.5)  # it tries again, and does not say so again
        assert mirror.poll() is None
        began = time.monotonic()
        out, err = mirror.communicate(timeout=40)  # the end of its standard input
        assert time.monotonic() - began < 15
    assert (mirror.returncode, out) == (0, "")
    assert len(err.splitlines()) == 1
    assert "2 trials are not up to date in MLflow" in err
    assert "s3cret" not in line + err
    with database.read() as connection:
        assert count_behind(connection, study, "any") == 2


@pytest.mark.long
def test_an_mlflow_that_is_silent_to_the_end_is_named_though_no_call_has_failed_yet(
    tmp_path: Path, database: Database
) -> None:
    study = new_study(database, 2, 3)
    with hanging() as address:
        mirror = start_mirror(tmp_path, study, f"http://me:s3cret@{address}")
        out, err = mirror.communicate(timeout=60)  # the end of its standard input
    assert (mirror.returncode, out) == (0, "")
    warning, rest = err.splitlines()
    assert warning.startswith(f"warning: MLflow at http://***@{address} has not answered")
    assert "2 trials are not up to date in MLflow" in rest


@pytest.mark.long
def test_killed_again_and_again_in_mid_write_nothing_is_double_or_left_open(
    tmp_path: Path, database: Database, tracking_database: Path
) -> None:
    shutil.copy(tracking_database, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    study = new_study(database, 60, 30)
    chance = random.Random(5)

    def written() -> int:
        with closing(sqlite3.connect(tmp_path / "mlflow.db", timeout=20)) as connection:
            return int(connection.execute("SELECT count(*) FROM metrics").fetchone()[0])

    n_in_mid_write = 0
    for _ in range(4):
        before = written()
        mirror = start_mirror(tmp_path, study, uri)
        while written() == before and mirror.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.3))
        n_in_mid_write += mirror.poll() is None
        mirror.kill()
        mirror.communicate()
    assert n_in_mid_write == 4
    mirror = start_mirror(tmp_path, study, uri)
    wait_until_sent(database, study, uri)
    out, err = mirror.communicate(timeout=60)
    assert (mirror.returncode, out, err) == (0, "", "")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        states = connection.execute("SELECT status, count(*) FROM runs GROUP BY 1").fetchall()
        doubles = "SELECT count(*) FROM metrics GROUP BY run_uuid, key, step HAVING count(*) > 1"
        assert connection.execute(doubles).fetchall() == []
    assert states == [("FINISHED", 61)]
    assert sync(tmp_path, uri) == {}


@contextmanager
def delaying(target: str, seconds: float, n_slow: int) -> Iterator[tuple[str, list[str]]]:
    """A way to ``target`` on which answers to the first creations of trials' runs come too late."""
    slowed: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {"Content-Type": self.headers.get("Content-Type", "application/json")}
            request = urllib.request.Request(
                target + self.path, body or None, headers, method=self.command
            )
            try:
                with urllib.request.urlopen(request) as answer:
                    status, text = answer.status, answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    status, text = error.code, error.read()
            if self.path.endswith("runs/create") and b"trial-" in body and len(slowed) < n_slow:
                slowed.append(self.path)
                time.sleep(seconds)
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
            except OSError:
                return  # the client has given up

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", slowed
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.long
def test_a_server_so_slow_that_requests_are_repeated_has_no_run_twice(
    tmp_path: Path, database: Database, tracking_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(tracking_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    study = new_study(database, 3, 3)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = start_server(port)
    try:
        with delaying(server.url, 6.0, 3) as (uri, slowed):
            mirror = start_mirror(tmp_path, study, uri, MLFLOW_HTTP_REQUEST_TIMEOUT="3")
            assert mirror.stderr is not None
            assert "cannot be reached" in mirror.stderr.readline()
            wait_until_sent(database, study, uri)
            out, err = mirror.communicate(timeout=60)
            assert (mirror.returncode, out, err) == (0, "", "")
            assert len(slowed) == 3
            with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
                made = connection.execute("SELECT count(*) FROM runs").fetchone()
                active = "SELECT name, status FROM runs WHERE lifecycle_stage = 'active' ORDER BY 1"
                shown = connection.execute(active).fetchall()
            assert made[0] > 4  # it has happened
            names = ["iris #1", "trial-000", "trial-001", "trial-002"]
            assert shown == [(name, "FINISHED") for name in names]
            assert sync(tmp_path, uri) == {}
    finally:
        server.stop()


@pytest.mark.long
def test_on_postgresql_a_commit_that_comes_late_is_sent(
    tmp_path: Path, tracking_database: Path, postgresql_url: str
) -> None:
    """Trial 0's epochs are written first and committed last: ids and times are no cursor."""
    shutil.copy(tracking_database, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with closing(open_database(postgresql_url)) as database:
        study = new_study(database, 3, 2)
        with database.write() as connection:
            mark_started(connection, study.id)
            insert_trials(
                connection,
                study.id,
                [
                    NewTrial(n, default_configuration(SPEC.search_space).to_flat(), {}, 0,
                             RungLimits())
                    for n in (3, 4, 5)
                ],
            )  # fmt: skip
        running = start_mirror(tmp_path, study, uri, TUNELAB_DATABASE_URL=postgresql_url)
        stop = threading.Event()
        chance = random.Random(3)

        def work(number: int) -> None:
            reached = 0
            while not stop.is_set():
                with database.write() as connection:
                    write_epochs(connection, study, number, reached + 1, reached + 2)
                    time.sleep(chance.uniform(0.0, 0.3))  # others commit meanwhile
                reached += 2
            end_trial(database, study, number, reached)

        workers = [threading.Thread(target=work, args=(number,)) for number in (3, 4, 5)]
        for worker in workers:
            worker.start()
        time.sleep(8)
        stop.set()
        for worker in workers:
            worker.join()
        out, err = running.communicate(timeout=60)
        assert (running.returncode, out, err) == (0, "", "")
        assert sync(tmp_path, uri, postgresql_url) == {}
        with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
            query = "SELECT count(*) FROM metrics WHERE key = 'loss/train'"
            shown = connection.execute(query).fetchone()
        with database.read() as session:
            stored = session.exec_driver_sql("SELECT count(*) FROM epochs").one()
        assert tuple(stored) == shown
