"""Scores: what people judge a model by, in the units of the data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tunelab.training.arrays import Bools, Floats, Ints, TrainingData
from tunelab.training.losses import class_shares


@dataclass(frozen=True)
class Metric:
    """One score.

    Attributes:
        name: As in study files.
        direction: Which way is better.
        task: ``classification`` or ``regression``.
        function: See ``compute``.
    """

    name: str
    direction: Literal["maximize", "minimize"]
    task: str
    function: Callable[[Floats, Ints | Floats], float]

    def compute(self, predictions: Floats, targets: Ints | Floats) -> float:
        """The score of ``predictions`` (as ``TrainingRun.predict`` returns them).

        Args:
            predictions: Shape (rows, n_outputs): class probabilities, or targets in original
                units.
            targets: Labels, shape (rows,); or targets in original units, (rows, n_outputs).

        Raises:
            ValueError: If the shapes do not belong together, or there are no rows.

        Returns:
            The score; nan if a prediction is not finite or the targets leave it undefined.
        """
        expected = predictions.shape[:1] if self.task == "classification" else predictions.shape
        if targets.shape != expected or len(targets) == 0:
            raise ValueError(
                f"{self.name}: targets must have shape {expected} and a row at least, "
                f"got {targets.shape}"
            )
        if not np.isfinite(predictions).all():
            return math.nan
        return self.function(predictions, targets)


def accuracy(predictions: Floats, targets: Ints | Floats) -> float:
    """Share of rows whose most probable class is the label; of equal ones the first counts.

    >>> accuracy(np.array([[0.7, 0.3], [0.5, 0.5]]), np.array([0, 1]))
    0.5
    """
    return int(np.count_nonzero(predictions.argmax(axis=1) == targets)) / len(targets)


def balanced_accuracy(predictions: Floats, targets: Ints | Floats) -> float:
    """Share of a class's rows that is recognised (its recall), averaged over the classes.

    For rows ``TP_c`` recognised of the ``n_c`` with label ``c``::

        mean over c of TP_c / n_c

    The mean is over the classes that occur among ``targets``, as in scikit-learn. Guessing reaches
    1 / their number, whatever their sizes.

    Source: Brodersen et al. (2010), doi:10.1109/ICPR.2010.764.

    >>> balanced_accuracy(np.array([[0.7, 0.3]] * 4), np.array([0, 0, 0, 1]))
    0.5
    """
    hits, labels, _ = _class_counts(predictions, targets)
    present = labels > 0
    return float(np.mean(hits[present] / labels[present]))


def f1_macro(predictions: Floats, targets: Ints | Floats) -> float:
    """F1 of a class, the harmonic mean of its precision and recall, averaged over the classes.

    For ``TP_c`` rows recognised, ``n_c`` with label ``c`` and ``m_c`` taken for ``c``::

        mean over c of 2 * TP_c / (n_c + m_c)

    The mean is over the classes that occur among ``targets`` or among the most probable ones, as
    in scikit-learn: there F1 is defined, and 0 where no row is right.

    Source: Opitz & Burst (2019), arXiv:1911.03347, where this mean of F1 is compared with the F1
    of means.

    >>> round(f1_macro(np.array([[0.7, 0.3]] * 4), np.array([0, 0, 0, 1])), 4)  # (6 / 7 + 0) / 2
    0.4286
    """
    hits, labels, taken = _class_counts(predictions, targets)
    total = labels + taken
    occurs = total > 0
    return float(np.mean(2.0 * hits[occurs] / total[occurs]))


def roc_auc(predictions: Floats, targets: Ints | Floats) -> float:
    """Area under the ROC curve: how often a row of a class is ranked above one of another.

    For probabilities ``p_c`` of class ``c``::

        AUC_c = P(p_c(row of c) > p_c(row of another class)) + P(equal) / 2

    With two classes, ``AUC_1``, which equals ``AUC_0``. With more, the mean over the classes of
    one against the rest, of those that occur among ``targets``; scikit-learn is undefined where
    one does not. A constant predictor reaches 0.5. nan if all targets are equal.

    Computed from the sum of ranks, equal probabilities sharing their mean rank.

    Source: Hanley & McNeil (1982), Radiology 143; for several classes Fawcett (2006), Pattern
    Recognition Letters 27, where they are weighted by their sizes.

    >>> p = np.array([0.2, 0.4, 0.4, 0.9])  # pairs: 0.4 over 0.2, 0.4 ties 0.4, 0.9 over both
    >>> roc_auc(np.column_stack([1 - p, p]), np.array([0, 1, 0, 1]))
    0.875
    """
    classes = np.unique(targets).astype(np.intp)
    if len(classes) < 2:
        return math.nan
    if predictions.shape[1] == 2:
        classes = classes[1:]
    return float(np.mean([_area(predictions[:, c], targets == c) for c in classes]))


def log_loss(predictions: Floats, targets: Ints | Floats) -> float:
    """Mean of ``-log p_label``, with each probability kept in ``[eps, 1 - eps]``.

    ``eps`` is the type's, 1.2e-7 in float32, as in scikit-learn: no row costs more than 16. The
    validation loss is computed from the logits and has no such limit.

    Source: Good (1952), Journal of the Royal Statistical Society B 14.

    >>> round(log_loss(np.array([[0.5, 0.5], [0.75, 0.25]]), np.array([0, 1])), 4)
    1.0397
    """
    p = predictions[np.arange(len(targets)), targets.astype(np.intp)]
    eps = np.finfo(p.dtype).eps
    return float(-np.log(np.clip(p, eps, 1.0 - eps)).mean(dtype=np.float64))


def rmse(predictions: Floats, targets: Ints | Floats) -> float:
    """Root of the mean squared error of each output, averaged over the outputs.

    >>> rmse(np.array([[1.0, 0.0], [7.0, 0.0]]), np.zeros((2, 2)))  # (5 + 0) / 2
    2.5
    """
    squares = np.square(np.subtract(predictions, targets, dtype=np.float64))
    return float(np.sqrt(squares.mean(axis=0)).mean())


def mae(predictions: Floats, targets: Ints | Floats) -> float:
    """Mean absolute error over rows and outputs.

    >>> mae(np.array([[1.0, 0.0], [7.0, 0.0]]), np.zeros((2, 2)))
    2.0
    """
    return float(np.abs(np.subtract(predictions, targets, dtype=np.float64)).mean())


def r2(predictions: Floats, targets: Ints | Floats) -> float:
    """``1 - SS_residual / SS_total`` of each output, averaged.

    An output whose targets are all equal counts 1 if it is met exactly and else 0, as in
    scikit-learn; nan if there is only one row.

    >>> r2(np.array([[1.0], [2.0], [2.0]]), np.array([[1.0], [2.0], [3.0]]))  # 1 - 1 / 2
    0.5
    """
    if len(targets) < 2:
        return math.nan
    residual = np.square(np.subtract(targets, predictions, dtype=np.float64)).sum(axis=0)
    centred = np.subtract(targets, targets.mean(axis=0, dtype=np.float64), dtype=np.float64)
    total = np.square(centred).sum(axis=0)
    shares = np.where(residual == 0.0, 0.0, 1.0)
    np.divide(residual, total, out=shares, where=total > 0.0)
    return float(np.mean(1.0 - shares))


def _class_counts(predictions: Floats, targets: Ints | Floats) -> tuple[Ints, Ints, Ints]:
    """Of each class: rows recognised, rows with the label, rows taken for it."""
    n_classes = predictions.shape[1]
    most_probable = predictions.argmax(axis=1)
    labels = targets.astype(np.intp)
    of_hits, of_labels, of_taken = (
        np.bincount(each, minlength=n_classes)
        for each in (labels[most_probable == labels], labels, most_probable)
    )
    return of_hits, of_labels, of_taken


def _area(p: Floats, is_positive: Bools) -> float:
    """Area under the ROC curve of one class, from the sum of its rows' ranks by ``p``."""
    _, position, counts = np.unique(p, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2.0  # from 1
    n_positive = int(np.count_nonzero(is_positive))
    n_negative = len(p) - n_positive
    rank_sum = mean_ranks[position[is_positive]].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2.0) / (n_positive * n_negative))


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "maximize", "classification", accuracy),
        Metric("balanced_accuracy", "maximize", "classification", balanced_accuracy),
        Metric("f1_macro", "maximize", "classification", f1_macro),
        Metric("roc_auc", "maximize", "classification", roc_auc),
        Metric("log_loss", "minimize", "classification", log_loss),
        Metric("rmse", "minimize", "regression", rmse),
        Metric("mae", "minimize", "regression", mae),
        Metric("r2", "maximize", "regression", r2),
    )
}


def original_units(data: TrainingData, y: Ints | Floats) -> Ints | Floats:
    """Targets as people know them: labels as they are, standardised targets scaled back."""
    if data.n_classes is not None:
        return y
    return y * data.target_scale.astype(np.float64) + data.target_mean


def baseline_score(metric: Metric | str, data: TrainingData) -> float:
    """Validation score of a constant predictor, chosen on the training rows.

    It predicts the shares of the classes; their median for ``mae``, else their mean.
    """
    chosen = METRICS[metric] if isinstance(metric, str) else metric
    if data.n_classes is None:
        y_train = data.y_train.astype(np.float64)
        centre = np.median(y_train, axis=0) if chosen.name == "mae" else y_train.mean(axis=0)
        constant: Floats = centre * data.target_scale + data.target_mean
    else:
        constant = class_shares(data)
    predictions = np.broadcast_to(constant, (len(data.y_validation), data.n_outputs))
    return chosen.compute(predictions, original_units(data, data.y_validation))
