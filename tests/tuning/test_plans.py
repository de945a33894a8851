"""What is settled before a study begins: the points of a Sobol sequence in a conditional space."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import optuna
import pytest
import scipy.stats.qmc
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from tests.spec.test_random_studies import contains
from tests.tuning.conftest import same_configuration, study_spec
from tests.tuning.test_optuna_study import row
from tests.tuning.test_suggestions import asked, complete_spaces
from tunelab.spec.default_space import complete_space, default_configuration
from tunelab.spec.space import Choice, Fixed, FloatRange, IntRange, Space
from tunelab.spec.tables import SAMPLERS as NAMES
from tunelab.storage.states import EndReason
from tunelab.tuning.optuna_study import OptunaStudy
from tunelab.tuning.plans import PLANS
from tunelab.tuning.samplers import SAMPLERS as trial_samplers
from tunelab.tuning.sobol import SobolPlan, SobolSequence, axes, value_at
from tunelab.tuning.suggest import preset_trial

SPACE = study_spec().search_space

# Six axes and no conditions: dropout_rate, l2 and l1 are linear, the others logarithmic.
CUBE = {
    "learning_rate": FloatRange(1e-4, 1.0, "log"),
    "weight_decay": FloatRange(1e-4, 1.0, "log"),
    "dropout_rate": FloatRange(0.0, 0.5),
    "l1": FloatRange(0.0, 0.01),
    "l2": FloatRange(0.0, 0.01),
    "gradient_clip": FloatRange(0.1, 10.0, "log"),
}


def cube_space():
    fixed = {name: Fixed(1) for name in ("layers", "units", "batch_size")}
    fixed |= {"shape": Fixed("constant"), "activation": Fixed("relu"), "batch_norm": Fixed("off")}
    own = {name: CUBE[name] for name in ("learning_rate", "weight_decay")}
    network = {name: range_ for name, range_ in CUBE.items() if name not in own}
    given = Space({"adamw": own}, {"constant": {}}, {}, {**fixed, **network})
    return complete_space(given, 100, 1000)


def in_cube(configurations):
    """Where configurations lie in the unit cube, shape (n, 6)."""
    shares = []
    for configuration in configurations:
        flat = configuration.to_flat()
        point = []
        for name, dimension in CUBE.items():
            low, value, high = dimension.low, flat[name], dimension.high
            if dimension.scale == "log":
                low, value, high = math.log(low), math.log(value), math.log(high)
            point.append((value - low) / (high - low))
        shares.append(point)
    return np.clip(np.array(shares), 0, 1)


def proposed(space, sampler, n, seed=0, restart_at=()):
    """``n`` configurations; at some numbers another process goes on from the rows."""
    study = OptunaStudy(space, sampler=sampler, seed=seed, maximize=False)
    rows, configurations = [], []
    for number in range(n):
        if number in restart_at:
            study = OptunaStudy(space, sampler=sampler, seed=seed, maximize=False)
            for old in rows:
                study.restore(old)
        proposal = study.propose()
        rows.append(row(number, proposal))
        configurations.append(proposal.hyperparameters)
    return configurations


@pytest.mark.parametrize("n", [64, 100])
def test_the_points_cover_the_cube_better_than_random_ones_also_after_restarts(n):
    restart_at = {1, 2, 30, 31, 57}
    for seed in range(3):
        trials = proposed(cube_space(), "qmc", n + 1, seed, restart_at)
        assert trials == proposed(cube_space(), "qmc", n + 1, seed)
        assert trials[0] == default_configuration(cube_space())
        covered = scipy.stats.qmc.discrepancy(in_cube(trials[1:]))
        by_chance = [
            scipy.stats.qmc.discrepancy(in_cube(proposed(cube_space(), "random", n + 1, other)[1:]))
            for other in range(10)
        ]
        assert covered < 0.5 * min(by_chance)


def test_each_half_of_each_axis_holds_half_of_the_points():
    points = in_cube(proposed(cube_space(), "qmc", 65)[1:])
    np.testing.assert_array_equal((points < 0.5).sum(axis=0), 32)
    # Even each of 64 strips holds one point.
    for axis in points.T:
        assert sorted((axis * 64 + 1e-9).astype(int)) == list(range(64))


def test_conditional_branches_are_covered_evenly_too():
    """Also the settings of one optimizer alone, and no choice comes short."""
    n = 120
    trials = proposed(SPACE, "qmc", n + 1)[1:]
    assert {trial.optimizer for trial in trials} == {"sgd", "nesterov", "adam"}
    counts = [sum(t.optimizer == name for t in trials) for name in ("sgd", "nesterov", "adam")]
    assert max(counts) - min(counts) <= 2
    rates = sorted(
        (math.log(trial.learning_rate) - math.log(1e-3)) / -math.log(1e-3)
        for trial in trials
        if trial.optimizer == "nesterov"
    )
    shares = np.arange(len(rates)) / len(rates)
    distance = np.abs(np.array(rates) - shares).max()
    # By chance, the distance of 40 uniform numbers exceeds 0.1 in four cases of five.
    assert distance < 0.1


def test_optimizers_share_their_axes_and_what_is_fixed_has_none():
    expected = (
        "optimizer optimizer.learning_rate optimizer.momentum layers units shape activation "
        "batch_norm dropout_rate l2 batch_size schedule schedule.factor schedule.every"
    )
    assert list(axes(SPACE)) == expected.split()
    assert list(axes(SPACE).values()) == list(range(14))
    assert list(axes(cube_space())) == [
        "optimizer.learning_rate",
        "optimizer.weight_decay",
        "dropout_rate",
        "l1",
        "l2",
        "gradient_clip",
    ]


def test_each_layer_has_an_axis_of_its_own():
    network = {"layers": IntRange(1, 3)}
    units = (IntRange(8, 64), Fixed(32), IntRange(8, 64, "log"))
    space = complete_space(Space(network=network, units_by_layer=units), 100, 1000)
    found = set(axes(space))
    assert {"layers", "units_1", "units_3"} <= found
    assert found.isdisjoint({"units", "shape", "units_2"})


@settings(deadline=None, max_examples=50)
@given(complete_spaces(), st.integers(0, 2**32 - 1), st.integers(0, 5000))
def test_every_point_of_every_space_is_a_configuration(space, seed, index):
    plan = SobolPlan(space, seed)
    hyperparameters, trial = preset_trial(space, plan.choose(index))
    _, answers = asked(space, plan.choose(index))
    for name, (dimension, value) in answers.items():
        assert contains(dimension, value), (name, dimension, value)
    again, _ = preset_trial(space, SobolPlan(space, seed).choose(index))
    assert again == hyperparameters
    # Optuna accepts it as one of its own.
    create_trial(state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions)


def test_a_space_without_a_choice_has_the_one_configuration():
    space = complete_space(Space({"sgd": {}}, {"constant": {}}), 100, 1000, fixed=True)
    assert axes(space) == {}
    (configuration,) = {json.dumps(t.to_flat()) for t in proposed(space, "qmc", 4)}
    assert same_configuration(json.loads(configuration), default_configuration(space).to_flat())


def test_the_points_are_those_of_optunas_sampler_where_it_can_be_used(monkeypatch):
    """In a space without conditions, and with the same sequence."""
    dimensions = {
        "a": FloatRange(1e-4, 1.0, "log"),
        "b": FloatRange(-1.0, 3.0),
        "c": IntRange(1, 7),
        "d": IntRange(16, 512, "log"),
        "e": IntRange(10, 50, step=10),
        "f": Choice(("x", "y", "z")),
    }
    distributions = {
        "a": optuna.distributions.FloatDistribution(1e-4, 1.0, log=True),
        "b": optuna.distributions.FloatDistribution(-1.0, 3.0),
        "c": optuna.distributions.IntDistribution(1, 7),
        "d": optuna.distributions.IntDistribution(16, 512, log=True),
        "e": optuna.distributions.IntDistribution(10, 50, step=10),
        "f": optuna.distributions.CategoricalDistribution(("x", "y", "z")),
    }
    made = scipy.stats.qmc.Sobol
    monkeypatch.setattr(
        scipy.stats.qmc,
        "Sobol",
        lambda d, scramble, seed=None, rng=None: made(
            d, scramble=scramble, rng=np.random.default_rng(seed) if rng is None else rng
        ),
    )
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        sampler = optuna.samplers.QMCSampler(scramble=True, seed=5)
    study = optuna.create_study(sampler=sampler)
    first = {"a": 0.1, "b": 0.0, "c": 1, "d": 16, "e": 10, "f": "x"}
    study.add_trial(create_trial(value=0.0, params=first, distributions=distributions))
    sequence = SobolSequence(6, 5)
    for index in range(100):
        theirs = study.ask(distributions).params
        point = sequence.point(index)
        for share, (name, dimension) in zip(point, dimensions.items(), strict=True):
            assert value_at(dimension, share) == pytest.approx(theirs[name]), (index, name)


def test_every_sampler_that_can_be_named_is_there():
    assert {*trial_samplers, *PLANS} == set(NAMES)


def test_points_are_found_in_any_order():
    whole = SobolSequence(5, 3)
    points = [whole.point(index) for index in range(300)]
    other = SobolSequence(5, 3)
    order = list(range(300))
    random.Random(0).shuffle(order)
    for index in [0, 0, *order[:60], 299, 299]:
        np.testing.assert_array_equal(other.point(index), points[index])
    assert not np.array_equal(SobolSequence(5, 4).point(7), points[7])


def test_optuna_knows_the_outcomes_of_planned_trials():
    study = OptunaStudy(SPACE, sampler="qmc", seed=0, maximize=False)
    for number in range(3):
        proposal = study.propose()
        study.tell(row(number, proposal, EndReason.COMPLETED, 0.5 - 0.1 * number))
    assert [trial.value for trial in study.trials] == [0.5, 0.4, 0.3]
    assert study.trials[2].params == proposal.sampler_state["params"]
