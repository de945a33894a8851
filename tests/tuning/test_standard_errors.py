"""Standard errors against the spread that values have over many draws of validation rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunelab.spec.tables import LOSSES, METRICS
from tunelab.training.metrics import METRICS as SCORES
from tunelab.tuning.standard_errors import (
    STANDARD_ERRORS,
    ValidationRows,
    cross_entropy_spread,
    standard_error,
)

N = 400
DRAWS = 2000


def generator():
    return np.random.default_rng(7)


def spread(values):
    return float(np.mean(values)), float(np.std(values))


def rows_of(labels, n_classes):
    return ValidationRows.of(np.asarray(labels), n_classes)


def test_every_objective_has_a_standard_error():
    metrics = {name for names in METRICS.values() for name in names} - {"validation_loss"}
    losses = {name for names in LOSSES.values() for name in names}
    assert set(STANDARD_ERRORS) == metrics | losses


def test_of_accuracy():
    values = generator().binomial(N, 0.8, DRAWS) / N
    assert standard_error("accuracy", 0.8, ValidationRows(N, 2, (200, 200))) == pytest.approx(
        values.std(), rel=0.05
    )


def test_of_balanced_accuracy_with_classes_of_different_sizes():
    counts = (300, 80, 20)
    g = generator()
    expected = np.std(sum(g.binomial(n, 0.8, DRAWS) / n for n in counts) / 3)
    rows = ValidationRows(400, 3, counts)
    assert standard_error("balanced_accuracy", 0.8, rows) == pytest.approx(expected, rel=0.05)
    # Few rows of one class count for more than the many of the others.
    assert standard_error("balanced_accuracy", 0.8, rows) > 1.5 * standard_error(
        "accuracy", 0.8, rows
    )


def test_of_roc_auc_on_scores_of_two_normal_classes():
    g, counts, areas = generator(), (60, 140), []
    labels = np.repeat([0, 1], counts)
    for _ in range(DRAWS // 4):
        logits = g.standard_normal(200) + 1.2 * labels
        p = 1 / (1 + np.exp(-logits))
        areas.append(SCORES["roc_auc"].compute(np.column_stack([1 - p, p]), labels))
    area, expected = spread(areas)
    # Their formula is for exponential scores, which they found to be close to normal ones.
    assert standard_error("roc_auc", area, rows_of(labels, 2)) == pytest.approx(expected, rel=0.12)


@pytest.mark.parametrize(
    ("quantity", "outcome"),
    [
        ("squared_error", lambda e: np.mean(e**2)),
        ("rmse", lambda e: math.sqrt(np.mean(e**2))),
        ("r2", lambda e: 1 - np.mean(e**2) / 9),
        ("absolute_error", lambda e: np.mean(np.abs(e))),
        ("mae", lambda e: np.mean(np.abs(e))),
    ],
)
def test_of_a_regression_with_normal_residuals(quantity, outcome):
    g = generator()
    value, expected = spread([outcome(2 * g.standard_normal(N)) for _ in range(DRAWS)])
    rows = ValidationRows.of(np.zeros((N, 1)), None)
    assert standard_error(quantity, value, rows) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize(("p", "n_classes"), [(0.97, 2), (0.9, 2), (0.95, 10), (0.8, 3)])
@pytest.mark.parametrize("quantity", ["cross_entropy", "log_loss"])
def test_of_cross_entropy_with_calibrated_probabilities(quantity, p, n_classes):
    right = generator().random((DRAWS, N)) < p
    losses = np.where(right, -math.log(p), -math.log((1 - p) / (n_classes - 1)))
    value, expected = spread(losses.mean(axis=1))
    rows = ValidationRows(N, n_classes, ())
    assert standard_error(quantity, value, rows) == pytest.approx(expected, rel=0.06)


def test_near_guessing_the_cross_entropy_spreads_by_its_mean():
    for mean in (0.6, math.log(2), 3.0):
        assert cross_entropy_spread(mean, 2) == mean
    assert cross_entropy_spread(0.0, 2) == 0.0


@given(st.floats(1e-300, 20), st.integers(2, 1000))
def test_the_spread_of_cross_entropy_is_never_below_its_mean(mean, n_classes):
    found = cross_entropy_spread(mean, n_classes)
    assert found >= mean
    assert math.isfinite(found)


@given(
    st.sampled_from(sorted(STANDARD_ERRORS)),
    st.floats(0, 1),
    st.lists(st.integers(1, 500), min_size=2, max_size=12),
)
def test_every_error_is_a_number_that_falls_with_more_rows(quantity, value, counts):
    few = standard_error(quantity, value, ValidationRows(sum(counts), len(counts), tuple(counts)))
    more = tuple(4 * count for count in counts)
    many = standard_error(quantity, value, ValidationRows(sum(more), len(counts), more))
    assert 0 <= many <= few + 1e-12
    assert math.isfinite(few)


def test_halving_a_loss_is_always_progress():
    rows = ValidationRows(3, 2, (2, 1))
    for quantity in ("cross_entropy", "log_loss", "squared_error", "rmse", "mae"):
        assert standard_error(quantity, 0.01, rows) <= 0.005
    assert standard_error("r2", 0.98, rows) == pytest.approx(0.01)


def test_rows_are_counted_by_class():
    assert rows_of([0, 2, 2, 0, 2], 4) == ValidationRows(5, 4, (2, 3))
    assert ValidationRows.of(np.zeros((7, 2)), None) == ValidationRows(7, 0, ())
