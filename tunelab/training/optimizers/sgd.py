"""Stochastic gradient descent, plain or with momentum."""

from __future__ import annotations

import numpy as np

from tunelab.training.arrays import Floats
from tunelab.training.optimizers.base import Optimizer
from tunelab.training.optimizers.ranges import check_share


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

    How it is computed: the slot holds ``momentum * v``, which the look-ahead needs now and the
    next step needs later, so Nesterov's method takes five passes over memory and not six.

    Args:
        momentum: Share of the velocity kept per step, in [0, 1). 0 is plain SGD.
        nesterov: Take the gradient at the look-ahead point. Needs ``momentum`` > 0.

    Raises:
        ValueError: If ``momentum`` is out of range, or 0 with ``nesterov``.

    >>> w = np.ones(1)
    >>> optimizer = SGD(momentum=0.5).bind(w)
    >>> for learning_rate in (0.1, 0.01):
    ...     optimizer.step(w, np.array([2.0]), learning_rate)
    ...     print(w.round(4))  # v = -0.2, then 0.5 * -0.2 - 0.02 = -0.12
    [0.8]
    [0.68]
    """

    def __init__(self, *, momentum: float = 0.0, nesterov: bool = False) -> None:
        check_share("momentum", momentum)
        if nesterov and momentum == 0.0:
            raise ValueError("nesterov needs a momentum > 0, got 0")
        self.momentum = momentum
        self.nesterov = nesterov
        self.n_slots = 1 if momentum > 0.0 else 0
        self.counter_names = ("t",) if momentum > 0.0 else ()

    def _allocate(self, params: Floats) -> None:
        self._scratch = np.empty_like(params)
        self._factor = self._scalar()
        if self.momentum > 0.0:
            self._kept = self.slots[0]
            self._share = self._scalar(self.momentum)

    def step(self, params: Floats, grads: Floats, learning_rate: float) -> None:
        """Update ``params`` in place. Both are the network's flat vectors, shape (n_params,)."""
        self._factor[()] = -learning_rate
        downhill = np.multiply(grads, self._factor, out=self._scratch)
        if self.momentum == 0.0:
            params += downhill
            return
        self._count_step()
        kept = self._kept
        kept += downhill  # v
        if self.nesterov:
            kept *= self._share
            params += kept
            params += downhill
        else:
            params += kept
            kept *= self._share
