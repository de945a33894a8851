"""Every optimizer on three functions with known minima; the rate falls linearly to 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from tunelab.training.optimizers import OPTIMIZERS, make_optimizer


@dataclass(frozen=True)
class Problem:
    start: np.ndarray
    value: Callable[[np.ndarray], float]
    gradient: Callable[[np.ndarray], np.ndarray]
    tolerance: float  # of the value, whose minimum is 0


def quadratic_of_condition_1000() -> Problem:
    """w^T A w / 2 with curvatures 1 ... 1000 along directions that are no coordinate axes."""
    rng = np.random.default_rng(0)
    directions, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    a = directions @ np.diag(np.logspace(0, 3, 5)) @ directions.T
    return Problem(2 * rng.normal(size=5), lambda w: w @ a @ w / 2, lambda w: a @ w, 1e-6)


def rosenbrock_gradient(w: np.ndarray) -> np.ndarray:
    valley = w[1] - w[0] ** 2
    return np.array([-2 * (1 - w[0]) - 400 * w[0] * valley, 200 * valley])


PROBLEMS = {
    "parabola": Problem(
        np.array([3.0]), lambda w: (w[0] - 1) ** 2, lambda w: 2 * (w - 1), tolerance=1e-10
    ),
    "quadratic": quadratic_of_condition_1000(),
    "rosenbrock": Problem(
        np.array([-1.2, 1.0]),  # the classical start; the minimum is at (1, 1)
        lambda w: (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2,
        rosenbrock_gradient,
        tolerance=1e-5,
    ),
}

# problem -> method -> (first rate, steps)
PLAN = {
    "parabola": {
        "sgd": (0.1, 300),
        "momentum": (0.05, 300),
        "nesterov": (0.05, 300),
        "adagrad": (1.0, 300),
        "adadelta": (30.0, 300),
        "rmsprop": (0.03, 300),
        "adam": (0.1, 300),
        "adamw": (0.1, 300),
        "nadam": (0.1, 300),
    },
    "quadratic": {
        "sgd": (1.5e-3, 10_000),  # 2 / 1000 would diverge
        "momentum": (1e-3, 3000),
        "nesterov": (1e-3, 3000),
        "adagrad": (3.0, 3000),
        "adadelta": (30.0, 3000),
        "rmsprop": (0.1, 3000),
        "adam": (0.1, 3000),
        "adamw": (0.1, 3000),
        "nadam": (0.1, 3000),
    },
    "rosenbrock": {
        "sgd": (1.5e-3, 20_000),
        "momentum": (1e-3, 5000),
        "nesterov": (1e-3, 5000),
        "adagrad": (1.0, 20_000),
        "adadelta": (1.0, 10_000),
        "rmsprop": (3e-3, 10_000),
        "adam": (0.1, 3000),
        "adamw": (0.1, 3000),
        "nadam": (0.1, 3000),
    },
}


def minimise(name, settings, problem, rate, steps):
    w = problem.start.copy()
    optimizer = make_optimizer(name, settings).bind(w)
    for number in range(steps):
        optimizer.step(w, problem.gradient(w), rate * (1 - number / steps))
    return w


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_minimum_is_reached(problem, name):
    rate, steps = PLAN[problem][name]
    # Weight decay pulls towards 0, which is the minimum of the quadratic alone.
    decays = name == "adamw" and problem != "quadratic"
    settings = {"weight_decay": 0.0} if decays else {}
    w = minimise(name, settings, PROBLEMS[problem], rate, steps)
    assert PROBLEMS[problem].value(w) < PROBLEMS[problem].tolerance


def test_on_an_ill_conditioned_quadratic_momentum_is_worth_thousands_of_steps():
    """Plain descent is still far off where momentum has long arrived, at the same rate."""
    problem = PROBLEMS["quadratic"]
    plain = problem.value(minimise("sgd", {}, problem, 1e-3, 2000))
    for name in ("momentum", "nesterov"):
        assert problem.value(minimise(name, {}, problem, 1e-3, 2000)) < 1e-6 * plain
