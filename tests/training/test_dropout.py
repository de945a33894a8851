"""Dropout: what it keeps, how it scales, and that evaluation does not see it."""

from __future__ import annotations

import numpy as np
import pytest

from tunelab.training.layers import Dropout
from tunelab.training.plan import Plan


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.9, 1 / 3])
def test_mean_and_variance_are_those_of_inverted_dropout(rate):
    """Of ones: mean 1, variance p / (1 - p), values 0 and 1 / (1 - p)."""
    plan = Plan(1000, np.float64, training=True)
    x = np.ones((1000, 401))  # not a multiple of the draws in a random word
    y, _ = Dropout(rate, np.random.PCG64DXSM(1)).forward(plan, x)
    plan.run()
    spread = np.sqrt(rate / (1 - rate))
    assert y.mean() == pytest.approx(1.0, abs=5 * spread / np.sqrt(y.size))
    assert y.var() == pytest.approx(rate / (1 - rate), rel=0.02)
    kept = y[y > 0]
    assert kept == pytest.approx(1 / (1 - rate), rel=2e-5 / (1 - rate))
    share = kept.size / y.size
    assert share == pytest.approx(1 - rate, abs=5 * np.sqrt(rate * (1 - rate) / y.size))


def test_the_scale_is_that_of_the_actual_keep_rate():
    layer = Dropout(1 / 3, np.random.PCG64DXSM(1))
    assert layer.keep_rate == 43691 / 65536  # nearest multiple to 2/3
    plan = Plan(64, np.float64, training=True)
    y, _ = layer.forward(plan, np.ones((64, 8)))
    plan.run()
    np.testing.assert_allclose(np.unique(y), [0.0, 65536 / 43691])


@pytest.mark.parametrize("rate", [1e-9, 1 - 1e-9])
def test_extreme_rates_drop_at_least_one_level_and_keep_at_least_one(rate):
    assert 1 / 65536 <= Dropout(rate, np.random.PCG64DXSM(0)).keep_rate <= 65535 / 65536


def test_backward_uses_the_mask_of_the_forward_pass_and_each_run_draws_a_new_one():
    plan = Plan(20, np.float32, training=True)
    x = np.full((20, 30), 3.0, np.float32)
    y, backward = Dropout(0.5, np.random.PCG64DXSM(2)).forward(plan, x)
    dy = np.empty_like(x)
    dx = backward(dy)
    seen = []
    for _ in range(2):
        dy[...] = 3.0
        plan.run()
        np.testing.assert_array_equal(dx, y)
        seen.append(y.copy())
    assert not np.array_equal(*seen)
    assert (x == 3.0).all()


def test_masks_of_different_elements_are_uncorrelated():
    plan = Plan(4000, np.float64, training=True)
    y, _ = Dropout(0.5, np.random.PCG64DXSM(3)).forward(plan, np.ones((4000, 12)))
    plan.run()
    correlation = np.corrcoef(y.T) - np.eye(12)
    assert np.abs(correlation).max() < 5 / np.sqrt(4000)


def test_evaluation_passes_everything_through():
    plan = Plan(4, np.float32, training=False)
    x = np.ones((4, 3), np.float32)
    y, _ = Dropout(0.9, np.random.PCG64DXSM(0)).forward(plan, x)
    plan.run()
    assert y is x


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_rates_out_of_range_are_refused(rate):
    with pytest.raises(ValueError, match="dropout_rate"):
        Dropout(rate, np.random.PCG64DXSM(0))
