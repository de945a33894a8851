"""Stochastic gradient descent, plain or with momentum."""

from __future__ import annotations

import numpy as np

from tunelab.training.arrays import Floats
from tunelab.training.optimizers.base import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent with classical or Nesterov momentum.

    For a weight ``w``, its gradient ``g`` and velocity ``v``::

        v <- momentum * v - learning_rate * g
        w <- w + v                                   (classical)
        w <- w + momentum * v - learning_rate * g    (nesterov)

    The rate sits inside the velocity, as in Goodfellow et al. (2016), Alg. 8.2, in Keras and in
    scikit-learn. PyTorch multiplies it in afterwards; the two agree only while the rate is
    constant.

    Nesterov's method (Alg. 8.3) takes the gradient at the look-ahead point ``w + momentum * v``.
    Here the parameters *are* that point, shifted by the step to come, so that the gradient is
    taken where the network stands (Sutskever et al. 2013, Bengio et al. 2013). The two sequences
    are the same but for the shift, which vanishes as the velocity does.

    Args:
        momentum: Share of the velocity kept per step, in [0, 1). 0 is plain SGD.
        nesterov: Take the gradient at the look-ahead point. Needs ``momentum`` > 0.

    Raises:
        ValueError: If ``momentum`` is out of range, or 0 with ``nesterov``.
    """

    velocity: Floats

    def __init__(self, *, momentum: float = 0.0, nesterov: bool = False) -> None:
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"momentum must be in [0, 1), got {momentum}")
        if nesterov and momentum == 0.0:
            raise ValueError("nesterov needs a momentum > 0, got 0")
        self.momentum = momentum
        self.nesterov = nesterov
        self.n_slots = 1 if momentum > 0.0 else 0

    def _allocate(self, params: Floats) -> None:
        self._update = np.empty_like(params)
        self._shifted = np.empty_like(params)
        if self.momentum > 0.0:
            self.velocity = self.slots[0]

    def step(self, params: Floats, grads: Floats, learning_rate: float) -> None:
        """Update ``params`` in place. Both are the network's flat vectors, shape (n_params,)."""
        np.multiply(grads, -learning_rate, out=self._update)
        if self.momentum == 0.0:
            params += self._update
            return
        self.velocity *= self.momentum
        self.velocity += self._update
        if self.nesterov:
            np.multiply(self.velocity, self.momentum, out=self._shifted)
            params += self._shifted
            params += self._update
        else:
            params += self.velocity
