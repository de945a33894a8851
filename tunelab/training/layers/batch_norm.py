"""Batch normalisation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tunelab.training.arrays import Floats
from tunelab.training.layers.base import Layer, Parameter, Statistic
from tunelab.training.plan import Backward, Plan

EPSILON = 1e-5
RUNNING_SHARE = 0.1


class BatchNorm(Layer):
    """``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta``, column by column.

    In training, mean and variance are those of the batch (the variance divided by the batch size
    B), and the running ones follow::

        running_mean     <- 0.9 * running_mean     + 0.1 * mean
        running_variance <- 0.9 * running_variance + 0.1 * variance * B / (B - 1)

    Evaluation uses the running ones and changes nothing. A column that is constant in the batch
    has variance 0 and leaves ``beta``, up to rounding.

    Source: Ioffe & Szegedy (2015), arXiv:1502.03167, Algorithms 1 and 2. ``epsilon`` is 1e-5, the
    share of the new batch 0.1, and the running variance unbiased, all as in PyTorch (which calls
    the share ``momentum``) and, for the last, as in the paper. Keras differs in all three: epsilon
    1e-3, share 0.01, running variance biased.

    Args:
        n_units: Columns of ``x``.
    """

    def __init__(self, n_units: int) -> None:
        self.affine = Parameter(2, n_units, n_penalised=0)  # gamma, beta
        self.running = Statistic(2, n_units)  # mean, variance
        self.parameters = (self.affine,)
        self.statistics = (self.running,)

    def initialize(self, generator: np.random.Generator) -> None:  # noqa: ARG002
        """Set ``gamma`` and the running variance to one, ``beta`` and the running mean to zero."""
        self.affine.value[...] = [[1.0], [0.0]]
        self.running.value[...] = [[0.0], [1.0]]

    def forward(self, plan: Plan, x: Floats) -> tuple[Floats, Backward]:
        """Record the normalisation, with the batch's statistics or with the running ones.

        With c = x - mean, v = variance + epsilon and means over the batch, backward is
        ``dgamma = sum(dy * c) / sqrt(v)``, ``dbeta = sum(dy)`` and
        ``dx = gamma / sqrt(v) * (dy - mean(dy) - c * mean(dy * c) / v)``.

        Raises:
            ValueError: If ``plan`` trains on batches of one row: their variance is always 0.
        """
        if not plan.training:
            return self._evaluation(plan, x), lambda dy: dy
        batch, n_units = x.shape
        if batch == 1:
            raise ValueError("batch norm needs at least 2 rows in a training batch, got 1")
        gamma, beta = self.affine.value
        moments = plan.buffer(2, n_units)
        mean, variance = moments
        deviation, scale = plan.buffer(n_units), plan.buffer(n_units)
        centred, y = plan.buffer(*x.shape), plan.buffer(*x.shape)
        plan.call(np.dot, plan.averaging, x, mean)
        plan.call(np.subtract, x, mean, centred)
        plan.call(np.multiply, centred, centred, y)
        plan.call(np.dot, plan.averaging, y, variance)
        self._follow(plan, moments)
        plan.call(np.add, variance, plan.scalar(EPSILON), variance)  # v from here on
        plan.call(np.sqrt, variance, deviation)
        plan.call(np.divide, gamma, deviation, scale)
        plan.call(np.multiply, centred, scale, y)
        plan.call(np.add, y, beta, y)

        def backward(dy: Floats) -> Floats:
            dgamma, dbeta = self.affine.grad
            means = plan.buffer(2, n_units)
            plan.call(np.multiply, dy, centred, y)
            plan.call(np.dot, plan.ones, y, dgamma)
            plan.call(np.dot, plan.ones, dy, dbeta)
            plan.call(np.multiply, self.affine.grad, plan.scalar(1.0 / batch), means)
            plan.call(np.divide, dgamma, deviation, dgamma)
            plan.call(np.divide, means[0], variance, means[0])
            plan.call(np.multiply, centred, means[0], centred)
            plan.call(np.subtract, dy, centred, dy)
            plan.call(np.subtract, dy, means[1], dy)
            plan.call(np.multiply, dy, scale, dy)
            return dy

        return y, backward

    def _follow(self, plan: Plan, moments: Floats) -> None:
        """Record the update of the running statistics. ``moments``: mean and variance, (2, n)."""
        running, batch = self.running.value, plan.batch_size
        shares = plan.buffer(2, 1)
        shares[:, 0] = RUNNING_SHARE, RUNNING_SHARE * batch / (batch - 1)
        added = plan.buffer(*moments.shape)
        plan.call(np.multiply, moments, shares, added)
        plan.call(np.multiply, running, plan.scalar(1.0 - RUNNING_SHARE), running)
        plan.call(np.add, running, added, running)

    def _evaluation(self, plan: Plan, x: Floats) -> Floats:
        """Record ``y = x * scale + shift``, with both made from the running statistics."""
        (gamma, beta), (mean, variance) = self.affine.value, self.running.value
        scale, shift = plan.buffer(*gamma.shape), plan.buffer(*gamma.shape)
        y = plan.buffer(*x.shape)
        plan.call(np.add, variance, plan.scalar(EPSILON), scale)
        plan.call(np.sqrt, scale, scale)
        plan.call(np.divide, gamma, scale, scale)
        plan.call(np.multiply, mean, scale, shift)
        plan.call(np.subtract, beta, shift, shift)
        plan.call(np.multiply, x, scale, y)
        plan.call(np.add, y, shift, y)
        return y

    def export(self) -> dict[str, Floats]:
        """``gamma``, ``beta``, ``running_mean``, ``running_variance``, each of shape (units,)."""
        (gamma, beta), (mean, variance) = self.affine.value, self.running.value
        return {
            "gamma": gamma.copy(),
            "beta": beta.copy(),
            "running_mean": mean.copy(),
            "running_variance": variance.copy(),
        }

    def load(self, arrays: Mapping[str, Floats]) -> None:
        """See :class:`tunelab.training.layers.base.Layer`."""
        (gamma, beta), (mean, variance) = self.affine.value, self.running.value
        gamma[...], beta[...] = arrays["gamma"], arrays["beta"]
        mean[...], variance[...] = arrays["running_mean"], arrays["running_variance"]
