"""A waiting trial goes to one worker, and comes back if that worker is lost."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from sqlalchemy import select, update

from tests.storage.conftest import DEAD, ELSEWHERE, HERE, completed, epoch, run_together, verdict
from tunelab.storage.claims import (
    MAX_LOST_LEASES,
    LostLeaseError,
    any_waiting,
    beat,
    claim_next,
    has_lost,
    requeue_lost,
)
from tunelab.storage.recorder import Recorder
from tunelab.storage.states import EndReason, StudyState, TrialState
from tunelab.storage.studies import (
    cancel_study,
    end_trials,
    mark_ended,
    mark_started,
    update_study,
)
from tunelab.storage.tables import checkpoints, epochs, trials

CLAIM_ALL = """
from tunelab.storage.claims import claim_next
from tunelab.storage.owners import Owner
from tunelab.storage.schema import open_database

def work(url):
    database = open_database(url)
    numbers = []
    while True:
        with database.write() as connection:
            claim = claim_next(connection, 1, Owner.this_process())
        if claim is None:
            return numbers
        numbers.append(claim.number)
"""


def test_six_processes_claim_sixty_trials_and_none_of_them_twice(bench):
    bench.insert(60)
    claimed = run_together(CLAIM_ALL, 6, bench.database.url.render_as_string())
    assert sorted(number for numbers in claimed for number in numbers) == list(range(60))
    assert all(numbers == sorted(numbers) for numbers in claimed)
    owners = bench.rows(select(trials.c.owner, trials.c.state, trials.c.attempts, trials.c.token))
    assert {row[1:] for row in owners} == {("running", 1, 1)}
    assert len({row.owner for row in owners}) == len([numbers for numbers in claimed if numbers])


def test_trials_are_claimed_in_the_order_of_their_numbers(bench):
    bench.insert(2, start=3)
    bench.insert(3)
    claims = [bench.claim() for _ in range(5)]
    assert [claim.number for claim in claims] == [0, 1, 2, 3, 4]
    assert claims[3].hyperparameters == {"units": 3}
    assert claims[3].seed == 2**31 + 3
    assert claims[3].checkpoint is None


@pytest.mark.parametrize("order", ["stopped", "finished", "stop requested"])
def test_nothing_is_claimed_from_a_study_that_does_not_run(bench, order):
    bench.insert(1)
    with bench.database.write() as connection:
        if order == "stop requested":
            update_study(connection, bench.study.id, stop_requested=True)
        else:
            mark_ended(
                connection,
                bench.study.id,
                StudyState(order),
                end_reason="a test",
                running_seconds=1.0,
            )
        assert any_waiting(connection, bench.study.id)
        assert claim_next(connection, bench.study.id, HERE) is None
        mark_started(connection, bench.study.id)
        assert claim_next(connection, bench.study.id, HERE).number == 0


def record_epochs(bench, claim, numbers, state=None):
    """Store epochs at once, as a recorder does whose last write was long ago."""
    recorder = Recorder(bench.database, claim, maximize=False)
    recorder._flushed_at = recorder._checkpointed_at = -1e9
    for number in numbers:
        recorder.record(epoch(number, 1 / number), verdict(number, 1 / number), lambda: state)
        recorder._flushed_at = -1e9
    return recorder


def test_the_trial_of_a_dead_worker_waits_again_with_all_that_it_had(bench):
    bench.insert(1)
    claim = bench.claim()
    record_epochs(bench, claim, [1, 2, 3], {"weights": np.arange(3.0)})
    before = bench.rows(select(epochs).order_by(epochs.c.epoch))
    bench.set(claim, owner=str(DEAD))
    with bench.database.read() as connection:
        assert has_lost(connection, bench.study.id)
    assert bench.requeue() == [0]
    assert bench.requeue() == []
    (trial,) = bench.trials()
    assert (trial.number, trial.state, trial.attempts) == (0, TrialState.WAITING, 1)
    assert (trial.n_epochs, trial.value, trial.best_epoch) == (3, pytest.approx(1 / 3), 3)
    again = bench.claim()
    assert (again.trial_id, again.attempt) == (claim.trial_id, 2)
    assert (again.hyperparameters, again.seed) == (claim.hyperparameters, claim.seed)
    assert again.token > claim.token
    # The first record that was due to write took the checkpoint.
    at, state = again.checkpoint
    assert at == 1
    np.testing.assert_array_equal(state["weights"], np.arange(3.0))
    assert bench.rows(select(epochs).order_by(epochs.c.epoch)) == before


def test_the_third_lost_worker_ends_a_trial_as_failed_with_the_cause(bench):
    bench.insert(2)
    for attempt in (1, 2, 3):
        claim = bench.claim()
        assert (claim.number, claim.attempt) == (0, attempt)
        if attempt == 1:
            record_epochs(bench, claim, [1], {"weights": np.zeros(1000)})
        bench.lose(claim)
    failed, waiting = bench.trials()
    assert (failed.state, failed.end_reason) == (TrialState.FINISHED, EndReason.FAILED)
    assert failed.reason.startswith("3 workers died or fell silent")
    assert failed.reason == f"{failed.error} (with units=0)"
    assert failed.ended_at is not None
    assert waiting.state is TrialState.WAITING
    assert bench.claim().number == 1
    # Nothing continues from it any more.
    assert bench.rows(select(checkpoints.c.kind)) == []


def test_a_live_worker_and_one_on_another_host_keep_their_trials(bench):
    bench.insert(2)
    bench.claim(HERE)
    bench.claim(ELSEWHERE)
    with bench.database.read() as connection:
        assert not has_lost(connection, bench.study.id)
    assert bench.requeue() == []


def test_a_silent_worker_loses_its_trial_when_the_lease_expires(bench):
    bench.insert(2)
    silent, beating = bench.claim(ELSEWHERE), bench.claim(ELSEWHERE)
    for claim in (silent, beating):
        bench.set(claim, expires_at=trials.c.expires_at - 61)
    with bench.database.write() as connection:
        assert beat(connection, beating)
        assert has_lost(connection, bench.study.id)
        assert requeue_lost(connection, bench.study.id, blamed=True) == [0]
        assert not beat(connection, silent)


def test_a_beat_of_an_earlier_claim_does_not_keep_a_later_one_alive(bench):
    bench.insert(1)
    earlier = bench.claim()
    bench.lose(earlier)
    later = bench.claim()
    bench.set(later, expires_at=5.0)
    with bench.database.write() as connection:
        assert not beat(connection, earlier)
    assert bench.rows(select(trials.c.expires_at)) == [(5.0,)]


@pytest.mark.parametrize("again", ["waiting", "claimed by another"])
@pytest.mark.parametrize("write", ["record", "finish", "release"])
def test_what_a_worker_writes_after_it_lost_its_lease_changes_nothing(bench, again, write):
    bench.insert(2)
    claim = bench.claim()
    recorder = record_epochs(bench, claim, [1])
    bench.lose(claim)
    if again != "waiting":
        bench.claim(ELSEWHERE)
    before = bench.dump()
    late = {
        "record": lambda: recorder.record(epoch(2), verdict(2), lambda: {"w": np.zeros(3)}),
        "finish": lambda: recorder.finish(completed(1, 0.1, weights={"w": np.zeros(3)}), HERE),
        "release": lambda: recorder.release(lambda: {"w": np.zeros(3)}),
    }
    with pytest.raises(LostLeaseError, match="trial 0 was taken from this worker"):
        late[write]()
    assert bench.dump() == before


def test_a_finished_trial_is_not_finished_again(bench):
    bench.insert(1)
    recorder = record_epochs(bench, bench.claim(), [1])
    recorder.finish(completed(1, 0.1), None)
    before = bench.dump()
    with pytest.raises(LostLeaseError):
        recorder.finish(completed(1, 0.2), None)
    assert bench.dump() == before


def test_a_trial_with_a_damaged_checkpoint_starts_from_nothing(bench):
    """An error would end every worker that claims it, and undo the result that comes with it."""
    bench.insert(2)
    first = bench.claim()
    record_epochs(bench, first, [1], {"weights": np.zeros(3)})
    bench.lose(first)
    with bench.database.write() as connection:
        connection.execute(update(checkpoints).values(data=b"damaged"))
    again = bench.claim()
    assert (again.number, again.checkpoint, again.damaged) == (0, None, [1])
    assert bench.rows(select(checkpoints.c.kind)) == []


@pytest.mark.parametrize("end", ["lost too often", "time over"])
def test_a_trial_that_ends_while_it_waits_ends_where_its_last_attempt_was(bench, end):
    bench.insert(1)
    first = bench.claim()
    record_epochs(bench, first, [1, 2, 3, 4, 5], {"weights": np.zeros(3)})
    bench.lose(first)
    second = bench.claim()
    record_epochs(bench, second, [2, 3])
    if end == "time over":
        bench.lose(second)
        with bench.database.write() as connection:
            end_trials(connection, bench.study.id)
    else:
        bench.set(second, lost_leases=MAX_LOST_LEASES - 1)
        bench.lose(second)
    (trial,) = bench.trials()
    assert (trial.state, trial.n_epochs) == (TrialState.FINISHED, 3)
    assert [n for (n,) in bench.rows(select(epochs.c.epoch).order_by(epochs.c.epoch))] == [1, 2, 3]


def test_no_claim_slips_through_while_a_study_is_cancelled(bench):
    bench.insert(2)
    with bench.database.write() as connection:
        claim = claim_next(connection, bench.study.id, HERE)
        canceller = threading.Thread(
            target=bench.database.attempt,
            args=(lambda other: cancel_study(other, bench.study),),
        )
        canceller.start()
        canceller.join(0.3)
        assert canceller.is_alive()
    canceller.join(20)
    assert {trial.state for trial in bench.trials()} == {TrialState.WAITING}
    with pytest.raises(LostLeaseError):
        record_epochs(bench, claim, [1])


def test_the_end_of_a_studys_time_ends_what_waits_and_asks_what_runs_to_end(bench):
    bench.insert(4)
    begun, running = bench.claim(), bench.claim()
    record_epochs(bench, begun, [1, 2], {"weights": np.zeros(1000)})
    bench.lose(begun)
    with bench.database.write() as connection:
        end_trials(connection, bench.study.id)
    pruned, other = bench.trials()
    assert (pruned.number, pruned.state) == (0, TrialState.FINISHED)
    assert (pruned.end_reason, pruned.reason) == (EndReason.PRUNED, "study time ended")
    assert (pruned.n_epochs, pruned.value, pruned.best_epoch) == (2, 0.5, 2)
    assert (other.number, other.state) == (1, TrialState.RUNNING)
    assert bench.rows(select(checkpoints.c.kind)) == []
    recorder = Recorder(bench.database, running, maximize=False)
    recorder._flushed_at = -1e9
    assert recorder.record(epoch(1), verdict(1), None)


def test_a_study_that_goes_on_asks_no_trial_to_end_any_more(bench):
    """Its time had ended, it was stopped before a running trial noticed, and got more time."""
    bench.insert(1)
    claim = bench.claim()
    recorder = record_epochs(bench, claim, [1])
    with bench.database.write() as connection:
        end_trials(connection, bench.study.id)
    recorder.release(lambda: {"weights": np.zeros(3)})
    with bench.database.write() as connection:
        mark_started(connection, bench.study.id)
    again = Recorder(bench.database, bench.claim(), maximize=False)
    again._flushed_at = -1e9
    assert not again.record(epoch(2), verdict(2), None)
