"""The best values of trials that run are read from the epochs that they have written."""

from __future__ import annotations

import math

import pytest

from tests.tuning.conftest import verdict
from tunelab.storage.recorder import Outcome, Recorder
from tunelab.storage.states import EndReason
from tunelab.training.records import EpochRecord
from tunelab.tuning import running_trials
from tunelab.tuning.running_trials import RunningTrials


@pytest.fixture
def study(searched):
    """Three trials that run and one that waits."""
    study = searched(10)
    study.coordinator(3).tick()
    return study


def write(study, claim, values, *, first=1):
    """Epochs that the trial has written; the score is the loss's negative."""
    recorder = Recorder(study.database, claim, maximize=False)
    for epoch, value in enumerate(values, start=first):
        recorder._flushed_at = -1e9
        record = EpochRecord(epoch, value, value, 0.1, 1.0, 0.0, -value, -value)
        recorder.record(record, verdict(epoch, value), None)
    return recorder


def claims(study, n):
    workers = [study.worker() for _ in range(n)]
    for worker in workers:
        worker.step()
    return [worker.claim for worker in workers]


def running(study, metric="validation_loss", maximize=False):
    return RunningTrials(study.database, study.id, rungs=(2, 4), metric=metric, maximize=maximize)


@pytest.mark.parametrize("metric", ["validation_loss", "accuracy"])
def test_the_best_so_far_is_noted_at_the_rungs(study, metric):
    first, second, third = claims(study, 3)
    write(study, first, [0.9, 0.5, 0.7, math.nan, 0.1])
    write(study, second, [0.9, 1.2, 1.1])
    write(study, third, [math.nan, math.inf])
    sign = -1 if metric == "accuracy" else 1
    assert running(study, metric, maximize=metric == "accuracy").read(range(10)) == {
        0: {2: sign * 0.5, 4: sign * 0.5},
        1: {2: sign * 0.9},
        2: {},
    }


def test_each_epoch_is_read_once_and_a_trial_that_has_ended_is_left_out(study, monkeypatch):
    first, second, _ = claims(study, 3)
    read = []
    original = running_trials.study_curves

    def spy(connection, after_epoch):
        curves = original(connection, after_epoch)
        read.extend((trial_id, row.epoch) for trial_id, rows in curves.items() for row in rows)
        return curves

    monkeypatch.setattr(running_trials, "study_curves", spy)
    followed = running(study)
    write(study, first, [0.9, 0.8])
    assert followed.read({0, 1})[0] == {2: 0.8}
    recorder = write(study, first, [0.7, 0.6], first=3)
    write(study, second, [0.5])
    assert followed.read({0, 1}) == {0: {2: 0.8, 4: 0.6}, 1: {}}
    assert sorted(read) == [
        *((first.trial_id, epoch) for epoch in range(1, 5)),
        (second.trial_id, 1),
    ]
    recorder.finish(Outcome(EndReason.COMPLETED, "-", verdict(4, 0.6), 0.6), None)
    assert followed.read({0, 1}) == {1: {}}
    assert followed.read(set()) == {}
