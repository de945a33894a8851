"""What is particular to Dask: clusters that lose workers, leaders that die, and what is shown."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import ExitStack
from dataclasses import replace

import pytest

from tests.service.executors.conftest import (
    N_TRIALS,
    Run,
    dask_worker,
    program,
    scheduler,
    tasks_at,
    wait_for,
)
from tunelab.errors import ExecutorError, UsageError
from tunelab.service.events import Notice
from tunelab.service.executors.choice import make_executor
from tunelab.service.executors.dask import CONNECT_SECONDS
from tunelab.service.executors.local import LocalExecutor
from tunelab.service.executors.slot import Assignment, serve
from tunelab.storage.leases import Lease
from tunelab.storage.owners import Owner

RUNNING = "SELECT count(*) > 0 FROM trials WHERE state = 'running'"


@pytest.mark.long
def test_a_dask_worker_that_is_killed_costs_nothing_and_one_that_joins_helps(slow_folder, tmp_path):
    cluster = tmp_path / "cluster"
    cluster.mkdir()
    with scheduler(cluster) as address, ExitStack() as others:
        first, second = (others.enter_context(dask_worker(address, cluster)) for _ in range(2))
        run = Run(slow_folder.url, slow_folder.study_file, make_executor("dask", address), None)
        slow_folder.wait_for("SELECT count(*) = 2 FROM trials WHERE state = 'running'")
        os.kill(first.pid, signal.SIGKILL)
        slow_folder.wait_for(RUNNING)
        os.kill(second.pid, signal.SIGKILL)
        others.enter_context(dask_worker(address, cluster))
        run.wait()
        wait_for(lambda: tasks_at(address) == 0, 10)
    slow_folder.wait_for("SELECT count(*) = 0 FROM workers")
    slow_folder.check_whole(N_TRIALS)
    said = [event.text for event in run.events if isinstance(event, Notice)]
    assert sum("is gone; its trial waits again" in text for text in said) == 2


@pytest.mark.long
def test_tasks_leave_by_themselves_when_the_process_that_led_is_killed(
    slow_folder, separate_cluster
):
    words = ["-m", "tunelab", "study", "start", "small.yaml", "--no-mirror"]
    words += ["--executor", "dask", "--dask-address", separate_cluster]
    with program(*words, cwd=slow_folder.path) as process:
        slow_folder.wait_for(RUNNING)
        process.kill()
    slow_folder.wait_for("SELECT count(*) = 0 FROM workers", 20)
    wait_for(lambda: tasks_at(separate_cluster) == 0, 10)
    Run(slow_folder.url, slow_folder.study_file, LocalExecutor(), 2).wait()
    slow_folder.check_whole(N_TRIALS)


@pytest.mark.long
def test_the_scheduler_is_looked_for_in_time_and_in_the_right_place(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        with pytest.raises(ExecutorError, match="no Dask scheduler answers at tcp://127"):
            make_executor("dask", f"127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - began < CONNECT_SECONDS + 5
    broken = tmp_path / "broken.json"
    broken.write_text("[]")
    for place, message in {
        str(broken): "is no scheduler file",
        str(tmp_path / "none.json"): "there is no file",
        "tcp://host": "missing port",
        "wrong://host:1": "unknown address scheme",
    }.items():
        with pytest.raises(UsageError, match=message):
            make_executor("dask", place)
    with pytest.raises(UsageError, match="needs --dask-address"):
        make_executor("dask")
    with pytest.raises(UsageError, match="goes with --executor dask, not with external"):
        make_executor("external", "tcp://host:1")


def test_without_the_package_it_is_told_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(UsageError, match="needs the package distributed") as raised:
        make_executor("dask", "tcp://host:1")
    assert raised.value.hint == "pip install 'tunelab[dask]'"


def assignment(url: str, owner: Owner | None = None) -> Assignment:
    lease = Lease("coordinator:1", str(owner or Owner.this_process()), 1)
    return Assignment("a", study_id=1, lease=lease, trial_timeout=None, url=url)


def test_nothing_that_dask_shows_of_a_task_has_the_password():
    shown = repr(assignment("postgresql+psycopg://me:secret@host/tunelab"))
    assert "secret" not in shown
    assert "study_id=1" in shown


def test_a_slot_refuses_an_sqlite_file_of_another_machine_and_a_database_of_another_leader(
    sqlite_url, monkeypatch
):
    monkeypatch.delenv("TUNELAB_DATABASE_URL", raising=False)
    elsewhere = replace(Owner.this_process(), boot="another")
    ended = serve(assignment(sqlite_url, elsewhere))
    assert not ended.in_order
    assert "SQLite file of another machine" in ended.cause
    ended = serve(assignment(sqlite_url))
    assert "is not the database in which this study is led" in ended.cause
    monkeypatch.setenv("TUNELAB_DATABASE_URL", sqlite_url)
    assert "TUNELAB_DATABASE_URL of the Dask worker" in serve(assignment("sqlite:///x.db")).cause


@pytest.mark.long
def test_workers_that_cannot_train_anywhere_end_the_study_with_the_cause(
    slow_folder, separate_cluster, monkeypatch
):
    run = Run(slow_folder.url, slow_folder.study_file, make_executor("dask", separate_cluster), 1)
    data = slow_folder.path / ".tunelab" / "data"
    data.rename(slow_folder.path / "gone")
    with pytest.raises(Exception, match="workers end as soon as they are started on the Dask"):
        run.wait()
    assert slow_folder.sql("SELECT state FROM studies") == [("stopped",)]
    wait_for(lambda: tasks_at(separate_cluster) == 0, 10)


@pytest.mark.long
def test_a_study_on_postgresql_shows_no_password(slow_folder, tmp_path, postgresql_url):
    """Neither in the logs of the cluster nor in what the scheduler knows."""
    slow_folder.variables["TUNELAB_DATABASE_URL"] = postgresql_url
    with (
        scheduler(tmp_path) as address,
        dask_worker(address, tmp_path),
    ):
        Run(postgresql_url, slow_folder.study_file, make_executor("dask", address), 1).wait()
    slow_folder.check_whole(N_TRIALS)
    assert postgresql_url not in (tmp_path / "stderr.log").read_text()
