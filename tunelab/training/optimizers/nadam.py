"""NAdam."""

from __future__ import annotations

import numpy as np

from tunelab.training.arrays import Floats
from tunelab.training.optimizers.adam import Adam


class NAdam(Adam):
    """Adam with Nesterov momentum: the step includes the momentum that the next one would add.

    For a weight ``w``, its gradient ``g`` and step ``t`` = 1, 2, ...::

        m <- beta_1 * m + (1 - beta_1) * g
        v <- beta_2 * v + (1 - beta_2) * g^2
        n = (beta_1 * m + (1 - beta_1) * g) / (1 - beta_1^t)
        w <- w - learning_rate * n / (sqrt(v / (1 - beta_2^t)) + epsilon)

    Source: Dozat (2016), Incorporating Nesterov Momentum into Adam; in the form of Ruder (2016),
    arXiv:1609.04747, section 4.8. PyTorch and Keras follow Dozat in two points: his momentum rises
    from beta_1 / 2 to beta_1, as beta_1 * (1 - 0.96^(0.004 * t) / 2) in PyTorch and with 0.96^t in
    Keras; and ``m`` is corrected for the step to come, by 1 - beta_1^(t + 1) where the momentum is
    constant. The first steps here are therefore longer.

    Args:
        beta_1: Decay of the mean gradient, in [0, 1).
        beta_2: Decay of the mean squared gradient, in [0, 1).
        epsilon: Keeps the division finite, > 0; added to the corrected root.

    Raises:
        ValueError: If an argument is out of range.

    >>> w = np.ones(2)
    >>> optimizer = NAdam().bind(w)
    >>> optimizer.step(w, np.array([3.0, -0.5]), learning_rate=0.1)
    >>> w.round(4)  # Adam's 0.1 times 1 + beta_1
    array([0.81, 1.19])
    """

    def _allocate(self, params: Floats) -> None:
        super()._allocate(params)
        self._ahead = np.empty_like(params)

    def step(self, params: Floats, grads: Floats, learning_rate: float) -> None:
        """Update ``params`` in place. Both are the network's flat vectors, shape (n_params,)."""
        t = self._count_step()
        # The slot holds beta_1 * m, which this step needs as well as the next.
        m = self._m
        m += grads
        m *= self._decay_1
        np.add(m, grads, out=self._ahead)
        self._move(params, grads, self._ahead, learning_rate, t)
