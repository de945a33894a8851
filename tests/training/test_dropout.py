"""Dropout: what it keeps, how it scales, how random it is, and that evaluation does not see it."""

from __future__ import annotations

import numpy as np
import pytest

from tunelab.training.layers import Dropout
from tunelab.training.plan import Plan

WORD = 2**64 - 1


def run_once(plan):
    plan.start_epoch()
    plan.run()


def record_keeps(layers, n_steps, *, rows, columns, start_epoch_every=None):
    """Which elements each layer keeps in each step: bools, (layers, steps, elements)."""
    plan = Plan(rows, np.float32, training=True)
    x = np.ones((rows, columns), np.float32)
    outputs = [layer.forward(plan, x)[0] for layer in layers]
    seen = np.empty((len(layers), n_steps, x.size), bool)
    for step in range(n_steps):
        if step % (start_epoch_every or n_steps) == 0:
            plan.start_epoch()
        plan.run()
        for keeps, y in zip(seen, outputs, strict=True):
            keeps[step] = y.ravel() > 0
    return seen


def correlation(a, b):
    """Over all pairs of entries of two arrays of one shape."""
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.9, 1 / 3])
def test_mean_and_variance_are_those_of_inverted_dropout(rate):
    """Of ones: mean 1, variance p / (1 - p), values 0 and 1 / (1 - p)."""
    plan = Plan(1000, np.float64, training=True)
    x = np.ones((1000, 401))  # not a multiple of the draws in a random word
    y, _ = Dropout(rate, np.random.PCG64DXSM(1)).forward(plan, x)
    run_once(plan)
    spread = np.sqrt(rate / (1 - rate))
    assert y.mean() == pytest.approx(1.0, abs=5 * spread / np.sqrt(y.size))
    assert y.var() == pytest.approx(rate / (1 - rate), rel=0.02)
    kept = y[y > 0]
    np.testing.assert_allclose(kept, 1 / (1 - rate), rtol=2e-5 / (1 - rate))
    share = kept.size / y.size
    assert share == pytest.approx(1 - rate, abs=5 * np.sqrt(rate * (1 - rate) / y.size))


def test_the_scale_is_that_of_the_actual_keep_rate():
    layer = Dropout(1 / 3, np.random.PCG64DXSM(1))
    assert layer.keep_rate == 43691 / 65536  # nearest multiple to 2/3
    plan = Plan(64, np.float64, training=True)
    y, _ = layer.forward(plan, np.ones((64, 8)))
    run_once(plan)
    np.testing.assert_allclose(np.unique(y), [0.0, 65536 / 43691])


@pytest.mark.parametrize("rate", [1e-9, 1 - 1e-9])
def test_extreme_rates_drop_at_least_one_level_and_keep_at_least_one(rate):
    assert 1 / 65536 <= Dropout(rate, np.random.PCG64DXSM(0)).keep_rate <= 65535 / 65536


def advanced(word):
    """One step of xorshift, with the numbers of the paper."""
    word ^= word << 13 & WORD
    word ^= word >> 7
    word ^= word << 17 & WORD
    return word


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 7)])
def test_masks_are_those_of_xorshift_lanes_drawn_at_the_start_of_an_epoch(shape):
    plan = Plan(shape[0], np.float64, training=True)
    y, _ = Dropout(0.4, np.random.PCG64DXSM(8)).forward(plan, np.ones(shape))
    words_of_epochs = np.random.PCG64DXSM(8)
    for _ in range(2):
        plan.start_epoch()
        words = words_of_epochs.random_raw((y.size + 3) // 4).tolist()
        for _ in range(3):
            plan.run()
            words = [advanced(word) for word in words]
            draws = [word >> shift & 0xFFFF for word in words for shift in (0, 16, 32, 48)]
            expected = np.array(draws[: y.size]).reshape(shape) < round(0.6 * 65536)
            np.testing.assert_array_equal(y > 0, expected)


def test_a_draw_that_equals_the_threshold_is_dropped():
    """Of 65,536 equally probable draws, exactly ``threshold`` are kept."""
    draw = advanced(int(np.random.PCG64DXSM(8).random_raw())) & 0xFFFF
    for threshold, is_kept in ((draw, False), (draw + 1, True)):
        plan = Plan(1, np.float64, training=True)
        layer = Dropout(1 - threshold / 65536, np.random.PCG64DXSM(8))
        y, _ = layer.forward(plan, np.ones((1, 4)))
        run_once(plan)
        assert (y[0, 0] > 0) == is_kept


def test_a_lane_of_zeros_is_replaced_because_it_would_stay_zero():
    class Zeros:
        def random_raw(self, size):
            return np.zeros(size, np.uint64)

    plan = Plan(4, np.float64, training=True)
    y, _ = Dropout(0.5, Zeros()).forward(plan, np.ones((4, 4)))
    plan.start_epoch()
    kept = 0
    for _ in range(1000):
        plan.run()
        kept += (y > 0).mean() / 1000
    assert kept == pytest.approx(0.5, abs=0.05)


def test_backward_uses_the_mask_of_the_forward_pass_and_each_run_draws_a_new_one():
    plan = Plan(20, np.float32, training=True)
    x = np.full((20, 30), 3.0, np.float32)
    y, backward = Dropout(0.5, np.random.PCG64DXSM(2)).forward(plan, x)
    dy = np.empty_like(x)
    dx = backward(dy)
    seen = []
    plan.start_epoch()
    for _ in range(2):
        dy[...] = 3.0
        plan.run()
        np.testing.assert_array_equal(dx, y)
        seen.append(y.copy())
    assert not np.array_equal(*seen)
    assert (x == 3.0).all()


@pytest.mark.parametrize("rate", [0.5, 0.2])
def test_elements_of_a_mask_are_uncorrelated_with_each_other(rate):
    keeps = record_keeps([Dropout(rate, np.random.PCG64DXSM(3))], 4000, rows=16, columns=12)[0]
    of_pairs = np.corrcoef(keeps.T) - np.eye(keeps.shape[1])
    assert np.abs(of_pairs).max() < 5.5 / np.sqrt(4000)  # the greatest of 18,000 pairs
    # Neighbours within a word, all words together.
    for distance in (1, 2, 3):
        a, b = keeps[:, : -distance or None], keeps[:, distance:]
        assert abs(correlation(a, b)) < 5 / np.sqrt(a.size)


@pytest.mark.parametrize("rate", [0.5, 0.2])
def test_successive_steps_are_uncorrelated(rate):
    keeps = record_keeps([Dropout(rate, np.random.PCG64DXSM(4))], 600, rows=32, columns=40)[0]
    for lag in (1, 2, 3, 10):
        earlier, later = keeps[:-lag], keeps[lag:]
        assert abs(correlation(earlier, later)) < 5 / np.sqrt(later.size)
        # Also between an element and its neighbours in the word, one place after the other.
        words = keeps.reshape(len(keeps), -1, 4)
        for i in range(4):
            for j in range(4):
                c = correlation(words[:-lag, :, i], words[lag:, :, j])
                assert abs(c) < 5.5 / np.sqrt(later.size / 4)


def test_every_element_is_kept_at_the_same_rate_over_many_steps():
    keeps = record_keeps([Dropout(0.3, np.random.PCG64DXSM(5))], 3000, rows=20, columns=25)[0]
    deviations = (keeps.mean(axis=0) - 0.7) / np.sqrt(0.3 * 0.7 / 3000)
    assert np.abs(deviations).max() < 4.5
    assert deviations.std() == pytest.approx(1.0, abs=0.15)
    # Likewise the share that is kept in a step.
    deviations = (keeps.mean(axis=1) - 0.7) / np.sqrt(0.3 * 0.7 / 500)
    assert np.abs(deviations).max() < 5
    assert deviations.std() == pytest.approx(1.0, abs=0.08)


def test_layers_that_share_a_bit_generator_are_uncorrelated():
    bits = np.random.PCG64DXSM(6)
    keeps = record_keeps([Dropout(0.5, bits), Dropout(0.5, bits)], 300, rows=32, columns=40)
    assert abs(correlation(*keeps)) < 5 / np.sqrt(keeps[0].size)
    assert abs(correlation(keeps[0, 1:], keeps[1, :-1])) < 5 / np.sqrt(keeps[0].size)


def test_epochs_are_uncorrelated():
    layer = Dropout(0.5, np.random.PCG64DXSM(7))
    keeps = record_keeps([layer], 300, rows=32, columns=40, start_epoch_every=3)[0]
    of_epochs = keeps.reshape(100, 3, -1)
    assert abs(correlation(of_epochs[:-1], of_epochs[1:])) < 5 / np.sqrt(keeps.size)


def test_the_bit_generator_moves_at_the_start_of_an_epoch_only():
    bits = np.random.PCG64DXSM(9)
    plan = Plan(8, np.float32, training=True)
    Dropout(0.5, bits).forward(plan, np.ones((8, 8), np.float32))
    at_recording = bits.state
    plan.start_epoch()
    started = bits.state
    assert started != at_recording
    plan.run()
    assert bits.state == started


def test_evaluation_passes_everything_through():
    plan = Plan(4, np.float32, training=False)
    x = np.ones((4, 3), np.float32)
    y, _ = Dropout(0.9, np.random.PCG64DXSM(0)).forward(plan, x)
    run_once(plan)
    assert y is x


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_rates_out_of_range_are_refused(rate):
    with pytest.raises(ValueError, match="dropout_rate"):
        Dropout(rate, np.random.PCG64DXSM(0))
