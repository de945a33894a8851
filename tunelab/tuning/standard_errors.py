"""How uncertain a validation value is, because the validation rows are only so many.

The standard error is the spread that the value would have over other validation rows of the same
number. No losses of single rows are kept, so it is computed from the value itself and a model of
how rows spread around it. For a mean over ``n`` rows whose standard deviation is ``s``::

    standard error = s / sqrt(n)

=============================  ================================================================
``accuracy``                   ``s^2 = v (1 - v)``: a row is right or wrong
``balanced_accuracy``,         the same, with ``n = C^2 / sum(1 / n_c)``: the mean of ``C``
``f1_macro``                   shares, each over the ``n_c`` rows of its class
``roc_auc``                    Hanley & McNeil (1982), from the rows of each class
``cross_entropy``,             calibrated probabilities: see :func:`cross_entropy_spread`
``log_loss``
``squared_error``              ``s = sqrt(2) v``: normal residuals
``rmse``                       ``v / sqrt(2 n)``, likewise
``r2``                         that of ``1 - v``, a squared error in units of the variance
``absolute_error``, ``mae``    ``s = sqrt(pi / 2 - 1) v``: normal residuals
=============================  ================================================================

The error of what is a loss (of ``1 - r2`` too) is at most half of it: where rows are few, the
models promise more than a loss that cannot fall below 0 has room for, and halving it is progress
by any measure. Several outputs count as one: their errors tend to go together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tunelab.training.arrays import Floats, Ints


@dataclass(frozen=True)
class ValidationRows:
    """What the error of a value depends on besides the value.

    Attributes:
        n: Number of validation rows.
        n_classes: Number of classes of the data; 0 for regression.
        class_counts: Rows of each class that occurs; empty for regression.
    """

    n: int
    n_classes: int
    class_counts: tuple[int, ...]

    @classmethod
    def of(cls, targets: Ints | Floats, n_classes: int | None) -> ValidationRows:
        """The rows with these targets: labels, shape (n,), or values, (n, n_outputs)."""
        if n_classes is None:
            return cls(len(targets), 0, ())
        counts = np.unique(targets, return_counts=True)[1]
        return cls(len(targets), n_classes, tuple(int(count) for count in counts))


def standard_error(quantity: str, value: float, rows: ValidationRows) -> float:
    """The standard error of ``value``.

    Args:
        quantity: A metric or a loss, as in study files.
        value: Its value on the validation rows.
        rows: These.

    >>> round(standard_error("accuracy", 0.9, ValidationRows(100, 2, (50, 50))), 6)
    0.03
    """
    return STANDARD_ERRORS[quantity](value, rows)


def cross_entropy_spread(mean: float, n_classes: int) -> float:
    """Standard deviation of the loss of one row, if its mean over the rows is ``mean``.

    As if every row's label had the same probability ``p``, the other classes had equal shares of
    the rest, and ``p`` were right: the label is the likely class in a share ``p`` of the rows.
    Then a row's loss is one of two numbers, and with ``q = 1 - p``::

        mean = -p log p - q log(q / (n_classes - 1))
        s^2  = p q log^2(p (n_classes - 1) / q)

    A low loss is the mean of many small ones and a few that are great, so ``s`` is a multiple of
    it. At least ``mean`` itself, the spread of exponentially distributed losses: near guessing,
    two numbers are too few.

    >>> round(cross_entropy_spread(0.1, 2), 3), cross_entropy_spread(0.8, 2)
    (0.548, 0.8)
    """
    if not 0 < mean < math.log(n_classes):
        return mean
    low, high = math.log(1e-300), math.log(1 - 1 / n_classes)  # of q; the entropy rises with it
    for _ in range(100):
        middle = (low + high) / 2
        q = math.exp(middle)
        entropy = -(1 - q) * math.log1p(-q) - q * math.log(q / (n_classes - 1))
        low, high = (middle, high) if entropy < mean else (low, middle)
    q = math.exp(low)
    ratio = math.log1p(-q) + math.log(n_classes - 1) - low
    return max(mean, math.sqrt(q * (1 - q)) * abs(ratio))


def _share(value: float, n: float) -> float:
    value = min(max(value, 0.0), 1.0)
    return math.sqrt(value * (1 - value) / n)


def _accuracy(value: float, rows: ValidationRows) -> float:
    return _share(value, rows.n)


def _mean_of_classes(value: float, rows: ValidationRows) -> float:
    counts = rows.class_counts
    return _share(value, len(counts) ** 2 / sum(1 / count for count in counts))


def _roc_auc(value: float, rows: ValidationRows) -> float:
    area = min(max(value, 0.0), 1.0)
    of_one = area / (2 - area) - area**2  # Q_1 - A^2 in their words
    of_other = 2 * area**2 / (1 + area) - area**2
    errors = []
    for count in rows.class_counts:
        rest = rows.n - count
        variance = area * (1 - area) + (count - 1) * of_one + (rest - 1) * of_other
        errors.append(math.sqrt(max(variance, 0.0) / (count * rest)))
    return sum(errors) / len(errors)


def _loss(spread: Callable[[float, ValidationRows], float]) -> Callable[..., float]:
    """The error of a mean loss, from the spread of the rows' losses."""

    def error(value: float, rows: ValidationRows) -> float:
        return min(spread(value, rows) / math.sqrt(rows.n), value / 2)

    return error


_cross_entropy = _loss(lambda value, rows: cross_entropy_spread(value, rows.n_classes))
_squared_error = _loss(lambda value, _: math.sqrt(2) * value)
_absolute_error = _loss(lambda value, _: math.sqrt(math.pi / 2 - 1) * value)
# d rmse = d mse / (2 rmse)
_rmse = _loss(lambda value, _: value / math.sqrt(2))


def _r2(value: float, rows: ValidationRows) -> float:
    return _squared_error(1 - value, rows)


STANDARD_ERRORS: dict[str, Callable[[float, ValidationRows], float]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _mean_of_classes,
    "f1_macro": _mean_of_classes,
    "roc_auc": _roc_auc,
    "cross_entropy": _cross_entropy,
    "log_loss": _cross_entropy,
    "squared_error": _squared_error,
    "rmse": _rmse,
    "r2": _r2,
    "absolute_error": _absolute_error,
    "mae": _absolute_error,
}
"""Metric or loss -> the standard error of a value of it on some rows."""
