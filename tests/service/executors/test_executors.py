"""What every executor owes to a study, whatever runs its workers."""

from __future__ import annotations

import time

import pytest

from tests.service.executors.conftest import N_TRIALS, Kind, Run, kill_worker_of_running_trial
from tunelab.service.control import cancel
from tunelab.service.executors.local import LocalExecutor
from tunelab.storage.engine import Database
from tunelab.storage.states import StudyState

CURVES = "SELECT number, hyperparameters, seed, value, best_epoch, n_epochs FROM trials ORDER BY 1"


def test_every_trial_ends_once_also_that_of_a_worker_that_is_killed(kind: Kind):
    run = kind.run()
    number = kill_worker_of_running_trial(kind.folder)
    finished = run.wait()
    assert finished.summary.study.state is StudyState.FINISHED
    kind.wait_until_nothing_is_left()
    kind.folder.check_whole(N_TRIALS)
    attempts = dict(kind.folder.sql("SELECT number, attempts FROM trials"))
    assert attempts.pop(number) == 2
    assert set(attempts.values()) == {1}


def test_leaving_saves_running_trials_and_another_executor_goes_on(kind: Kind):
    run = kind.run()
    kind.folder.wait_for("SELECT count(*) > 0 FROM trials WHERE state = 'running'")
    time.sleep(0.3)
    assert run.leave() < 8
    assert kind.folder.sql("SELECT state, end_reason FROM studies") == [("stopped", "stopped")]
    assert kind.folder.sql("SELECT count(*) FROM trials WHERE state = 'running'") == [(0,)]
    kind.wait_until_nothing_is_left()
    again = Run(kind.folder.url, kind.folder.study_file, LocalExecutor(), 2)
    assert again.wait().summary.study.state is StudyState.FINISHED
    kind.folder.check_whole(N_TRIALS)
    assert kind.folder.sql("SELECT sum(lost_leases) FROM trials") == [(0,)]


def test_stop_now_ends_workers_and_gives_their_trials_back(kind: Kind):
    run = kind.run()
    kind.folder.wait_for("SELECT count(*) > 0 FROM trials WHERE state = 'running'")
    began = time.monotonic()
    cancel(Database(kind.folder.url), "small")
    run.wait(15.0)
    assert time.monotonic() - began < 8
    assert kind.folder.sql("SELECT state, end_reason FROM studies") == [("stopped", "cancelled")]
    assert kind.folder.sql("SELECT count(*) FROM trials WHERE state = 'running'") == [(0,)]
    kind.wait_until_nothing_is_left()


@pytest.mark.long
def test_with_one_worker_a_seeded_study_repeats_whatever_runs_it(kind: Kind):
    kind.run(n_workers=1).wait()
    there = kind.folder.sql(CURVES)
    kind.folder.tunelab("study", "delete", "small", "--yes")
    Run(kind.folder.url, kind.folder.study_file, LocalExecutor(), 1).wait()
    assert len(there) == N_TRIALS
    assert there == kind.folder.sql(CURVES)
