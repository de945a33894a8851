"""Adam."""

from __future__ import annotations

import math

import numpy as np

from tunelab.training.arrays import Floats
from tunelab.training.optimizers.base import Optimizer

_MAX_INTERVAL = 64
_MAX_GROWTH = 1e9
"""Limit of ``beta ** -s``: far from float32's overflow at 3e38, even times a large gradient."""


class Adam(Optimizer):
    """Adaptive moments.

    For a weight ``w``, its gradient ``g`` and step ``t`` = 1, 2, ...::

        m <- beta_1 * m + (1 - beta_1) * g
        v <- beta_2 * v + (1 - beta_2) * g^2
        w <- w - learning_rate * m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon)

    Source: Kingma & Ba (2015), arXiv:1412.6980, Algorithm 1: ``epsilon`` is added to the corrected
    root, as in PyTorch. Keras (default 1e-7) and scikit-learn add it to the uncorrected root, the
    variant of the paper's section 2, where it weighs more in early steps.

    How it is computed: two of the passes over memory only decay ``m`` and ``v``. They are saved by
    keeping the sums undecayed, ``m~ = sum(g * beta_1^-s)`` and ``v~ = sum(g^2 * beta_2^-s)``, and
    putting the decay into the factors that are multiplied in anyway. ``s`` counts the steps since
    the sums were last brought back to size, which happens often enough that ``beta^-s`` stays
    below 1e9, at the latest after 64 steps.

    Args:
        beta_1: Decay of the mean gradient, in [0, 1).
        beta_2: Decay of the mean squared gradient, in [0, 1).
        epsilon: Keeps the division finite, > 0.

    Raises:
        ValueError: If an argument is out of range.
    """

    n_slots = 2
    counter_names = ("t", "s")  # steps so far; steps since the sums were brought back to size

    def __init__(
        self, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        for name, beta in (("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"{name} must be in [0, 1), got {beta}")
        if not (epsilon > 0.0 and math.isfinite(epsilon)):
            raise ValueError(f"epsilon must be > 0 and finite, got {epsilon}")
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.interval = min(_renormalisation_interval(beta_1), _renormalisation_interval(beta_2))

    def _allocate(self, params: Floats) -> None:
        self._m, self._v = self.slots
        self._scratch = np.empty_like(params)
        self._vanishing = np.empty(params.shape, np.bool_)
        # The step's factors, as arrays without axes: a Python number would be converted in every
        # call, which on a small network is a tenth of the update.
        self._growth_1, self._growth_2, self._floor, self._step_size = (
            np.empty((), params.dtype) for _ in range(4)
        )
        self._smallest = float(np.finfo(params.dtype).tiny) * 1e8

    def step(self, params: Floats, grads: Floats, learning_rate: float) -> None:
        """Update ``params`` in place. Both are the network's flat vectors, shape (n_params,)."""
        if self.counters["s"] == self.interval:
            self._renormalise()
        s = self.counters["s"]
        t = self.counters["t"] + 1
        self.counters = {"t": t, "s": s + 1}
        decay_1, decay_2 = self.beta_1**s, self.beta_2**s
        # With m = (1 - beta_1) * decay_1 * m~ and v = (1 - beta_2) * decay_2 * v~, the update is
        # step_size * m~ / (sqrt(v~) + epsilon / root), where root * sqrt(v~) = sqrt(corrected v).
        root = math.sqrt((1.0 - self.beta_2) * decay_2 / (1.0 - self.beta_2**t))
        corrected_1 = (1.0 - self.beta_1) * decay_1 / (1.0 - self.beta_1**t)
        self._growth_1[()] = 1.0 / decay_1
        self._growth_2[()] = 1.0 / decay_2
        self._floor[()] = self.epsilon / root
        self._step_size[()] = learning_rate * corrected_1 / root
        scratch = self._scratch
        np.multiply(grads, self._growth_1, out=scratch)
        self._m += scratch
        np.multiply(grads, grads, out=scratch)
        scratch *= self._growth_2
        self._v += scratch
        np.sqrt(self._v, out=scratch)
        scratch += self._floor
        np.divide(self._m, scratch, out=scratch)
        scratch *= self._step_size
        params -= scratch

    def _renormalise(self) -> None:
        """Apply the decay that is due, and clear what is about to become denormal.

        Arithmetic on denormal numbers costs twice the time, and numbers this small (1e-30 in
        float32) change no update.
        """
        for slot, beta in ((self._m, self.beta_1), (self._v, self.beta_2)):
            slot *= beta ** self.counters["s"]
            np.less(np.abs(slot, out=self._scratch), self._smallest, out=self._vanishing)
            np.copyto(slot, 0.0, where=self._vanishing)
        self.counters["s"] = 0


def _renormalisation_interval(beta: float) -> int:
    """The greatest n <= 64 for which ``beta ** -(n - 1)`` is at most 1e9.

    >>> [_renormalisation_interval(beta) for beta in (0.0, 0.1, 0.5, 0.9, 0.999)]
    [1, 10, 30, 64, 64]
    """
    if beta == 0.0:
        return 1
    # The tolerance keeps 0.1 at 10: its logarithm is not exact.
    growing_steps = math.floor(math.log(_MAX_GROWTH) / -math.log(beta) + 1e-9)
    return min(_MAX_INTERVAL, 1 + growing_steps)
