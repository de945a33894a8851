"""Losses against independent formulas: their gradients, their values, what a constant reaches."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.utils.class_weight import compute_class_weight

from tests.training.conftest import labelled
from tunelab.training.arrays import TrainingData
from tunelab.training.losses import (
    AbsoluteError,
    BinaryCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
    balanced_class_weights,
    baseline_loss,
    class_shares,
    loss_names,
    make_loss,
)
from tunelab.training.plan import Plan

WEIGHTS = np.array([0.5, 3.0, 0.0, 1.25, 2.0])  # of up to five classes
EMPTY = np.zeros(0, np.float32)


def record(loss, outputs, y):
    """A plan with the loss's gradient, on the targets' columns of a table as in a network."""
    plan = Plan(outputs.shape[1], outputs.dtype, training=True)
    table = np.zeros((len(y), 3 + loss.n_columns), outputs.dtype)
    table[:, 3:] = loss.columns(y)
    return plan, loss.gradient(plan, outputs, table[:, 3:].T)


def gradient(loss, outputs, y):
    plan, dy = record(loss, outputs, y)
    plan.run()
    return dy


def central_differences(function, outputs, h=1e-5):
    numeric = np.empty_like(outputs)
    for index, value in np.ndenumerate(outputs):
        shifted = outputs.copy()
        shifted[index] = value + h
        above = function(shifted)
        shifted[index] = value - h
        numeric[index] = (above - function(shifted)) / (2 * h)
    return numeric


def relative_error(a, b):
    return np.linalg.norm(a - b) / max(np.linalg.norm(a), np.linalg.norm(b))


def real(train, validation):
    train, validation = np.array(train, np.float32), np.array(validation, np.float32)
    width = train.shape[1]
    return TrainingData(
        np.zeros((len(train), 1), np.float32),
        train,
        np.zeros((len(validation), 1), np.float32),
        validation,
        None,
        np.zeros(width),
        np.ones(width),
    )


# --- Gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 5, 32])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_softmax_gradient_equals_central_differences(n_classes, smoothing, weighted, batch):
    rng = np.random.default_rng([n_classes, batch])
    y = rng.choice([k for k in range(n_classes) if k != 2], size=batch)  # class 2 has weight 0
    if batch > 1 and n_classes > 2:
        y[0] = 2
    z = 2 * rng.normal(size=(n_classes, batch))
    w = WEIGHTS[:n_classes] if weighted else np.ones(n_classes)

    def expected(z):
        total = 0.0
        for row in range(batch):
            p = np.exp(z[:, row]) / np.exp(z[:, row]).sum()
            t = np.full(n_classes, smoothing / n_classes)
            t[y[row]] += 1 - smoothing
            total -= w[y[row]] * (t * np.log(p)).sum()
        return total / batch

    loss = SoftmaxCrossEntropy(
        n_classes, label_smoothing=smoothing, class_weights=w if weighted else None
    )
    numeric = central_differences(expected, z)
    assert np.linalg.norm(numeric) > 1e-3
    assert relative_error(gradient(loss, z, y), numeric) < 1e-6


@pytest.mark.parametrize("batch", [1, 5, 32])
@pytest.mark.parametrize("weights", [None, (0.5, 3.0), (0.0, 1.0)], ids=str)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_binary_gradient_equals_central_differences(smoothing, weights, batch):
    rng = np.random.default_rng(batch)
    y = rng.integers(2, size=batch)
    y[0] = 1
    z = 2 * rng.normal(size=(1, batch))
    w = np.array((1.0, 1.0) if weights is None else weights)

    def expected(z):
        p = 1 / (1 + np.exp(-z[0]))
        t = (1 - smoothing) * y + smoothing / 2
        return -(w[y] * (t * np.log(p) + (1 - t) * np.log(1 - p))).mean()

    loss = BinaryCrossEntropy(label_smoothing=smoothing, class_weights=weights)
    numeric = central_differences(expected, z)
    assert np.linalg.norm(numeric) > 1e-3
    assert relative_error(gradient(loss, z, y), numeric) < 1e-6


@pytest.mark.parametrize("batch", [1, 5, 32])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize(
    ("member", "error"),
    [(SquaredError, np.square), (AbsoluteError, np.abs)],
    ids=["squared_error", "absolute_error"],
)
def test_regression_gradients_equal_central_differences(member, error, n_outputs, batch):
    rng = np.random.default_rng([n_outputs, batch])
    outputs, t = rng.normal(size=(n_outputs, batch)), rng.normal(size=(batch, n_outputs))

    def expected(outputs):
        total = sum(
            error(outputs[k, row] - t[row, k]) for k in range(n_outputs) for row in range(batch)
        )
        return total / (n_outputs * batch)

    analytic = gradient(member(n_outputs), outputs, t)
    assert relative_error(analytic, central_differences(expected, outputs)) < 1e-6


def test_absolute_error_has_no_gradient_where_the_target_is_met():
    outputs = np.array([[1.0, 2.0, 3.0, -1.0]])
    t = np.array([[1.0], [0.0], [5.0], [-1.0]])
    np.testing.assert_array_equal(gradient(AbsoluteError(1), outputs, t), [[0.0, 0.25, -0.25, 0.0]])


def test_a_weight_multiplies_its_rows_gradient_and_leaves_the_division_by_the_batch_size():
    z = np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    y = np.array([0, 1])
    plain = gradient(SoftmaxCrossEntropy(3), z, y)
    weighted = gradient(SoftmaxCrossEntropy(3, class_weights=[5.0, 0.5, 1.0]), z, y)
    np.testing.assert_allclose(weighted, plain * [5.0, 0.5], rtol=1e-12)
    plain = gradient(BinaryCrossEntropy(), z[:1], y)
    weighted = gradient(BinaryCrossEntropy(class_weights=[5.0, 0.5]), z[:1], y)
    np.testing.assert_allclose(weighted, plain * [5.0, 0.5], rtol=1e-12)


def test_smoothed_cross_entropy_is_at_rest_at_the_smoothed_shares():
    """With s = 0.3 and three classes, p of the label is best at 0.7 + 0.1, the others' at 0.1."""
    z = np.log([[0.8], [0.1], [0.1]])
    np.testing.assert_allclose(
        gradient(SoftmaxCrossEntropy(3, label_smoothing=0.3), z, np.array([0])), 0.0, atol=1e-15
    )
    z = np.log([[0.85 / 0.15]])
    np.testing.assert_allclose(
        gradient(BinaryCrossEntropy(label_smoothing=0.3), z, np.array([1])), 0.0, atol=1e-15
    )


# --- Values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_softmax_cross_entropy_equals_scikit_learn(n_classes):
    rng = np.random.default_rng(n_classes)
    z, y = 3 * rng.normal(size=(n_classes, 40)), rng.integers(n_classes, size=40)
    loss = SoftmaxCrossEntropy(n_classes)
    p = np.exp(z) / np.exp(z).sum(axis=0)
    assert loss.each(z, y).shape == (40,)
    assert loss.each(z, y).mean() == pytest.approx(
        reference.log_loss(y, p.T, labels=range(n_classes)), rel=1e-12
    )
    np.testing.assert_allclose(loss.predictions(z), p, rtol=1e-12)


def test_binary_cross_entropy_equals_scikit_learn():
    rng = np.random.default_rng(0)
    z, y = 3 * rng.normal(size=(1, 40)), rng.integers(2, size=40)
    loss = BinaryCrossEntropy()
    p = 1 / (1 + np.exp(-z[0]))
    assert loss.each(z, y).shape == (40,)
    assert loss.each(z, y).mean() == pytest.approx(reference.log_loss(y, p), rel=1e-12)
    np.testing.assert_allclose(loss.predictions(z), [1 - p, p], rtol=1e-12)


@pytest.mark.parametrize("n_outputs", [1, 4])
@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (SquaredError, reference.mean_squared_error),
        (AbsoluteError, reference.mean_absolute_error),
    ],
    ids=["squared_error", "absolute_error"],
)
def test_regression_losses_equal_scikit_learn(member, expected, n_outputs):
    rng = np.random.default_rng(0)
    outputs, t = rng.normal(size=(n_outputs, 30)), rng.normal(size=(30, n_outputs))
    loss = member(n_outputs)
    assert loss.each(outputs, t).shape == (30,)
    assert loss.each(outputs, t).mean() == pytest.approx(expected(t, outputs.T), rel=1e-12)
    assert loss.predictions(outputs) is outputs


def test_errors_are_means_over_rows_and_outputs_without_a_half():
    outputs = np.array([[1.0, 3.0], [0.0, 0.0]])  # (outputs, rows)
    targets = np.array([[0.0, 0.0], [1.0, 1.0]])  # (rows, outputs)
    # row 1: (1, 0) against (0, 0); row 2: (3, 0) against (1, 1)
    np.testing.assert_array_equal(SquaredError(2).each(outputs, targets), [1 / 2, (4 + 1) / 2])
    np.testing.assert_array_equal(AbsoluteError(2).each(outputs, targets), [1 / 2, (2 + 1) / 2])


@pytest.mark.parametrize("smoothing", [0.0, 0.4])
@pytest.mark.parametrize("weights", [None, [0.5, 3.0]], ids=str)
def test_one_logit_says_what_two_say_of_which_one_is_0(smoothing, weights):
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=20)
    z = 4 * rng.normal(size=(1, 20))
    both = np.concatenate([np.zeros_like(z), z])
    one = BinaryCrossEntropy(label_smoothing=smoothing, class_weights=weights)
    two = SoftmaxCrossEntropy(2, label_smoothing=smoothing, class_weights=weights)
    np.testing.assert_allclose(one.each(z, y), two.each(both, y), rtol=1e-12)
    np.testing.assert_allclose(one.predictions(z), two.predictions(both), rtol=1e-12)
    np.testing.assert_allclose(gradient(one, z, y)[0], gradient(two, both, y)[1], rtol=1e-10)


def test_smoothing_and_weights_are_for_training_only():
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(3, 20)), rng.integers(3, size=20)
    changed = SoftmaxCrossEntropy(3, label_smoothing=0.2, class_weights=[1.0, 5.0, 9.0])
    np.testing.assert_array_equal(changed.each(z, y), SoftmaxCrossEntropy(3).each(z, y))
    z, y = z[:1], y % 2
    changed = BinaryCrossEntropy(label_smoothing=0.2, class_weights=[1.0, 5.0])
    np.testing.assert_array_equal(changed.each(z, y), BinaryCrossEntropy().each(z, y))


# --- Extremes -------------------------------------------------------------------------------------


def test_huge_logits_of_several_classes_have_exact_losses_and_gradients():
    z = np.array([[1e4, -1e4, 1e4], [-1e4, 1e4, 1e4], [0, 0, 0]], np.float32)
    y = np.array([0, 0, 2])
    loss = SoftmaxCrossEntropy(3)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        values, p, dy = loss.each(z, y), loss.predictions(z), gradient(loss, z, y)
    assert values.dtype == p.dtype == dy.dtype == np.float32
    np.testing.assert_array_equal(values[:2], [0.0, 2e4])
    assert values[2] == pytest.approx(1e4 + math.log(2))
    np.testing.assert_array_equal(p, [[1, 0, 0.5], [0, 1, 0.5], [0, 0, 0]])
    np.testing.assert_allclose(dy, np.array([[0, -1, 0.5], [0, 1, 0.5], [0, 0, -1]]) / 3, rtol=1e-6)


def test_huge_logits_of_two_classes_have_exact_losses_and_gradients():
    z = np.array([[1e4, 1e4, -1e4, -1e4]], np.float32)
    y = np.array([1, 0, 1, 0])
    loss = BinaryCrossEntropy()
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        values, p, dy = loss.each(z, y), loss.predictions(z), gradient(loss, z, y)
    assert values.dtype == p.dtype == dy.dtype == np.float32
    np.testing.assert_array_equal(values, [0.0, 1e4, 1e4, 0.0])
    np.testing.assert_array_equal(p, [[0, 0, 1, 1], [1, 1, 0, 0]])
    np.testing.assert_array_equal(dy, [[0, 0.25, -0.25, 0]])


def test_small_binary_losses_and_probabilities_keep_their_digits():
    z = np.array([[30.0, -30.0]], np.float32)
    loss = BinaryCrossEntropy()
    np.testing.assert_allclose(loss.each(z, np.array([1, 0])), math.exp(-30), rtol=1e-5)
    p = loss.predictions(z)
    np.testing.assert_allclose([p[0, 0], p[1, 1]], math.exp(-30), rtol=1e-5)


MEMBERS = {
    "softmax": (SoftmaxCrossEntropy(4), True),
    "softmax, all settings": (
        SoftmaxCrossEntropy(4, label_smoothing=0.1, class_weights=[1, 2, 3, 4]),
        True,
    ),
    "binary": (BinaryCrossEntropy(), True),
    "binary, all settings": (
        BinaryCrossEntropy(label_smoothing=0.1, class_weights=[1, 2]),
        True,
    ),
    "squared error": (SquaredError(3), False),
    "absolute error": (AbsoluteError(3), False),
}


def any_rows(loss, n, *, labels, dtype=np.float32):
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(loss.n_outputs, n)).astype(dtype)
    y = rng.integers(2, size=n) if labels else rng.normal(size=(n, loss.n_outputs))
    return outputs, y


@pytest.mark.parametrize("name", MEMBERS)
def test_infinities_and_nan_pass_without_an_exception(name):
    loss, labels = MEMBERS[name]
    outputs, y = any_rows(loss, 6, labels=labels)
    outputs[:, :3] = np.nan, np.inf, -np.inf
    with np.errstate(all="ignore"):
        dy = gradient(loss, outputs, y)
        values = loss.each(outputs, y)
        loss.predictions(outputs)
    assert np.isnan(dy[:, 0]).all()
    assert np.isnan(values[0])
    assert np.isfinite(dy[:, 3:]).all()
    assert np.isfinite(values[3:]).all()


@pytest.mark.parametrize("name", MEMBERS)
def test_replaying_a_gradient_allocates_nothing_and_leaves_the_outputs_alone(name):
    loss, labels = MEMBERS[name]
    outputs, y = any_rows(loss, 4096, labels=labels)
    plan, dy = record(loss, outputs, y)
    before = outputs.copy()
    plan.run()
    first = dy.copy()
    tracemalloc.start()
    plan.run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2048
    np.testing.assert_array_equal(dy, first)
    np.testing.assert_array_equal(outputs, before)


# --- Making one -----------------------------------------------------------------------------------


def test_the_default_follows_from_the_task_and_the_number_of_classes():
    binary = make_loss(labelled([0, 1], [0], 2))
    assert isinstance(binary, BinaryCrossEntropy)
    assert (binary.n_outputs, binary.n_columns) == (1, 1)
    several = make_loss(labelled([0, 1], [0], 3))
    assert isinstance(several, SoftmaxCrossEntropy)
    assert (several.n_outputs, several.n_columns) == (3, 3)
    data = real([[0.0, 1.0]], [[0.0, 1.0]])
    squared = make_loss(data)
    assert isinstance(squared, SquaredError)
    assert (squared.n_outputs, squared.n_columns) == (2, 2)
    assert isinstance(make_loss(data, name="absolute_error"), AbsoluteError)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_balanced_weights_come_with_a_column_and_smoothing_without(n_classes):
    data = labelled([0, 0, 0, 1], [0], n_classes)
    plain = make_loss(data, label_smoothing=0.1)
    weighted = make_loss(data, label_smoothing=0.1, class_weight="balanced")
    assert weighted.n_columns == plain.n_columns + 1
    columns = weighted.columns(data.y_train)
    np.testing.assert_array_equal(columns[:, :-1], plain.columns(data.y_train))
    # 4 rows, 2 classes that occur: 4 / (2 * 3) and 4 / (2 * 1)
    np.testing.assert_allclose(columns[:, -1], [2 / 3, 2 / 3, 2 / 3, 2.0])


def test_balanced_class_weights_equal_scikit_learn_and_have_mean_1():
    rng = np.random.default_rng(0)
    y = rng.choice(5, size=200, p=[0.5, 0.3, 0.0, 0.15, 0.05])
    weights = balanced_class_weights(y, 5)
    present = np.unique(y)
    np.testing.assert_allclose(
        weights[present], compute_class_weight("balanced", classes=present, y=y)
    )
    assert weights[y].mean() == pytest.approx(1.0)
    assert np.isfinite(weights).all()


def test_loss_names_begin_with_the_default():
    assert loss_names("classification") == ("cross_entropy",)
    assert loss_names("regression") == ("squared_error", "absolute_error")


@pytest.mark.parametrize(
    ("task", "arguments", "message"),
    [
        ("classification", {"name": "squared_error"}, "cross_entropy for classification, got 'sq"),
        ("regression", {"name": "hinge"}, "squared_error, absolute_error for regression, got 'h"),
        ("classification", {"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\), got 1"),
        ("classification", {"label_smoothing": -0.1}, r"label_smoothing must be in \[0, 1\)"),
        ("classification", {"label_smoothing": math.nan}, r"label_smoothing must be in \[0, 1\)"),
        ("classification", {"class_weight": "even"}, "one of none, balanced, got 'even'"),
        ("regression", {"label_smoothing": 0.1}, "label_smoothing must be 0 for regression"),
        ("regression", {"class_weight": "balanced"}, "class_weight must be none for regression"),
    ],
)
def test_what_does_not_fit_is_refused(task, arguments, message):
    data = labelled([0, 1], [0], 2) if task == "classification" else real([[0.0]], [[0.0]])
    with pytest.raises(ValueError, match=message):
        make_loss(data, **arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SoftmaxCrossEntropy(1), "n_classes must be at least 2, got 1"),
        (lambda: SoftmaxCrossEntropy(3, class_weights=[1, 2]), "must be 3 finite numbers"),
        (lambda: SoftmaxCrossEntropy(2, class_weights=[1, -1]), "of at least 0, got"),
        (lambda: BinaryCrossEntropy(class_weights=[1, np.inf]), "must be 2 finite numbers"),
        (lambda: BinaryCrossEntropy(label_smoothing=2), "label_smoothing must be in"),
        (lambda: SquaredError(0), "n_outputs must be at least 1, got 0"),
        (lambda: AbsoluteError(2).columns(np.zeros((4, 1))), r"shape \(rows, 2\), got \(4, 1\)"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- What a constant reaches ----------------------------------------------------------------------


def test_baseline_of_classification_uses_the_shares_of_the_training_rows():
    data = labelled([0, 0, 0, 1], [0, 1], 2)
    assert baseline_loss(data) == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2)


def test_a_class_without_training_rows_keeps_the_baseline_finite():
    data = labelled([0, 0, 0], [0, 1], 2)
    assert baseline_loss(data) == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2)
    np.testing.assert_allclose(class_shares(data), [3 / 4, 1 / 4])


def test_baselines_of_regression_predict_mean_and_median_of_the_training_rows():
    data = real([[0.0], [1.0], [5.0]], [[3.0], [6.0]])
    assert baseline_loss(data) == pytest.approx((1 + 16) / 2)  # about the mean, 2
    assert baseline_loss(data, "squared_error") == baseline_loss(data)
    assert baseline_loss(data, "absolute_error") == pytest.approx((2 + 5) / 2)  # the median, 1


def test_the_baseline_of_a_loss_of_another_task_is_refused():
    with pytest.raises(ValueError, match="one of cross_entropy for classification"):
        baseline_loss(labelled([0, 1], [0, 1], 2), "absolute_error")


@given(
    labels=st.lists(st.integers(0, 3), min_size=4, max_size=30).filter(
        lambda y: {*range(4)} <= {*y}
    ),
    logits=st.lists(st.floats(-5, 5), min_size=4, max_size=4),
)
def test_no_constant_has_a_lower_cross_entropy_than_the_baseline(labels, logits):
    data = labelled(labels, labels, 4)
    constant = np.repeat(np.array(logits)[:, None], len(labels), axis=1)
    loss = make_loss(data).each(constant, data.y_validation).mean()
    assert loss >= baseline_loss(data) - 1e-9


@given(
    labels=st.lists(st.integers(0, 1), max_size=28).map(lambda more: [0, 1, *more]),
    logit=st.floats(-5, 5),
)
def test_no_constant_has_a_lower_binary_cross_entropy_than_the_baseline(labels, logit):
    data = labelled(labels, labels, 2)
    constant = np.full((1, len(labels)), logit)
    loss = make_loss(data).each(constant, data.y_validation).mean()
    assert loss >= baseline_loss(data) - 1e-9


@given(
    targets=st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=20),
    constant=st.tuples(st.floats(-9, 9), st.floats(-9, 9)),
    name=st.sampled_from(loss_names("regression")),
)
def test_no_constant_has_a_lower_error_than_the_baseline(targets, constant, name):
    data = real(targets, targets)
    outputs = np.repeat(np.array(constant)[:, None], len(targets), axis=1)
    loss = make_loss(data, name=name).each(outputs, data.y_validation).mean()
    assert loss >= baseline_loss(data, name) - 1e-9
