"""Scores against scikit-learn, where they are undefined, and what a constant predictor reaches."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.exceptions import UndefinedMetricWarning

from tunelab.training.arrays import TrainingData
from tunelab.training.metrics import METRICS, baseline_score

CLASSIFICATION = [name for name, metric in METRICS.items() if metric.task == "classification"]
REGRESSION = {
    "rmse": reference.root_mean_squared_error,
    "mae": reference.mean_absolute_error,
    "r2": reference.r2_score,
}
EMPTY = np.zeros(0, np.float32)


def expected_class_score(name, p, labels):
    """What scikit-learn says; nan where it refuses or is undefined."""
    taken = p.argmax(axis=1)
    n_classes = p.shape[1]
    if name == "accuracy":
        return reference.accuracy_score(labels, taken)
    if name == "balanced_accuracy":
        return reference.balanced_accuracy_score(labels, taken)
    if name == "f1_macro":
        return reference.f1_score(labels, taken, average="macro", zero_division=0)
    if name == "log_loss":
        return reference.log_loss(labels, p, labels=range(n_classes))
    present = np.unique(labels)
    if len(present) < 2:
        return math.nan
    if n_classes == 2:
        return reference.roc_auc_score(labels, p[:, 1])
    return np.mean([reference.roc_auc_score(labels == c, p[:, c]) for c in present])


def probabilities(rng, rows, n_classes, *, digits=None, dtype=np.float64):
    """Random rows of sum 1; with few digits there are ties, zeros and ones."""
    p = rng.dirichlet(np.full(n_classes, 0.5), size=rows)
    if digits is not None:
        p[:, 1:] = p[:, 1:].round(digits)
        p[:, 0] = np.clip(1.0 - p[:, 1:].sum(axis=1), 0.0, 1.0)
        p /= p.sum(axis=1, keepdims=True)
    return p.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("digits", [None, 1], ids=["distinct", "ties"])
@pytest.mark.parametrize("n_classes", [2, 3, 6])
@pytest.mark.parametrize("name", CLASSIFICATION)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_classification_scores_equal_scikit_learn(name, n_classes, digits, dtype):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        rows = int(rng.integers(2, 40))
        p = probabilities(rng, rows, n_classes, digits=digits, dtype=dtype)
        allowed = rng.choice(n_classes, size=rng.integers(1, n_classes + 1), replace=False)
        labels = rng.choice(allowed, size=rows)  # some classes are absent, at times all but one
        ours = METRICS[name].compute(p, labels)
        theirs = expected_class_score(name, p, labels)
        assert isinstance(ours, float)
        assert ours == pytest.approx(
            theirs, rel=1e-6 if dtype == np.float32 else 1e-12, nan_ok=True
        )


def test_roc_auc_of_several_classes_is_scikit_learns_one_against_the_rest():
    rng = np.random.default_rng(0)
    p, labels = probabilities(rng, 60, 4, digits=2), np.arange(60) % 4
    assert METRICS["roc_auc"].compute(p, labels) == pytest.approx(
        reference.roc_auc_score(labels, p, multi_class="ovr", average="macro")
    )


def test_roc_auc_counts_pairs():
    """2 rows of class 1 against 3 of class 0: of 6 pairs 3 are in order and 1 is a tie."""
    p = np.array([0.1, 0.5, 0.7, 0.5, 0.6])
    labels = np.array([0, 0, 0, 1, 1])
    # 0.5 beats 0.1, ties 0.5, loses to 0.7; 0.6 beats 0.1 and 0.5, loses to 0.7
    assert METRICS["roc_auc"].compute(np.column_stack([1 - p, p]), labels) == pytest.approx(3.5 / 6)
    assert METRICS["roc_auc"].compute(np.full((5, 2), 0.5), labels) == 0.5


@pytest.mark.parametrize("n_classes", [2, 3])
def test_roc_auc_without_two_classes_is_nan(n_classes):
    p = np.full((4, n_classes), 1 / n_classes)
    assert math.isnan(METRICS["roc_auc"].compute(p, np.ones(4, int)))


def test_classes_that_do_not_occur_count_in_neither_mean():
    p = np.eye(5)[[0, 0, 1, 3]]
    labels = np.array([0, 1, 1, 1])
    # recall: class 0 1/1, class 1 1/3; F1: class 0 2/3, class 1 2/4, class 3 0
    assert METRICS["balanced_accuracy"].compute(p, labels) == pytest.approx((1 + 1 / 3) / 2)
    assert METRICS["f1_macro"].compute(p, labels) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_impossible_label_costs_the_logarithm_of_the_types_epsilon(dtype):
    p = np.array([[1.0, 0.0]], dtype)
    loss = METRICS["log_loss"].compute(p, np.array([1]))
    assert loss == pytest.approx(-math.log(np.finfo(dtype).eps))
    assert loss == pytest.approx(reference.log_loss([1], p, labels=[0, 1]))
    assert METRICS["log_loss"].compute(p, np.array([0])) == pytest.approx(0.0, abs=2e-7)


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("name", REGRESSION)
def test_regression_scores_equal_scikit_learn(name, n_outputs):
    rng = np.random.default_rng(0)
    t = 50 + rng.normal(size=(40, n_outputs)) * np.array([9.0, 0.1, 100.0])[:n_outputs]
    y = t + rng.normal(size=t.shape)
    assert METRICS[name].compute(y, t) == pytest.approx(REGRESSION[name](t, y), rel=1e-12)
    y, t = y.astype(np.float32), t.astype(np.float32)
    expected = REGRESSION[name](t.astype(np.float64), y.astype(np.float64))
    assert METRICS[name].compute(y, t) == pytest.approx(expected, rel=1e-12)


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=1, max_size=12),
)
def test_regression_scores_equal_scikit_learn_on_few_and_equal_targets(rows):
    y, t = (np.array(column, float)[:, np.newaxis] for column in zip(*rows, strict=True))
    for name, expected in REGRESSION.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            theirs = expected(t, y)
        assert METRICS[name].compute(y, t) == pytest.approx(theirs, abs=1e-12, nan_ok=True)


def test_r2_of_equal_targets_is_1_if_met_and_else_0():
    t = np.full((5, 1), 2.0)
    assert METRICS["r2"].compute(t, t) == 1.0
    assert METRICS["r2"].compute(t + 1.0, t) == 0.0


def test_r2_of_a_single_row_is_nan():
    assert math.isnan(METRICS["r2"].compute(np.ones((1, 1)), np.ones((1, 1))))


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", METRICS)
def test_scores_of_broken_predictions_are_nan(name, broken):
    if METRICS[name].task == "classification":
        t, p = np.array([0, 1]), np.array([[0.5, broken], [0.5, 0.5]])
    else:
        t, p = np.array([[0.0], [1.0]]), np.array([[broken], [1.0]])
    assert math.isnan(METRICS[name].compute(p, t))


def test_directions():
    assert {name for name, metric in METRICS.items() if metric.direction == "minimize"} == {
        "log_loss",
        "rmse",
        "mae",
    }


def labelled(train, validation, n_classes):
    return TrainingData(
        np.zeros((len(train), 1), np.float32),
        np.array(train),
        np.zeros((len(validation), 1), np.float32),
        np.array(validation),
        n_classes,
        EMPTY,
        EMPTY,
    )


def test_baseline_of_classification_predicts_the_shares_of_the_training_rows():
    data = labelled([0, 0, 0, 1], [0, 1, 1], 2)
    assert baseline_score("accuracy", data) == pytest.approx(1 / 3)
    assert baseline_score(METRICS["accuracy"], data) == pytest.approx(1 / 3)
    assert baseline_score("balanced_accuracy", data) == 0.5
    assert baseline_score("f1_macro", data) == pytest.approx((2 / 4 + 0) / 2)
    assert baseline_score("roc_auc", data) == 0.5
    assert baseline_score("log_loss", data) == pytest.approx(-(math.log(0.75 * 0.25**2)) / 3)


def test_a_class_without_training_rows_keeps_the_baseline_of_log_loss_moderate():
    data = labelled([0, 0, 0], [0, 1], 2)
    assert baseline_score("log_loss", data) == pytest.approx(-math.log(0.75 * 0.25) / 2)


def test_baseline_of_regression_predicts_the_mean_of_the_training_rows_and_their_median_for_mae():
    x = np.zeros((3, 1), np.float32)
    data = TrainingData(
        x,
        np.array([[-2.0], [-1.0], [3.0]], np.float32),
        x[:2],
        np.array([[2.0], [4.0]], np.float32),
        None,
        np.array([100.0]),
        np.array([10.0]),
    )
    # targets 120 and 140; mean of the training rows 100, median 90
    assert baseline_score("rmse", data) == pytest.approx(math.sqrt((400 + 1600) / 2))
    assert baseline_score("mae", data) == pytest.approx((30 + 50) / 2)
    # squares about their mean 200, about the prediction 2000
    assert baseline_score("r2", data) == pytest.approx(1 - 2000 / 200)


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
@pytest.mark.parametrize("shape", [(0,), (2,), (3, 3), (1, 2)])
def test_targets_of_another_shape_are_refused_and_not_broadcast(metric, shape):
    predictions = np.full((3, 2), 0.5)
    with pytest.raises(ValueError, match=f"{metric.name}: targets must have shape"):
        metric.compute(predictions, np.zeros(shape, int))
