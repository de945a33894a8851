"""MLflow's own web pages: where a study is found there, and a server for a local database."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType

from tunelab.errors import TrackingError, TunelabError, UsageError
from tunelab.service.links import CURVES, home_url, runs_url
from tunelab.service.mirror.environment import (
    is_server,
    prepare,
    sqlite_path,
    tracking_uri,
    without_credentials,
)
from tunelab.service.mirror.sent import Sent
from tunelab.storage.engine import Database
from tunelab.storage.mirror_runs import MirrorRun, latest_study_run
from tunelab.storage.schema import open_database
from tunelab.storage.studies import StudyRow

START_SECONDS = 90.0  # MLflow's server takes 5 to 15 s, more on a busy machine
_POLL_SECONDS = 0.2
_LAST_LINES = 15


def serve_dashboard(database_url: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve MLflow's pages on this machine until SIGINT or SIGTERM.

    If MLFLOW_TRACKING_URI names a server, nothing is started: its link is all there is to say.

    Args:
        database_url: The study database; the link leads to the study that was mirrored last.
        port: Where to listen, on 127.0.0.1.
        on_ready: Called with the link once the pages can be opened.

    Raises:
        UsageError: If the port is taken or no port.
        TrackingError: If the server does not start, or ends by itself.
    """
    uri = tracking_uri()
    if is_server(uri):
        # A browser asks for a password by itself; a link is no place for one.
        on_ready(dashboard_url(database_url, without_credentials(uri).replace("***@", "")))
        return
    with _leaving_on_signals() as leaving, contextlib.ExitStack() as stack:
        server = start_server(port, should_leave=leaving.is_set)
        stack.callback(server.stop)
        if leaving.is_set():
            return
        on_ready(dashboard_url(database_url, server.url))
        # Not Event.wait: a handler that runs inside of it must not need the event's own lock.
        while not leaving.is_set():
            if server.has_ended:
                raise TrackingError(
                    "MLflow's server ended by itself", hint=server.last_words() or None
                )
            time.sleep(_POLL_SECONDS)


def dashboard_url(database_url: str, base: str) -> str:
    """The link to the study that was mirrored last, or to the experiments if there is none.

    Args:
        database_url: The study database; it need not exist.
        base: Address of the server.
    """
    try:
        database = open_database(database_url, create=False)
    except TunelabError:
        return home_url(base)
    try:
        with database.read() as connection:
            run = latest_study_run(connection, without_credentials(tracking_uri()))
    finally:
        database.close()
    return _curves_url(base, run)


def study_dashboard(database: Database, study: StudyRow) -> str | None:
    """The link to a study's curves on a tracking server; None where MLflow is a database.

    Before any generation of the study has runs there, the link leads to the list of experiments.
    """
    uri = tracking_uri()
    if not is_server(uri):
        return None
    place = without_credentials(uri)
    run = database.fetch(lambda connection: latest_study_run(connection, place, study.name))
    return _curves_url(place.replace("***@", ""), run)


def _curves_url(base: str, run: MirrorRun | None) -> str:
    if run is None:
        return home_url(base)
    # A view that MLflow does not have would be answered by an error.
    view = CURVES if Sent.from_text(run.sent).views else None
    return runs_url(base, run.experiment_id, view)


class Server:
    """A running MLflow server.

    Attributes:
        url: Its address.
    """

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.url = url
        self._process = process
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        # Without a reader the pipe would fill and stop the server.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def last_words(self) -> str:
        """The end of what the server has printed."""
        return "\n".join(self._lines)

    def stop(self, seconds: float = 5.0) -> None:
        """End the server and all its children: politely, and after ``seconds`` at once."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        # The group goes also when its leader is gone: that one's children may not be.
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        self._process.wait()
        self._reader.join(1.0)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is not None:
            with stream:
                self._lines.extend(line.rstrip() for line in stream)


def start_server(
    port: int,
    host: str = "127.0.0.1",
    *,
    should_leave: Callable[[], bool] = lambda: False,
) -> Server:
    """Start MLflow's server on the tracking database and wait until it answers.

    Args:
        port: Where to listen.
        host: Address to listen at.
        should_leave: Asked while waiting; when true, the server is returned as it is.

    Raises:
        UsageError: If the port is taken or no port, or MLFLOW_TRACKING_URI names a server.
        TrackingError: If the tracking database cannot be created or the server does not start.
    """
    uri = tracking_uri()
    if is_server(uri):
        raise UsageError(
            f"MLFLOW_TRACKING_URI names a server already: {without_credentials(uri)}",
            hint="open that address, or unset MLFLOW_TRACKING_URI",
        )
    _check_port(host, port)
    environ = _environment(uri, host)
    _create_database(uri, environ)
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--host", host, "--port", str(port)]
    process = subprocess.Popen(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # a group of its own, to end all of it
    )
    server = Server(process, f"http://{_shown_host(host)}:{port}")
    try:
        _wait_until_it_answers(server, should_leave)
    except BaseException:
        server.stop()
        raise
    return server


def _environment(uri: str, host: str) -> dict[str, str]:
    environ = dict(os.environ)
    prepare(environ)
    # The URI is not an argument: it may hold a password, and everyone sees arguments.
    environ["MLFLOW_BACKEND_STORE_URI"] = uri
    environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = f"localhost:*,127.0.0.1:*,{host}:*"
    # This process watches over the tracking database, not over another server.
    environ.pop("MLFLOW_TRACKING_URI", None)
    return environ


def _create_database(uri: str, environ: dict[str, str]) -> None:
    path = sqlite_path(uri)
    if path is None or path.exists():
        return
    # In a process of its own: this one is to answer in no time and never loads MLflow.
    command = [sys.executable, "-m", "tunelab.service.mirror.tracking_database", uri]
    result = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["MLflow's database could not be created"]
        raise TrackingError(lines[-1].removeprefix("error: "))


def _check_port(host: str, port: int) -> None:
    if not 1 <= port <= 65535:
        raise UsageError(f"--port must be in [1, 65535], got {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name == "posix":  # elsewhere this would allow a port that is in use
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise UsageError(
                f"port {port} needs more rights than this user has",
                hint="choose another with --port, such as 5000",
            ) from None
        except OSError as error:
            raise UsageError(
                f"port {port} of {host} cannot be used: {error.strerror or error}",
                hint=f"another program has it; choose another, such as --port {_next(port)}",
            ) from None


def _next(port: int) -> int:
    return port + 1 if port < 65535 else port - 1


def _shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _wait_until_it_answers(server: Server, should_leave: Callable[[], bool]) -> None:
    # Without the system's proxies: they do not know this machine's own addresses.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while not should_leave():
        if server.has_ended:
            raise TrackingError("MLflow's server did not start", hint=server.last_words() or None)
        if _answers(opener, f"{server.url}/health"):
            return
        if time.monotonic() > deadline:
            raise TrackingError(
                f"MLflow's server has not answered at {server.url} for {START_SECONDS:.0f} s",
                hint=server.last_words() or None,
            )
        time.sleep(_POLL_SECONDS)


def _answers(opener: urllib.request.OpenerDirector, url: str) -> bool:
    try:
        with opener.open(url, timeout=2.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextlib.contextmanager
def _leaving_on_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; outside of the main thread nothing sets it."""
    leaving = threading.Event()

    def leave(_number: int, _frame: FrameType | None) -> None:
        leaving.set()

    if threading.current_thread() is not threading.main_thread():
        yield leaving
        return
    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield leaving
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
