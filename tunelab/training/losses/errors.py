"""Errors of real targets: squared and absolute."""

from __future__ import annotations

import numpy as np

from tunelab.training.arrays import Floats, Ints
from tunelab.training.losses.base import Loss
from tunelab.training.plan import Plan


class _Regression(Loss):
    """A loss whose outputs are the targets, one for each column.

    Args:
        n_outputs: Target columns, at least 1.

    Raises:
        ValueError: If ``n_outputs`` is out of range.
    """

    def __init__(self, n_outputs: int = 1) -> None:
        if n_outputs < 1:
            raise ValueError(f"n_outputs must be at least 1, got {n_outputs}")
        self.n_outputs = self.n_columns = n_outputs

    def columns(self, y: Ints | Floats) -> Floats:
        """The targets themselves."""
        if y.shape[1:] != (self.n_outputs,):
            raise ValueError(f"y must have shape (rows, {self.n_outputs}), got {y.shape}")
        return y  # type: ignore[return-value]  # regression targets are real

    def _error(self, plan: Plan, outputs: Floats, targets: Floats) -> Floats:
        """Record ``y - t``, shape (n_outputs, batch)."""
        error = plan.buffer(*outputs.shape)
        plan.call(np.subtract, outputs, targets, error)
        return error

    def predictions(self, outputs: Floats) -> Floats:
        """The outputs themselves, shape (n_outputs, rows)."""
        return outputs


class SquaredError(_Regression):
    """Squared error, mean over rows and outputs; minimal at the mean.

    For predictions ``y`` and targets ``t``::

        loss = mean((y - t)^2)          dy = 2 * (y - t) / (batch * outputs)

    Source: Goodfellow et al. (2016), section 5.1.4. No factor 1/2, as in PyTorch and Keras;
    scikit-learn's networks halve it, so that the same learning rate moves them half as far.

    Args:
        n_outputs: Target columns, at least 1.

    Raises:
        ValueError: If ``n_outputs`` is out of range.

    >>> outputs = np.array([[1.0], [2.0]])  # (outputs, rows)
    >>> SquaredError(2).each(outputs, np.array([[0.0, 5.0]]))  # (1 + 9) / 2
    array([5.])
    """

    def gradient(self, plan: Plan, outputs: Floats, targets: Floats) -> Floats:
        """Record ``2 (y - t) / (batch * outputs)``."""
        dy = self._error(plan, outputs, targets)
        plan.call(np.multiply, dy, plan.scalar(2.0 / outputs.size), dy)
        return dy

    def evaluate(self, outputs: Floats, y: Ints | Floats) -> tuple[Floats, Floats]:
        """Mean of ``(y - t)^2`` over the outputs, and the outputs themselves."""
        return np.square(outputs - y.T).mean(axis=0), outputs


class AbsoluteError(_Regression):
    """Absolute error, mean over rows and outputs; minimal at the median.

    For predictions ``y`` and targets ``t``::

        loss = mean(|y - t|)            dy = sign(y - t) / (batch * outputs)

    Far outliers pull no harder than near ones. The gradient does not shrink as the error does, so
    the learning rate has to: prefer a schedule that decays. Where an error is exactly 0, its
    gradient is 0, as in PyTorch and Keras.

    Source: Goodfellow et al. (2016), section 6.2.1.2.

    Args:
        n_outputs: Target columns, at least 1.

    Raises:
        ValueError: If ``n_outputs`` is out of range.

    >>> outputs = np.array([[1.0], [2.0]])  # (outputs, rows)
    >>> AbsoluteError(2).each(outputs, np.array([[0.0, 5.0]]))  # (1 + 3) / 2
    array([2.])
    """

    def gradient(self, plan: Plan, outputs: Floats, targets: Floats) -> Floats:
        """Record ``sign(y - t) / (batch * outputs)``."""
        dy = self._error(plan, outputs, targets)
        plan.call(np.sign, dy, dy)
        plan.call(np.multiply, dy, plan.scalar(1.0 / outputs.size), dy)
        return dy

    def evaluate(self, outputs: Floats, y: Ints | Floats) -> tuple[Floats, Floats]:
        """Mean of ``|y - t|`` over the outputs, and the outputs themselves."""
        return np.abs(outputs - y.T).mean(axis=0), outputs
