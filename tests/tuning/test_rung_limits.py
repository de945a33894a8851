"""The limits decide as Optuna's pruners do when they are asked at the rungs."""

from __future__ import annotations

import random

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from tunelab.spec.study import PrunerSpec
from tunelab.spec.tables import PRUNERS as NAMES
from tunelab.tuning.pruners import PRUNERS, EndedTrial, make_pruner, rungs


def best_so_far(values, maximize):
    best, out = None, []
    for value in values:
        best = value if best is None else (max if maximize else min)(best, value)
        out.append(best)
    return out


def history(generator, max_epochs, maximize):
    """Best so far at epochs 1 to where the trial ends; half of them on a grid: many are equal."""
    length = generator.choice([max_epochs, generator.randint(1, max_epochs)])
    draw = generator.choice([generator.random, lambda: generator.randint(0, 12) / 8])
    return best_so_far([draw() for _ in range(length)], maximize)


def at_rungs(best, epochs):
    return {rung: best[rung - 1] for rung in epochs if rung <= len(best)}


def percentile_pruners(generator, name):
    """Ours and Optuna's, with the same settings."""
    spec = PrunerSpec(
        name=name,
        startup_trials=generator.randint(0, 6),
        warm_up_epochs=generator.choice([0, 1, 3, 10]),
        min_trials=generator.randint(1, 5),
        **({"percentile": generator.choice([0, 10, 25, 62.5, 100])} if name != "median" else {}),
    )
    settings = (spec.startup_trials, spec.warm_up_epochs)
    if name == "median":
        return spec, optuna.pruners.MedianPruner(*settings, n_min_trials=spec.min_trials)
    return spec, optuna.pruners.PercentilePruner(
        spec.percentile, *settings, n_min_trials=spec.min_trials
    )


@pytest.mark.parametrize("name", ["median", "percentile"])
@pytest.mark.parametrize("maximize", [False, True])
def test_the_decisions_are_those_of_optunas_percentile_pruners(name, maximize):
    generator = random.Random(f"histories {maximize}")
    n_decisions = n_pruned = 0
    for _ in range(300):
        spec, theirs = percentile_pruners(generator, name)
        max_epochs = generator.randint(2, 60)
        ours = make_pruner(spec, max_epochs, maximize=maximize)
        study = optuna.create_study(direction="maximize" if maximize else "minimize")
        for number in range(generator.randint(0, 9)):
            best = history(generator, max_epochs, maximize)
            # Optuna's study hears of a trial that ended early at every later rung too.
            carried = at_rungs(best + best[-1:] * (max_epochs - len(best)), ours.rungs)
            state = generator.choice([TrialState.COMPLETE] * 4 + [TrialState.PRUNED])
            study.add_trial(create_trial(state=state, value=best[-1], intermediate_values=carried))
            complete = state is TrialState.COMPLETE
            ours.observe(EndedTrial(number, best[-1], at_rungs(best, ours.rungs), complete))
        running = history(generator, max_epochs, maximize)
        limits = ours.limits()
        assert limits.rungs == rungs(spec.warm_up_epochs, max_epochs)
        reported = {}
        for rung, value in at_rungs(running, limits.rungs).items():
            reported[rung] = value
            trial = create_trial(state=TrialState.RUNNING, intermediate_values=reported)
            pruned = limits.exceeded(rung, value, maximize=maximize) is not None
            assert pruned == theirs.prune(study, trial), (spec, reported)
            n_decisions += 1
            n_pruned += pruned
    # The histories must have asked something.
    assert n_decisions > 300
    assert 0.1 < n_pruned / n_decisions < 0.7


class Race:
    """Trials that train side by side, told to Optuna's successive halving and to ours alike."""

    def __init__(self, generator, maximize):
        self.maximize = maximize
        self.max_epochs = generator.randint(2, 80)
        spec = PrunerSpec(
            name="successive_halving",
            min_resource=generator.choice([1, 2, 3, 5, 10]),
            reduction_factor=generator.choice([2, 3, 4]),
            min_early_stopping_rate=generator.choice([0, 0, 1, 2]),
        )
        self.ours = make_pruner(spec, self.max_epochs, maximize=maximize)
        self.theirs = optuna.pruners.SuccessiveHalvingPruner(
            spec.min_resource, spec.reduction_factor, spec.min_early_stopping_rate
        )
        self.study = optuna.create_study(direction="maximize" if maximize else "minimize")
        self.running = {}  # number -> rung values
        self.trials = {}
        self.decisions = []

    def start(self):
        trial = self.study.ask()
        self.trials[trial.number] = trial
        self.running[trial.number] = {}
        return trial.number

    def optuna_prunes(self, number, value, epoch):
        trial = self.trials[number]
        trial.report(value, epoch)
        return self.theirs.prune(self.study, self.study.get_trials()[number])

    def train(self, number, best, completes):
        """Train one trial; a generator that stops at each of its rungs."""
        for rung, value in at_rungs(best, self.ours.rungs).items():
            self.ours.watch(self.running)
            pruned = self.ours.limits().exceeded(rung, value, maximize=self.maximize) is not None
            self.decisions.append((pruned, self.optuna_prunes(number, value, rung)))
            self.running[number][rung] = value
            if pruned:
                self.end(number, best[rung - 1], complete=False)
                return
            yield
        if completes:
            self.ours.watch(self.running)
            self.optuna_prunes(number, best[-1], self.max_epochs)  # it is kept, whatever is said
        self.end(number, best[-1], complete=completes)

    def end(self, number, value, complete):
        rung_values = self.running.pop(number)
        self.ours.observe(EndedTrial(number, value, rung_values, complete))
        state = TrialState.COMPLETE if complete else TrialState.PRUNED
        self.study.tell(number, value if complete else None, state=state)


@pytest.mark.parametrize("n_at_once", [1, 4])
@pytest.mark.parametrize("maximize", [False, True])
def test_the_decisions_are_those_of_optunas_successive_halving(maximize, n_at_once):
    """Of trials that end by themselves, diverge or are pruned while others run, in any order."""
    generator = random.Random(f"races {maximize} {n_at_once}")
    decisions = []
    for _ in range(300):
        race = Race(generator, maximize)
        waiting = generator.randint(1, 12)
        training = []
        while waiting or training:
            if waiting and len(training) < n_at_once:
                waiting -= 1
                best = history(generator, race.max_epochs, maximize)
                # A trial that neither completes nor is pruned has diverged.
                training.append(race.train(race.start(), best, generator.random() < 0.8))
            one = generator.choice(training)
            if next(one, "ended") == "ended":
                training.remove(one)
        assert all(ours == theirs for ours, theirs in race.decisions)
        decisions += race.decisions
    assert len(decisions) > 1000
    assert 0.2 < sum(pruned for pruned, _ in decisions) / len(decisions) < 0.7


def halving(**settings):
    return make_pruner(PrunerSpec(name="successive_halving", **settings), 100, maximize=False)


def test_of_a_rungs_trials_one_in_the_reduction_factor_goes_on():
    pruner = halving(reduction_factor=3)
    assert pruner.rungs == (10, 30, 90)
    assert pruner.limits().limits == {}  # the first trial has nobody to lose against
    # The best; the next is one of six, then of nine: the second and the third best may go on.
    expected = [0.9, 0.8, 0.7, 0.6, 0.6, 0.5, 0.4, 0.5]
    for number, value in enumerate([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.9]):
        pruner.observe(EndedTrial(number, value, {10: value}, complete=False))
        limit = pruner.limits().limits[10]
        assert (limit.value, limit.n_trials) == (expected[number], number + 1)
    assert set(pruner.limits().limits) == {10}


def test_a_trial_that_stopped_early_counts_at_later_rungs_until_it_would_have_been_pruned():
    pruner = halving(reduction_factor=2)
    assert pruner.rungs == (10, 20, 40, 80)
    pruner.observe(EndedTrial(0, 0.5, {10: 0.6}, complete=True))
    assert {rung: limit.value for rung, limit in pruner.limits().limits.items()} == {
        10: 0.6, 20: 0.5, 40: 0.5, 80: 0.5
    }  # fmt: skip
    pruner.observe(EndedTrial(1, 0.55, {10: 0.55}, complete=True))
    counts = {rung: limit.n_trials for rung, limit in pruner.limits().limits.items()}
    assert counts == {10: 2, 20: 2, 40: 1, 80: 1}
    pruner.observe(EndedTrial(2, 0.1, {10: 0.1}, complete=False))  # diverged: it came no further
    counts = {rung: limit.n_trials for rung, limit in pruner.limits().limits.items()}
    assert counts == {10: 3, 20: 2, 40: 1, 80: 1}


def test_running_trials_count_once_and_for_what_they_have_reached():
    pruner = halving(reduction_factor=3)
    pruner.watch({0: {10: 0.5, 30: 0.4}, 1: {10: 0.7}, 2: {}})
    limits = pruner.limits().limits
    assert {rung: (limit.value, limit.n_trials) for rung, limit in limits.items()} == {
        10: (0.5, 2),
        30: (0.4, 1),
    }
    pruner.observe(EndedTrial(1, 0.7, {10: 0.7}, complete=False))
    assert pruner.limits().limits == limits
    pruner.watch({})
    assert pruner.limits().limits[10].value == 0.7


def test_the_percentile_keeps_the_best():
    for maximize, expected in ((False, 0.25), (True, 0.75)):
        spec = PrunerSpec(name="percentile", percentile=25)
        pruner = make_pruner(spec, 100, maximize=maximize)
        for number, value in enumerate([1.0, 0.0, 0.5, 0.75, 0.25]):
            pruner.observe(EndedTrial(number, value, {}, complete=True))
        assert pruner.limits().limits[10].value == expected


def test_a_trial_without_any_value_at_a_rung_is_pruned_where_there_is_a_limit():
    pruner = make_pruner(PrunerSpec(startup_trials=1, min_trials=1), 100, maximize=False)
    pruner.observe(EndedTrial(0, 0.5, {10: 0.6, 20: 0.5}, complete=True))
    limits = pruner.limits()
    assert limits.exceeded(10, None, maximize=False).n_trials == 1
    assert limits.exceeded(9, None, maximize=False) is None
    assert limits.limits[10].value == 0.6
    assert limits.limits[80].value == 0.5  # the trial ended before and carries its best on


def test_every_pruner_that_can_be_named_is_there():
    assert tuple(PRUNERS) == NAMES


def test_without_a_pruner_nothing_is_compared():
    pruner = make_pruner(PrunerSpec(name="none"), 100, maximize=False)
    for number in range(50):
        pruner.observe(EndedTrial(number, 0.1, {}, complete=True))
    assert pruner.limits().rungs == ()
    assert not pruner.limits().limits


@pytest.mark.parametrize(
    ("first", "max_epochs", "factor", "expected"),
    [
        (10, 100, 2, (10, 20, 40, 80)),
        (10, 80, 2, (10, 20, 40)),
        (10, 10, 2, ()),
        (0, 2, 2, (1,)),
        (3, 7, 2, (3, 6)),
        (1, 28, 3, (1, 3, 9, 27)),
    ],
)
def test_rungs_multiply_from_the_first_and_lie_before_the_end(first, max_epochs, factor, expected):
    assert rungs(first, max_epochs, factor) == expected
