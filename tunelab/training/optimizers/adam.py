"""Adam."""

from __future__ import annotations

import math

import numpy as np

from tunelab.training.arrays import Floats
from tunelab.training.optimizers.base import Optimizer
from tunelab.training.optimizers.ranges import check_epsilon, check_share


class Adam(Optimizer):
    """Adaptive moments: momentum, over the root of the mean squared gradient, both unbiased.

    For a weight ``w``, its gradient ``g`` and step ``t`` = 1, 2, ...::

        m <- beta_1 * m + (1 - beta_1) * g
        v <- beta_2 * v + (1 - beta_2) * g^2
        w <- w - learning_rate * m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon)

    Source: Kingma & Ba (2015), arXiv:1412.6980, Algorithm 1; Ruder (2016), arXiv:1609.04747,
    section 4.6, as in the lecture. ``epsilon`` is added to the corrected root, as in PyTorch.
    Keras (default 1e-7) and scikit-learn add it to the uncorrected root, the variant of the
    paper's section 2, where it weighs more in early steps.

    How it is computed: the slots hold ``m / (1 - beta_1)`` and ``v / (1 - beta_2)``, the sums that
    decay. Their updates need no factor for the new gradient, which saves two passes over memory;
    the constants and the corrections go into the step's factors.

    Args:
        beta_1: Decay of the mean gradient, in [0, 1).
        beta_2: Decay of the mean squared gradient, in [0, 1).
        epsilon: Keeps the division finite, > 0.

    Raises:
        ValueError: If an argument is out of range.

    >>> w = np.array([1.0, 1.0])
    >>> optimizer = Adam().bind(w)
    >>> optimizer.step(w, np.array([3.0, -0.5]), learning_rate=0.1)
    >>> w.round(4)  # the corrections make the first step as long as the rate
    array([0.9, 1.1])
    """

    n_slots = 2
    counter_names = ("t",)

    def __init__(
        self, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        check_share("beta_1", beta_1)
        check_share("beta_2", beta_2)
        check_epsilon(epsilon)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def _allocate(self, params: Floats) -> None:
        self._m, self._v = self.slots
        self._scratch = np.empty_like(params)
        self._decay_1 = self._scalar(self.beta_1)
        self._decay_2 = self._scalar(self.beta_2)
        self._floor = self._scalar()
        self._step_size = self._scalar()

    def step(self, params: Floats, grads: Floats, learning_rate: float) -> None:
        """Update ``params`` in place. Both are the network's flat vectors, shape (n_params,)."""
        t = self._count_step()
        m = self._m
        m *= self._decay_1
        m += grads
        self._move(params, grads, m, learning_rate, t)

    def _move(
        self, params: Floats, grads: Floats, direction: Floats, learning_rate: float, t: int
    ) -> None:
        """Update ``v``, and ``params`` by the corrected ``direction`` over the root of ``v``.

        Args:
            params: Shape (n_params,).
            grads: Likewise.
            direction: An average of gradients over (1 - beta_1), like the slot of ``m``.
            learning_rate: The step size.
            t: The number of this step, from 1.
        """
        # root * sqrt(slot of v) is the corrected root, so the whole fraction is
        # step_size * direction / (sqrt(slot of v) + epsilon / root).
        root = math.sqrt((1.0 - self.beta_2) / (1.0 - self.beta_2**t))
        corrected = (1.0 - self.beta_1) / (1.0 - self.beta_1**t)
        self._floor[()] = self.epsilon / root
        self._step_size[()] = learning_rate * corrected / root
        v, scratch = self._v, self._scratch
        np.multiply(grads, grads, out=scratch)
        v *= self._decay_2
        v += scratch
        np.sqrt(v, out=scratch)
        scratch += self._floor
        np.divide(direction, scratch, out=scratch)
        scratch *= self._step_size
        params -= scratch
