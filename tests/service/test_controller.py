"""The service as real processes: controllers lead what was submitted, workers elsewhere train."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from tests.service.conftest import environment
from tunelab.errors import StudyConflictError
from tunelab.service.coordinator import lead
from tunelab.service.launch import launch
from tunelab.spec.study_file import read_study_file
from tunelab.storage.leases import acquire_lease, coordinator_lease
from tunelab.storage.owners import Owner
from tunelab.storage.states import Executor, StudyState
from tunelab.storage.studies import get_study, mark_ended, update_study
from tunelab.storage.trials import count_trials
from tunelab.storage.workers import register_worker


class Service:
    """Controllers and workers on one database, all of which end with the test."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []

    def start(self, *arguments):
        url = f"sqlite:///{self.folder.path / 'tunelab.db'}"
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=self.folder.path,
            env=environment() | {"TUNELAB_DATABASE_URL": url} | self.folder.variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def controller(self, *arguments):
        return self.start("tunelab", "controller", "run", *arguments)

    def worker(self, study_id=1):
        return self.start("tunelab.execution.worker", "--study", str(study_id))


@pytest.fixture
def service(folder):
    service = Service(folder)
    yield service
    for process in service.processes:
        process.kill()
        process.communicate()


@pytest.mark.long
def test_a_controller_and_a_worker_finish_a_submitted_study(service):
    folder = service.folder
    folder.write_study(4)
    assert folder.tunelab("study", "submit", "small.yaml") == "small #1\n"
    assert folder.json("study", "show", "small")["state"] == "queued"
    controller = service.controller()
    service.worker()
    assert "trial" in folder.tunelab("study", "watch", "small")
    folder.wait_for("SELECT count(*) = 0 FROM workers")
    folder.check_whole(4)
    began = time.monotonic()
    controller.send_signal(signal.SIGTERM)
    output, _ = controller.communicate(timeout=10)
    assert time.monotonic() - began < 5
    assert controller.returncode == 128 + signal.SIGTERM
    assert "small #1: a coordinator was started" in output
    assert folder.sql("SELECT count(*) FROM leases WHERE owner IS NOT NULL") == [(0,)]


def test_whoever_watches_leaves_and_the_study_goes_on(service):
    folder = service.folder
    folder.tunelab("study", "submit", "small.yaml")
    watcher = service.start("tunelab", "study", "watch", "small")
    assert "watched" in watcher.stdout.readline()
    watcher.send_signal(signal.SIGINT)
    watcher.communicate(timeout=10)
    assert watcher.returncode == 128 + signal.SIGINT
    assert folder.sql("SELECT state, stop_requested FROM studies") == [("running", 0)]


@pytest.mark.long
def test_a_controller_that_is_killed_is_followed_by_another(service):
    folder = service.folder
    folder.tunelab("study", "submit", "small.yaml")
    first = service.controller()
    service.worker()
    folder.wait_for_finished(2)
    second = service.controller()
    os.kill(first.pid, signal.SIGKILL)
    folder.wait_for("SELECT state = 'finished' FROM studies", seconds=60)
    folder.wait_for("SELECT count(*) = 0 FROM workers")
    folder.check_whole(8)
    second.send_signal(signal.SIGINT)
    output, _ = second.communicate(timeout=10)
    assert second.returncode == 128 + signal.SIGINT
    assert "small #1: a coordinator was started" in output


@pytest.mark.long
def test_stop_gives_the_trials_back_that_workers_elsewhere_train(service):
    folder = service.folder
    folder.write_study(200)
    folder.tunelab("study", "submit", "small.yaml")
    service.controller()
    worker = service.worker()
    folder.wait_for_finished(1)
    folder.tunelab("study", "stop", "small")
    worker.wait(20)
    assert folder.sql("SELECT state FROM studies") == [("stopped",)]
    assert folder.sql("SELECT count(*) FROM trials WHERE state = 'running'") == [(0,)]
    folder.tunelab("study", "submit", "small.yaml")
    service.worker()
    folder.wait_for_finished(3)


# In this process


@pytest.fixture
def submitted(tmp_path):
    path = tmp_path / "flowers.yaml"
    path.write_text(
        "{name: flowers, task: classification, data: {source: sklearn, name: iris},"
        " search: {trials: 4, max_epochs: 2}, confirm: off}"
    )
    url = f"sqlite:///{tmp_path / 'tunelab.db'}"

    def submit(executor=Executor.EXTERNAL):
        return launch(url, read_study_file(path), executor=executor)

    return submit


def state_of(database):
    with database.read() as connection:
        return get_study(connection, "flowers")


def test_a_coordinator_that_has_to_leave_keeps_the_study_running_and_frees_its_lease(submitted):
    database, study, _ = submitted()
    looks = iter([False, False, True])
    assert lead(database, study.id, lambda: next(looks))
    with database.write() as connection:
        assert count_trials(connection, study.id)["waiting"] > 0
        assert acquire_lease(connection, coordinator_lease(study.id), Owner.this_process())
    after = state_of(database)
    assert (after.state, after.end_reason) == (StudyState.RUNNING, None)
    assert after.started_at is not None


@pytest.mark.parametrize("n_workers", [0, 3])
def test_trials_are_ready_at_once_for_all_workers_that_have_none(submitted, n_workers):
    database, study, _ = submitted()
    with database.write() as connection:
        for number in range(n_workers):
            register_worker(connection, replace(Owner.this_process(), host=f"h{number}"), None)
    looks = iter([False, True])
    assert lead(database, study.id, lambda: next(looks))
    with database.read() as connection:
        # One more than workers, of which there may be two that nobody knows of.
        assert count_trials(connection, study.id)["waiting"] == max(2, n_workers) + 1


@pytest.mark.parametrize("state", [StudyState.STOPPED, StudyState.FINISHED])
def test_a_study_that_was_stopped_meanwhile_is_not_led(submitted, state):
    database, study, _ = submitted()
    with database.write() as connection:
        mark_ended(connection, study.id, state, end_reason="x", running_seconds=0.0)
    assert not lead(database, study.id, lambda: False)
    assert state_of(database).state is state


def test_a_local_study_is_not_led(submitted):
    database, study, _ = submitted(Executor.LOCAL)
    assert not lead(database, study.id, lambda: False)
    assert not lead(database, study.id + 1, lambda: False)


def test_an_order_to_stop_outlives_the_coordinator_that_was_given_it(submitted):
    database, study, _ = submitted()
    with database.write() as connection:
        update_study(connection, study.id, stop_requested=True)
    assert lead(database, study.id, lambda: False)
    assert state_of(database).state is StudyState.STOPPED


def test_a_local_study_is_handed_over_unless_it_is_being_run(submitted):
    database, study, _ = submitted(Executor.LOCAL)
    with database.write() as connection:
        acquire_lease(connection, coordinator_lease(study.id), Owner.this_process())
    with pytest.raises(StudyConflictError, match="flowers #1 is run by `tunelab study start`"):
        submitted()
    assert state_of(database).executor is Executor.LOCAL


def test_a_stopped_study_is_taken_up_again_by_submitting_it(submitted):
    database, study, _ = submitted(Executor.LOCAL)
    with database.write() as connection:
        mark_ended(connection, study.id, StudyState.STOPPED, end_reason="x", running_seconds=1.0)
    _, again, has_more = submitted()
    assert has_more
    assert (again.id, again.state, again.executor) == (
        study.id,
        StudyState.RUNNING,
        Executor.EXTERNAL,
    )
