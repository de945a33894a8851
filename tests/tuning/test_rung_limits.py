"""The limits decide as Optuna's median pruner does when it is asked at the rungs."""

from __future__ import annotations

import random

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from tunelab.spec.study import PrunerSpec
from tunelab.tuning.pruners import CompletedTrial, make_pruner, rungs


def best_so_far(values, maximize):
    best, out = None, []
    for value in values:
        best = value if best is None else (max if maximize else min)(best, value)
        out.append(best)
    return out


def history(generator, max_epochs, maximize):
    """Best so far at epochs 1 to where the trial ends; values on a grid, so that many are equal."""
    length = generator.choice([max_epochs, generator.randint(1, max_epochs)])
    values = [generator.randint(0, 12) / 8 for _ in range(length)]
    return best_so_far(values, maximize)


@pytest.mark.parametrize("maximize", [False, True])
def test_the_decisions_are_those_of_optunas_median_pruner(maximize):
    generator = random.Random(f"histories {maximize}")
    n_decisions = n_pruned = 0
    for _ in range(300):
        spec = PrunerSpec(
            startup_trials=generator.randint(0, 6),
            warm_up_epochs=generator.choice([0, 1, 3, 10]),
            min_trials=generator.randint(1, 5),
        )
        max_epochs = generator.randint(2, 60)
        ours = make_pruner(spec, max_epochs)
        theirs = optuna.pruners.MedianPruner(
            spec.startup_trials, spec.warm_up_epochs, n_min_trials=spec.min_trials
        )
        study = optuna.create_study(direction="maximize" if maximize else "minimize")
        completed = []
        for _ in range(generator.randint(0, 9)):
            best = history(generator, max_epochs, maximize)
            # Optuna's study hears of a trial that ended early at every later rung too.
            carried = best + best[-1:] * (max_epochs - len(best))
            at_rungs = {rung: carried[rung - 1] for rung in rungs(spec.warm_up_epochs, max_epochs)}
            state = generator.choice([TrialState.COMPLETE] * 4 + [TrialState.PRUNED])
            study.add_trial(create_trial(state=state, value=best[-1], intermediate_values=at_rungs))
            if state is TrialState.COMPLETE:
                passed = {rung: value for rung, value in at_rungs.items() if rung <= len(best)}
                completed.append(CompletedTrial(best[-1], passed))
        running = history(generator, max_epochs, maximize)
        limits = ours.limits(completed)
        reported = {}
        for rung in limits.rungs:
            if rung > len(running):
                break
            reported[rung] = running[rung - 1]
            trial = create_trial(state=TrialState.RUNNING, intermediate_values=reported)
            pruned = limits.exceeded(rung, running[rung - 1], maximize=maximize) is not None
            assert pruned == theirs.prune(study, trial), (spec, completed, reported)
            n_decisions += 1
            n_pruned += pruned
    # The histories must have asked something.
    assert n_decisions > 300
    assert 0.1 < n_pruned / n_decisions < 0.6


def test_a_trial_without_any_value_at_a_rung_is_pruned_where_there_is_a_limit():
    limits = make_pruner(PrunerSpec(startup_trials=1, min_trials=1), 100).limits(
        [CompletedTrial(0.5, {10: 0.6, 20: 0.5})]
    )
    assert limits.exceeded(10, None, maximize=False).n_trials == 1
    assert limits.exceeded(9, None, maximize=False) is None
    assert limits.limits[10].value == 0.6
    assert limits.limits[80].value == 0.5  # the trial ended before and carries its best on


def test_without_a_pruner_nothing_is_compared():
    limits = make_pruner(PrunerSpec(name="none"), 100).limits([CompletedTrial(0.1, {})] * 50)
    assert limits.rungs == ()
    assert not limits.limits


@pytest.mark.parametrize(
    ("warm_up", "max_epochs", "expected"),
    [
        (10, 100, (10, 20, 40, 80)),
        (10, 80, (10, 20, 40)),
        (10, 10, ()),
        (0, 2, (1,)),
        (3, 7, (3, 6)),
    ],
)
def test_rungs_double_from_the_warm_up_and_lie_before_the_end(warm_up, max_epochs, expected):
    assert rungs(warm_up, max_epochs) == expected
