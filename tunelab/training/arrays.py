"""Array types, and the one bundle of arrays that a training run may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
"""Real numbers: float32, or float64 on request."""

Ints = npt.NDArray[np.integer[Any]]
"""Class labels and indices."""

Bools = npt.NDArray[np.bool_]

StateDict = dict[str, Any]
"""Nested dicts whose leaves are NumPy arrays or JSON values (integers of any size)."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What one run may see: training and validation rows, never test rows.

    Attributes:
        x_train: Preprocessed features, float32, shape (n_train, n_features). May be a read-only
            memory map.
        y_train: Labels 0..n_classes-1, shape (n_train,); or standardised targets, shape
            (n_train, n_outputs).
        x_validation: Shape (n_validation, n_features).
        y_validation: As ``y_train``, with n_validation rows.
        n_classes: Number of classes; None for regression.
        target_mean: Shape (n_outputs,) for regression, (0,) for classification.
        target_scale: As ``target_mean``: original = standardised * scale + mean.

    Raises:
        ValueError: If shapes disagree, a split is empty or a label is out of range.
    """

    x_train: Floats
    y_train: Ints | Floats
    x_validation: Floats
    y_validation: Ints | Floats
    n_classes: int | None
    target_mean: Floats
    target_scale: Floats

    def __post_init__(self) -> None:
        for split, x, y in (
            ("train", self.x_train, self.y_train),
            ("validation", self.x_validation, self.y_validation),
        ):
            _check_split(split, x, y, self.n_classes)
        if self.x_train.shape[1] != self.x_validation.shape[1]:
            raise ValueError(
                "x_train and x_validation must have the same number of columns, "
                f"got {self.x_train.shape[1]} and {self.x_validation.shape[1]}"
            )
        if self.n_classes is None:
            expected = (self.y_train.shape[1],)
            if self.y_validation.shape[1:] != expected:
                raise ValueError(
                    "y_train and y_validation must have the same number of columns, "
                    f"got {expected[0]} and {self.y_validation.shape[1]}"
                )
        else:
            expected = (0,)
        if self.target_mean.shape != expected or self.target_scale.shape != expected:
            raise ValueError(
                f"target_mean and target_scale must have shape {expected}, "
                f"got {self.target_mean.shape} and {self.target_scale.shape}"
            )

    @property
    def n_features(self) -> int:
        """Number of input columns."""
        return int(self.x_train.shape[1])

    @property
    def n_outputs(self) -> int:
        """Number of classes, or of target columns."""
        return int(self.y_train.shape[1]) if self.n_classes is None else self.n_classes

    @property
    def task(self) -> str:
        """``classification`` or ``regression``."""
        return "regression" if self.n_classes is None else "classification"


def _check_split(split: str, x: Floats, y: Ints | Floats, n_classes: int | None) -> None:
    """Raise ValueError unless ``x`` and ``y`` are a usable split."""
    if x.ndim != 2 or len(x) == 0 or x.shape[1] == 0:
        raise ValueError(f"x_{split} must be a table with rows and columns, got shape {x.shape}")
    rank = 2 if n_classes is None else 1
    if y.ndim != rank or len(y) != len(x):
        raise ValueError(
            f"y_{split} must have {rank} dimension(s) and {len(x)} rows, got shape {y.shape}"
        )
    if n_classes is None:
        return
    if n_classes < 2:
        raise ValueError(f"n_classes must be at least 2, got {n_classes}")
    if not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"y_{split} must hold integer labels, got {y.dtype}")
    if y.min() < 0 or y.max() >= n_classes:
        raise ValueError(
            f"y_{split} must hold labels in [0, {n_classes - 1}], got {y.min()} to {y.max()}"
        )
