"""Scaling to zero mean and unit variance, learned from training rows alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Scaling:
    """``scaled = (value - mean) / scale`` for each column.

    Attributes:
        mean: float64, shape (n_columns,).
        scale: float64, shape (n_columns,): the standard deviation (divisor n); 1 for a column
            that is constant.
    """

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    def apply(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Scale in float64, then round to float32. ``values`` has shape (n, n_columns)."""
        return ((values - self.mean) / self.scale).astype(np.float32)


def fit_scaling(training_values: npt.NDArray[np.float64]) -> Scaling:
    """Learn a scaling from training rows, shape (n_train, n_columns).

    scikit-learn's ``StandardScaler`` finds the statistics: it tells a constant column from one
    of small variance where rounding alone makes a variance.
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(training_values)
    return Scaling(
        mean=np.asarray(scaler.mean_, dtype=np.float64),
        scale=np.asarray(scaler.scale_, dtype=np.float64),
    )
