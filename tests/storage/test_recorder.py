"""What a trial writes, when, and in how few transactions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sqlalchemy import select

from tests.storage.conftest import HERE, Counter, completed, epoch, verdict
from tunelab.storage import recorder as recorder_module
from tunelab.storage.recorder import Outcome, Recorder
from tunelab.storage.rungs import RungLimit, RungLimits
from tunelab.storage.states import EndReason, TrialState
from tunelab.storage.tables import checkpoints, epochs, trials
from tunelab.storage.trials import set_rung_limits, trial_curve
from tunelab.training.records import EpochRecord


class Clock:
    """Stands in for the time module; both of its clocks go only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1.7e9 + self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(recorder_module, "time", clock)
    return clock


def no_snapshot():
    raise AssertionError("no checkpoint is due")


def curve(bench, trial_id):
    with bench.database.read() as connection:
        return trial_curve(connection, trial_id)


def start(bench, **arguments):
    return Recorder(bench.database, bench.claim(), maximize=False, **arguments)


def train(bench, clock, recorder, numbers, seconds, snapshot=no_snapshot):
    """Record epochs that take ``seconds`` each; return those that wrote."""
    wrote = []
    for number in numbers:
        clock.now += seconds
        counter = Counter(bench.database)
        recorder.record(
            epoch(number, 1 / number, seconds=seconds), verdict(number, 1 / number), snapshot
        )
        wrote += [number] * bool(counter.commits)
    return wrote


def test_epochs_are_written_before_they_are_older_than_a_second(bench, clock):
    bench.insert(1)
    recorder = start(bench)
    # After epoch 3 (0.75 s) the next chance would come at 1.0 s: too late.
    assert train(bench, clock, recorder, range(1, 13), 0.25) == [3, 6, 9, 12]
    assert [row.epoch for row in curve(bench, recorder.claim.trial_id)] == list(range(1, 13))


def test_long_epochs_are_written_one_by_one(bench, clock):
    bench.insert(1)
    assert train(bench, clock, start(bench), range(1, 4), 2.0, dict) == [1, 2, 3]


def test_short_trials_write_nothing_before_their_end(bench, clock):
    bench.insert(1)
    recorder = start(bench)
    assert train(bench, clock, recorder, range(1, 50), 0.01) == []
    recorder.finish(completed(49, 1 / 49), None)
    assert len(curve(bench, recorder.claim.trial_id)) == 49
    assert bench.trials()[0].n_epochs == 49


def test_all_columns_of_an_epoch_are_stored_and_what_is_not_finite_as_null(bench, clock):
    bench.insert(1)
    recorder = start(bench)
    recorder.record(EpochRecord(1, 0.4, 0.5, 0.1, 2.0, 0.03, 0.9, 0.8), verdict(1), None)
    recorder.record(
        EpochRecord(2, math.nan, math.inf, 0.05, -math.inf, 0.04, math.nan, None), verdict(2), None
    )
    clock.now += 1
    recorder.finish(completed(2, 0.5), None)
    first, second = curve(bench, recorder.claim.trial_id)
    assert (first.train_loss, first.validation_loss) == (0.4, 0.5)
    assert (first.train_score, first.validation_score) == (0.9, 0.8)
    assert (first.learning_rate, first.gradient_norm, first.seconds) == (0.1, 2.0, 0.03)
    assert (first.signal, first.recorded_at) == ("learning", 1.7e9 + 1000)
    assert second.learning_rate == 0.05
    numbers = (second.train_loss, second.validation_loss, second.gradient_norm)
    assert numbers == (None, None, None)
    assert (second.train_score, second.validation_score) == (None, None)


def test_an_epoch_trained_again_takes_its_new_values_and_keeps_its_time(bench, clock):
    bench.insert(1)
    recorder = start(bench)
    train(bench, clock, recorder, [1, 2], 2.0, lambda: {"at": 0})
    times = [row.recorded_at for row in curve(bench, recorder.claim.trial_id)]
    bench.lose(recorder.claim)
    clock.now += 100
    again = start(bench)
    again.record(epoch(1, 7.0), verdict(1, 7.0), None)
    again.record(epoch(2, 8.0), verdict(2, 7.0, 1), None)
    again.record(epoch(3, 9.0), verdict(3, 7.0, 1), None)
    again.finish(completed(3, 7.0), None)
    rows = curve(bench, recorder.claim.trial_id)
    assert [row.validation_loss for row in rows] == [7.0, 8.0, 9.0]
    assert [row.recorded_at for row in rows] == [*times, 1.7e9 + clock.now]


def test_an_epoch_trained_again_to_the_same_values_leaves_its_row_as_it_was(bench, clock):
    """However long it took this time: MLflow has been sent the row by now."""
    bench.insert(1)
    recorder = start(bench)
    train(bench, clock, recorder, [1, 2], 2.0, lambda: {"at": 0})
    before = curve(bench, recorder.claim.trial_id)
    bench.lose(recorder.claim)
    clock.now += 100
    again = start(bench)
    train(bench, clock, again, [1, 2], 3.0, lambda: {"at": 0})
    assert curve(bench, recorder.claim.trial_id) == before
    assert [row.seconds for row in before] == [2.0, 2.0]


def test_epochs_behind_the_end_of_a_later_attempt_are_removed(bench, clock):
    bench.insert(2)
    recorder = start(bench)
    other = start(bench)
    train(bench, clock, recorder, range(1, 9), 2.0, dict)
    train(bench, clock, other, range(1, 9), 2.0, dict)
    bench.lose(recorder.claim)
    again = start(bench)
    for number in range(1, 6):
        again.record(epoch(number), verdict(number), None)
    again.finish(Outcome(EndReason.PRUNED, "pruned", verdict(5), 0.5), None)
    assert [row.epoch for row in curve(bench, recorder.claim.trial_id)] == [1, 2, 3, 4, 5]
    assert bench.trials()[0].n_epochs == 5
    assert len(curve(bench, other.claim.trial_id)) == 8


def test_the_end_of_a_trial_and_the_next_claim_are_one_commit(bench, clock):
    bench.insert(12)
    claim = bench.claim()
    for number in range(11):
        recorder = Recorder(bench.database, claim, maximize=False)
        for n in range(1, 101):
            recorder.record(epoch(n), verdict(n), no_snapshot)
        counter = Counter(bench.database)
        weights = {"w": np.zeros(3)}
        claim = recorder.finish(completed(100, 1.0 - number / 100, weights=weights), HERE)
        assert claim.number == number + 1
        assert counter.commits == 1
        assert counter.statements <= 12
    assert [trial.state for trial in bench.trials()][-2:] == ["finished", "running"]


def test_the_last_trial_and_one_without_successor_claim_nothing(bench, clock):
    bench.insert(2)
    assert start(bench).finish(completed(1, 0.5), None) is None
    assert start(bench).finish(completed(1, 0.5), HERE) is None


def test_the_row_of_a_finished_trial_says_how_it_ended(bench, clock):
    bench.insert(1)
    recorder = start(bench)
    recorder.record(epoch(1), verdict(1), None)
    outcome = Outcome(
        EndReason.EARLY_STOPPED, "no better", verdict(20, 0.25, 9), 0.25, {10: 0.5, 20: 0.25}
    )
    clock.now += 3
    recorder.finish(outcome, None)
    (trial,) = bench.trials()
    assert (trial.state, trial.end_reason) == (TrialState.FINISHED, EndReason.EARLY_STOPPED)
    assert (trial.reason, trial.error) == ("no better", None)
    assert (trial.value, trial.best_epoch, trial.signal) == (0.25, 9, "learning")
    assert trial.rung_values == {"10": 0.5, "20": 0.25}
    assert trial.ended_at == 1.7e9 + clock.now
    assert bench.rows(select(trials.c.owner, trials.c.expires_at)) == [(None, None)]


def test_a_trial_that_fails_before_its_first_epoch_has_no_value(bench, clock):
    bench.insert(1)
    start(bench).finish(Outcome(EndReason.FAILED, "no", None, None, error="no"), None)
    (trial,) = bench.trials()
    assert (trial.value, trial.best_epoch, trial.n_epochs, trial.error) == (None, None, 0, "no")


def test_a_checkpoint_is_written_with_the_epochs_that_it_covers(bench, clock):
    bench.insert(1)
    recorder = start(bench)
    taken = []

    def snapshot():
        taken.append(recorder._n_epochs)
        return {"epoch": recorder._n_epochs, "weights": np.full(3, recorder._n_epochs)}

    for number in range(1, 13):
        clock.now += 1.5
        counter = Counter(bench.database)
        recorder.record(epoch(number, seconds=1.5), verdict(number), snapshot)
        assert counter.commits == 1
        # Any reader sees a checkpoint together with its epochs.
        stored = bench.rows(select(checkpoints.c.kind, checkpoints.c.epoch))
        assert stored == [("state", epoch) for epoch in taken[-2:]]
        assert len(curve(bench, recorder.claim.trial_id)) == number
    # Every 5 s: after epoch 3 (4.5 s) the next chance would come at 6 s.
    assert taken == [3, 6, 9, 12]
    recorder.finish(completed(12, 0.5), None)
    assert bench.rows(select(checkpoints.c.kind)) == []


def test_a_checkpoint_that_cannot_be_written_leaves_its_epochs_out_too(bench, clock):
    bench.insert(1)
    recorder = start(bench)
    clock.now += 10
    before = bench.dump()
    with pytest.raises(TypeError):
        recorder.record(epoch(1), verdict(1), lambda: {"weights": object()})
    assert bench.dump() == before


def test_a_released_trial_continues_where_it_was(bench, clock):
    bench.insert(2)
    recorder = start(bench)
    state = {"run": {"w": np.arange(4.0)}, "monitor": {"best": 0.5}, "seed": 2**127 + 1}
    for number in (1, 2, 3):
        recorder.record(epoch(number, 1 / number), verdict(number, 1 / number), no_snapshot)
    counter = Counter(bench.database)
    recorder.release(lambda: state)
    assert counter.commits == 1
    (trial, _) = bench.trials()
    assert (trial.state, trial.n_epochs, trial.end_reason) == (TrialState.WAITING, 3, None)
    assert bench.rows(select(trials.c.owner, trials.c.lost_leases).limit(1)) == [(None, 0)]
    again = bench.claim()
    assert (again.number, again.attempt) == (0, 2)
    at, restored = again.checkpoint
    assert (at, restored["monitor"], restored["seed"]) == (3, {"best": 0.5}, 2**127 + 1)
    np.testing.assert_array_equal(restored["run"]["w"], np.arange(4.0))
    later = Recorder(bench.database, again, maximize=False)
    later.record(epoch(4, 0.1), verdict(4, 0.1), no_snapshot)
    later.finish(completed(4, 0.1), None)
    assert [row.epoch for row in curve(bench, again.trial_id)] == [1, 2, 3, 4]
    assert bench.rows(select(checkpoints.c.kind)) == []


def test_a_trial_released_before_its_first_epoch_has_no_checkpoint(bench, clock):
    bench.insert(1)
    start(bench).release(no_snapshot)
    assert bench.claim().checkpoint is None
    assert bench.rows(select(epochs.c.epoch)) == []


def test_new_limits_and_an_order_to_end_reach_the_worker_with_its_next_write(bench, clock):
    bench.insert(1)
    recorder = start(bench)
    assert recorder.limits.rungs == ()
    limits = RungLimits((10, 20), {10: RungLimit(0.5, 5)})
    with bench.database.write() as connection:
        set_rung_limits(connection, bench.study.id, limits)
    assert train(bench, clock, recorder, [1], 0.1) == []
    assert recorder.limits.rungs == ()
    assert train(bench, clock, recorder, [2], 1.0) == [2]
    assert recorder.limits == limits
    bench.set(recorder.claim, stop_requested=True)
    clock.now += 1
    assert recorder.record(epoch(3), verdict(3), None)


def test_every_write_puts_the_expiry_off(bench, clock):
    bench.insert(1)
    recorder = start(bench)
    bench.set(recorder.claim, expires_at=5.0)
    train(bench, clock, recorder, [1], 1.0)
    ((expires_at,),) = bench.rows(select(trials.c.expires_at))
    assert expires_at > 1e9


@pytest.mark.parametrize(
    ("best", "maximize", "stops"),
    [
        (0.4, False, False),
        (0.5, False, False),
        (0.6, False, True),
        (None, False, True),
        (0.6, True, False),
        (0.5, True, False),
        (0.4, True, True),
        (None, True, True),
    ],
)
def test_a_limit_is_exceeded_by_what_is_worse_and_not_by_what_is_equal(best, maximize, stops):
    limits = RungLimits((10, 20), {10: RungLimit(0.5, 5)})
    restored = RungLimits.from_json(limits.to_json())
    assert restored == limits
    assert (restored.exceeded(10, best, maximize=maximize) is not None) is stops
    assert restored.exceeded(20, best, maximize=maximize) is None
