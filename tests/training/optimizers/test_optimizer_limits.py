"""No memory is taken in a step, and no gradient, huge or absent, leads out of the numbers."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from tests.training.optimizers.textbook import VARIANTS
from tunelab.training.optimizers import OPTIMIZERS, make_optimizer


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_takes_no_memory(name, dtype):
    """Temporaries of 100,000 parameters would take 400,000 bytes; a few small objects may."""
    n_params = 100_000
    params, gradient = np.ones(n_params, dtype), np.full(n_params, 0.5, dtype)
    optimizer = make_optimizer(name, {}).bind(params, n_weights=n_params // 2)
    for _ in range(3):
        optimizer.step(params, gradient, 1e-3)
    peaks = []
    for _ in range(3):  # the least counts: other threads of the process allocate as well
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(70):  # past the 64th step, which rounds the slots
                optimizer.step(params, gradient, 1e-3)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        peaks.append(peak - before)
    assert min(peaks) < 2000


@pytest.mark.parametrize(("name", "settings"), VARIANTS, ids=str)
def test_huge_and_absent_gradients_stay_finite(name, settings):
    """Each parameter has gradients of its own: 1e6, 1e6 with changing sign, 1e-30, 0, and all."""
    params = np.ones(5, np.float32)
    optimizer = make_optimizer(name, settings).bind(params)
    sign = 1.0
    for number in range(3000):
        sign = -sign
        everything = (1e6, 0.0, 1e-30, -1e6, 0.0)[number // 50 % 5]
        gradient = np.array([1e6, sign * 1e6, 1e-30, 0.0, everything], np.float32)
        optimizer.step(params, gradient, 0.1)
        assert np.isfinite(params).all()
        assert np.isfinite(optimizer.slots).all()
    for _ in range(3000):
        optimizer.step(params, np.zeros(5, np.float32), 0.1)
    assert np.isfinite(params).all()
    assert np.isfinite(optimizer.slots).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_where_there_is_no_gradient_nothing_moves_but_by_weight_decay(name):
    params = np.array([1.0, 0.0, -3.0], np.float32)
    optimizer = make_optimizer(name, {}).bind(params)
    for _ in range(200):
        optimizer.step(params, np.zeros(3, np.float32), 0.1)
    kept = (1 - 0.1 * 0.01) ** 200 if name == "adamw" else 1.0
    np.testing.assert_allclose(params, np.array([1.0, 0.0, -3.0]) * kept, rtol=1e-5)
    assert (optimizer.slots == 0.0).all()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("momentum", {}),
        ("momentum", {"momentum": 0.99}),
        ("nesterov", {}),
        ("adadelta", {"rho": 0.9}),
        ("rmsprop", {}),
        ("adam", {"beta_2": 0.9}),
        ("adam", {"beta_2": 0.99}),
        ("adamw", {"beta_2": 0.9}),
        ("nadam", {"beta_2": 0.9}),
    ],
    ids=str,
)
def test_a_weight_that_lost_its_gradient_leaves_no_denormal_numbers_behind(name, settings):
    """They would slow down every later step; a share of 0.9 reaches them after 800 steps.

    What is left after all is too small to move anything, be it divided by Adam's epsilon.
    """
    params = np.array([1.0, 1.0], np.float32)
    optimizer = make_optimizer(name, settings).bind(params)
    optimizer.step(params, np.array([1e-3, -1e-3], np.float32), 1e-3)
    tiny = np.finfo(np.float32).tiny
    gradient = np.zeros(2, np.float32)
    for _ in range(9000):
        optimizer.step(params, gradient, 1e-3)
        sizes = np.abs(optimizer.slots)
        assert ((sizes == 0.0) | (sizes >= tiny)).all()
    assert (sizes < 1e-28).all()


def test_a_small_share_passes_the_denormal_numbers_within_64_steps():
    """Rounded to nearest, 0.6 times the smallest of them is itself: it would stay for ever."""
    smallest = np.finfo(np.float32).smallest_subnormal
    assert np.float32(0.6) * smallest == smallest
    params = np.ones(1, np.float32)
    optimizer = make_optimizer("momentum", {"momentum": 0.6}).bind(params)
    optimizer.step(params, params, 0.1)
    with_denormals = 0
    for _ in range(1000):
        optimizer.step(params, np.zeros(1, np.float32), 0.1)
        with_denormals += bool(0.0 < -optimizer.slots[0, 0] < np.finfo(np.float32).tiny)
    assert with_denormals < 64
    assert optimizer.slots[0, 0] == 0.0
