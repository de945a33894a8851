"""Studies that are led here, and what runs their workers: real processes of each kind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.service.conftest import Folder, environment
from tunelab.service.events import Event, StudyFinished
from tunelab.service.executors.base import Executor
from tunelab.service.executors.choice import make_executor
from tunelab.service.launch import launch
from tunelab.service.running import run_study
from tunelab.service.stop import StopRequest
from tunelab.spec.study_file import read_study_file

HERE = Path(__file__).parent
N_TRIALS = 4


@contextmanager
def program(*words: str, cwd: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A Python program for the block, with all that it starts."""
    with (cwd / "stderr.log").open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=cwd,
            env=environment() | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def dask_worker(address: str, cwd: Path, **variables: str) -> object:
    """`dask worker` with one thread, which nobody replaces when it dies."""
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard"]
    return program("-m", "dask", "worker", address, *options, cwd=cwd, **variables)


@contextmanager
def scheduler(cwd: Path) -> Iterator[str]:
    """`dask scheduler` and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with program(
        "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", cwd=cwd
    ):
        yield f"tcp://127.0.0.1:{port}"


@pytest.fixture(scope="package")
def local_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a LocalCluster with two Dask workers."""
    with program(
        str(HERE / "local_cluster.py"), cwd=tmp_path_factory.mktemp("local-cluster")
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


@pytest.fixture(scope="package")
def separate_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with two Dask workers, each started by its command."""
    cwd = tmp_path_factory.mktemp("cluster")
    with scheduler(cwd) as address, dask_worker(address, cwd), dask_worker(address, cwd):
        yield address


class Run:
    """A study that this process leads, in a thread."""

    def __init__(self, url: str, file: Path, executor: Executor, n_workers: int | None) -> None:
        self.database, self.study, _ = launch(url, read_study_file(file))
        self.stop = StopRequest()
        self.events: list[Event] = []
        self.error: BaseException | None = None
        self._lead = lambda: run_study(
            self.database,
            self.study,
            n_workers=n_workers,
            executor=executor,
            stop=self.stop,
            mirrored=False,
        )
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.events += [event for event in self._lead() if event is not None]
        except BaseException as error:
            self.error = error
        finally:
            self.database.close()

    def wait(self, seconds: float = 60.0) -> StudyFinished:
        """The last event."""
        self.thread.join(seconds)
        assert not self.thread.is_alive()
        if self.error is not None:
            raise self.error
        last = self.events[-1]
        assert isinstance(last, StudyFinished)
        return last

    def leave(self) -> float:
        """Leave the study as Ctrl-C does; how many seconds that took."""
        began = time.monotonic()
        self.stop.request(signal.SIGINT)
        self.wait(30.0)
        return time.monotonic() - began


class Kind:
    """One kind of executor, with what must run for it."""

    def __init__(self, name: str, folder: Folder, address: str | None, stack: ExitStack) -> None:
        self.name = name
        self.folder = folder
        self._address = address
        self._stack = stack
        self._serving: subprocess.Popen[str] | None = None

    def run(self, n_workers: int = 2) -> Run:
        """Lead the study of the folder, with so many workers."""
        executor = make_executor(self.name, self._address)
        run = Run(self.folder.url, self.folder.study_file, executor, n_workers)
        if self.name == "external":
            words = ["-m", "tunelab", "worker", "run", "--study", "small"]
            words += ["--concurrency", str(n_workers)]
            self._serving = self._stack.enter_context(program(*words, cwd=self.folder.path))
        return run

    def wait_until_nothing_is_left(self, seconds: float = 10.0) -> None:
        """No worker process is there any more, and Dask has no task."""
        self.folder.wait_for("SELECT count(*) = 0 FROM workers", seconds)
        if self._serving is not None:
            self._serving.wait(seconds)
        if self._address is not None:
            wait_for(lambda: tasks_at(self._address) == 0, seconds)


def tasks_at(address: str | None) -> int:
    """How many tasks the cluster knows or still runs, asked by another process."""
    result = subprocess.run(
        [sys.executable, str(HERE / "count_tasks.py"), str(address)],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    return int(result.stdout)


def wait_for(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kill_worker_of_running_trial(folder: Folder) -> int:
    """kill -9 of the process that has claimed a trial, in mid-trial; the trial's number."""
    under_way = "SELECT number, owner FROM trials WHERE state = 'running'"
    folder.wait_for(f"SELECT count(*) FROM ({under_way}) AS under_way")
    (number, owner), *_ = folder.sql(under_way)
    os.kill(json.loads(owner)["pid"], signal.SIGKILL)
    return int(number)


@pytest.fixture
def slow_folder(tmp_path: Path) -> Folder:
    """A study whose trials all use up their epochs, so that each can be met in its middle."""
    folder = Folder(tmp_path)
    folder.url = f"sqlite:///{tmp_path / 'tunelab.db'}"
    text = folder.study_file.read_text().replace("trials: 8", f"trials: {N_TRIALS}")
    text = text.replace("[16, 32]", "16").replace("{low: 32, high: 128, scale: log}", "128")
    folder.study_file.write_text(text + "monitor: {preset: off}\n")
    return folder


@pytest.fixture(
    params=[
        "external",
        # `tests/service/test_study_runs.py` runs the local one as well.
        *(
            pytest.param(kind, marks=pytest.mark.long)
            for kind in ("local", "dask-separate", "dask-local-cluster")
        ),
    ]
)
def kind(request: pytest.FixtureRequest, slow_folder: Folder) -> Iterator[Kind]:
    """Each kind of executor, Dask on two kinds of clusters."""
    name, _, cluster = request.param.partition("-")
    fixtures = {"local-cluster": "local_cluster", "separate": "separate_cluster"}
    address = request.getfixturevalue(fixtures[cluster]) if cluster else None
    with ExitStack() as stack:
        yield Kind(name, slow_folder, address, stack)
