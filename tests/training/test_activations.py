"""Activation functions against their textbook forms, and their derivatives against differences."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from tunelab.training.activations import ACTIVATIONS
from tunelab.training.initializers import INITIALIZERS
from tunelab.training.plan import Plan


def gelu(z):
    return 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))


FORMULAS = {
    "relu": lambda z: np.where(z > 0, z, 0.0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "gelu": gelu,
    "silu": lambda z: z / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
}
BENT = ("relu", "leaky_relu", "elu")  # a derivative of theirs jumps at 0
# Values at 0 and far to either side: y(0), f'(0), y(-1e4), f'(-1e4), y(1e4), f'(1e4)
ENDS = {
    "relu": (0, 0, 0, 0, 1e4, 1),
    "leaky_relu": (0, 0.01, -100, 0.01, 1e4, 1),
    "elu": (0, 1, -1, 0, 1e4, 1),
    "gelu": (0, 0.5, 0, 0, 1e4, 1),
    "silu": (0, 0.5, 0, 0, 1e4, 1),
    "tanh": (0, 1, -1, 0, 1, 0),
    "sigmoid": (0.5, 0.25, 0, 0, 1, 0),
}


def value_and_slope(name, z):
    """``f(z)`` and ``f'(z)`` of a vector."""
    z = z[np.newaxis]
    plan = Plan(1, z.dtype, training=False)
    y, _ = ACTIVATIONS[name].record(plan, z)
    plan.run()
    training = Plan(1, z.dtype, training=True)
    _, backward = ACTIVATIONS[name].record(training, z)
    slope = backward(np.ones_like(z))
    training.run()
    return y[0], slope[0]


def test_every_activation_is_tested():
    assert set(FORMULAS) == set(ENDS) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_values_equal_the_formula(name):
    z = np.concatenate([np.linspace(-30, 30, 6001), [-1e-8, 1e-8]])
    y, _ = value_and_slope(name, z)
    np.testing.assert_allclose(y, FORMULAS[name](z), rtol=1e-12, atol=4e-15)
    y, _ = value_and_slope(name, z.astype(np.float32))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, FORMULAS[name](z), rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_equal_central_differences(name):
    z = np.concatenate([np.linspace(-20, 20, 4001), [-1e-3, -1e-4, 1e-4, 1e-3]])
    h = 1e-6 if name in BENT else 1e-5
    if name in ("relu", "leaky_relu"):
        z = z[np.abs(z) > h]
    numeric = (FORMULAS[name](z + h) - FORMULAS[name](z - h)) / (2 * h)
    _, slope = value_and_slope(name, z)
    np.testing.assert_allclose(slope, numeric, rtol=1e-6, atol=1e-9)
    _, slope = value_and_slope(name, z.astype(np.float32))
    assert slope.dtype == np.float32
    np.testing.assert_allclose(slope, numeric, rtol=1e-6, atol=6e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_values_and_slopes_at_0_and_far_away_are_exact_and_finite(name, dtype):
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y, slope = value_and_slope(name, np.array([0.0, -1e4, 1e4], dtype))
    found = [float(number) for pair in zip(y, slope, strict=True) for number in pair]
    assert found == pytest.approx(ENDS[name], rel=1e-7, abs=0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_backward_pass_multiplies_the_gradient_in_place(name):
    rng = np.random.default_rng(0)
    z, dy = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    z_before, dy_before = z.copy(), dy.copy()
    plan = Plan(4, np.float64, training=True)
    _, backward = ACTIVATIONS[name].record(plan, z)
    dz = backward(dy)
    assert dz is dy
    plan.run()
    _, slope = value_and_slope(name, z.ravel())
    np.testing.assert_allclose(dz, dy_before * slope.reshape(4, 3), rtol=1e-12)
    np.testing.assert_array_equal(z, z_before)  # it belongs to the layer below


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_replay_allocates_nothing_and_gives_the_same_numbers(name):
    z = np.random.default_rng(0).normal(size=(64, 128)).astype(np.float32)
    plan = Plan(64, np.float32, training=True)
    _, backward = ACTIVATIONS[name].record(plan, z)
    dy = np.ones_like(z)
    dz = backward(dy)
    plan.run()
    first = dz.copy()
    dy[:] = 1.0
    tracemalloc.start()
    plan.run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2048
    np.testing.assert_array_equal(dz, first)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_infinities_and_nan_pass_without_an_exception(name):
    with np.errstate(all="ignore"):
        y, slope = value_and_slope(name, np.array([np.nan, np.inf, -np.inf, 1.0], np.float32))
    assert math.isnan(y[0])
    assert y[3] == pytest.approx(float(FORMULAS[name](np.array(1.0))), rel=1e-6)
    assert math.isfinite(slope[3])


def test_gelu_differs_from_the_error_function_form_as_documented():
    z = np.linspace(-6, 6, 12001)
    normal = np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in z])
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    y, slope = value_and_slope("gelu", z)
    off, off_slope = np.abs(y - z * normal), np.abs(slope - (normal + z * density))
    assert 4.7e-4 < off.max() < 4.8e-4
    assert abs(z[off.argmax()]) == pytest.approx(2.7, abs=0.05)
    assert 8.6e-4 < off_slope.max() < 8.7e-4
    assert abs(z[off_slope.argmax()]) == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(
    ("name", "factor"),
    [("relu", 1.0), ("leaky_relu", 1.0), ("elu", 1.29), ("gelu", 0.85), ("silu", 0.71)],
)
def test_hes_weights_keep_the_mean_square_about_as_documented(name, factor):
    """Variance 2 / fan_in times E[f(z)^2], z normal, by a sum over its density."""
    z = np.linspace(-9, 9, 18001)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    y, _ = value_and_slope(name, z)
    assert ACTIVATIONS[name].initializer == "he_uniform"
    assert 2 * (y**2 * density).sum() == pytest.approx(factor, abs=0.005)


def test_every_activation_names_an_initializer():
    assert {activation.initializer for activation in ACTIVATIONS.values()} <= set(INITIALIZERS)
    assert ACTIVATIONS["tanh"].initializer == "glorot_uniform"
    assert ACTIVATIONS["sigmoid"].initializer == "glorot_uniform"
