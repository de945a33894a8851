"""The confirm stage: who is trained again, on what, and what is concluded from it."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select, update

from tests.tuning.conftest import Worker, verdict
from tunelab.datasets import load_training_data, open_prepared
from tunelab.datasets.cache import SEALED_FILE
from tunelab.storage.confirmed import Confirmation
from tunelab.storage.recorder import Outcome
from tunelab.storage.rungs import RungLimits
from tunelab.storage.states import EndReason, StudyState
from tunelab.storage.tables import checkpoints, studies, trials
from tunelab.storage.trials import CONFIRM, study_trials
from tunelab.training.records import EpochRecord
from tunelab.tuning.coordinator import Progress


class NoisyWorker(Worker):
    """Reaches a configuration's worth, and what luck its seed has with it.

    Args:
        study: The study.
        worth: Of the search's trial of this number; of all others 1.
        spread: Standard deviation of the luck.
    """

    def __init__(self, study, worth=None, spread=0.05):
        super().__init__(study)
        self._worth = worth or {}
        self._spread = spread
        self._known = {}

    def train(self, claim, recorder):
        name = json.dumps(claim.hyperparameters, sort_keys=True)
        if claim.kind != CONFIRM:
            self._known.setdefault(name, self._worth.get(claim.number, 1.0))
        luck = random.Random(f"{claim.seed} {name}").gauss(0.0, self._spread)
        value = self._known[name] + luck
        record = EpochRecord(1, value, value, 0.1, 1.0, 1e-6)
        recorder.record(record, verdict(1, value), None)
        weights = {"w": np.full(3, claim.seed % 1000, np.float32)}
        return Outcome(EndReason.COMPLETED, "done", verdict(1, value), value, weights=weights)


def runs_of(study):
    with study.database.read() as connection:
        return study_trials(connection, study.id, kind=CONFIRM)


def confirmation_of(study):
    return Confirmation.from_json(study.row.confirmed)


def kept_weights(study):
    query = (
        select(trials.c.kind, trials.c.number)
        .join(checkpoints, checkpoints.c.trial_id == trials.c.id)
        .where(checkpoints.c.kind == "best", trials.c.kind == CONFIRM)
    )
    with study.database.read() as connection:
        return [number for _, number in connection.execute(query)]


def test_where_all_are_equal_no_winner_is_named_and_the_search_was_optimistic(searched):
    study = searched(20, confirm={"finalists": 3, "seeds": 3}, sampler="random", pruner="none")
    study.run(study.coordinator(2), NoisyWorker(study))
    found = confirmation_of(study)
    assert found.winner_sentence == (
        "No real winner: no difference between the 4 finalists is beyond chance"
    )
    assert not found.has_winner
    assert len(found.tied) == 3
    # The best of 20 draws lies near -1.87 deviations, its mean over fresh seeds near none.
    assert found.optimism > 0.03
    assert study.row.state is StudyState.FINISHED


def test_where_nothing_but_the_seed_differs_the_one_configuration_is_the_default(searched):
    space = {
        "optimizer": "adam", "learning_rate": 0.01, "schedule": "constant", "layers": 1,
        "units": 16, "dropout_rate": 0.0, "l2": 0.0, "batch_size": 16, "activation": "relu",
        "batch_norm": "off", "shape": "constant",
    }  # fmt: skip
    study = searched(10, confirm={}, space=space, sampler="random", pruner="none")
    study.run(study.coordinator(2), NoisyWorker(study))
    found = confirmation_of(study)
    assert [len(found.ranked), len(runs_of(study))] == [1, 3]
    assert found.winner_sentence.startswith("No real winner: nothing is better than the default")
    assert found.tie_sentence == "Tied with the winner: none"
    assert found.optimism > 0


def test_a_real_winner_is_found_and_nobody_is_tied_with_it(searched):
    study = searched(20, confirm={}, sampler="random", pruner="none")
    study.run(study.coordinator(2), NoisyWorker(study, worth={13: 0.5}))
    found = confirmation_of(study)
    assert found.pick == found.best == 13
    assert found.tie_sentence == "Tied with the winner: none"
    assert found.beats_default is True
    assert found.winner_sentence.startswith("Winner: trial 13, better than the default")
    # 1 - 0.5, give or take two means of three draws of 0.05
    assert found.default_margin == pytest.approx(0.5, abs=0.12)


def test_finalists_share_seeds_and_splits_that_the_search_has_not_seen(searched):
    study = searched(12, confirm={}, sampler="random", pruner="median")
    study.run(study.coordinator(2), NoisyWorker(study))
    rows = runs_of(study)
    assert len(rows) == 12
    best = sorted(study.trials, key=lambda row: (row.value, row.number))[:3]
    assert {row.confirms for row in rows} == {0, *(row.number for row in best)}
    by_repeat = [{(r.seed, r.data_digest) for r in rows if r.repeat == n} for n in range(3)]
    assert [len(pairs) for pairs in by_repeat] == [1, 1, 1]
    seeds, digests = zip(*(next(iter(pairs)) for pairs in by_repeat), strict=True)
    assert len(set(seeds)) == len(set(digests)) == 3
    with study.database.read() as connection:
        of_search = connection.scalars(select(trials.c.seed).where(trials.c.kind != CONFIRM)).all()
        limits = connection.scalars(select(trials.c.rung_limits).where(trials.c.kind == CONFIRM))
        assert all(given == RungLimits().to_json() for given in limits)
    assert not set(seeds) & set(of_search)
    whole = open_prepared(Path(study.row.data_path))
    for row in rows:
        own = open_prepared(Path(row.data_path))
        assert own.digest == row.data_digest != whole.digest
        assert (own.n_train, own.n_validation) == (whole.n_train, whole.n_validation)
        assert not (own.path / SEALED_FILE).exists()
        load_training_data(own)


def test_only_the_champions_weights_stay(searched):
    study = searched(8, confirm={}, sampler="random", pruner="none")
    study.run(study.coordinator(2), NoisyWorker(study))
    found = confirmation_of(study)
    assert kept_weights(study) == [found.champion]
    champion = next(row for row in runs_of(study) if row.number == found.champion)
    assert champion.confirms == found.pick
    scores = sorted(row.value for row in runs_of(study) if row.confirms == found.pick)
    assert champion.value == scores[1]


@pytest.mark.parametrize("n_ended", [0, 1, 5, 11])
def test_a_coordinator_and_workers_killed_in_the_stage_leave_what_the_next_goes_on_with(
    searched, n_ended
):
    undisturbed = searched(6, confirm={}, sampler="random", pruner="none")
    undisturbed.run(undisturbed.coordinator(1), NoisyWorker(undisturbed))

    study = searched(6, confirm={}, sampler="random", pruner="none")
    coordinator, worker = study.coordinator(1), NoisyWorker(study)
    for _ in range(1000):
        study.clock.now += 0.1
        coordinator.tick()
        if sum(row.end_reason is not None for row in runs_of(study)) >= n_ended and runs_of(study):
            break
        worker.step()
    study.kill(worker)
    study.run(study.coordinator(1), worker)
    told = [(r.number, r.confirms, r.repeat, r.seed, r.value) for r in runs_of(study)]
    assert told == [(r.number, r.confirms, r.repeat, r.seed, r.value) for r in runs_of(undisturbed)]
    assert confirmation_of(study).equals(confirmation_of(undisturbed))
    assert kept_weights(study) == [confirmation_of(study).champion]


def test_a_study_that_gets_more_trials_confirms_anew_and_keeps_the_runs_it_has(searched):
    study = searched(6, confirm={}, sampler="random", pruner="none")
    worker = NoisyWorker(study, worth={9: 0.2})
    study.run(study.coordinator(2), worker)
    first = {(row.confirms, row.repeat): (row.id, row.ended_at) for row in runs_of(study)}
    with study.database.write() as connection:
        connection.execute(update(studies).values(n_trials=12, state="running"))
    coordinator = study.coordinator(2)
    while not any(row.number == 6 for row in study.trials):
        study.clock.now += 0.1
        coordinator.tick()
        worker.step()
    assert study.row.confirmed is None  # what was said is not true of the new search
    study.run(coordinator, worker)
    second = {(row.confirms, row.repeat): (row.id, row.ended_at) for row in runs_of(study)}
    assert first.items() <= second.items()
    assert {(9, 0), (9, 1), (9, 2)} <= set(second) - set(first)
    assert confirmation_of(study).pick == 9


def test_the_weights_of_a_new_champion_that_were_dropped_are_trained_again(searched):
    study = searched(6, confirm={}, sampler="random", pruner="none")
    worker = NoisyWorker(study)
    study.run(study.coordinator(2), worker)
    before = confirmation_of(study)
    values = {row.number: row.value for row in runs_of(study)}
    with study.database.write() as connection:
        connection.execute(checkpoints.delete())
        connection.execute(update(studies).values(confirmed=None, state="running"))
    study.run(study.coordinator(2), worker)
    assert kept_weights(study) == [before.champion]
    assert {row.number: row.value for row in runs_of(study)} == values
    assert confirmation_of(study).equals(before)


def test_the_time_of_a_study_bounds_its_search_alone(searched):
    study = searched(6, confirm={}, sampler="random", pruner="none", timeout=60)
    coordinator, worker = study.coordinator(2), NoisyWorker(study)
    while not runs_of(study):
        study.clock.now += 0.1
        coordinator.tick()
        worker.step()
    study.clock.now += 3600
    study.run(coordinator, worker)
    assert study.row.end_reason == "all trials have ended"
    assert study.row.running_seconds < 60
    assert all(row.end_reason is EndReason.COMPLETED for row in runs_of(study))


def test_a_stop_in_the_stage_is_obeyed_and_the_next_start_goes_on(searched):
    study = searched(6, confirm={}, sampler="random", pruner="none")
    coordinator, worker = study.coordinator(2), NoisyWorker(study)
    while not any(row.end_reason for row in runs_of(study)):
        study.clock.now += 0.1
        coordinator.tick()
        worker.step()
    with study.database.write() as connection:
        connection.execute(update(studies).values(stop_requested=True))
    study.clock.now += 1
    assert coordinator.tick() is Progress.STOP_REQUESTED
    study.kill(worker)
    assert coordinator.suspend()
    with study.database.write() as connection:
        connection.execute(update(studies).values(state="running"))
    study.run(study.coordinator(2), worker)
    assert math.isfinite(confirmation_of(study).optimism)


def test_a_study_without_the_stage_ends_with_its_search(searched):
    study = searched(4, confirm="off", sampler="random", pruner="none")
    study.run(study.coordinator(2), NoisyWorker(study))
    assert runs_of(study) == []
    assert study.row.confirmed is None


def test_where_the_raw_rows_are_elsewhere_the_studys_split_is_used_and_that_is_said(
    searched, monkeypatch
):
    monkeypatch.setattr("tunelab.tuning.confirm_stage.has_pool", lambda _: False)
    study = searched(6, confirm={}, sampler="random", pruner="none")
    coordinator = study.coordinator(2)
    study.run(coordinator, NoisyWorker(study))
    (notice,) = coordinator.stage.notices
    assert notice.startswith("the raw rows are not on this machine: the confirm runs train on")
    assert {row.data_path for row in runs_of(study)} == {None}
    assert confirmation_of(study).new_splits == 0
