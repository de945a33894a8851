"""The losses by the names that study files use, and what a constant predictor reaches in each."""

from __future__ import annotations

import numpy as np

from tunelab.training.arrays import Floats, TrainingData
from tunelab.training.losses.base import Loss
from tunelab.training.losses.cross_entropy import (
    BinaryCrossEntropy,
    SoftmaxCrossEntropy,
    balanced_class_weights,
)
from tunelab.training.losses.errors import AbsoluteError, SquaredError

LOSSES: dict[str, tuple[str, ...]] = {
    "classification": ("cross_entropy",),
    "regression": ("squared_error", "absolute_error"),
}
"""Task -> the names of its losses, the default first."""

CLASS_WEIGHTS = ("none", "balanced")
"""The ways to weight classes in training."""


def loss_names(task: str) -> tuple[str, ...]:
    """The losses that fit ``classification`` or ``regression``, the default first.

    >>> loss_names("regression")
    ('squared_error', 'absolute_error')
    """
    return LOSSES[task]


def make_loss(
    data: TrainingData,
    *,
    name: str | None = None,
    label_smoothing: float = 0.0,
    class_weight: str = "none",
) -> Loss:
    """Build the loss that trains on ``data``, from the names of a study file.

    Args:
        data: Says the task, the number of outputs, and how often each class occurs.
        name: One of ``loss_names(data.task)``; None takes the first. ``cross_entropy`` of two
            classes has a single output.
        label_smoothing: In [0, 1); classification only.
        class_weight: ``none``, or ``balanced`` by the training rows; classification only.

    Raises:
        ValueError: If an argument is unknown, out of range or does not fit the task.
    """
    name = _checked_name(data, name)
    if class_weight not in CLASS_WEIGHTS:
        raise ValueError(
            f"class_weight must be one of {', '.join(CLASS_WEIGHTS)}, got {class_weight!r}"
        )
    if data.n_classes is None:
        if label_smoothing != 0.0:
            raise ValueError(f"label_smoothing must be 0 for regression, got {label_smoothing}")
        if class_weight != "none":
            raise ValueError(f"class_weight must be none for regression, got {class_weight!r}")
        member = AbsoluteError if name == "absolute_error" else SquaredError
        return member(data.n_outputs)
    weights = None
    if class_weight == "balanced":
        weights = balanced_class_weights(data.y_train.astype(np.intp), data.n_classes)
    if data.n_classes == 2:
        return BinaryCrossEntropy(label_smoothing=label_smoothing, class_weights=weights)
    return SoftmaxCrossEntropy(
        data.n_classes, label_smoothing=label_smoothing, class_weights=weights
    )


def class_shares(data: TrainingData) -> Floats:
    """How often each class occurs among the training rows, shape (n_classes,), sum 1.

    A class without any rows counts as one row, so that no share and no ``log`` of it is lost.
    """
    counts = np.bincount(data.y_train, minlength=data.n_outputs)
    shares: Floats = np.maximum(counts, 1) / np.maximum(counts, 1).sum()
    return shares


def baseline_loss(data: TrainingData, name: str | None = None) -> float:
    """Validation loss of the best constant predictor: what a network must beat to have learned.

    It predicts what is best on the training rows: for ``cross_entropy`` the shares of the
    classes, for ``squared_error`` the mean, for ``absolute_error`` the median.

    Args:
        data: Training rows to choose the constant by, validation rows to measure it on.
        name: One of ``loss_names(data.task)``; None takes the first.

    Raises:
        ValueError: If ``name`` is unknown or does not fit the task.
    """
    name = _checked_name(data, name)
    if data.n_classes is not None:
        return float(-np.log(class_shares(data))[data.y_validation].mean())
    y_train = data.y_train.astype(np.float64)
    if name == "absolute_error":
        return float(np.abs(data.y_validation - np.median(y_train, axis=0)).mean())
    return float(np.square(data.y_validation - y_train.mean(axis=0)).mean())


def _checked_name(data: TrainingData, name: str | None) -> str:
    """``name`` or the task's default."""
    names = loss_names(data.task)
    if name is None:
        return names[0]
    if name not in names:
        raise ValueError(f"loss must be one of {', '.join(names)} for {data.task}, got {name!r}")
    return name
