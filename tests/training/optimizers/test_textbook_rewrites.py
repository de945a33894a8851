"""Every optimizer against a rewrite in float64 and textbook order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.optimizers.textbook import TEXTBOOK, VARIANTS, gradients_and_rates
from tunelab.training.optimizers import OPTIMIZERS, make_optimizer


def assert_equal_to_textbook(name, own_settings, steps, start, tolerance):
    """At every step the distance is a small share of the way that was gone so far."""
    params, expected = start.copy(), start.astype(np.float64)
    optimizer = make_optimizer(name, own_settings).bind(params)
    textbook = TEXTBOOK[name](**own_settings)
    way = np.linalg.norm(start)
    for gradient, rate in steps:
        gradient = gradient.astype(start.dtype)
        optimizer.step(params, gradient, rate)
        previous, expected = expected, textbook.step(expected, gradient.astype(np.float64), rate)
        way += np.linalg.norm(expected - previous)
        assert np.linalg.norm(params - expected) <= tolerance * way
    return params, expected


def test_there_is_a_rewrite_and_a_variant_of_every_optimizer():
    assert set(TEXTBOOK) == set(OPTIMIZERS) == {name for name, _ in VARIANTS}


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize(("name", "own_settings"), VARIANTS, ids=str)
def test_two_hundred_steps_in_float64_equal_the_textbook(name, own_settings, scale):
    start = np.random.default_rng(2).normal(size=40)
    steps = gradients_and_rates(200, start.size, scale)
    params, expected = assert_equal_to_textbook(name, own_settings, steps, start, 1e-12)
    np.testing.assert_allclose(params, expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize(("name", "own_settings"), VARIANTS, ids=str)
def test_two_hundred_steps_in_float32_stay_within_a_hundred_thousandth(name, own_settings, scale):
    start = np.random.default_rng(2).normal(size=40).astype(np.float32)
    steps = gradients_and_rates(200, start.size, scale)
    assert_equal_to_textbook(name, own_settings, steps, start, 1e-5)


SHARE = st.one_of(st.just(0.0), st.floats(1e-3, 0.9999))
EPSILON = st.floats(-10, 0).map(lambda exponent: 10.0**exponent)
SETTINGS = {
    "momentum": SHARE,
    "rho": SHARE,
    "beta_1": SHARE,
    "beta_2": SHARE,
    "epsilon": EPSILON,
    "weight_decay": st.floats(0.0, 1.0),
}
OWN = {
    "sgd": (),
    "momentum": ("momentum",),
    "nesterov": ("momentum",),
    "adagrad": ("epsilon",),
    "adadelta": ("rho", "epsilon"),
    "rmsprop": ("rho", "epsilon"),
    "adam": ("beta_1", "beta_2", "epsilon"),
    "adamw": ("beta_1", "beta_2", "epsilon", "weight_decay"),
    "nadam": ("beta_1", "beta_2", "epsilon"),
}


@st.composite
def problems(draw):
    """A method with any settings, and steps with zeros, jumps in size and rates down to 0."""
    name = draw(st.sampled_from(sorted(OWN)))
    own_settings = {key: draw(SETTINGS[key]) for key in OWN[name]}
    if name == "nesterov" and own_settings["momentum"] == 0.0:
        own_settings["momentum"] = 0.5
    sizes = st.sampled_from([0.0, 1e-6, 1e-3, 1.0, 1e3, 1e6])
    pieces = draw(st.lists(st.tuples(sizes, st.integers(1, 40)), min_size=1, max_size=6))
    rates = draw(st.lists(st.sampled_from([0.0, 1e-3, 0.1]), min_size=1, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scales = [scale for scale, length in pieces for _ in range(length)]
    steps = [
        (scale * rng.normal(size=3), rates[number % len(rates)])
        for number, scale in enumerate(scales)
    ]
    return name, own_settings, steps


@settings(max_examples=150, deadline=None)
@given(problems())
def test_any_settings_gradients_and_rates_equal_the_textbook(problem):
    name, own_settings, steps = problem
    assert_equal_to_textbook(name, own_settings, steps, np.array([1.0, -2.0, 0.5]), 1e-10)


def test_adamw_shrinks_the_weights_and_not_the_biases():
    """The textbook's Adam for the biases, its AdamW for the weights."""
    start = np.linspace(-1.0, 2.0, 7)
    params, weights, biases = start.copy(), start[:4], start[4:]
    optimizer = make_optimizer("adamw", {"weight_decay": 0.5}).bind(params, n_weights=4)
    adamw, adam = TEXTBOOK["adamw"](weight_decay=0.5), TEXTBOOK["adam"]()
    for gradient, rate in gradients_and_rates(100, 7, 1.0):
        optimizer.step(params, gradient, rate)
        weights = adamw.step(weights, gradient[:4], rate)
        biases = adam.step(biases, gradient[4:], rate)
    np.testing.assert_allclose(params, np.concatenate([weights, biases]), rtol=1e-12)


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"adamw"}))
def test_where_the_weights_end_matters_to_weight_decay_alone(name):
    ends = []
    for n_weights in (None, 0, 2, 5):
        params = np.ones(5)
        optimizer = make_optimizer(name, {}).bind(params, n_weights)
        for gradient, rate in gradients_and_rates(10, 5, 1.0):
            optimizer.step(params, gradient, rate)
        ends.append(params)
    assert all(np.array_equal(end, ends[0]) for end in ends)


def test_rounding_away_what_vanishes_costs_larger_numbers_nothing():
    """Bit for bit the recurrence in float32, across the rounding at steps 64, 128 and 192."""
    params = np.zeros(50, np.float32)
    expected, velocity = params.copy(), np.zeros_like(params)
    optimizer = make_optimizer("momentum", {"momentum": 0.5}).bind(params)
    for gradient, _ in gradients_and_rates(200, 50, 1e-6):
        gradient = gradient.astype(np.float32)
        optimizer.step(params, gradient, 0.25)
        # halves and quarters are exact, so the order of the operations does not matter
        velocity = np.float32(0.5) * velocity - np.float32(0.25) * gradient
        expected += velocity
        np.testing.assert_array_equal(params, expected)
