"""What the mirror costs: CPU time, and requests to a tracking server, counted on their way."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import Connection

from benchmarks.faults.place import Place
from benchmarks.overhead.report import report
from benchmarks.overhead.study import IdleBackend, make_study, run
from tests.postgresql import free_port
from tunelab.service.dashboard import start_server
from tunelab.service.mirror.tracking_database import ensure_database
from tunelab.storage.engine import Database
from tunelab.storage.location import DATABASE_URL_VARIABLE
from tunelab.storage.mirror_runs import count_behind
from tunelab.storage.studies import StudyRow, study_by_id
from tunelab.storage.trials import study_trials

TRACKING_URI = "MLFLOW_TRACKING_URI"
SECONDS_A_REQUEST = 5.0
N_LONG, EPOCH_SECONDS = 12, 0.5  # trials that last 15 s


class Mirror:
    """The study's mirror as the process that it is."""

    def __init__(self, folder: Path, database: Database, study: StudyRow, uri: str) -> None:
        self._database, self._study, self._uri = database, study, uri
        url = database.url.render_as_string(hide_password=False)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tunelab.service.mirror", "--study", str(study.id)],
            stdin=subprocess.PIPE,
            env={**os.environ, DATABASE_URL_VARIABLE: url, TRACKING_URI: uri},
            cwd=folder,
        )

    def finish(self) -> float:
        """Wait until all trials are sent, order it to leave, and return its CPU seconds."""
        while self._is_behind():
            if self._process.poll() is not None:
                raise RuntimeError("the mirror has died")
            time.sleep(0.1)
        if self._process.stdin is not None:
            self._process.stdin.close()
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return usage.ru_utime + usage.ru_stime

    def _is_behind(self) -> bool:
        with self._database.read() as connection:
            study = study_by_id(connection, self._study.id)
            return bool(count_behind(connection, study, self._uri))


def measure_mirror(place: Place, n_trials: int) -> None:
    """CPU time and requests for a study that has ended; requests of one that runs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database, study = make_study(folder, place.url(folder), n_trials=n_trials)
        run(database, study)
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        ensure_database(uri)  # MLflow's own migration is no trial's cost
        _report_cpu("into MLflow's database", folder, database, study, uri)
        with counting_server(folder) as (uri, counter):
            requests = _report_cpu("through MLflow's server", folder, database, study, uri, counter)
            with database.read() as connection:
                seconds = _seconds(connection, study)
            bar = 4 + seconds / n_trials / SECONDS_A_REQUEST
            report("requests a trial", requests / n_trials, "", bar)
            database.close()

            (folder / "long").mkdir()
            url = place.url(folder / "long")
            database, study = make_study(folder / "long", url, n_trials=N_LONG)
            began = counter.n
            mirror = Mirror(folder, database, study, uri)
            before = _settled(counter)
            run(database, study, IdleBackend(EPOCH_SECONDS))
            mirror.finish()
            with database.read() as connection:
                seconds = _seconds(connection, study) / N_LONG
            report(
                f"requests a trial of {seconds:.0f} s, live",
                (counter.n - before) / N_LONG,
                "",
                4 + seconds / SECONDS_A_REQUEST,
                f"and {before - began} a start",
            )
            database.close()


def _settled(counter: Requests) -> int:
    """The count once the mirror has done what a start takes, and waits for trials."""
    before = counter.n
    while counter.n == before:
        time.sleep(0.1)
    while (now := counter.n) != before:
        before = now
        time.sleep(2.0)
    return before


def _seconds(connection: Connection, study: StudyRow) -> float:
    rows = study_trials(connection, study.id)
    return sum((row.ended_at or 0.0) - (row.started_at or 0.0) for row in rows)


def _report_cpu(
    where: str,
    folder: Path,
    database: Database,
    study: StudyRow,
    uri: str,
    counter: Requests | None = None,
) -> int:
    """CPU time of a mirror that sends the whole study; returns the requests it took."""
    spent = Mirror(folder, database, study, uri).finish()
    n_requests = counter.n if counter else 0
    # The second finds everything sent: that is what a start costs.
    idle = Mirror(folder, database, study, uri).finish()
    milliseconds = (spent - idle) / study.n_trials * 1e3
    report(f"CPU a trial {where}", milliseconds, "ms", 45, f"and {idle:.1f} s a start")
    return n_requests


class Requests:
    """How many requests have passed."""

    def __init__(self) -> None:
        self.n = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        """One more."""
        with self._lock:
            self.n += 1


@contextlib.contextmanager
def counting_server(folder: Path) -> Iterator[tuple[str, Requests]]:
    """MLflow's server behind a proxy that counts: the proxy's address, and its count."""
    before = os.environ.get(TRACKING_URI)
    os.environ[TRACKING_URI] = f"sqlite:///{folder / 'server.db'}"
    try:
        with contextlib.chdir(folder):  # where a server starts, there it puts artifacts
            server = start_server(free_port())
    finally:
        del os.environ[TRACKING_URI]
        if before is not None:
            os.environ[TRACKING_URI] = before
    counter = Requests()
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server.url, counter))
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{proxy.server_address[1]}", counter
    finally:
        proxy.shutdown()
        proxy.server_close()
        server.stop()


def _handler(url: str, counter: Requests) -> type[BaseHTTPRequestHandler]:
    host, port = urlsplit(url).hostname or "", urlsplit(url).port

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            counter.add()
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            connection = http.client.HTTPConnection(host, port)
            headers = {
                name: text for name, text in self.headers.items() if name.lower() != "connection"
            }
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            self.send_response(answer.status)
            for name, text in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, text)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
