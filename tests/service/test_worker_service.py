"""``tunelab worker run`` as processes, beside a coordinator that the test itself runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.service.conftest import Folder, environment
from tunelab.service.launch import launch
from tunelab.spec.study_file import read_study_file
from tunelab.storage.engine import Database
from tunelab.storage.leases import acquire_lease, coordinator_lease, release_lease
from tunelab.storage.owners import Owner
from tunelab.storage.states import Executor
from tunelab.storage.studies import StudyRow, mark_started, update_study
from tunelab.tuning.coordinator import Coordinator, Progress


class Service:
    """Studies of the service, and their coordinator in a thread for each."""

    def __init__(self, folder: Folder, url: str) -> None:
        self.folder = folder
        self.url = url
        if not url.startswith("sqlite"):
            folder.variables["TUNELAB_DATABASE_URL"] = url
        self._threads: list[threading.Thread] = []
        self._end = threading.Event()

    def submit(self, name: str, n_trials: int, executor: Executor = Executor.EXTERNAL) -> StudyRow:
        text = self.folder.study_file.read_text().replace("name: small", f"name: {name}")
        file = self.folder.path / f"{name}.yaml"
        file.write_text(text)
        database, study, _ = launch(self.url, read_study_file(file), n_trials=n_trials)
        with closing(database), database.write() as connection:
            update_study(connection, study.id, executor=executor)
            mark_started(connection, study.id)
        thread = threading.Thread(target=self._coordinate, args=(study,), daemon=True)
        thread.start()
        self._threads.append(thread)
        return study

    def _coordinate(self, study: StudyRow) -> None:
        with closing(Database(self.url)) as database:
            name = coordinator_lease(study.id)
            with database.write() as connection:
                lease = acquire_lease(connection, name, Owner.this_process())
            assert lease is not None
            coordinator = Coordinator(database, study, lease, n_workers=2)
            while not self._end.is_set() and coordinator.tick() is not Progress.FINISHED:
                time.sleep(coordinator.poll_seconds)
            with database.write() as connection:
                release_lease(connection, lease)

    def close(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(20)


@contextmanager
def workers(folder: Folder, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`tunelab worker run` for the block; nothing of it may be left behind it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tunelab", "worker", "run", *arguments],
        cwd=folder.path,
        env=environment() | folder.variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def children(process: subprocess.Popen[str]) -> list[int]:
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(word) for word in text.split()]


@pytest.fixture(params=["postgresql", pytest.param("sqlite", marks=pytest.mark.long)])
def service(request: pytest.FixtureRequest, folder: Folder) -> Iterator[Service]:
    if request.param == "sqlite":
        url = f"sqlite:///{folder.path / 'tunelab.db'}"
    else:
        url = request.getfixturevalue("postgresql_url")
    service = Service(folder, url)
    yield service
    service.close()


def leave(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> str:
    began = time.monotonic()
    process.send_signal(number)
    out, errors = process.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert (process.returncode, out) == (128 + number, "")
    assert "Traceback" not in errors
    return errors


@pytest.mark.long
def test_studies_of_the_service_share_the_workers_and_others_are_left_alone(service):
    first, second = service.submit("first", 6), service.submit("second", 6)
    service.submit("local", 3, Executor.LOCAL)
    with workers(service.folder, "--concurrency", "2") as process:
        at_work = "SELECT count(*) = 12 FROM trials WHERE state = 'finished'"
        service.folder.wait_for(at_work, 60)
        errors = leave(process)
    lines = errors.splitlines()
    assert lines[0] == "joined: 2 worker processes serve the studies of the service"
    assert lines[-1] == "leaving: running trials are saved and wait for other workers"
    ended = service.folder.sql("SELECT study_id, attempts FROM trials WHERE state = 'finished'")
    assert sorted(ended) == [(key, 1) for key in (first.id, second.id) for _ in range(6)]
    # Neither study had to wait for the other's end.
    spans = service.folder.sql(
        "SELECT study_id, min(started_at), max(ended_at) FROM trials WHERE state = 'finished' "
        "GROUP BY study_id"
    )
    assert max(start for _, start, _ in spans) < min(end for _, _, end in spans)
    assert service.folder.sql("SELECT count(*) FROM workers") == [(0,)]


def test_killed_workers_are_replaced_and_a_study_without_data_is_left_alone(service):
    broken = service.submit("broken", 4)
    with closing(Database(service.url)) as database, database.write() as connection:
        update_study(connection, broken.id, data_path=str(service.folder.path / "gone"))
    with workers(service.folder, "--concurrency", "2") as process:
        whole = service.submit("whole", 8)
        os.kill(service.folder.wait_for_trainer(whole.id), signal.SIGKILL)
        query = f"SELECT state = 'finished' FROM studies WHERE id = {whole.id}"
        service.folder.wait_for(query, 60)
        lines = leave(process, signal.SIGINT).splitlines()
    (reported,) = [line for line in lines if "broken #1" in line]
    assert reported.startswith("warning: broken #1 cannot be trained here and is left alone: ")
    # The trial is named unless the worker was killed before it could tell of its claim.
    (death,) = [line for line in lines if line.startswith("a worker ended")]
    assert re.match(r"a worker ended( in trial \d of whole #1)? \(killed by SIGKILL", death)
    untouched = "SELECT sum(n_epochs), count(end_reason) FROM trials WHERE study_id = ?"
    assert service.folder.sql(untouched, broken.id) == [(0, 0)]
    trials = "SELECT count(*) FROM trials WHERE study_id = ? AND end_reason != 'failed'"
    assert service.folder.sql(trials, whole.id) == [(8,)]


@pytest.mark.long
def test_one_study_is_served_to_its_end_and_trials_are_counted(service):
    study = service.submit("single", 6, Executor.LOCAL)
    with workers(service.folder, "--study", "single", "--max-trials", "2") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors.splitlines()[-1] == "leaving: as many trials as were asked for have ended"
    finished = "SELECT count(*) FROM trials WHERE state = 'finished'"
    assert service.folder.sql(finished) == [(2,)]
    with workers(service.folder, "--study", "single") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors.splitlines()[-1] == "leaving: single #1 is finished"
    assert service.folder.sql("SELECT state FROM studies WHERE id = ?", study.id) == [("finished",)]


@pytest.mark.long
def test_no_worker_outlives_a_supervisor_that_is_killed_or_told_twice(service):
    service.folder.write_study(400)
    service.submit("long", 400)
    for end in ("killed", "told twice"):
        with workers(service.folder, "--concurrency", "2") as process:
            service.folder.wait_for("SELECT count(*) = 2 FROM trials WHERE state = 'running'")
            pids = children(process)
            if end == "killed":
                process.kill()
            else:
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGINT)
            process.wait(10)
            deadline = time.monotonic() + 8
            while any(Path(f"/proc/{pid}/exe").exists() for pid in pids):
                assert time.monotonic() < deadline
                time.sleep(0.05)
