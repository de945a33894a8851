"""The coordinator, with the real tables and a worker that plays a script."""

from __future__ import annotations

import math
import random
import statistics
import time

import optuna
import pytest
from sqlalchemy import select, update

from tests.storage.conftest import Counter
from tests.tuning.conftest import HERE, LEASE, MAX_EPOCHS, curve, same_configuration, verdict
from tunelab.spec.default_space import default_configuration
from tunelab.storage.leases import acquire_lease
from tunelab.storage.outages import OutageError
from tunelab.storage.recorder import Outcome, Recorder
from tunelab.storage.states import TIME_OVER, EndReason, StudyState, TrialState
from tunelab.storage.studies import mark_ended, mark_started, update_study
from tunelab.storage.tables import leases, trials
from tunelab.training.records import EpochRecord
from tunelab.tuning.coordinator import MAX_AHEAD, Progress
from tunelab.tuning.optuna_study import OptunaStudy


def states(study):
    return [trial.state for trial in study.trials]


def numbers(study):
    return [trial.number for trial in study.trials]


@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_trial_costs_its_share_of_commits_and_statements_and_no_more(searched, n_workers):
    study = searched(60)
    coordinator, counter = study.coordinator(n_workers), Counter(study.database)
    began = time.monotonic()
    study.run(coordinator, study.worker())
    # A result and the next claim are one, proposals another; limits and leases once a second, by
    # the coordinator's clock, and epochs by the worker's.
    seconds = study.row.running_seconds + time.monotonic() - began
    first_claim_and_end = 2
    assert counter.commits <= 2 * 60 + seconds + first_claim_and_end
    limits = [text for text in counter.texts if text.startswith("UPDATE trials SET rung_limits")]
    assert len(limits) <= study.row.running_seconds + 1
    assert counter.statements <= 20 * 60


@pytest.mark.parametrize("n_workers", [1, 3])
@pytest.mark.parametrize("metric", ["validation_loss", "accuracy"])
def test_a_study_runs_to_its_total(searched, n_workers, metric):
    study = searched(25, metric=metric)
    study.run(study.coordinator(n_workers), *(study.worker() for _ in range(n_workers)))
    assert numbers(study) == list(range(25))
    assert set(states(study)) == {TrialState.FINISHED}
    row = study.row
    assert (row.state, row.end_reason) == (StudyState.FINISHED, "all trials have ended")
    assert row.running_seconds > 0
    ends = {trial.end_reason for trial in study.trials}
    assert {EndReason.COMPLETED, EndReason.EARLY_STOPPED, EndReason.DIVERGED} <= ends
    assert EndReason.PRUNED in ends
    default = default_configuration(study.spec.search_space).to_flat()
    assert same_configuration(study.trials[0].hyperparameters, default)


def test_a_single_worker_never_waits_and_no_trial_knows_more_than_it_may(searched):
    study = searched(8)
    coordinator, worker = study.coordinator(), study.worker()
    coordinator.tick()
    assert numbers(study) == [0, 1]
    coordinator.tick()
    assert numbers(study) == [0, 1]
    worker.step()
    coordinator.tick()
    assert numbers(study) == [0, 1]
    worker.step()  # ends trial 0 and has trial 1 at once
    assert worker.claim.number == 1
    coordinator.tick()
    assert numbers(study) == [0, 1, 2]


def test_several_workers_find_a_trial_waiting_each(searched):
    study = searched(100)
    coordinator = study.coordinator(4)
    coordinator.tick()
    assert numbers(study) == [0, 1, 2, 3, 4, 5]  # in two ticks of 0.2 s, two of them end
    study.run(coordinator, *(study.worker() for _ in range(4)))
    assert len(study.trials) == 100


def test_short_trials_are_asked_for_ahead_but_within_bounds(searched):
    study = searched(60)
    coordinator = study.coordinator(2)
    worker = study.worker()
    assert coordinator.poll_seconds == pytest.approx(0.2)
    outstanding = []
    for _ in range(40):
        coordinator.tick()
        outstanding.append(sum(state is not TrialState.FINISHED for state in states(study)))
        worker.step()
        with study.database.write() as connection:
            connection.execute(update(trials).values(started_at=trials.c.ended_at))
    # One for each worker and one more; after 40 trials of no time at all, as many as may be.
    assert outstanding[0] == 3
    assert max(outstanding) == outstanding[-1] == 2 * MAX_AHEAD
    assert coordinator.poll_seconds == pytest.approx(0.02)


def test_behind_many_workers_a_quarter_of_their_trials_wait_handed_out_as_they_are_proposed(
    searched, monkeypatch
):
    study = searched(100)
    coordinator = study.coordinator(20)
    propose = OptunaStudy.propose

    def slowly(optuna_study):
        study.clock.now += 0.03
        return propose(optuna_study)

    monkeypatch.setattr(OptunaStudy, "propose", slowly)
    coordinator.tick()
    worker = study.worker()
    while worker.step():
        pass
    with study.database.write() as connection:  # so long that two ticks end few such trials
        connection.execute(update(trials).values(started_at=trials.c.ended_at - 30.0))
    stored = []
    for _ in range(7):
        coordinator.tick()
        stored.append((len(study.trials) - 4, coordinator.poll_seconds))
    # 0.1 s are over after the fourth proposal; the workers get what is there by then.
    assert stored == [(4, 0), (8, 0), (12, 0), (16, 0), (20, 0), (24, 0), (25, 0.2)]


def test_where_ticks_are_rare_more_trials_are_asked_for_ahead(searched):
    study = searched(60)
    coordinator = study.coordinator(2)
    for _ in range(40):
        coordinator.tick()
        study.clock.now += 1.2
    worker = study.worker()
    worker.step()
    worker.step()
    with study.database.write() as connection:
        connection.execute(update(trials).values(ended_at=trials.c.started_at + 1.0))
    coordinator.tick()
    # Two ticks are 2.4 s, in which two workers end 4.8 trials of 1 s; behind them two more train.
    assert sum(state is not TrialState.FINISHED for state in states(study)) == 7


def test_a_finished_study_that_is_extended_goes_on(searched):
    whole = searched(14)
    whole.run(whole.coordinator(), whole.worker())
    study = searched(6)
    study.run(study.coordinator(), study.worker())
    before = study.proposed()
    assert study.coordinator().tick() is Progress.FINISHED
    with study.database.write() as connection:
        update_study(connection, study.id, n_trials=14)
        mark_started(connection, study.id)
    study.run(study.coordinator(), study.worker())
    assert study.proposed()[:6] == before
    assert study.row.state is StudyState.FINISHED
    # Even the search is the one that a total of 14 from the start would have been.
    assert study.proposed() == whole.proposed()


def test_when_time_ends_unclaimed_trials_go_and_running_ones_are_asked_to_end(searched):
    study = searched(50, timeout=30)
    coordinator = study.coordinator(2)
    coordinator.tick()
    first, second = study.worker(), study.worker()
    first.step()
    second.step()
    first.step()
    study.clock.now += 29
    assert coordinator.tick() is Progress.RUNNING
    assert len(study.trials) == 4
    study.clock.now += 2
    assert coordinator.tick() is Progress.RUNNING
    # Trial 0 has ended, 1 and 2 are being trained, 3 was never claimed.
    assert numbers(study) == [0, 1, 2]
    assert not study.worker().step()
    for worker in (first, second):
        recorder = Recorder(study.database, worker.claim, maximize=False)
        recorder._flushed_at = -1e9
        assert recorder.record(EpochRecord(1, 0.9, 0.9, 0.1, 1.0, 0.0), verdict(1, 0.9), None)
        outcome = Outcome(EndReason.PRUNED, TIME_OVER, verdict(1, 0.9), 0.9)
        assert recorder.finish(outcome, HERE) is None
    assert coordinator.tick() is Progress.FINISHED
    row = study.row
    assert (row.state, row.end_reason) == (StudyState.FINISHED, TIME_OVER)
    assert row.running_seconds == pytest.approx(31)
    assert [trial.end_reason for trial in study.trials[1:]] == [EndReason.PRUNED] * 2
    # Given more time, it goes on from where it was.
    with study.database.write() as connection:
        update_study(connection, study.id, timeout_seconds=1000.0, n_trials=12)
        mark_started(connection, study.id)
    study.run(study.coordinator(2), study.worker(), study.worker())
    assert numbers(study) == list(range(12))
    assert study.row.running_seconds > 31


def test_time_is_summed_over_restarts(searched):
    study = searched(50, timeout=30)
    for _ in range(2):
        coordinator = study.coordinator(1)
        coordinator.tick()
        study.clock.now += 14
        coordinator.suspend()
        assert (study.row.state, study.row.end_reason) == (StudyState.STOPPED, "stopped")
        with study.database.write() as connection:
            mark_started(connection, study.id)
    assert study.row.running_seconds == pytest.approx(28)
    coordinator = study.coordinator(1)
    coordinator.tick()
    assert len(study.trials) == 2
    study.clock.now += 2.1
    assert coordinator.tick() is Progress.FINISHED
    assert study.trials == []


HALVING = {"name": "successive_halving", "min_resource": 5, "reduction_factor": 2}
PERCENTILE = {"name": "percentile", "percentile": 40, "startup_trials": 2, "warm_up_epochs": 5}
SEARCHES = {
    "tpe": {"sampler": "tpe"},
    "random, percentile": {"sampler": "random", "pruner": PERCENTILE},
    "qmc, halving": {"sampler": "qmc", "pruner": HALVING},
    "flat": {"sampler": "tpe", "stop_when_flat": True},
}


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_with_one_worker_a_study_repeats_whatever_the_timing_and_through_kills(searched, search):
    n = 60 if "stop_when_flat" in search else 24
    undisturbed = searched(n, **search)
    undisturbed.run(undisturbed.coordinator(), undisturbed.worker())
    expected = undisturbed.proposed()
    assert any(limits["limits"] for *_, limits in expected)
    assert EndReason.PRUNED in {trial.end_reason for trial in undisturbed.trials}
    assert (len(expected) < n) == ("stop_when_flat" in search)
    for seed in range(4):
        generator = random.Random(seed)
        study = searched(n, **search)
        coordinator, worker = study.coordinator(), study.worker()
        n_kills = 0
        while True:
            study.clock.now += generator.uniform(0, 1)
            what = generator.random()
            if what < 0.5:
                if coordinator.tick() is Progress.FINISHED:
                    break
            elif what < 0.85:
                worker.step()
            elif what < 0.93:
                n_kills += 1
                coordinator = study.coordinator()
            elif worker.claim is not None and worker.claim.attempt < 2:
                n_kills += 1
                study.kill(worker)
        assert n_kills > 3
        assert study.proposed() == expected
        assert study.row.end_reason == undisturbed.row.end_reason
        assert {trial.state for trial in study.trials} == {TrialState.FINISHED}


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_all_processes_may_die_and_a_restart_reaches_the_right_total(searched, search):
    study = searched(20, **{**search, "stop_when_flat": False})
    generator = random.Random(2)
    for _ in range(4):
        coordinator = study.coordinator(3)
        workers = [study.worker() for _ in range(3)]
        for _ in range(12):
            study.clock.now += 0.1
            coordinator.tick()
            generator.choice(workers).step()
        for worker in workers:
            study.kill(worker)
    study.run(study.coordinator(3), *(study.worker() for _ in range(3)))
    assert numbers(study) == list(range(20))
    assert {trial.state for trial in study.trials} == {TrialState.FINISHED}
    assert max(trial.attempts for trial in study.trials) > 1
    if study.spec.search.sampler == "qmc":
        # Each point of the one sequence once, whoever ran first and whatever died.
        alone = searched(20, sampler="qmc")
        alone.run(alone.coordinator(), alone.worker())
        configurations = [trial.hyperparameters for trial in study.trials]
        assert configurations == [trial.hyperparameters for trial in alone.trials]
        assert len({str(configuration) for configuration in configurations}) == 20


def pruned_by_optuna(study, trial, others):
    """The epoch at which Optuna's successive halving ends a trial; None if it never does."""
    pruner = optuna.pruners.SuccessiveHalvingPruner(5, 2)
    optunas = optuna.create_study()

    def prunes(number, epoch, value):
        report = optuna.trial.Trial(optunas, optunas.get_trials()[number]._trial_id)
        report.report(value, epoch)
        return pruner.prune(optunas, optunas.get_trials()[number])

    for other in [*others, trial]:
        number = optunas.ask().number
        curve_of = list(curve(dict(other.hyperparameters)))[: other.n_epochs]
        for epoch in (5, 10, 20):
            if epoch <= other.n_epochs:
                pruned = prunes(number, epoch, curve_of[epoch - 1])
                if pruned and other is trial:
                    return epoch
        if other.end_reason.is_complete:
            prunes(number, MAX_EPOCHS, other.value)
    return None


def test_with_one_worker_successive_halving_prunes_as_optuna_would(searched):
    """Of what it may know: all trials but the last two."""
    study = searched(30, sampler="random", pruner=HALVING)
    study.run(study.coordinator(), study.worker())
    ends = [trial.end_reason for trial in study.trials]
    assert ends.count(EndReason.PRUNED) > 5
    for trial in study.trials:
        known = [
            other
            for other in study.trials[: max(trial.number - 1, 0)]
            if other.end_reason is not EndReason.FAILED
        ]
        pruned = trial.n_epochs if trial.end_reason is EndReason.PRUNED else None
        assert pruned_by_optuna(study, trial, known) == pruned, trial


def test_with_several_workers_successive_halving_compares_with_trials_that_run(searched):
    study = searched(20, pruner=HALVING)
    coordinator = study.coordinator(3)
    workers = [study.worker() for _ in range(3)]
    coordinator.tick()
    for worker in workers:
        worker.step()
    slow, slower, _ = (worker.claim for worker in workers)
    for claim, values in ((slow, [0.9] * 4 + [0.7, 0.8]), (slower, [0.6, 0.9, 0.8])):
        recorder = Recorder(study.database, claim, maximize=False)
        for epoch, value in enumerate(values, start=1):
            recorder._flushed_at = -1e9
            recorder.record(
                EpochRecord(epoch, value, value, 0.1, 1.0, 0.0), verdict(epoch, value), None
            )
    study.clock.now += 1
    coordinator.tick()
    # One has passed the first rung, at epoch 5; its best there counts.
    assert [limits["limits"] for limits in study.limits().values()] == [{"5": [0.7, 1]}] * 5
    outcome = Outcome(EndReason.DIVERGED, "-", verdict(6, 0.7), 0.7, {5: 0.7})
    recorder = Recorder(study.database, slow, maximize=False)
    recorder.finish(outcome, None)
    study.clock.now += 1
    coordinator.tick()
    study.clock.now += 1
    coordinator.tick()
    # It counts once, also when it has ended.
    limits = study.limits()
    assert all(limits[number]["limits"] == {"5": [0.7, 1]} for number in limits if number)


def flat_study(searched, n_trials=60):
    """A study without pruning whose values no random trial improves much for long."""
    return searched(n_trials, sampler="random", pruner="none", stop_when_flat=True)


@pytest.mark.parametrize("n_workers", [1, 3])
def test_a_study_that_improves_no_more_ends_and_says_so(searched, n_workers):
    study = flat_study(searched, 200)
    workers = [study.worker() for _ in range(n_workers)]
    study.run(study.coordinator(n_workers), *workers)
    row = study.row
    assert row.state is StudyState.FINISHED
    assert row.end_reason.startswith("flat: the last 1")
    assert {trial.state for trial in study.trials} == {TrialState.FINISHED}
    complete = [t.value for t in study.trials if t.end_reason.is_complete]
    assert 16 <= len(complete) < 80
    n_last = max(15, math.ceil(0.3 * len(complete)))
    best = min(complete[:-n_last])
    assert f"last {n_last} completed trials did not beat {best:.4g} by" in row.end_reason
    error = float(row.end_reason.split()[-1])
    assert best - min(complete) <= error * 1.05
    # Started again, it proposes nothing more; without the rule, it goes on.
    numbers_before = numbers(study)
    with study.database.write() as connection:
        mark_started(connection, study.id)
    assert study.coordinator(n_workers).tick() is Progress.FINISHED
    assert (numbers(study), study.row.end_reason) == (numbers_before, row.end_reason)
    spec = {**study.row.spec, "search": {**study.row.spec["search"], "stop_when_flat": False}}
    with study.database.write() as connection:
        update_study(connection, study.id, spec=spec, n_trials=len(numbers_before) + 5)
        mark_started(connection, study.id)
    study.run(study.coordinator(n_workers), *workers)
    assert len(study.trials) == len(numbers_before) + 5
    assert study.row.end_reason == "all trials have ended"


def test_a_flat_study_waits_for_the_trials_under_way(searched):
    study = flat_study(searched)
    coordinator = study.coordinator(2)
    slow, fast = study.worker(), study.worker()
    coordinator.tick()
    slow.step()
    assert slow.claim.number == 0
    for _ in range(100):
        study.clock.now += 0.1
        coordinator.tick()
        if not fast.step():
            break
    n = len(study.trials)
    assert n < 60
    study.clock.now += 1
    assert coordinator.tick() is Progress.RUNNING
    assert len(study.trials) == n
    recorder = Recorder(study.database, slow.claim, maximize=False)
    recorder.record(EpochRecord(1, 9.0, 9.0, 0.1, 1.0, 0.0), verdict(1, 9.0), None)
    recorder.finish(Outcome(EndReason.COMPLETED, "-", verdict(1, 9.0), 9.0), None)
    assert coordinator.tick() is Progress.FINISHED
    assert study.row.end_reason.startswith("flat")
    assert len(study.trials) == n


@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_last_trial_that_beats_the_best_keeps_the_study_going(searched, n_workers):
    """The one that was under way when all before it were flat."""
    study = flat_study(searched)
    coordinator, worker = study.coordinator(n_workers), study.worker()
    while len(study.trials) < 60:
        before = len(study.trials)
        study.clock.now += 0.1
        coordinator.tick()
        waiting = [trial for trial in study.trials if trial.state is not TrialState.FINISHED]
        if len(study.trials) == before and len(waiting) == 1 and worker.claim is not None:
            break
        worker.step()
    assert len(study.trials) < 60
    n = len(study.trials)
    recorder = Recorder(study.database, worker.claim, maximize=False)
    recorder.record(EpochRecord(1, 0.001, 0.001, 0.1, 1.0, 0.0), verdict(1, 0.001), None)
    recorder.finish(Outcome(EndReason.COMPLETED, "-", verdict(1, 0.001), 0.001), None)
    worker.claim = None
    for _ in range(3):
        study.clock.now += 0.1
        assert coordinator.tick() is Progress.RUNNING
    assert len(study.trials) > n


def test_a_dead_workers_trial_is_given_out_again_within_a_second(searched):
    study = searched(10)
    coordinator, worker = study.coordinator(2), study.worker()
    coordinator.tick()
    worker.step()
    study.kill(worker)
    study.clock.now += 0.6
    coordinator.tick()
    assert states(study)[0] is TrialState.WAITING
    worker.step()
    assert (worker.claim.number, worker.claim.attempt) == (0, 2)


@pytest.mark.parametrize("restarted", [False, True])
def test_running_trials_get_the_limits_that_later_results_set(searched, restarted):
    study = searched(6)
    coordinator = study.coordinator(4)
    slow, fast = study.worker(), study.worker()
    coordinator.tick()
    slow.step()
    assert slow.claim.number == 0
    assert study.limits()[0]["limits"] == {}
    assert study.limits()[0]["rungs"] == [5, 10, 20]
    # All others end; the last of them when nothing is left to propose.
    while fast.step():
        coordinator.tick()
    study.clock.now += 1
    if restarted:
        coordinator = study.coordinator(4)
    coordinator.tick()
    study.clock.now += 1
    assert coordinator.tick() is Progress.RUNNING
    complete = [row for row in study.trials if row.end_reason and row.end_reason.is_complete]
    assert len(complete) >= 3
    limits = study.limits()[0]["limits"]
    assert {n for _, n in limits.values()} == {len(complete)}
    at_5 = [list(curve(dict(trial.hyperparameters)))[4] for trial in complete]
    assert limits["5"][0] == pytest.approx(statistics.median(at_5))


def test_with_one_worker_trials_keep_the_limits_that_they_were_proposed_with(searched):
    study = searched(10)
    coordinator, worker = study.coordinator(), study.worker()
    given = {}
    while coordinator.tick() is Progress.RUNNING:
        study.clock.now += 1
        worker.step()
        given = {**study.limits(), **given}
    assert study.limits() == given


def test_a_request_to_stop_is_noticed(searched):
    study = searched(10)
    coordinator = study.coordinator()
    assert coordinator.tick() is Progress.RUNNING
    with study.database.write() as connection:
        update_study(connection, study.id, stop_requested=True)
    study.clock.now += 0.6
    assert coordinator.tick() is Progress.STOP_REQUESTED


def test_a_coordinator_that_was_taken_for_dead_notices_that_its_study_was_stopped(searched):
    study = searched(10)
    coordinator = study.coordinator()
    assert coordinator.tick() is Progress.RUNNING
    with study.database.write() as connection:
        mark_ended(
            connection, study.id, StudyState.STOPPED, end_reason="stopped", running_seconds=1.0
        )
    study.clock.now += 0.6
    assert coordinator.tick() is Progress.STOP_REQUESTED


def test_after_a_sleep_of_the_machine_nobody_is_taken_for_dead(searched):
    """Every lease has expired, and the monotonic clock stood still."""
    study = searched(10)
    coordinator, worker = study.coordinator(2), study.worker()
    coordinator.tick()
    worker.step()
    asleep = 8 * 3600.0
    coordinator._kept_house_at -= asleep
    with study.database.write() as connection:
        connection.execute(update(trials).values(expires_at=trials.c.expires_at - asleep))
    study.clock.now += 0.6
    coordinator.tick()
    assert states(study)[0] is TrialState.RUNNING
    for _ in range(21):  # who is still silent after two beats is
        study.clock.now += 1
        coordinator.tick()
    assert states(study)[0] is TrialState.WAITING


def supersede(study):
    """Another process takes the study's lease, as it may after a minute of silence."""
    with study.database.write() as connection:
        connection.execute(update(leases).values(expires_at=0.0))
        assert acquire_lease(connection, LEASE, HERE) is not None


def test_a_coordinator_whose_lease_was_taken_notices_within_a_beat(searched):
    study = searched(10)
    coordinator = study.coordinator()
    coordinator.tick()
    supersede(study)
    study.clock.now += 10.1
    assert coordinator.tick() is Progress.SUPERSEDED


def test_a_coordinator_whose_lease_was_taken_proposes_nothing_any_more(searched):
    """However soon after its last look at the lease."""
    study = searched(10)
    coordinator, worker = study.coordinator(), study.worker()
    coordinator.tick()
    worker.step()
    worker.step()
    supersede(study)
    assert coordinator.tick() is Progress.SUPERSEDED
    assert numbers(study) == [0, 1]


@pytest.mark.parametrize("order", ["suspend", "tick"])
def test_a_coordinator_whose_lease_was_taken_does_not_end_the_study(searched, order):
    study = searched(2)
    coordinator, worker = study.coordinator(), study.worker()
    coordinator.tick()
    while worker.step():
        pass
    supersede(study)
    if order == "suspend":
        coordinator.suspend()
    else:
        assert coordinator.tick() is Progress.SUPERSEDED
    assert study.row.state is StudyState.RUNNING


def test_the_lease_is_kept_alive(searched):
    study = searched(10)
    coordinator = study.coordinator()
    for _ in range(3):
        with study.database.write() as connection:
            connection.execute(update(leases).values(expires_at=5.0))
        study.clock.now += 10.1
        coordinator.tick()
        with study.database.read() as connection:
            assert connection.scalar(select(leases.c.expires_at)) > 1e9


def test_what_an_outage_kept_from_the_table_is_not_begun_after_the_time_is_over(
    searched, monkeypatch
):
    study = searched(10, timeout=60)
    coordinator = study.coordinator()
    attempt = study.database.attempt

    def away(work):
        if work == coordinator._insert_proposed:
            raise OutageError("the server is away")
        return attempt(work)

    monkeypatch.setattr(study.database, "attempt", away)
    with pytest.raises(OutageError):
        coordinator.tick()
    monkeypatch.setattr(study.database, "attempt", attempt)
    study.clock.now += 61
    study.run(coordinator)
    assert study.trials == []
    assert study.row.end_reason == TIME_OVER
