"""Batch norm: against a textbook's rewrite, in training and in evaluation."""

from __future__ import annotations

import numpy as np
import pytest

from tunelab.training.layers import BatchNorm
from tunelab.training.loop import steps_per_epoch
from tunelab.training.plan import Plan


def make_layer(n_units, dtype=np.float64):
    """A layer of its own, with the views that a network would give it."""
    layer = BatchNorm(n_units)
    layer.affine.value, layer.affine.grad = np.empty((2, 2, n_units), dtype)
    layer.running.value = np.empty((2, n_units), dtype)
    layer.initialize(np.random.default_rng(0))
    return layer


def normal(x):
    """Columns with mean 0 and variance 1, but for epsilon."""
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)


def test_a_batch_of_two_by_hand():
    """1 and 3: mean 2, variance 1, unbiased variance 2; the first running ones are 0 and 1."""
    layer = make_layer(1)
    plan = Plan(2, np.float64, training=True)
    y, _ = layer.forward(plan, np.array([[1.0], [3.0]]))
    plan.run()
    np.testing.assert_allclose(y, [[-1 / np.sqrt(1.00001)], [1 / np.sqrt(1.00001)]], rtol=1e-14)
    np.testing.assert_allclose(layer.running.value, [[0.1 * 2], [0.9 * 1 + 0.1 * 2]], rtol=1e-14)


def test_training_normalises_with_the_batch_and_the_running_statistics_follow():
    rng = np.random.default_rng(1)
    layer = make_layer(5)
    layer.affine.value[...] = rng.normal(size=(2, 5))
    gamma, beta = layer.affine.value.copy()
    mean, variance = np.zeros(5), np.ones(5)
    passes = {}
    for size in (16, 16, 3, 16, 2):  # full batches and partial ones
        if size not in passes:
            plan, x = Plan(size, np.float64, training=True), np.empty((size, 5))
            passes[size] = plan, x, layer.forward(plan, x)[0]
        plan, x, y = passes[size]
        x[:] = rng.normal(3.0, 2.0, size=x.shape)
        plan.run()
        np.testing.assert_allclose(y, gamma * normal(x) + beta, rtol=1e-12)
        mean = 0.9 * mean + 0.1 * x.mean(axis=0)
        variance = 0.9 * variance + 0.1 * x.var(axis=0, ddof=1)
        np.testing.assert_allclose(layer.running.value, [mean, variance], rtol=1e-12)


def test_evaluation_uses_the_running_statistics_and_leaves_them_alone():
    rng = np.random.default_rng(2)
    layer = make_layer(4)
    layer.affine.value[...] = rng.normal(size=(2, 4))
    layer.running.value[...] = rng.normal(size=4), rng.uniform(0.1, 3.0, size=4)
    (gamma, beta), (mean, variance) = layer.affine.value, layer.running.value.copy()
    for rows in (1, 7):
        plan = Plan(rows, np.float64, training=False)
        x = rng.normal(3.0, 2.0, size=(rows, 4))
        y, _ = layer.forward(plan, x)
        plan.run()
        expected = gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta
        np.testing.assert_allclose(y, expected, rtol=1e-12)
        np.testing.assert_array_equal(layer.running.value, [mean, variance])


@pytest.mark.parametrize("rows", [2, 3, 32])
def test_backward_equals_central_differences_by_input_gamma_and_beta(rows):
    rng = np.random.default_rng(rows)
    layer = make_layer(3)
    layer.affine.value[...] = rng.normal(size=(2, 3))
    x, wanted = rng.normal(size=(2, rows, 3))
    plan = Plan(rows, np.float64, training=True)
    y, backward = layer.forward(plan, x)
    dy = np.empty_like(y)
    dx = backward(dy)

    def loss(x, affine):
        return (wanted * (affine[0] * normal(x) + affine[1])).sum()

    def differences(function, at):
        gradient = np.empty(at.shape)
        for index in np.ndindex(at.shape):
            step = np.zeros(at.shape)
            step[index] = 1e-5
            gradient[index] = (function(at + step) - function(at - step)) / 2e-5
        return gradient

    for _ in range(2):  # a second run finds what the first has left in the buffers
        dy[:] = wanted
        plan.run()
        np.testing.assert_allclose(
            dx, differences(lambda at: loss(at, layer.affine.value), x), atol=1e-7
        )
        np.testing.assert_allclose(
            layer.affine.grad, differences(lambda at: loss(x, at), layer.affine.value), atol=1e-7
        )


@pytest.mark.parametrize("constant", [0.0, 1.0, -1e4])
def test_a_constant_column_stays_finite_everywhere(constant):
    layer = make_layer(2, np.float32)
    layer.affine.value[1] = 0.5
    x = np.random.default_rng(0).normal(size=(48, 2)).astype(np.float32)
    x[:, 0] = constant
    y_of_plans = []
    for training in (True, False):
        plan = Plan(48, np.float32, training=training)
        y_of_plans.append(layer.forward(plan, x)[0])
        plan.run()
    assert np.isfinite(y_of_plans).all()
    # The mean of equal numbers is rounded at 1e-7 of them, and sqrt(epsilon) is 0.003.
    assert np.abs(y_of_plans[0][:, 0] - 0.5).max() <= 1e-6 * abs(constant) / np.sqrt(1e-5)

    plan = Plan(48, np.float32, training=True)
    y, backward = layer.forward(plan, x)
    dy = np.empty_like(y)
    dx = backward(dy)
    for _ in range(500):
        dy[:] = 1.0
        plan.run()
        assert np.isfinite(dx).all()
        assert np.isfinite(layer.affine.grad).all()
        assert np.isfinite(layer.running.value).all()
        assert (layer.running.value[1] >= 0).all()


def test_a_batch_of_one_row_is_refused_in_training():
    with pytest.raises(ValueError, match="at least 2 rows"):
        make_layer(3).forward(Plan(1, np.float64, training=True), np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("n_train", "batch_size", "plain", "normalised"),
    [(48, 16, 3, 3), (49, 16, 4, 3), (50, 16, 4, 4), (3, 2, 2, 1), (16, 16, 1, 1), (17, 16, 2, 1)],
)
def test_a_last_batch_of_one_row_is_left_out(n_train, batch_size, plain, normalised):
    assert steps_per_epoch(n_train, batch_size, batch_norm=False) == plain
    assert steps_per_epoch(n_train, batch_size, batch_norm=True) == normalised


@pytest.mark.parametrize(("n_train", "steps"), [(48, 3), (49, 3), (50, 4)])
def test_a_run_takes_that_many_steps(classification, start, n_train, steps):
    calls = []
    run = start(
        classification(n_train=n_train),
        batch_norm=True,
        should_stop=lambda: bool(calls.append(1)),
    )
    next(run)
    assert len(calls) == steps
    assert run.state_dict()["counters"]["t"] == steps


@pytest.mark.parametrize(
    ("n_train", "batch_size", "batch_norm", "message"),
    [
        (10, 1, True, r"batch_size must be in \[2, 10\] under batch norm"),
        (10, 11, True, r"\[2, 10\]"),
        (10, 0, False, r"\[1, 10\]"),
        (10, 11, False, r"\[1, 10\]"),
        (1, 1, True, r"\[2, 1\]"),
    ],
)
def test_batch_sizes_out_of_range_are_refused(n_train, batch_size, batch_norm, message):
    with pytest.raises(ValueError, match=message):
        steps_per_epoch(n_train, batch_size, batch_norm=batch_norm)


def rewritten_predictions(arrays, x):
    """A network's evaluation from its exported arrays, in float64."""
    h = x.astype(np.float64)
    number = 1
    while f"layer_{number + 1}.weights" in arrays:
        layer = {
            name: arrays[f"layer_{number}.{name}"].astype(np.float64)
            for name in ("weights", "gamma", "beta", "running_mean", "running_variance")
        }
        z = (h @ layer["weights"] - layer["running_mean"]) / np.sqrt(
            layer["running_variance"] + 1e-5
        )
        h = np.maximum(layer["gamma"] * z + layer["beta"], 0.0)
        number += 1
    z = h @ arrays[f"layer_{number}.weights"] + arrays[f"layer_{number}.bias"]
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def test_a_run_evaluates_with_running_statistics_that_follow_its_batches(classification, start):
    """The statistics of the first layer from the batches themselves, at a rate of almost 0."""
    data = classification(n_train=50)
    run = start(
        data, batch_norm=True, units=[8, 5], learning_rate=1e-30, max_epochs=3, dtype=np.float64
    )
    weights = run.weights()["layer_1.weights"]
    stream = np.random.SeedSequence(0).spawn(4)[1]
    order = np.random.Generator(np.random.PCG64DXSM(stream))
    mean, variance = np.zeros(8), np.ones(8)
    for record in run:
        rows = order.permutation(50)
        for start_row in range(0, 50, 16):
            z = data.x_train[rows[start_row : start_row + 16]].astype(np.float64) @ weights
            mean = 0.9 * mean + 0.1 * z.mean(axis=0)
            variance = 0.9 * variance + 0.1 * z.var(axis=0, ddof=1)
        arrays = run.weights()
        np.testing.assert_allclose(arrays["layer_1.running_mean"], mean, rtol=1e-10)
        np.testing.assert_allclose(arrays["layer_1.running_variance"], variance, rtol=1e-10)
        expected = rewritten_predictions(arrays, data.x_validation)
        np.testing.assert_allclose(run.predict(data.x_validation), expected, rtol=1e-9)
        loss = -np.log(expected[np.arange(23), data.y_validation]).mean()
        assert record.validation_loss == pytest.approx(loss, rel=1e-9)


def test_predicting_changes_no_statistics(classification, start):
    data = classification()
    run = start(data, batch_norm=True)
    next(run)
    before = run.weights()
    run.predict(data.x_train)
    for name, array in run.weights().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_restoring_the_best_brings_its_statistics_back(classification, start):
    data = classification()
    run = start(data, batch_norm=True, learning_rate=0.1)
    next(run)
    run.keep_best()
    kept, predicted = run.weights(), run.predict(data.x_validation)
    next(run)
    assert (run.weights()["layer_1.running_mean"] != kept["layer_1.running_mean"]).any()
    run.restore_best()
    for name, array in run.weights().items():
        np.testing.assert_array_equal(array, kept[name], err_msg=name)
    np.testing.assert_array_equal(run.predict(data.x_validation), predicted)


def test_it_learns_and_ends_near_the_statistics_of_all_rows(classification, start):
    data = classification(n_train=200)
    run = start(data, batch_norm=True, units=[16], max_epochs=30)
    records = list(run)
    assert records[-1].train_loss < 0.7 * records[0].train_loss
    arrays = run.weights()
    z = data.x_train @ arrays["layer_1.weights"]
    np.testing.assert_allclose(arrays["layer_1.running_variance"], z.var(axis=0), rtol=0.4)
    spread = np.sqrt(z.var(axis=0))
    assert (np.abs(arrays["layer_1.running_mean"] - z.mean(axis=0)) < 0.3 * spread).all()
