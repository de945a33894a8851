"""The watcher tells of the confirm stage's runs: their starts, epochs and ends, each once."""

from __future__ import annotations

import pytest

from tests.service.conftest import running_study
from tunelab.service.events import (
    ConfirmEpochFinished,
    ConfirmProgress,
    ConfirmRunStarted,
    EpochFinished,
    TrialFinished,
)
from tunelab.service.watch import Watcher
from tunelab.spec.study import StudySpec
from tunelab.storage.claims import claim_next
from tunelab.storage.owners import Owner
from tunelab.storage.recorder import Outcome, Recorder
from tunelab.storage.rungs import RungLimits
from tunelab.storage.schema import open_database
from tunelab.storage.states import EndReason
from tunelab.storage.trials import CONFIRM, NewTrial, insert_trials
from tunelab.training.monitor import Signal, Verdict
from tunelab.training.records import EpochRecord

HERE = Owner.this_process()


@pytest.fixture
def study(sqlite_url):
    database = open_database(sqlite_url)
    mapping = {
        "name": "small",
        "task": "classification",
        "data": {"source": "sklearn", "name": "iris"},
        "search": {"trials": 1, "max_epochs": 10},
    }
    spec = StudySpec.from_mapping(mapping).resolve(1000)
    yield database, running_study(database, spec, 1)
    database.close()


class Run:
    """A trial or a confirm run that the test trains."""

    def __init__(self, database, study_id):
        with database.write() as connection:
            claim = claim_next(connection, study_id, HERE)
        self.recorder = Recorder(database, claim, maximize=False)
        self.n = 0

    def train(self, *losses):
        for loss in losses:
            self.n += 1
            self.verdict = Verdict(
                Signal.LEARNING, False, self.n, self.n, loss, True, None, 0.0, "r"
            )
            record = EpochRecord(self.n, loss, loss, 0.1, 1.0, 2.0, 0.9, 0.9)  # written at once
            self.recorder.record(record, self.verdict, None)

    def end(self):
        outcome = Outcome(EndReason.COMPLETED, "r", self.verdict, self.verdict.best_value)
        self.recorder.finish(outcome, None)


def kinds(events):
    return [type(event).__name__ for event in events]


def test_runs_are_told_of_like_trials_and_apart_from_them(study):
    database, row = study
    watcher = Watcher(database, row.id)
    search = Run(database, row.id)
    search.train(0.5)
    search.end()
    assert kinds(watcher.poll()) == ["TrialStarted", "EpochFinished", "TrialFinished"]
    new = [
        NewTrial(n, {"units": 1}, {}, 0, RungLimits(), CONFIRM, confirms=0, repeat=n)
        for n in range(2)
    ]
    with database.write() as connection:
        insert_trials(connection, row.id, new)
    (begun,) = watcher.poll()
    assert begun == ConfirmProgress(0, 2)

    first = Run(database, row.id)
    first.train(0.4, 0.3)
    started, *epochs = watcher.poll()
    assert isinstance(started, ConfirmRunStarted)
    assert (started.run.number, started.run.repeat) == (0, 0)
    assert [(e.number, e.epoch.epoch, e.epoch.validation_loss) for e in epochs] == [
        (0, 1, 0.4), (0, 2, 0.3),
    ]  # fmt: skip
    assert watcher.poll() == []

    first.train(0.2)
    first.end()
    epoch, ended = watcher.poll()
    assert isinstance(epoch, ConfirmEpochFinished)
    assert epoch.epoch.epoch == 3
    assert (ended.n_finished, ended.n_total, ended.run.value) == (1, 2, 0.2)
    assert watcher.poll() == []
    # Nothing of it looks like the search's trial 0.
    assert not any(isinstance(event, EpochFinished | TrialFinished) for event in [*epochs, ended])
    assert started.to_json()["event"] == "confirm_run_started"
    assert epoch.to_json()["event"] == "confirm_epoch"


def test_one_who_comes_later_is_told_of_what_is_under_way(study):
    database, row = study
    search = Run(database, row.id)
    search.train(0.5)
    search.end()
    with database.write() as connection:
        new = NewTrial(0, {"units": 1}, {}, 0, RungLimits(), CONFIRM, confirms=0, repeat=0)
        insert_trials(connection, row.id, [new])
    Run(database, row.id).train(0.4, 0.3)
    assert kinds(Watcher(database, row.id).poll()) == [
        "ConfirmProgress", "ConfirmRunStarted", "ConfirmEpochFinished", "ConfirmEpochFinished",
    ]  # fmt: skip
