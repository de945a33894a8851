"""Scores and losses against scikit-learn, and what a constant predictor reaches."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from tunelab.training.arrays import TrainingData
from tunelab.training.losses import baseline_loss, softmax_cross_entropy, squared_error
from tunelab.training.metrics import METRICS, baseline_score

REGRESSION = {
    "rmse": reference.root_mean_squared_error,
    "mae": reference.mean_absolute_error,
    "r2": reference.r2_score,
}


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("name", REGRESSION)
def test_regression_scores_equal_scikit_learn(name, n_outputs):
    rng = np.random.default_rng(0)
    t = 50 + 9 * rng.normal(size=(40, n_outputs))
    y = t + rng.normal(size=t.shape)
    if name == "rmse":  # ours is the root over all outputs, not the mean of their roots
        expected = math.sqrt(reference.mean_squared_error(t, y))
    else:
        expected = REGRESSION[name](t, y)
    assert METRICS[name].compute(y, t) == pytest.approx(expected, rel=1e-12)


def test_r2_of_equal_targets_is_1_if_met_and_else_0():
    t = np.full((5, 1), 2.0)
    assert METRICS["r2"].compute(t, t) == 1.0
    assert METRICS["r2"].compute(t + 1.0, t) == 0.0


def test_accuracy_equals_scikit_learn():
    rng = np.random.default_rng(0)
    p, labels = rng.random((40, 4)), rng.integers(4, size=40)
    assert METRICS["accuracy"].compute(p, labels) == pytest.approx(
        reference.accuracy_score(labels, p.argmax(axis=1))
    )


@pytest.mark.parametrize("name", METRICS)
def test_scores_of_broken_predictions_are_nan(name):
    t = np.array([0, 1]) if name == "accuracy" else np.array([[0.0], [1.0]])
    p = np.array([[0.5, np.nan], [0.5, 0.5]]) if name == "accuracy" else np.array([[np.inf], [1.0]])
    assert math.isnan(METRICS[name].compute(p, t))


def test_directions():
    assert {name for name, metric in METRICS.items() if metric.direction == "maximize"} == {
        "accuracy",
        "r2",
    }


def test_cross_entropy_equals_scikit_learn_and_survives_huge_logits():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(3, 20)), rng.integers(3, size=20)
    p = np.exp(logits) / np.exp(logits).sum(axis=0)
    losses = softmax_cross_entropy.each(logits, labels)
    assert losses.shape == (20,)
    assert losses.mean() == pytest.approx(reference.log_loss(labels, p.T, labels=[0, 1, 2]))
    np.testing.assert_allclose(softmax_cross_entropy.predictions(logits), p)
    huge = np.array([[1000.0], [0.0]], np.float32)
    assert softmax_cross_entropy.each(huge, np.array([0]))[0] == 0.0
    assert softmax_cross_entropy.each(huge, np.array([1]))[0] == 1000.0


def test_squared_error_is_the_mean_over_rows_and_outputs_without_a_half():
    outputs = np.array([[1.0, 2.0], [0.0, 0.0]])  # (outputs, rows)
    targets = np.array([[0.0, 0.0], [2.0, 1.0]])  # (rows, outputs)
    # row 1: (1, 0) against (0, 0) -> (1 + 0) / 2; row 2: (2, 0) against (2, 1) -> (0 + 1) / 2
    np.testing.assert_allclose(squared_error.each(outputs, targets), [0.5, 0.5])


def labelled(train, validation, n_classes):
    empty = np.zeros(0, np.float32)
    return TrainingData(
        np.zeros((len(train), 1), np.float32),
        np.array(train),
        np.zeros((len(validation), 1), np.float32),
        np.array(validation),
        n_classes,
        empty,
        empty,
    )


def test_baseline_of_classification_uses_the_shares_of_the_training_rows():
    data = labelled([0, 0, 0, 1], [0, 1], 2)
    assert baseline_loss(data) == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2)
    assert baseline_score("accuracy", data) == 0.5
    assert baseline_score(METRICS["accuracy"], data) == 0.5


def test_a_class_without_training_rows_keeps_the_baseline_finite():
    data = labelled([0, 0, 0], [0, 1], 2)
    assert baseline_loss(data) == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2)


def test_baseline_of_regression_predicts_the_mean_of_the_training_rows():
    x = np.zeros((2, 1), np.float32)
    data = TrainingData(
        x,
        np.array([[-1.0], [1.0]], np.float32),
        x,
        np.array([[2.0], [4.0]], np.float32),
        None,
        np.array([100.0]),
        np.array([10.0]),
    )
    assert baseline_loss(data) == pytest.approx((4 + 16) / 2)
    assert baseline_score("rmse", data) == pytest.approx(math.sqrt((400 + 1600) / 2))
    assert baseline_score("mae", data) == pytest.approx(30.0)
    # targets 120 and 140: squares about their mean 200, about the prediction 2000
    assert baseline_score("r2", data) == pytest.approx(1 - 2000 / 200)
