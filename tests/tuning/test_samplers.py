"""TPE over groups of parameters: Optuna's own draws, for the groups that a trial needs."""

from __future__ import annotations

import json

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe import _truncnorm
from scipy.special import log_ndtr

from tunelab.tuning.groups import Groups
from tunelab.tuning.samplers import GroupedTPESampler, trial_sampler

RANGE = FloatDistribution(0.0, 1.0)


def flat(trial):
    """All parameters in every trial."""
    rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
    units = trial.suggest_int("units", 1, 512, log=True)
    activation = trial.suggest_categorical("activation", ["relu", "tanh"])
    trial.suggest_categorical("only", ["choice"])
    return abs(np.log10(rate) + 2) + abs(units - 64) / 512 + (activation == "tanh")


def conditional(trial):
    """Each optimizer has parameters of its own; some layers have widths."""
    trial.suggest_int("units", 1, 512)
    name = trial.suggest_categorical("optimizer", ["sgd", "adam", "momentum"])
    rate = trial.suggest_float(f"{name}.rate", 1e-4, 1.0, log=True)
    value = abs(np.log10(rate) + {"sgd": 1, "adam": 3, "momentum": 2}[name])
    if name == "momentum":
        value += 1 - trial.suggest_float("momentum.momentum", 0.5, 0.99)
    for layer in range(trial.suggest_int("layers", 1, 3)):
        value += abs(trial.suggest_int(f"units_{layer}", 1, 64) - 32) / 64
    return value


def trained(objective, n=40, n_open=5, seed=3):
    """A study in which trials have ended, been pruned, or run; and the groups of its parameters."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    groups = Groups()
    for number in range(n):
        trial = study.ask()
        value = objective(trial)
        groups.add(trial.distributions)
        if number % 7 == 3:
            trial.report(value, 4)
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        elif number < n - n_open:
            study.tell(trial, value)
    return study, groups


def asked(study, sampler, objective):
    study.sampler = sampler
    trial = study.ask()
    objective(trial)
    return trial


@pytest.mark.parametrize("seed", range(20))
def test_without_conditions_the_draws_are_optunas(seed):
    study, groups = trained(flat)
    ours = asked(study, GroupedTPESampler(groups, seed), flat).params
    study, _ = trained(flat)
    theirs = asked(study, TPESampler(multivariate=True, constant_liar=True, seed=seed), flat).params
    rate = ours.pop("rate")
    assert rate == pytest.approx(theirs.pop("rate"), rel=1e-9)
    assert ours == theirs


def test_parameters_of_a_group_are_drawn_together_and_only_those_in_use():
    for seed in range(20):
        study, groups = trained(conditional)
        trial = asked(study, GroupedTPESampler(groups, seed), conditional)
        # Optuna notes what it drew last.
        (noted,) = study.trials[-1].system_attrs.values()
        drawn = json.loads(noted)
        assert drawn.items() <= trial.params.items()
        assert drawn.keys() == groups.of(next(iter(drawn))).keys()
        assert {name for own in trial.params for name in groups.of(own)} == trial.params.keys()


def test_it_learns_where_a_conditional_space_is_good():
    """Of 60 trials the last 20, against 20 at random; the mean of 5 studies."""

    def last(sampler_name):
        means = []
        for seed in range(5):
            study, groups = optuna.create_study(), Groups()
            for number in range(60):
                study.sampler = trial_sampler(sampler_name, groups, seed, number)
                trial = study.ask()
                value = conditional(trial)
                groups.add(trial.distributions)
                study.tell(trial, value)
            means.append(np.mean([trial.value for trial in study.trials[40:]]))
        return np.mean(means)

    assert last("tpe") < 0.65 * last("random")


def test_scipys_logarithm_of_the_normal_distribution_is_optunas():
    x = np.concatenate([np.linspace(-300, 40, 100_001), [-1e6, 0.0, 1e3]])
    np.testing.assert_allclose(log_ndtr(x), _truncnorm._log_ndtr(x), rtol=1e-10, atol=1e-12)


def test_optuna_keeps_its_own_after_a_proposal():
    own = _truncnorm._log_ndtr
    study, groups = trained(flat)
    asked(study, GroupedTPESampler(groups, 0), flat)
    assert _truncnorm._log_ndtr is own


@given(st.lists(st.sets(st.sampled_from("abcdefg")), max_size=12))
def test_a_group_is_what_the_same_trials_have(trials):
    groups = Groups()
    for names in trials:
        groups.add(dict.fromkeys(sorted(names), RANGE))
    having = {name: [name in names for names in trials] for name in "abcdefg"}
    for name, where in having.items():
        alike = {other for other in having if having[other] == where} if any(where) else set()
        assert set(groups.of(name)) == alike
