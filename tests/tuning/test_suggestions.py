"""Each form of a dimension becomes Optuna's parameters, and values come back from them."""

from __future__ import annotations

import json
import math

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    distribution_to_json,
    json_to_distribution,
)
from optuna.trial import FixedTrial, TrialState, create_trial

from tests.spec.test_random_studies import contains, shared, spaces
from tests.tuning.conftest import SPACE, same_configuration
from tunelab.spec.default_space import complete_space, default_configuration, default_value
from tunelab.spec.space import Choice, Fixed, FloatRange, IntRange
from tunelab.spec.space_reader import read_space
from tunelab.tuning.groups import Groups
from tunelab.tuning.samplers import trial_sampler, trial_seed
from tunelab.tuning.suggest import preset_trial, suggest_from

unhurried = settings(deadline=None, max_examples=75)


@st.composite
def complete_spaces(draw):
    given_space = draw(spaces)
    if "optimizer" not in given_space:
        given_space |= draw(shared)
    space, complaints = read_space(given_space)
    assert not complaints
    return complete_space(space, max_epochs=100, n_train=1_000_000)


def values_of(dimension):
    if isinstance(dimension, Fixed):
        return st.just(dimension.value)
    if isinstance(dimension, Choice):
        return st.sampled_from(dimension.values)
    if dimension.step is None:
        numbers = st.floats(dimension.low, dimension.high)
    else:
        n = math.floor((dimension.high - dimension.low) / dimension.step + 1e-9)
        numbers = st.integers(0, n).map(lambda k: on_grid(dimension, k))
    return st.one_of(numbers, st.just(0)) if dimension.optional else numbers


def on_grid(dimension, k):
    value = dimension.low + k * dimension.step
    return value if isinstance(dimension, IntRange) else min(value, dimension.high)


def asked(space, suggest):
    """The configuration, and what was asked for on the way."""
    answers = {}

    def noted(name, dimension):
        value = suggest(name, dimension)
        answers[name] = (dimension, value)
        return value

    return space.configure(noted), answers


@unhurried
@given(complete_spaces(), st.data())
def test_a_chosen_configuration_comes_back_from_its_parameters(space, data):
    chosen, answers = asked(space, lambda _, dimension: data.draw(values_of(dimension)))
    kept = {name: value for name, (_, value) in answers.items()}
    configuration, trial = preset_trial(space, lambda name, _: kept[name])
    assert same_configuration(configuration.to_flat(), chosen.to_flat())
    # Optuna accepts the trial as one of its own, also from JSON, and asks for nothing else.
    params = json.loads(json.dumps(trial.params))
    texts = {key: distribution_to_json(value) for key, value in trial.distributions.items()}
    frozen = create_trial(
        state=TrialState.RUNNING,
        params=params,
        distributions={key: json_to_distribution(text) for key, text in texts.items()},
    )
    again, answers = asked(space, suggest_from(FixedTrial(frozen.params)))
    assert again == configuration
    for name, (dimension, value) in answers.items():
        assert contains(dimension, value), (name, dimension, value)
        assert type(value) is int or not isinstance(dimension, IntRange)


@unhurried
@given(complete_spaces(), st.integers(0, 2**32 - 1))
def test_every_space_is_sampled_within_its_bounds_and_on_its_grid(space, seed):
    study = optuna.create_study(sampler=trial_sampler("random", Groups(), seed, 1))
    trial = study.ask()
    configuration, answers = asked(space, suggest_from(trial))
    for name, (dimension, value) in answers.items():
        assert contains(dimension, value), (name, dimension, value)
    # The parameters alone give the configuration again.
    again, _ = asked(space, suggest_from(FixedTrial(trial.params)))
    assert again == configuration


@unhurried
@given(complete_spaces())
def test_trial_0_is_the_default_configuration(space):
    configuration, trial = preset_trial(space, default_value)
    expected = default_configuration(space)
    assert same_configuration(configuration.to_flat(), expected.to_flat())
    create_trial(state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions)


def sample(dimension, n=2000):
    """Values of a dropout rate that Optuna draws at random."""
    space, _ = read_space(SPACE)
    space = complete_space(space, 100, 1000)
    space = type(space)(
        space.optimizers, space.schedules, {}, {**space.network, "dropout_rate": dimension}
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    return np.array([space.configure(suggest_from(study.ask())).dropout_rate for _ in range(n)])


def distance_from_uniform(values, low, high):
    """Greatest distance of the empirical distribution from the uniform one (Kolmogorov)."""
    shares = (np.sort(values) - low) / (high - low)
    n = len(values)
    return max(np.max(np.arange(1, n + 1) / n - shares), np.max(shares - np.arange(n) / n))


def test_scales_are_uniform_in_what_they_say():
    n = 1000
    critical = 1.95 / math.sqrt(n)  # exceeded by chance once in 1000 times
    linear = sample(FloatRange(0.5, 0.99), n)
    log = sample(FloatRange(0.001, 0.9, "log"), n)
    reverse = sample(FloatRange(0.5, 0.99, "reverse_log"), n)
    assert distance_from_uniform(linear, 0.5, 0.99) < critical
    assert distance_from_uniform(np.log(log), math.log(0.001), math.log(0.9)) < critical
    ends = math.log(1 - 0.99), math.log(1 - 0.5)
    assert distance_from_uniform(np.log(1 - reverse), *ends) < critical
    # And the scales differ by far more than that.
    assert distance_from_uniform(np.log(1 - linear), *ends) > 5 * critical


def test_a_stepped_range_reaches_both_of_its_ends_equally_often():
    # 0.15000000000000002 is 0.6 / 4 as floats divide; four steps of it are a hair above 0.6.
    values = sample(FloatRange(0.0, 0.6, step=0.15000000000000002), 1000)
    found, counts = np.unique(values, return_counts=True)
    np.testing.assert_allclose(found, [0.0, 0.15, 0.3, 0.45, 0.6], atol=1e-12)
    assert found.max() <= 0.6
    assert counts.min() > 140


def test_an_optional_range_is_off_about_half_the_time():
    off = sample(FloatRange(0.1, 0.5, optional=True), 1000) == 0
    assert 0.44 < off.mean() < 0.56


def draw(sampler, seed, number):
    study = optuna.create_study(sampler=trial_sampler(sampler, Groups(), seed, number))
    return study.ask().suggest_float("x", 0, 1)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_every_trial_has_its_own_sampler_seed_which_a_rebuild_repeats(sampler):
    drawn = {(seed, number): draw(sampler, seed, number) for seed in (0, 1) for number in range(20)}
    assert len(set(drawn.values())) == 40
    assert draw(sampler, 1, 7) == drawn[1, 7]


def test_training_seeds_differ_between_trials_and_studies_and_repeat():
    seeds = {
        (seed, number): trial_seed(seed, number) for seed in (0, 1, 2) for number in range(500)
    }
    assert len(set(seeds.values())) == 1500
    assert trial_seed(2, 499) == seeds[2, 499]
    assert all(0 <= seed < 2**32 for seed in seeds.values())
