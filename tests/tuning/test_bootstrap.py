"""The paired bootstrap: its judges against the metrics, its interval against simulations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunelab.training.metrics import METRICS
from tunelab.tuning import bootstrap
from tunelab.tuning.bootstrap import judge, mean_judge, paired_bootstrap


def rows(metric, n, n_outputs, seed):
    """Predictions and targets, with ties among the predictions."""
    generator = np.random.default_rng(seed)
    if METRICS[metric].task == "classification":
        p = generator.integers(1, 6, size=(n, n_outputs)).astype(np.float32)
        return p / p.sum(axis=1, keepdims=True), generator.integers(n_outputs, size=n)
    y = generator.integers(-3, 4, size=(n, n_outputs)).astype(np.float64)
    return y + generator.integers(-1, 2, size=y.shape), y


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=25)
@given(
    n=st.integers(2, 12),
    n_outputs=st.integers(2, 4),
    seed=st.integers(0, 10**6),
    drawn=st.lists(st.integers(0, 11), min_size=12, max_size=12),
)
def test_a_resample_is_judged_as_the_metric_judges_the_same_rows(metric, n, n_outputs, seed, drawn):
    p, y = rows(metric, n, n_outputs, seed)
    index = np.array(drawn[:n]) % n
    counts = np.bincount(index, minlength=n).astype(np.float64)[np.newaxis]
    expected = METRICS[metric].compute(p[index], y[index])
    given_value = judge(metric, p, y)(counts)
    assert given_value.shape == (1,)
    np.testing.assert_allclose(given_value[0], expected, rtol=1e-5, atol=1e-9)


def test_equal_networks_improve_by_nothing_and_a_plain_improvement_is_sure():
    generator = np.random.default_rng(0)
    losses = generator.exponential(size=300)
    same = paired_bootstrap(mean_judge(losses), mean_judge(losses), 300, maximize=False)
    assert (same.value, same.lower, same.upper) == (0.0, 0.0, 0.0)
    better = paired_bootstrap(mean_judge(losses - 0.1), mean_judge(losses), 300, maximize=False)
    assert better.value == pytest.approx(0.1)
    assert better.lower == pytest.approx(0.1)
    worse = paired_bootstrap(mean_judge(losses), mean_judge(losses - 0.1), 300, maximize=False)
    assert worse.upper == pytest.approx(-0.1)
    flipped = paired_bootstrap(mean_judge(losses), mean_judge(losses - 0.1), 300, maximize=True)
    assert flipped.lower == pytest.approx(0.1)


def test_where_the_metric_has_no_value_there_is_no_comparison():
    p = np.array([[0.4, 0.6], [0.3, 0.7]] * 10)
    one_class = judge("roc_auc", p, np.ones(20, int))
    assert paired_bootstrap(one_class, one_class, 20, maximize=True) is None


def test_with_very_many_rows_memory_and_time_stay_bounded(monkeypatch):
    monkeypatch.setattr(bootstrap, "_BLOCK_DRAWS", 100_000)
    monkeypatch.setattr(bootstrap, "_MOST_DRAWS", 1_000_000)
    shapes = []

    def of(counts):
        shapes.append(counts.shape)
        return counts.mean(axis=1)

    paired_bootstrap(of, of, 5_000, maximize=True)
    assert sum(n for n, _ in shapes) - 2 == 2 * 1000  # the fewest
    assert max(n * rows for n, rows in shapes) <= 100_000
    shapes.clear()
    paired_bootstrap(of, of, 10, maximize=True)
    assert sum(n for n, _ in shapes) - 2 == 2 * 10_000


@pytest.mark.parametrize("n", [60, 300])
def test_the_interval_covers_the_true_improvement_as_often_as_it_says(n, monkeypatch):
    """Accuracy of two networks whose errors are correlated; the new one is better by 0.04."""
    monkeypatch.setattr(bootstrap, "MOST_RESAMPLES", 1000)
    generator = np.random.default_rng(11)
    n_studies, covered, taken = 600, 0, 0
    for _ in range(n_studies):
        hard = generator.random(n)
        new = (generator.random(n) > 0.3 * hard).astype(float)  # right with 0.85 on average
        old = (generator.random(n) > 0.3 * hard + 0.04).astype(float)
        found = paired_bootstrap(mean_judge(new), mean_judge(old), n, maximize=True)
        # E[min(0.3 h + 0.04, 1)] - E[0.3 h] = 0.04
        covered += found.lower <= 0.04 <= found.upper
        null = (generator.random(n) > 0.3 * hard).astype(float)
        taken += paired_bootstrap(mean_judge(new), mean_judge(null), n, maximize=True).lower > 0
    assert 0.925 <= covered / n_studies <= 0.975
    assert taken / n_studies <= 0.045  # by right 2.5 % of equal networks take the title
