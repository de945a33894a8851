"""Scores: what people judge a model by, in the units of the data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tunelab.training.arrays import Floats, Ints, TrainingData


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

        Returns:
            The score; nan if a prediction is not finite.
        """
        if not np.isfinite(predictions).all():
            return math.nan
        return self.function(predictions, targets)


def accuracy(predictions: Floats, targets: Ints | Floats) -> float:
    """Share of rows whose most probable class is the label; of equal ones the first counts."""
    return float(np.mean(predictions.argmax(axis=1) == targets))


def rmse(predictions: Floats, targets: Ints | Floats) -> float:
    """Root of the mean squared error over rows and outputs."""
    return math.sqrt(np.mean(np.square(predictions - targets, dtype=np.float64)))


def mae(predictions: Floats, targets: Ints | Floats) -> float:
    """Mean absolute error over rows and outputs."""
    return float(np.mean(np.abs(predictions - targets), dtype=np.float64))


def r2(predictions: Floats, targets: Ints | Floats) -> float:
    """``1 - SS_residual / SS_total`` of each output, averaged.

    An output whose targets are all equal counts 1 if it is met exactly and else 0, as in
    scikit-learn.
    """
    residual = np.square(targets - predictions, dtype=np.float64).sum(axis=0)
    centred = np.subtract(targets, targets.mean(axis=0, dtype=np.float64), dtype=np.float64)
    total = np.square(centred).sum(axis=0)
    shares = np.where(residual == 0.0, 0.0, 1.0)
    np.divide(residual, total, out=shares, where=total > 0.0)
    return float(np.mean(1.0 - shares))


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "maximize", "classification", accuracy),
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
    """Validation score of a constant predictor: the training rows' class shares, or their mean."""
    chosen = METRICS[metric] if isinstance(metric, str) else metric
    rows = len(data.y_validation)
    if data.n_classes is None:
        mean = data.y_train.mean(axis=0, dtype=np.float64)
        constant: Floats = mean * data.target_scale + data.target_mean
    else:
        constant = np.bincount(data.y_train, minlength=data.n_classes) / len(data.y_train)
    predictions = np.broadcast_to(constant, (rows, data.n_outputs))
    return chosen.compute(predictions, original_units(data, data.y_validation))
