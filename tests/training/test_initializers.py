"""Initializers: their variance, their bounds, and the distributions' closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tunelab.training.initializers import INITIALIZERS

VARIANCES = {
    "he": lambda fan_in, fan_out: 2 / fan_in,
    "glorot": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "lecun": lambda fan_in, fan_out: 1 / fan_in,
}
SHAPES = [(400, 300), (50, 2000), (2000, 50)]


def test_every_scale_has_a_normal_and_a_uniform_member():
    assert set(INITIALIZERS) == {
        f"{scale}_{shape}" for scale in VARIANCES for shape in ("normal", "uniform")
    }


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", INITIALIZERS)
def test_weights_have_the_documented_variance_and_no_mean(name, shape):
    weights = INITIALIZERS[name](np.random.default_rng(0), *shape)
    assert weights.shape == shape
    assert weights.dtype == np.float64
    variance = VARIANCES[name.split("_")[0]](*shape)
    # With 1e5 numbers the standard errors are 0.3 % of the deviation and 0.45 % of the variance.
    assert abs(weights.mean()) < 5 * math.sqrt(variance / weights.size)
    assert weights.var() == pytest.approx(variance, rel=0.025)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scale", VARIANCES)
def test_uniform_weights_fill_their_bounds_evenly(scale, shape):
    weights = INITIALIZERS[f"{scale}_uniform"](np.random.default_rng(1), *shape)
    limit = math.sqrt(3 * VARIANCES[scale](*shape))
    assert 0.999 * limit < np.abs(weights).max() <= limit
    counts, _ = np.histogram(weights, bins=10, range=(-limit, limit))
    assert counts == pytest.approx(np.full(10, weights.size / 10), rel=0.05)


@pytest.mark.parametrize("scale", VARIANCES)
def test_normal_weights_are_normal_and_not_cut_off_at_two_deviations(scale):
    weights = INITIALIZERS[f"{scale}_normal"](np.random.default_rng(2), 400, 300)
    z = weights / math.sqrt(VARIANCES[scale](400, 300))
    assert np.mean(np.abs(z) < 1) == pytest.approx(0.6827, abs=0.01)
    assert np.mean(np.abs(z) > 2) == pytest.approx(0.0455, abs=0.005)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_the_generator_decides(name):
    first = INITIALIZERS[name](np.random.default_rng(3), 5, 4)
    np.testing.assert_array_equal(first, INITIALIZERS[name](np.random.default_rng(3), 5, 4))
    assert not np.array_equal(first, INITIALIZERS[name](np.random.default_rng(4), 5, 4))
