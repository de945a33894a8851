"""Every optimizer against textbook rewrites in float64, tables worked by hand, and its contract."""

from __future__ import annotations

import numpy as np
import pytest

from tunelab.training.optimizers import OPTIMIZERS, SGD, Adam, make_optimizer

# What is asked for beside the defaults: decays for which the renormalisation interval is
# 1, 1, 10, 30 and 64 steps.
VARIANTS = [
    ("sgd", {}),
    ("momentum", {}),
    ("momentum", {"momentum": 0.5}),
    ("nesterov", {}),
    ("nesterov", {"momentum": 0.99}),
    ("adam", {}),
    ("adam", {"beta_1": 0.0}),
    ("adam", {"beta_1": 0.0, "beta_2": 0.0, "epsilon": 1e-3}),
    ("adam", {"beta_1": 0.1, "beta_2": 0.9}),
    ("adam", {"beta_1": 0.5, "beta_2": 0.99}),
    ("adam", {"beta_1": 0.99, "beta_2": 0.9999, "epsilon": 1e-4}),
]


class TextbookSGD:
    def step(self, w, g, rate):
        return w - rate * g


class TextbookMomentum:
    """Goodfellow et al. (2016), Algorithm 8.2."""

    def __init__(self, momentum=0.9):
        self.mu, self.v = momentum, 0.0

    def step(self, w, g, rate):
        self.v = self.mu * self.v - rate * g
        return w + self.v


class TextbookNesterov:
    """Goodfellow et al. (2016), Algorithm 8.3, seen at the points where it takes its gradients."""

    def __init__(self, momentum=0.9):
        self.mu, self.v, self.theta = momentum, 0.0, None

    def step(self, w, g, rate):
        if self.theta is None:
            self.theta = w
        self.v = self.mu * self.v - rate * g
        self.theta = self.theta + self.v
        return self.theta + self.mu * self.v


class TextbookAdam:
    """Kingma & Ba (2015), Algorithm 1."""

    def __init__(self, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        self.b1, self.b2, self.epsilon = beta_1, beta_2, epsilon
        self.m = self.v = 0.0
        self.t = 0

    def step(self, w, g, rate):
        self.t += 1
        self.m = self.b1 * self.m + (1 - self.b1) * g
        self.v = self.b2 * self.v + (1 - self.b2) * g**2
        m_hat = self.m / (1 - self.b1**self.t)
        v_hat = self.v / (1 - self.b2**self.t)
        return w - rate * m_hat / (np.sqrt(v_hat) + self.epsilon)


TEXTBOOK = {
    "sgd": TextbookSGD,
    "momentum": TextbookMomentum,
    "nesterov": TextbookNesterov,
    "adam": TextbookAdam,
}


def gradients_and_rates(steps, size, scale):
    rng = np.random.default_rng(3)
    for step in range(steps):
        # The rate changes at every step, the gradient's size over a factor of 1000 within a run.
        rate = 0.1 * (1 + np.cos(step / 20)) + 1e-3
        yield scale * rng.normal(size=size) * 10 ** rng.uniform(-1.5, 1.5), rate


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize(("name", "settings"), VARIANTS, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-4)])
def test_two_hundred_steps_equal_the_textbook(name, settings, scale, dtype, tolerance):
    start = np.random.default_rng(2).normal(size=40).astype(dtype)
    params, expected = start.copy(), start.astype(np.float64)
    optimizer = make_optimizer(name, settings).bind(params)
    textbook = TEXTBOOK[name](**settings)
    moved = 0.0
    for gradient, rate in gradients_and_rates(200, start.size, scale):
        gradient = gradient.astype(dtype)
        optimizer.step(params, gradient, rate)
        previous, expected = expected, textbook.step(expected, gradient.astype(np.float64), rate)
        moved += np.linalg.norm(expected - previous)
        assert np.linalg.norm(params - expected) <= tolerance * (moved + np.linalg.norm(start))
    if dtype == np.float64:
        np.testing.assert_allclose(params, expected, rtol=1e-6)


TABLES = {
    # v = -0.1*2, -0.1*-1, -0.05*4 without memory
    "sgd": (SGD(), [(2, 0.1, 0.8), (-1, 0.1, 0.9), (4, 0.05, 0.7)]),
    # v = -0.2; 0.5*-0.2 + 0.1 = 0.0; 0.5*0 - 0.2 = -0.2
    "momentum": (SGD(momentum=0.5), [(2, 0.1, 0.8), (-1, 0.1, 0.8), (4, 0.05, 0.6)]),
    # the same v; w + 0.5*v - rate*g: 1 - 0.1 - 0.2; 0.7 + 0 + 0.1; 0.8 - 0.1 - 0.2
    "nesterov": (
        SGD(momentum=0.5, nesterov=True),
        [(2, 0.1, 0.7), (-1, 0.1, 0.8), (4, 0.05, 0.5)],
    ),
    # m = 1/2, -1/4, 7/8, corrected by 1/2, 3/4, 7/8 to 1, -1/3, 1
    # v = 1/4, 7/16, 85/64, corrected by 1/4, 7/16, 37/64 to 1, 1, 85/37
    # so the steps are 0.3*1, 0.3*-1/3 and 0.6*1/sqrt(85/37) = 0.6*0.659768
    "adam": (
        Adam(beta_1=0.5, beta_2=0.75),
        [(1, 0.3, 0.7), (-1, 0.3, 0.8), (2, 0.6, 0.8 - 0.6 * 0.6597682)],
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_three_steps_worked_by_hand(name):
    optimizer, table = TABLES[name]
    params = np.ones(1)
    optimizer.bind(params)
    for gradient, rate, expected in table:
        optimizer.step(params, np.array([float(gradient)]), rate)
        assert params[0] == pytest.approx(expected, abs=1e-7)


def test_the_tables_cover_every_optimizer():
    assert set(TABLES) == set(OPTIMIZERS) == set(TEXTBOOK)


def test_nesterov_moves_past_the_classical_step_by_momentum_times_velocity():
    w_classical, w_nesterov = np.ones(1, np.float32), np.ones(1, np.float32)
    gradient = np.full(1, 2.0, np.float32)
    SGD(momentum=0.9).bind(w_classical).step(w_classical, gradient, learning_rate=0.1)
    SGD(momentum=0.9, nesterov=True).bind(w_nesterov).step(w_nesterov, gradient, learning_rate=0.1)
    # v = -0.1 * 2 = -0.2; classical 1 - 0.2; nesterov 1 + 0.9 * -0.2 - 0.2
    assert w_classical[0] == pytest.approx(0.80)
    assert w_nesterov[0] == pytest.approx(0.62)


@pytest.mark.parametrize(
    ("name", "rate"), [("sgd", 0.05), ("momentum", 0.02), ("nesterov", 0.02), ("adam", 0.05)]
)
def test_an_ill_conditioned_quadratic_is_minimised(name, rate):
    """f(w) = (w_1^2 + 30 w_2^2) / 2, minimum 0 at the origin."""
    curvature = np.array([1.0, 30.0])
    params = np.array([3.0, -2.0])
    optimizer = make_optimizer(name, {}).bind(params)
    for _ in range(800):
        optimizer.step(params, curvature * params, rate)
    assert (curvature * params**2).sum() / 2 < 1e-8


@pytest.mark.parametrize("saved_after", [0, 1, 63, 64, 65, 100])
@pytest.mark.parametrize(("name", "settings"), VARIANTS, ids=str)
def test_a_restored_optimizer_continues_bit_for_bit(name, settings, saved_after):
    steps = list(gradients_and_rates(140, 7, 1.0))
    params = np.ones(7, np.float32)
    optimizer = make_optimizer(name, settings).bind(params)
    for number, (gradient, rate) in enumerate(steps):
        if number == saved_after:
            saved, saved_params = optimizer.state_dict(), params.copy()
        optimizer.step(params, gradient.astype(np.float32), rate)
    restored = make_optimizer(name, settings).bind(saved_params)
    restored.load_state_dict(saved)
    for gradient, rate in steps[saved_after:]:
        restored.step(saved_params, gradient.astype(np.float32), rate)
    np.testing.assert_array_equal(saved_params, params)
    np.testing.assert_array_equal(restored.state_dict()["slots"], optimizer.state_dict()["slots"])
    assert restored.state_dict()["counters"] == optimizer.state_dict()["counters"]


def test_state_is_a_copy_and_binding_again_forgets():
    params = np.ones(3)
    optimizer = Adam().bind(params)
    optimizer.step(params, np.ones(3), 0.1)
    state = optimizer.state_dict()
    optimizer.step(params, np.ones(3), 0.1)
    assert state["counters"] == {"t": 1, "s": 1}
    assert not np.array_equal(state["slots"], optimizer.slots)
    optimizer.bind(params)
    assert optimizer.counters == {"t": 0, "s": 0}
    assert (optimizer.slots == 0.0).all()


def test_state_of_another_shape_is_refused():
    state = Adam().bind(np.ones(3)).state_dict()
    with pytest.raises(ValueError, match="shape"):
        Adam().bind(np.ones(4)).load_state_dict(state)
    with pytest.raises(ValueError, match="shape"):
        SGD(momentum=0.9).bind(np.ones(3)).load_state_dict(state)


def test_adam_leaves_no_denormal_numbers_behind():
    params = np.zeros(4, np.float32)
    optimizer = Adam(beta_2=0.9).bind(params)
    gradient = np.full(4, 1e-3, np.float32)
    optimizer.step(params, gradient, 1e-3)
    tiny = np.finfo(np.float32).tiny
    for _ in range(2000):
        optimizer.step(params, np.zeros_like(gradient), 1e-3)
        slots = np.abs(optimizer.slots)
        assert ((slots == 0.0) | (slots >= tiny)).all()
    assert (optimizer.slots == 0.0).all()


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("adagrat", {}, "optimizer must be one of"),
        ("sgd", {"momentum": 0.9}, "unknown settings momentum"),
        ("momentum", {"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0"),
        ("momentum", {"momentum": -0.1}, "momentum"),
        ("nesterov", {"momentum": 0.0}, "nesterov needs"),
        ("adam", {"beta_1": 1.0}, "beta_1"),
        ("adam", {"beta_2": -0.5}, "beta_2"),
        ("adam", {"beta_2": float("nan")}, "beta_2"),
        ("adam", {"epsilon": 0.0}, "epsilon"),
    ],
)
def test_names_and_settings_out_of_range_are_refused(name, settings, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(name, settings)
