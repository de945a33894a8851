"""How trials end: each end has its reason, and each reason its numbers."""

from __future__ import annotations

import errno
import math
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tests.execution.conftest import FALLING, ScriptedBackend
from tunelab.execution.backends import NumpyBackend
from tunelab.execution.trial import run_trial
from tunelab.execution.worker import work
from tunelab.storage.claims import LostLeaseError, claim_next, requeue_lost
from tunelab.storage.owners import Owner
from tunelab.storage.recorder import Recorder
from tunelab.storage.rungs import RungLimit, RungLimits
from tunelab.storage.states import EndReason, TrialState
from tunelab.storage.studies import end_trials
from tunelab.storage.tables import epochs, trials
from tunelab.storage.trials import best_trial, study_trials, trial_curve

# Falls to 0.3 at epoch 10, then climbs to 1.1 while the training loss goes on to fall.
OVERFITTING = [
    (0.9**epoch, 0.3 + 0.05 * abs(epoch - 10) ** (1.2 if epoch > 10 else 1.0))
    for epoch in range(1, 61)
]
FLAT = [(0.5, 0.5)] * 60


def never() -> bool:
    return False


def run_all(small, backend, n):
    """Let a worker train the inserted trials, as many as there are."""
    left = iter(range(10_000))

    def enough() -> bool:
        with small.database.read() as connection:
            rows = study_trials(connection, small.study.id, states=[TrialState.FINISHED])
        return len(rows) == n or next(left) > 5000

    work(small.database, small.study.id, enough, backend)
    with small.database.read() as connection:
        return study_trials(connection, small.study.id)


def test_an_overfitting_trial_completes_with_its_best_value_and_can_win(small_study):
    small = small_study()
    small.insert(3)
    backend = ScriptedBackend(FLAT, OVERFITTING, FLAT)
    _, overfitting, _ = run_all(small, backend, 3)
    assert overfitting.end_reason is EndReason.EARLY_STOPPED
    assert overfitting.signal == "overfitting"
    assert (overfitting.value, overfitting.best_epoch) == (pytest.approx(0.3), 10)
    assert overfitting.n_epochs < 60
    assert "0.3000 (epoch 10)" in overfitting.reason
    assert backend.runs[1].restored == [10]
    with small.database.read() as connection:
        assert best_trial(connection, small.study.id, maximize=False).number == 1


def test_a_trial_behind_the_limit_of_its_rung_is_pruned_there(small_study):
    small = small_study()
    limits = RungLimits((10, 20), {10: RungLimit(0.6, 5), 20: RungLimit(0.4, 5)})
    small.insert(1)
    small.insert(1, limits, start=1)
    backend = ScriptedBackend(FLAT, [(0.5, 0.5 + 1 / e) for e in range(1, 61)])
    _, trial = run_all(small, backend, 2)
    assert trial.end_reason is EndReason.PRUNED
    assert trial.n_epochs == 20
    assert trial.value == pytest.approx(0.55)
    assert trial.rung_values == {"10": pytest.approx(0.6), "20": pytest.approx(0.55)}
    assert trial.reason == (
        "rank 2 of 2 at epoch 20: validation_loss 0.55 is above 0.4, the median of 5 trials"
    )


def test_a_loss_that_is_no_number_diverges_with_the_last_finite_best(small_study):
    small = small_study()
    small.insert(2)
    backend = ScriptedBackend([*FALLING[:4], (math.nan, math.inf)], [(math.nan, math.nan)])
    later, first = run_all(small, backend, 2)
    assert later.end_reason is EndReason.DIVERGED
    assert (later.value, later.best_epoch, later.n_epochs) == (0.25, 4, 5)
    assert "epoch 5" in later.reason
    assert first.end_reason is EndReason.DIVERGED
    assert (first.value, first.best_epoch, first.n_epochs) == (None, None, 1)
    with small.database.read() as connection:
        (record,) = trial_curve(connection, later.id, after_epoch=4)
    assert record.train_loss is None
    assert record.validation_loss is None


def test_a_trial_that_uses_its_budget_is_completed(small_study):
    small = small_study(max_epochs=20)
    small.insert(1)
    (trial,) = run_all(small, ScriptedBackend(FALLING[:20]), 1)
    assert trial.end_reason is EndReason.COMPLETED
    assert (trial.value, trial.best_epoch, trial.n_epochs) == (0.05, 20, 20)
    assert trial.signal == "unfinished"


def test_a_log_on_a_full_disk_ends_neither_trial_nor_worker(small_study, monkeypatch):
    full = SimpleNamespace(write=refuse, flush=refuse)
    monkeypatch.setattr(sys, "stdout", full)
    monkeypatch.setattr(sys, "stderr", full)
    small = small_study(max_epochs=5)
    small.insert(2)
    broken, fine = run_all(small, ScriptedBackend([ValueError("no")], FALLING[:5]), 2)
    assert broken.reason.startswith("ValueError: no (with ")
    assert fine.end_reason is EndReason.COMPLETED


def refuse(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_exception_fails_its_trial_and_the_worker_goes_on(small_study):
    small = small_study(max_epochs=5)
    small.insert(3)
    backend = ScriptedBackend(
        [FALLING[0], ZeroDivisionError("float division")], [MemoryError()], FALLING[:5]
    )
    failed, starved, fine = run_all(small, backend, 3)
    assert failed.end_reason is EndReason.FAILED
    assert failed.reason.startswith("ZeroDivisionError: float division (with optimizer=adam ")
    assert failed.n_epochs == 1
    assert starved.reason.startswith("out of memory (with optimizer=adam ")
    assert fine.end_reason is EndReason.COMPLETED


def test_a_backend_that_ends_before_its_budget_fails_the_trial(small_study):
    small = small_study(max_epochs=5)
    small.insert(1)
    (trial,) = run_all(small, ScriptedBackend(FALLING[:3]), 1)
    assert trial.end_reason is EndReason.FAILED
    assert "ended before epoch 5" in trial.reason


def test_a_score_as_objective_decides_best_value_and_best_epoch(small_study):
    small = small_study(metric="accuracy", max_epochs=6)
    small.insert(1)
    scores = [0.5, 0.7, 0.9, 0.8, 0.9, 0.6]
    curve = [(0.5, loss, score) for loss, score in zip([5, 4, 3, 2, 3.5, 1], scores, strict=True)]
    (trial,) = run_all(small, ScriptedBackend(curve), 1)
    # Epochs 3 and 5 tie at 0.9; epoch 3 has the lower validation loss.
    assert (trial.value, trial.best_epoch) == (0.9, 3)


def test_when_the_study_has_ended_a_running_trial_ends_as_pruned(small_study, monkeypatch):
    small = small_study()
    small.insert(2)
    monkeypatch.setattr("tunelab.storage.recorder.FLUSH_SECONDS", 0.0)  # write every epoch

    class EndsTheStudy(ScriptedBackend):
        def start(self, *arguments, **options):
            with small.database.write() as connection:
                end_trials(connection, small.study.id)
            return super().start(*arguments, **options)

    (trial,) = run_all(small, EndsTheStudy(FALLING), 1)
    assert (trial.end_reason, trial.reason) == (EndReason.PRUNED, "study time ended")
    assert trial.number == 0  # trial 1 was never claimed and is gone
    assert trial.n_epochs == 1


def test_a_result_of_a_lost_lease_is_refused_and_changes_nothing(small_study):
    small = small_study(max_epochs=5)
    small.insert(1)
    owner = Owner.this_process()
    with small.database.write() as connection:
        late = claim_next(connection, small.study.id, owner)
        connection.execute(trials.update().values(expires_at=0.0))
        assert requeue_lost(connection, small.study.id, blamed=True) == [0]
        second = claim_next(connection, small.study.id, owner)
    recorder = Recorder(small.database, late, maximize=False)
    outcome = run_trial(small.task(ScriptedBackend(FALLING[:5])), late, recorder, never)
    with pytest.raises(LostLeaseError):
        recorder.finish(outcome, owner)
    with small.database.read() as connection:
        (trial,) = study_trials(connection, small.study.id)
        assert connection.execute(epochs.select()).all() == []
    assert (trial.state, trial.attempts) == (TrialState.RUNNING, second.attempt)


@pytest.mark.parametrize("stop_after_epoch", [0, 1, 7, 23])
def test_a_trial_that_was_given_back_continues_to_the_bit(small_study, stop_after_epoch):
    small = small_study()
    small.insert(2)  # twins: same configuration, same seed
    claims = {}

    def train(should_stop):
        with small.database.write() as connection:
            claim = claim_next(connection, small.study.id, Owner.this_process())
        claims.setdefault(claim.number, []).append(claim)
        recorder = Recorder(small.database, claim, maximize=False)
        outcome = run_trial(small.task(NumpyBackend()), claim, recorder, should_stop)
        if outcome is not None:
            recorder.finish(outcome, None)
        return outcome

    steps_per_epoch = math.ceil(len(small.data.x_train) / 16)
    # The flag goes up in the middle of the next epoch, which is then discarded.
    countdown = iter(range(10**6))
    stopped = train(lambda: next(countdown) >= steps_per_epoch * stop_after_epoch + 2)
    assert stopped is None
    continued = train(never)
    undisturbed = train(never)
    assert [claim.attempt for claim in claims[0]] == [1, 2]
    assert continued.verdict == undisturbed.verdict
    assert set(continued.weights) == set(undisturbed.weights)
    for name, weights in continued.weights.items():
        np.testing.assert_array_equal(weights, undisturbed.weights[name])
    with small.database.read() as connection:
        first, second = study_trials(connection, small.study.id)
        curves = [trial_curve(connection, trial.id) for trial in (first, second)]
    measured = ("train_loss", "validation_loss", "validation_score", "gradient_norm", "signal")
    assert [[getattr(epoch, name) for name in measured] for epoch in curves[0]] == [
        [getattr(epoch, name) for name in measured] for epoch in curves[1]
    ]
    assert [epoch.epoch for epoch in curves[0]] == list(range(1, first.n_epochs + 1))


def test_training_time_counts_over_attempts(small_study, monkeypatch):
    """An epoch takes a second; the trial may train for 10 and has to leave after some 6."""
    small = small_study(trial_timeout=10)
    small.insert(1)
    seconds = [0.0]
    monkeypatch.setattr(
        "tunelab.execution.limits.time", SimpleNamespace(monotonic=lambda: seconds[0])
    )
    monkeypatch.setattr("tunelab.execution.limits._set_alarm", lambda _seconds: None)
    backend = ScriptedBackend(FALLING, FALLING)

    def tick_until(end: float) -> bool:
        seconds[0] += 1.0
        return seconds[0] > end

    work(small.database, small.study.id, lambda: tick_until(7.0), backend)
    with small.database.read() as connection:
        (waiting,) = study_trials(connection, small.study.id)
    assert waiting.state is TrialState.WAITING
    assert 5 <= waiting.n_epochs <= 7
    work(small.database, small.study.id, lambda: tick_until(30.0), backend)
    with small.database.read() as connection:
        (failed,) = study_trials(connection, small.study.id)
        curve = trial_curve(connection, failed.id)
    assert failed.end_reason is EndReason.FAILED
    # The epoch that was cut short is trained again, and its time counts.
    assert 8 <= failed.n_epochs <= 10
    assert [record.epoch for record in curve] == list(range(1, failed.n_epochs + 1))
    assert failed.reason.startswith(
        f"trial_timeout of 10 s exceeded: at epoch {failed.n_epochs} of 60 after 10 s of training "
        "(with optimizer=adam"
    )


def test_a_system_exit_fails_its_trial_and_the_worker_goes_on(small_study):
    small = small_study(max_epochs=5)
    small.insert(2)
    backend = ScriptedBackend([FALLING[0], SystemExit(3)], FALLING[:5])
    failed, fine = run_all(small, backend, 2)
    assert (failed.end_reason, failed.n_epochs) == (EndReason.FAILED, 1)
    assert failed.reason.startswith("SystemExit: 3 (with optimizer=adam ")
    assert fine.end_reason is EndReason.COMPLETED
