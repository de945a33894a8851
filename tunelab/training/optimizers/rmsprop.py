"""RMSprop."""

from __future__ import annotations

import math

import numpy as np

from tunelab.training.arrays import Floats
from tunelab.training.optimizers.base import Optimizer
from tunelab.training.optimizers.ranges import check_epsilon, check_share


class RMSprop(Optimizer):
    """Divides the rate of each weight by the root of its mean squared gradient.

    For a weight ``w``, its gradient ``g`` and the decaying mean ``E[g^2]``, at first 0::

        E[g^2] <- rho * E[g^2] + (1 - rho) * g^2
        w <- w - learning_rate * g / sqrt(E[g^2] + epsilon)

    Unlike AdaGrad's sum the mean forgets, so that rates can rise again. It is not corrected for
    its start at 0: the first step has the length learning_rate / sqrt(1 - rho).

    Source: Hinton (2012), Neural Networks for Machine Learning, lecture 6e; in the form of Ruder
    (2016), arXiv:1609.04747, section 4.5, as in the lecture. Goodfellow et al. (2016), Alg. 8.5,
    and Keras have the same formula (``epsilon`` 1e-6 and 1e-7). PyTorch adds ``epsilon`` to the
    root and calls ``rho`` alpha (default 0.99).

    How it is computed: the slot holds ``E[g^2] / (1 - rho)``, whose update needs no factor for the
    new square; the constant goes into ``epsilon`` and the rate.

    Args:
        rho: Decay of the mean squared gradient, in [0, 1).
        epsilon: Keeps the division finite, > 0.

    Raises:
        ValueError: If an argument is out of range.

    >>> w = np.ones(1)
    >>> optimizer = RMSprop(rho=0.75).bind(w)
    >>> for gradient in (2.0, -1.0):
    ...     optimizer.step(w, np.array([gradient]), learning_rate=0.1)
    ...     print(w.round(4))  # E[g^2] = 1, then 1: 1 - 0.1 * 2, then 0.8 + 0.1 * 1
    [0.8]
    [0.9]
    """

    n_slots = 1
    counter_names = ("t",)

    def __init__(self, *, rho: float = 0.9, epsilon: float = 1e-8) -> None:
        check_share("rho", rho)
        check_epsilon(epsilon)
        self.rho = rho
        self.epsilon = epsilon

    def _allocate(self, params: Floats) -> None:
        (self._squares,) = self.slots
        self._scratch = np.empty_like(params)
        self._decay = self._scalar(self.rho)
        self._floor = self._scalar(self.epsilon / (1.0 - self.rho))
        self._step_size = self._scalar()

    def step(self, params: Floats, grads: Floats, learning_rate: float) -> None:
        """Update ``params`` in place. Both are the network's flat vectors, shape (n_params,)."""
        self._count_step()
        self._step_size[()] = learning_rate / math.sqrt(1.0 - self.rho)
        squares, scratch = self._squares, self._scratch
        np.multiply(grads, grads, out=scratch)
        squares *= self._decay
        squares += scratch
        np.add(squares, self._floor, out=scratch)
        np.sqrt(scratch, out=scratch)
        np.divide(grads, scratch, out=scratch)
        scratch *= self._step_size
        params -= scratch
