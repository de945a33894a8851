"""The races: by the trainer's classes, and the table is what the paths say."""

from __future__ import annotations

import numpy as np
import pytest

from tests.service.demos.conftest import N_STEPS
from tunelab.service.demos import paths
from tunelab.service.demos.paths import RATES, Outcome, follow, race, race_all
from tunelab.service.demos.surfaces import SURFACES
from tunelab.training.optimizers import OPTIMIZERS
from tunelab.training.optimizers.adam import Adam
from tunelab.training.optimizers.sgd import SGD


def test_every_optimizer_of_the_trainer_runs_and_is_its_own_class(monkeypatch):
    made = {}
    original = paths.make_optimizer

    def watched(name, settings):
        assert settings == {}  # the defaults
        made[name] = original(name, settings)
        return made[name]

    monkeypatch.setattr(paths, "make_optimizer", watched)
    found = race_all(2)
    assert {name for of in found.values() for name in of} == set(OPTIMIZERS) == set(made)
    for name, optimizer in made.items():
        assert type(optimizer) is type(OPTIMIZERS[name]())
        assert type(optimizer).__module__.startswith("tunelab.training.optimizers.")


@pytest.mark.parametrize(
    ("name", "make"), [("adam", Adam), ("momentum", lambda: SGD(momentum=0.9))]
)
def test_a_path_is_equal_to_the_bit_to_steps_of_the_class(name, make):
    surface = SURFACES["beale"]
    w = np.array(surface.start, np.float32)
    optimizer = make().bind(w)
    expected = [w.copy()]
    for _ in range(40):
        optimizer.step(w, np.array(surface.gradient(*w.tolist()), np.float32), 0.002)
        expected.append(w.copy())
    run = follow(name, surface, 0.002, 40)
    assert run.points.dtype == np.float32
    np.testing.assert_array_equal(run.points, expected)


def test_plain_descent_on_the_valley_follows_its_closed_form():
    """Along a direction of curvature c each step multiplies the distance by 1 - rate * c."""
    valley, rate, n = SURFACES["valley"], 0.005, 50
    along, across = np.array([3**0.5, 1.0]) / 2, np.array([-1.0, 3**0.5]) / 2
    away = np.subtract(valley.start, valley.minima[0])
    run = follow("sgd", valley, rate, n)
    left = run.points[n] - valley.minima[0]
    assert left @ along == pytest.approx((1 - rate) ** n * (away @ along), abs=1e-5)
    assert left @ across == pytest.approx((1 - 100 * rate) ** n * (away @ across), abs=1e-5)


def test_arrival_is_the_step_from_which_the_value_stays_within_the_tolerance():
    for name in OPTIMIZERS:
        for surface in SURFACES.values():
            run = follow(name, surface, 0.1, 300)
            outside = np.flatnonzero(~(run.gaps <= surface.tolerance))
            if run.outcome is Outcome.ARRIVED:
                assert run.steps == outside[-1] + 1
                assert (run.gaps[run.steps :] <= surface.tolerance).all()
            elif run.outcome is Outcome.NEVER:
                assert outside[-1] == 300
                assert run.steps is None


def test_passing_through_the_minimum_is_no_arrival():
    run = follow("nesterov", SURFACES["valley"], 0.01, 1000)
    first = int(np.argmax(run.gaps <= run.surface.tolerance))
    assert run.outcome is Outcome.ARRIVED
    assert 0 < first < run.steps


def test_a_run_that_diverges_says_when_and_keeps_what_can_be_drawn():
    run = follow("sgd", SURFACES["valley"], 0.1, 1000)
    # across the valley the distance grows by 1 - 0.1 * 100 = -9 a step
    assert run.outcome is Outcome.DIVERGED
    assert run.steps == len(run.points)
    assert run.steps <= 5
    assert np.isfinite(run.points).all()
    assert np.isfinite(run.gaps).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_rate_brings_anything_but_one_of_the_outcomes(name):
    for surface in SURFACES.values():
        run = follow(name, surface, 1e30, 20)
        assert run.outcome in (Outcome.DIVERGED, Outcome.NEVER)
        assert np.isfinite(run.points).all()


def test_who_is_caught_by_the_local_minimum_is_told():
    run = follow("sgd", SURFACES["camel"], 0.05, 500)
    assert (run.outcome, run.ended_at) == (Outcome.NEVER, "local minimum")
    assert follow("sgd", SURFACES["camel"], 0.05, 2).ended_at is None


def test_the_best_rate_is_the_one_with_the_fewest_steps():
    for name in ("sgd", "rmsprop", "adam"):
        found = race(name, SURFACES["valley"], 700)
        runs = [follow(name, SURFACES["valley"], rate, 700) for rate in RATES]
        steps = [run.steps for run in runs if run.outcome is Outcome.ARRIVED]
        assert found.best.steps == min(steps)
        assert found.outcomes == tuple(run.outcome for run in runs)
        assert found.count(Outcome.ARRIVED) == len(steps)


def test_where_none_arrives_the_best_is_the_one_that_stays_lowest():
    surface = SURFACES["rosenbrock"]
    found = race("sgd", surface, 200)
    assert found.count(Outcome.ARRIVED) == 0
    ends = {
        run.learning_rate: run.gaps[-20:].max()
        for run in (follow("sgd", surface, rate, 200) for rate in RATES)
        if run.outcome is Outcome.NEVER
    }
    assert found.best.learning_rate == min(ends, key=ends.get)


def test_the_grid_is_wide_enough_that_sgd_meets_both_ends(races):
    """Too small everywhere to arrive, and too great not to diverge."""
    for of in races.values():
        assert of["sgd"].outcomes[0] is Outcome.NEVER
        assert of["sgd"].outcomes[-1] is not Outcome.ARRIVED


def test_races_repeat(races):
    again = race("nadam", SURFACES["beale"], N_STEPS)
    np.testing.assert_array_equal(again.best.points, races["beale"]["nadam"].best.points)
