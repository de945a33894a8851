"""Who leads and who serves a study that was started for workers elsewhere."""

from __future__ import annotations

import signal

import pytest

from tests.service.executors.conftest import N_TRIALS, Run, program
from tunelab.service.coordinator import lead
from tunelab.service.events import Notice
from tunelab.service.executors.external import ExternalExecutor
from tunelab.service.executors.local import LocalExecutor


def executor_of(folder):
    ((executor,),) = folder.sql("SELECT executor FROM studies")
    return executor


def test_the_services_workers_serve_it_and_no_controller_leads_it(slow_folder):
    run = Run(slow_folder.url, slow_folder.study_file, ExternalExecutor(), None)
    slow_folder.wait_for("SELECT count(*) > 0 FROM trials")
    assert executor_of(slow_folder) == "open"
    assert not lead(run.database, run.study.id, lambda: False)
    with program("-m", "tunelab", "worker", "run", cwd=slow_folder.path) as workers:
        run.wait()
        workers.send_signal(signal.SIGTERM)
        workers.wait(10)
    slow_folder.check_whole(N_TRIALS)


@pytest.mark.long
def test_a_person_is_told_what_to_do_when_there_is_no_worker_and_local_ones_can_go_on(slow_folder):
    run = Run(slow_folder.url, slow_folder.study_file, ExternalExecutor(), None)
    slow_folder.wait_for("SELECT count(*) > 0 FROM trials")
    run.thread.join(4.0)
    assert run.leave() < 5
    (told,) = [event.text for event in run.events if isinstance(event, Notice)]
    assert told.startswith("waiting for workers: `tunelab worker run --study small#1` starts them")
    assert "SQLite must give way to PostgreSQL" in told
    Run(slow_folder.url, slow_folder.study_file, LocalExecutor(), 2).wait()
    assert executor_of(slow_folder) == "local"
    slow_folder.check_whole(N_TRIALS)
