"""AdaGrad."""

from __future__ import annotations

import numpy as np

from tunelab.training.arrays import Floats
from tunelab.training.optimizers.base import Optimizer
from tunelab.training.optimizers.ranges import check_epsilon


class AdaGrad(Optimizer):
    """Divides the rate of each weight by the root of its summed squared gradients.

    For a weight ``w``, its gradient ``g`` and the sum ``G``, at first 0::

        G <- G + g^2
        w <- w - learning_rate * g / sqrt(G + epsilon)

    Rarely moved weights keep a high rate. All rates only ever fall, on long runs often too far.

    Source: Duchi, Hazan & Singer (2011), JMLR 12; in the form of Ruder (2016), arXiv:1609.04747,
    section 4.3, as in the lecture. Keras has the same formula, but starts ``G`` at 0.1 and has
    ``epsilon`` 1e-7. PyTorch and Goodfellow et al. (2016), Alg. 8.4, add ``epsilon`` to the root
    (1e-10 and 1e-7). All agree while ``G`` is far above ``epsilon``.

    Args:
        epsilon: Keeps the division finite, > 0.

    Raises:
        ValueError: If ``epsilon`` is out of range.

    >>> w = np.array([1.0, 1.0])
    >>> optimizer = AdaGrad().bind(w)
    >>> for _ in range(2):
    ...     optimizer.step(w, np.array([3.0, 0.5]), learning_rate=0.1)
    ...     print(w.round(4))  # whatever the gradient's size: 0.1, then 0.1 / sqrt(2)
    [0.9 0.9]
    [0.8293 0.8293]
    """

    n_slots = 1

    def __init__(self, *, epsilon: float = 1e-8) -> None:
        check_epsilon(epsilon)
        self.epsilon = epsilon

    def _allocate(self, params: Floats) -> None:
        (self._sum,) = self.slots
        self._scratch = np.empty_like(params)
        self._floor = self._scalar(self.epsilon)
        self._step_size = self._scalar()

    def step(self, params: Floats, grads: Floats, learning_rate: float) -> None:
        """Update ``params`` in place. Both are the network's flat vectors, shape (n_params,)."""
        self._step_size[()] = learning_rate
        total, scratch = self._sum, self._scratch
        np.multiply(grads, grads, out=scratch)
        total += scratch
        np.add(total, self._floor, out=scratch)
        np.sqrt(scratch, out=scratch)
        np.divide(grads, scratch, out=scratch)
        scratch *= self._step_size
        params -= scratch
