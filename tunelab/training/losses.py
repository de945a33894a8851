"""Loss functions: the gradient that training needs, and the mean that evaluation reports.

A network's outputs arrive transposed, shape (outputs, batch), as the last layer leaves them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from tunelab.training.arrays import Floats, Ints, TrainingData
from tunelab.training.plan import Plan


class Loss(ABC):
    """A loss that is a mean over examples."""

    @abstractmethod
    def columns(self, y: Ints | Floats, n_outputs: int) -> Floats:
        """Targets as columns, shape (rows, n_outputs), to be gathered together with the inputs."""

    @abstractmethod
    def gradient(self, plan: Plan, outputs: Floats, targets: Floats) -> Floats:
        """Record the gradient of the batch's mean loss.

        Args:
            plan: Where to record.
            outputs: Shape (outputs, batch), to be read only.
            targets: The batch's part of ``columns``, transposed: shape (outputs, batch).

        Returns:
            The gradient by ``outputs``, of the same shape.
        """

    @abstractmethod
    def each(self, outputs: Floats, y: Ints | Floats) -> Floats:
        """The loss of every row, shape (rows,).

        Args:
            outputs: Shape (outputs, rows).
            y: Labels or targets, as in TrainingData.
        """

    @abstractmethod
    def predictions(self, outputs: Floats) -> Floats:
        """What the outputs say, shape (outputs, rows): class probabilities, or targets."""


class SoftmaxCrossEntropy(Loss):
    """``-log p_label`` with ``p = softmax(z)``, for two classes or more.

    Computed from the logits as ``log(sum(exp(z))) - z_label``, with the greatest logit taken out
    first, so that neither overflow nor ``log(0)`` can occur for finite logits.
    """

    def columns(self, y: Ints | Floats, n_outputs: int) -> Floats:
        """One-hot rows, shape (rows, n_outputs)."""
        one_hot = np.zeros((len(y), n_outputs), np.float32)
        one_hot[np.arange(len(y)), y.astype(np.intp)] = 1.0
        return one_hot

    def gradient(self, plan: Plan, outputs: Floats, targets: Floats) -> Floats:
        """Record ``(softmax(z) - one_hot) / batch``."""
        n_outputs, batch = outputs.shape
        row = plan.buffer(batch)
        p = plan.buffer(n_outputs, batch)
        plan.call(np.maximum.reduce, outputs, 0, None, row)
        plan.call(np.subtract, outputs, row, p)
        plan.call(np.exp, p, p)
        plan.call(np.dot, np.ones(n_outputs, plan.dtype), p, row)
        plan.call(np.divide, p, row, p)
        plan.call(np.subtract, p, targets, p)
        plan.call(np.multiply, p, plan.scalar(1.0 / batch), p)
        return p

    def each(self, outputs: Floats, y: Ints | Floats) -> Floats:
        """``log(sum(exp(z))) - z_label``."""
        greatest = outputs.max(axis=0)
        losses: Floats = np.log(np.exp(outputs - greatest).sum(axis=0))
        losses += greatest
        losses -= outputs[y, np.arange(len(y))]
        return losses

    def predictions(self, outputs: Floats) -> Floats:
        """``softmax(z)`` over the first axis."""
        p: Floats = np.exp(outputs - outputs.max(axis=0))
        p /= p.sum(axis=0)
        return p


class SquaredError(Loss):
    """``(y - t)^2``, mean over rows and outputs. No factor 1/2."""

    def columns(self, y: Ints | Floats, n_outputs: int) -> Floats:
        """The targets themselves."""
        if y.shape[1] != n_outputs:
            raise ValueError(f"targets must have {n_outputs} columns, got {y.shape[1]}")
        return y  # type: ignore[return-value]  # regression targets are real

    def gradient(self, plan: Plan, outputs: Floats, targets: Floats) -> Floats:
        """Record ``2 (y - t) / (batch * outputs)``."""
        dy = plan.buffer(*outputs.shape)
        plan.call(np.subtract, outputs, targets, dy)
        plan.call(np.multiply, dy, plan.scalar(2.0 / outputs.size), dy)
        return dy

    def each(self, outputs: Floats, y: Ints | Floats) -> Floats:
        """Mean of ``(y - t)^2`` over the outputs."""
        losses: Floats = np.square(outputs - y.T).mean(axis=0)
        return losses

    def predictions(self, outputs: Floats) -> Floats:
        """The outputs themselves."""
        return outputs


softmax_cross_entropy = SoftmaxCrossEntropy()
squared_error = SquaredError()

LOSSES: dict[str, Loss] = {"classification": softmax_cross_entropy, "regression": squared_error}
"""The loss of each task."""


def baseline_loss(data: TrainingData) -> float:
    """Validation loss of the best constant predictor: what a network must beat to have learned.

    For classification it predicts the class shares of the training rows (a class without any
    counts as one row, which keeps the loss finite), for regression their mean.
    """
    if data.n_classes is None:
        constant = data.y_train.mean(axis=0, dtype=np.float64)[:, np.newaxis]
        return float(squared_error.each(constant, data.y_validation).mean())
    counts = np.maximum(np.bincount(data.y_train, minlength=data.n_classes), 1)
    logits = np.log(counts / counts.sum())
    of_each = np.broadcast_to(logits[:, np.newaxis], (data.n_classes, len(data.y_validation)))
    return float(softmax_cross_entropy.each(of_each, data.y_validation).mean())
