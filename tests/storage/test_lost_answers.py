"""A commit that succeeded although its answer was lost: nothing is done twice or hangs."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from sqlalchemy import select

from tests.storage.conftest import HERE, completed, epoch, verdict
from tunelab.execution.worker import _claim
from tunelab.storage.outages import OutageError, Patience
from tunelab.storage.queues import StudyQueue
from tunelab.storage.recorder import Recorder
from tunelab.storage.rungs import RungLimits
from tunelab.storage.states import TrialState
from tunelab.storage.tables import epochs
from tunelab.storage.trials import NewTrial, insert_trials


@pytest.fixture
def lose_answer(bench, monkeypatch):
    """Have the answer to the next commit be lost."""
    bench.database.patience = Patience(5)
    write = bench.database.write

    def lose():
        lost = []

        @contextmanager
        def write_unheard():
            with write() as connection:
                yield connection
            if not lost:
                lost.append(True)
                raise OutageError("the connection was cut")

        monkeypatch.setattr(bench.database, "write", write_unheard)

    return lose


def states(bench):
    return [trial.state for trial in bench.trials()]


def test_a_claim_is_found_again(bench, lose_answer):
    bench.insert(2)
    lose_answer()
    claim = _claim(bench.database, StudyQueue(bench.study.id), HERE)
    assert (claim.number, claim.attempt) == (0, 1)
    assert states(bench) == [TrialState.RUNNING, TrialState.WAITING]
    recorder = Recorder(bench.database, claim, maximize=False)
    assert recorder.finish(completed(1, 0.5), None) is None


@pytest.mark.parametrize("n_trials", [1, 3])
def test_a_result_is_counted_once_and_the_next_claim_found_again(bench, lose_answer, n_trials):
    bench.insert(n_trials)
    recorder = Recorder(bench.database, bench.claim(), maximize=False)
    recorder.record(epoch(1), verdict(1), None)
    lose_answer()
    following = recorder.finish(completed(1, 0.5), HERE)
    assert (following and following.number) == (1 if n_trials > 1 else None)
    assert states(bench)[:2] == [TrialState.FINISHED, TrialState.RUNNING][:n_trials]
    if following is not None:
        last = Recorder(bench.database, following, maximize=False)
        assert last.finish(completed(1, 0.4), None) is None
    assert [trial.attempts for trial in bench.trials()][:2] == [1, 1][:n_trials]


def test_epochs_and_their_checkpoint_are_there_once(bench, lose_answer, monkeypatch):
    bench.insert(1)
    recorder = Recorder(bench.database, bench.claim(), maximize=False)
    lose_answer()
    recorder.record(epoch(1, seconds=10.0), verdict(1), lambda: {"epoch": 1})
    assert bench.rows(select(epochs.c.epoch)) == [(1,)]
    recorder.finish(completed(1, 0.5), None)


def test_a_trial_that_was_given_back_waits(bench, lose_answer):
    bench.insert(1)
    recorder = Recorder(bench.database, bench.claim(), maximize=False)
    recorder.record(epoch(1), verdict(1), None)
    lose_answer()
    recorder.release(lambda: {"epoch": 1})
    assert states(bench) == [TrialState.WAITING]
    assert bench.claim().checkpoint == (1, {"epoch": 1})


def test_proposals_that_are_stored_stay_as_they_are(bench):
    bench.insert(2)
    before = bench.dump()
    again = [NewTrial(number, {"units": -1}, {}, 0, RungLimits()) for number in range(2)]
    with bench.database.write() as connection:
        insert_trials(connection, bench.study.id, again)
    assert bench.dump() == before
