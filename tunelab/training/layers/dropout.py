"""Dropout."""

from __future__ import annotations

import numpy as np

from tunelab.training.arrays import Bools, Floats
from tunelab.training.layers.base import Layer
from tunelab.training.plan import Backward, Plan

_LEVELS = 2**16
_DRAWS_PER_WORD = 4  # one random 64-bit word holds four 16-bit draws


class Dropout(Layer):
    """Inverted dropout: ``y = x * mask / keep_rate`` in training, ``y = x`` in evaluation.

    Each element is kept if 16 random bits, read as an integer, lie below a threshold. The keep
    rate is therefore a multiple of 2^-16, and outputs are scaled by the *actual* rate, so that
    the mean of ``y`` is ``x`` exactly. Raw bits cost a sixth of what uniform floats cost.

    Source: Srivastava et al. (2014), JMLR 15, section 10, in the inverted form.

    Args:
        dropout_rate: Fraction zeroed, in [0, 1).
        bit_generator: Where the bits come from; its state is the layer's only state.

    Raises:
        ValueError: If ``dropout_rate`` is out of range.
    """

    def __init__(self, dropout_rate: float, bit_generator: np.random.BitGenerator) -> None:
        if not 0.0 <= dropout_rate < 1.0:
            raise ValueError(f"dropout_rate must be in [0, 1), got {dropout_rate}")
        self.bit_generator = bit_generator
        # At least one level is dropped and one kept, so that the threshold fits in 16 bits.
        self.threshold = min(max(round((1.0 - dropout_rate) * _LEVELS), 1), _LEVELS - 1)
        self.keep_rate = self.threshold / _LEVELS

    def forward(self, plan: Plan, x: Floats) -> tuple[Floats, Backward]:
        """Record ``y = x * mask``, mask 0 or 1 / keep_rate; backward ``dx = dy * mask``."""
        if not plan.training:
            return x, lambda dy: dy
        keep, mask, y = plan.mask(*x.shape), plan.buffer(*x.shape), plan.buffer(*x.shape)
        plan.call(self._draw, keep.reshape(-1))
        plan.call(np.multiply, keep, plan.scalar(1.0 / self.keep_rate), mask)
        plan.call(np.multiply, x, mask, y)

        def backward(dy: Floats) -> Floats:
            plan.call(np.multiply, dy, mask, dy)
            return dy

        return y, backward

    def _draw(self, keep: Bools) -> None:
        """Fill ``keep``, a vector, with True at the keep rate."""
        n_words = -(-keep.size // _DRAWS_PER_WORD)
        bits = self.bit_generator.random_raw(n_words).view(np.uint16)
        np.less(bits[: keep.size], self.threshold, out=keep)
