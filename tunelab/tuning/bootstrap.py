"""Whether one network is better than another on the same rows, by resampling these rows.

Both are judged on every resample, so that what is hard about a row is hard for both (a paired
bootstrap; Efron & Tibshirani 1993, chapter 13, percentile interval). A resample is a row of counts:
how often each row of the data is in it. Every metric is written as sums over rows, so that many
resamples are judged by one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunelab.training.arrays import Floats, Ints
from tunelab.training.metrics import METRICS

MOST_RESAMPLES, FEWEST_RESAMPLES = 10_000, 1_000
_MOST_DRAWS = 100_000_000  # in all: with very many rows fewer resamples do
_BLOCK_DRAWS = 2_000_000  # at a time: 16 MB of counts
_SEED = 20_260_101
_LEVEL = 0.95

Counts = npt.NDArray[np.float64]
"""How often each row is in each resample, shape (resamples, rows); each row sums to rows."""

Judge = Callable[[Counts], Floats]
"""The metric's value on each resample, shape (resamples,); nan where it has none."""


@dataclass(frozen=True)
class Improvement:
    """By how much the new network is better, in the metric's unit; positive where it is.

    Attributes:
        value: On the rows themselves.
        lower: Lower end of the 95 % interval.
        upper: Its upper end.
        score: The new network's.
        old_score: The old one's.
        n_rows: How many rows there are.
    """

    value: float
    lower: float
    upper: float
    score: float
    old_score: float
    n_rows: int


def paired_bootstrap(
    new: Judge, old: Judge, n_rows: int, *, maximize: bool, cost: int = 1
) -> Improvement | None:
    """Compare two networks on the same rows.

    Args:
        new: Judges the new network.
        old: Judges the old one.
        n_rows: How many rows both judge.
        maximize: Whether greater values are better.
        cost: How often a judge goes over all counts; a dear one gets fewer resamples.

    Returns:
        The improvement with its interval; None if the metric has no value on these rows, or on
        most resamples.
    """
    sign = 1.0 if maximize else -1.0
    whole = np.ones((1, n_rows))
    score, old_score = float(new(whole)[0]), float(old(whole)[0])
    if not np.isfinite([score, old_score]).all():
        return None
    n_resamples = min(max(_MOST_DRAWS // (n_rows * cost), FEWEST_RESAMPLES), MOST_RESAMPLES)
    generator = np.random.default_rng(_SEED)
    block = max(1, _BLOCK_DRAWS // n_rows)
    improvements = []
    for start in range(0, n_resamples, block):
        counts = _resamples(generator, min(block, n_resamples - start), n_rows)
        improvements.append(sign * (new(counts) - old(counts)))
    drawn = np.concatenate(improvements)
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < n_resamples / 2:
        return None
    # Adding 0.0 turns the -0.0 of equal models into 0.0.
    lower, upper = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]) + 0.0
    value = sign * (score - old_score) + 0.0
    return Improvement(value, float(lower), float(upper), score, old_score, n_rows)


def judge(metric: str, predictions: Floats, targets: Ints | Floats) -> Judge:
    """What judges predictions by one of ``METRICS``.

    Args:
        metric: Its name.
        predictions: Class probabilities, or targets in original units, shape (rows, outputs).
        targets: Labels, shape (rows,); or targets in original units, (rows, outputs).
    """
    return _JUDGES[METRICS[metric].name](predictions, targets)


def mean_judge(values: Floats) -> Judge:
    """What judges by the mean of one value a row, shape (rows,)."""
    wide = values.astype(np.float64)

    def of(counts: Counts) -> Floats:
        means: Floats = counts @ wide / len(wide)
        return means

    return of


def _resamples(generator: np.random.Generator, n: int, n_rows: int) -> Counts:
    drawn = generator.integers(n_rows, size=(n, n_rows))
    drawn += np.arange(n)[:, np.newaxis] * n_rows
    flat = np.bincount(drawn.ravel(), minlength=n * n_rows)
    return flat.reshape(n, n_rows).astype(np.float64)


def _accuracy(p: Floats, y: Ints | Floats) -> Judge:
    return mean_judge(p.argmax(axis=1) == y)


def _log_loss(p: Floats, y: Ints | Floats) -> Judge:
    of_label = p[np.arange(len(y)), y.astype(np.intp)]
    eps = np.finfo(np.float32).eps
    return mean_judge(-np.log(np.clip(of_label.astype(np.float64), eps, 1.0 - eps)))


def _class_sums(p: Floats, y: Ints | Floats) -> Callable[[Counts], list[Floats]]:
    """Of each resample and class: rows recognised, rows with the label, rows taken for it."""
    rows, label, taken = np.arange(len(y)), y.astype(np.intp), p.argmax(axis=1)
    right = np.flatnonzero(label == taken)
    sums = [
        _sums_by_class(of_rows, classes[of_rows], p.shape[1])
        for of_rows, classes in ((right, label), (rows, label), (rows, taken))
    ]
    return lambda counts: [of(counts) for of in sums]


def _sums_by_class(rows: Ints, classes: Ints, n_classes: int) -> Judge:
    """How often rows of each class are drawn, shape (resamples, n_classes)."""
    order = np.argsort(classes, kind="stable")
    rows, ranked = rows[order], classes[order]
    starts = np.flatnonzero(np.diff(ranked, prepend=-1))

    def of(counts: Counts) -> Floats:
        sums: Floats = np.zeros((len(counts), n_classes))
        if len(starts):
            sums[:, ranked[starts]] = np.add.reduceat(counts[:, rows], starts, axis=1)
        return sums

    return of


def _balanced_accuracy(p: Floats, y: Ints | Floats) -> Judge:
    sums = _class_sums(p, y)

    def of(counts: Counts) -> Floats:
        hits, labels, _ = sums(counts)
        return _mean_where(hits, labels, labels > 0)

    return of


def _f1_macro(p: Floats, y: Ints | Floats) -> Judge:
    sums = _class_sums(p, y)

    def of(counts: Counts) -> Floats:
        hits, labels, taken = sums(counts)
        return _mean_where(2.0 * hits, labels + taken, labels + taken > 0)

    return of


def _mean_where(above: Floats, below: Floats, where: npt.NDArray[np.bool_]) -> Floats:
    """Mean of the quotients over the classes that count, shape (resamples,)."""
    quotients = np.divide(above, below, out=np.zeros_like(above), where=where)
    total: Floats = quotients.sum(axis=1) / where.sum(axis=1)
    return total


def _roc_auc(p: Floats, y: Ints | Floats) -> Judge:
    columns = [1] if p.shape[1] == 2 else range(p.shape[1])
    areas = [_area(p[:, column], y == column) for column in columns]

    def of(counts: Counts) -> Floats:
        # Of several classes those count that a resample has, as where the metric is defined.
        each = np.stack([area(counts) for area in areas])
        there = np.isfinite(each)
        n_there = there.sum(axis=0)
        total = np.where(there, each, 0.0).sum(axis=0)
        return _divided(total, n_there)

    return of


def _area(p: Floats, positive: npt.NDArray[np.bool_]) -> Judge:
    """Area under the ROC curve of one class: each pair counts as often as both rows are drawn."""
    order = np.argsort(p, kind="stable")
    ranked = p[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    is_positive = positive[order].astype(np.float64)

    def of(counts: Counts) -> Floats:
        drawn = counts[:, order]
        above = np.add.reduceat(drawn * is_positive, starts, axis=1)
        below = np.add.reduceat(drawn * (1.0 - is_positive), starts, axis=1)
        ahead = np.cumsum(below, axis=1) - below / 2.0  # equal ranks are half a win
        pairs = above.sum(axis=1) * below.sum(axis=1)
        won = (above * ahead).sum(axis=1)
        return _divided(won, pairs)

    return of


def _divided(above: Floats, below: npt.NDArray[Any]) -> Floats:
    """The quotient, nan where there is nothing to divide by."""
    quotient: Floats = np.full(len(above), np.nan)
    np.divide(above, below, out=quotient, where=below > 0)
    return quotient


def _rmse(p: Floats, y: Ints | Floats) -> Judge:
    squares = np.square(np.subtract(p, y, dtype=np.float64))

    def of(counts: Counts) -> Floats:
        means: Floats = np.sqrt(counts @ squares / len(squares)).mean(axis=1)
        return means

    return of


def _mae(p: Floats, y: Ints | Floats) -> Judge:
    return mean_judge(np.abs(np.subtract(p, y, dtype=np.float64)).mean(axis=1))


def _r2(p: Floats, y: Ints | Floats) -> Judge:
    squares = np.square(np.subtract(p, y, dtype=np.float64))
    centred = np.subtract(y, y.mean(axis=0, dtype=np.float64), dtype=np.float64)
    centred_squares = np.square(centred)

    def of(counts: Counts) -> Floats:
        n = len(squares)
        residual = counts @ squares
        total = counts @ centred_squares - np.square(counts @ centred) / n
        # A resample of equal targets leaves nothing to explain but rounding.
        varies = total > 1e-12 * centred_squares.sum(axis=0)
        shares = np.where(residual == 0.0, 0.0, 1.0)
        np.divide(residual, total, out=shares, where=varies)
        return np.asarray((1.0 - shares).mean(axis=1))

    return of


_JUDGES: dict[str, Callable[[Floats, Ints | Floats], Judge]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1_macro": _f1_macro,
    "roc_auc": _roc_auc,
    "log_loss": _log_loss,
    "rmse": _rmse,
    "mae": _mae,
    "r2": _r2,
}
