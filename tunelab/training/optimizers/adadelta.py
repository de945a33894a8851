"""AdaDelta."""

from __future__ import annotations

import numpy as np

from tunelab.training.arrays import Floats
from tunelab.training.optimizers.base import Optimizer
from tunelab.training.optimizers.ranges import check_epsilon, check_share


class AdaDelta(Optimizer):
    """Takes steps in the weight's own unit: the size of its latest steps over its gradients'.

    For a weight ``w``, its gradient ``g``, its step ``d`` and decaying means, at first 0::

        E[g^2] <- rho * E[g^2] + (1 - rho) * g^2
        d = g * sqrt(E[d^2] + epsilon) / sqrt(E[g^2] + epsilon)
        E[d^2] <- rho * E[d^2] + (1 - rho) * d^2
        w <- w - learning_rate * d

    ``epsilon`` does more than keep the division finite: it sets the size of the first steps, from
    which the method finds its own. The paper has no rate, which is ``learning_rate`` = 1; values
    that suit the other methods are far too small for this one.

    Source: Zeiler (2012), arXiv:1212.5701, Algorithm 1; Ruder (2016), arXiv:1609.04747, section
    4.4, as in the lecture. PyTorch (``rho`` 0.9, rate 1) and Keras (``epsilon`` 1e-7, rate 0.001)
    have the same formula, with ``epsilon`` inside both roots and the rate outside ``d``.

    How it is computed: the slots hold both means over (1 - rho), which cancels in their quotient
    and leaves epsilon / (1 - rho).

    Args:
        rho: Decay of both means, in [0, 1).
        epsilon: Added to both means, > 0.

    Raises:
        ValueError: If an argument is out of range.

    >>> w = np.ones(2)
    >>> optimizer = AdaDelta().bind(w)
    >>> optimizer.step(w, np.array([3.0, -0.5]), learning_rate=1.0)
    >>> w.round(5)  # whatever the gradient's size: sqrt(1e-6 / 0.05)
    array([0.99553, 1.00447])
    """

    n_slots = 2
    counter_names = ("t",)

    def __init__(self, *, rho: float = 0.95, epsilon: float = 1e-6) -> None:
        check_share("rho", rho)
        check_epsilon(epsilon)
        self.rho = rho
        self.epsilon = epsilon

    def _allocate(self, params: Floats) -> None:
        self._squares, self._square_steps = self.slots
        self._scratch = np.empty_like(params)
        self._delta = np.empty_like(params)
        self._decay = self._scalar(self.rho)
        self._floor = self._scalar(self.epsilon / (1.0 - self.rho))
        self._step_size = self._scalar()

    def step(self, params: Floats, grads: Floats, learning_rate: float) -> None:
        """Update ``params`` in place. Both are the network's flat vectors, shape (n_params,)."""
        self._count_step()
        self._step_size[()] = learning_rate
        squares, square_steps = self._squares, self._square_steps
        scratch, delta = self._scratch, self._delta
        np.multiply(grads, grads, out=scratch)
        squares *= self._decay
        squares += scratch
        np.add(squares, self._floor, out=scratch)
        np.add(square_steps, self._floor, out=delta)
        delta /= scratch
        np.sqrt(delta, out=delta)
        delta *= grads
        np.multiply(delta, delta, out=scratch)
        square_steps *= self._decay
        square_steps += scratch
        delta *= self._step_size
        params -= delta
