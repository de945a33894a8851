"""The whole service as real processes on PostgreSQL: controller, mirror, workers, one study."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.service.conftest import Folder, environment
from tests.service.test_worker_service import children


class Processes:
    """Programs of the service, all of which end with the test."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tunelab", *arguments],
            cwd=self._folder.path,
            env=environment() | self._folder.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.fixture
def processes(folder: Folder, postgresql_url: str) -> Iterator[Processes]:
    folder.variables["TUNELAB_DATABASE_URL"] = postgresql_url
    processes = Processes(folder)
    yield processes
    processes.close()


def left(process: subprocess.Popen[str], seconds: float) -> str:
    """What a process has said that is told to leave, and does so in time."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert time.monotonic() - began < seconds, output
    assert process.returncode == 128 + signal.SIGTERM, output
    assert "Traceback" not in output
    return output


def test_controller_mirror_and_three_workers_run_a_study_though_one_worker_is_killed(
    folder: Folder, processes: Processes
) -> None:
    controller = processes.start("controller", "run")
    mirror = processes.start("tracking", "run")
    workers = processes.start("worker", "run", "--concurrency", "3")
    folder.wait_for("SELECT count(*) = 3 FROM workers")
    listed = folder.json("worker", "list")["workers"]
    assert {worker["pid"] for worker in listed} == set(children(workers))
    assert {worker["serves"] for worker in listed} == {None}
    folder.write_study(12)
    given = folder.study_file.read_text()
    folder.study_file.write_text(given.replace("confirm: off", "confirm: {finalists: 1, seeds: 1}"))
    submitted = processes.start("study", "submit", "small.yaml")
    os.kill(folder.wait_for_trainer(), signal.SIGKILL)
    assert submitted.wait(30) == 0
    folder.wait_for("SELECT state = 'finished' FROM studies", seconds=90)
    confirmation = folder.json("study", "show", "small")["confirmation"]
    assert confirmation["test"]["rows"] == 359
    n_runs = 13 + confirmation["runs"]["finished"]
    folder.wait_for(f"SELECT count(*) = {n_runs} FROM mirror_runs")
    folder.wait_for(
        "SELECT count(*) = 0 FROM mirror_runs WHERE trial_id > 0 AND sent <> 'finished'"
    )
    output = left(workers, 5)
    assert "killed by SIGKILL" in output
    left(controller, 5)
    said = left(mirror, 20)
    assert "warning" not in said
    folder.check_whole(12)
    assert folder.sql("SELECT max(lost_leases), sum(lost_leases) FROM trials") == [(1, 1)]
    assert folder.sql("SELECT count(*) FROM leases WHERE owner IS NOT NULL") == [(0,)]
    with sqlite3.connect(folder.path / "mlflow.db") as mlflow:
        statuses = mlflow.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall()
    assert sum(n for _, n in statuses) == n_runs
    assert "RUNNING" not in dict(statuses)
    assert folder.tunelab("tracking", "sync").startswith("small #1: agrees")


@pytest.mark.long
def test_what_ended_without_a_mirror_is_sent_by_the_shared_one(
    folder: Folder, processes: Processes
) -> None:
    folder.variables["TUNELAB_MIRROR"] = "no"
    folder.write_study(3)
    folder.tunelab("study", "start", "small.yaml")
    mirror = processes.start("tracking", "run")
    folder.wait_for("SELECT count(*) = 3 FROM mirror_runs WHERE sent = 'finished'")
    (child,) = children(mirror)
    os.kill(child, signal.SIGKILL)
    folder.tunelab("study", "start", "small.yaml", "--new")
    folder.wait_for("SELECT count(*) = 6 FROM mirror_runs WHERE sent = 'finished'")
    output = left(mirror, 20)
    assert "the mirror ended (exit code -9); another takes its place in 1 s" in output
    assert folder.tunelab("tracking", "sync") == "small #1: agrees\nsmall #2: agrees\n"
