"""AdamW."""

from __future__ import annotations

import math

from tunelab.training.arrays import Floats
from tunelab.training.optimizers.adam import Adam


class AdamW(Adam):
    """Adam with decoupled weight decay: the weights shrink by themselves, not by their gradient.

    For a weight ``w``, its gradient ``g`` and step ``t`` = 1, 2, ...::

        w <- w - learning_rate * weight_decay * w
        m <- beta_1 * m + (1 - beta_1) * g
        v <- beta_2 * v + (1 - beta_2) * g^2
        w <- w - learning_rate * m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon)

    An L2 penalty adds to the gradient, where Adam divides it by the gradient's own size: what has
    large gradients is hardly held back. Decoupled, all weights shrink at the same pace. Biases,
    the parameters after the first ``n_weights`` of ``bind``, do not shrink.

    Source: Loshchilov & Hutter (2019), arXiv:1711.05101, Algorithm 2. As in PyTorch (default 0.01)
    and Keras (0.004), the rate multiplies the decay; in the paper only the schedule's factor does.
    Both of them also decay biases, unless told otherwise, and Keras adds ``epsilon`` to the
    uncorrected root.

    Args:
        beta_1: Decay of the mean gradient, in [0, 1).
        beta_2: Decay of the mean squared gradient, in [0, 1).
        epsilon: Keeps the division finite, > 0.
        weight_decay: Share of a weight taken away per step and unit of rate, >= 0. 0 is Adam.

    Raises:
        ValueError: If an argument is out of range.

    >>> import numpy as np
    >>> params = np.array([1.0, 1.0])  # a weight and a bias
    >>> optimizer = AdamW(weight_decay=0.5).bind(params, n_weights=1)
    >>> optimizer.step(params, np.zeros(2), learning_rate=0.1)
    >>> params
    array([0.95, 1.  ])
    """

    def __init__(
        self,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)
        if not (weight_decay >= 0.0 and math.isfinite(weight_decay)):
            raise ValueError(f"weight_decay must be at least 0 and finite, got {weight_decay}")
        self.weight_decay = weight_decay

    def _allocate(self, params: Floats) -> None:
        super()._allocate(params)
        self._kept = self._scalar()

    def step(self, params: Floats, grads: Floats, learning_rate: float) -> None:
        """Update ``params`` in place. Both are the network's flat vectors, shape (n_params,)."""
        self._kept[()] = 1.0 - learning_rate * self.weight_decay
        weights = params[: self._n_weights]
        weights *= self._kept
        super().step(params, grads, learning_rate)
