"""Dropout."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tunelab.training.arrays import Floats
from tunelab.training.layers.base import Layer
from tunelab.training.plan import Backward, Plan

_LEVELS = 2**16
_DRAWS_PER_WORD = 4  # one 64-bit word holds four 16-bit draws
_SHIFTS = ((np.left_shift, 13), (np.right_shift, 7), (np.left_shift, 17))


class Dropout(Layer):
    """Inverted dropout: ``y = x * mask / keep_rate`` in training, ``y = x`` in evaluation.

    Each element is kept if 16 random bits, read as an integer, lie below a threshold. The keep
    rate is therefore a multiple of 2^-16, and outputs are scaled by the *actual* rate, so that
    the mean of ``y`` is ``x`` exactly.

    The bits come from lanes: a 64-bit word for every four elements, which the bit generator fills
    at the start of each epoch, and which takes one step of Marsaglia's xorshift each time a mask
    is drawn::

        w ^= w << 13;  w ^= w >> 7;  w ^= w << 17

    NumPy's generators can only return raw bits in new arrays. Lanes need no memory but their own,
    and six vectorised calls on them take two thirds of the time on large masks and no more on
    small ones. Because no lane outlives an epoch, the bit generator's state between two epochs is
    all the state there is.

    Lanes are independent of each other. So are two draws from one lane, at most 2000 steps apart,
    but for three pairs of places one or two steps apart; there the masks' correlation is below
    1e-4 (computed from the recurrence's matrix). The period is 2^64 - 1, and 0, the one word that
    stays as it is, is replaced by 1.

    Source: Srivastava et al. (2014), JMLR 15, section 10, in the inverted form; Marsaglia (2003),
    Xorshift RNGs, J. Stat. Softw. 8(14), section 3.

    Args:
        dropout_rate: Fraction zeroed, in [0, 1).
        bit_generator: Where the lanes come from; its state is the layer's only state.

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
        lanes = np.empty(-(-x.size // _DRAWS_PER_WORD), np.uint64)
        shifted = np.empty_like(lanes)
        draws = lanes.view(np.uint16)[: x.size].reshape(x.shape)
        plan.call_each_epoch(self._fill, lanes)
        for shift, distance in _SHIFTS:
            plan.call(shift, lanes, np.array(distance, np.uint64), shifted)
            plan.call(np.bitwise_xor, lanes, shifted, lanes)
        plan.call(np.less, draws, np.array(self.threshold, np.uint16), keep)
        plan.call(np.copyto, mask, keep)
        plan.call(np.multiply, mask, plan.scalar(1.0 / self.keep_rate), mask)
        plan.call(np.multiply, x, mask, y)

        def backward(dy: Floats) -> Floats:
            plan.call(np.multiply, dy, mask, dy)
            return dy

        return y, backward

    def _fill(self, lanes: npt.NDArray[np.uint64]) -> None:
        """Draw new words, none of which is 0."""
        lanes[...] = self.bit_generator.random_raw(lanes.size)
        np.maximum(lanes, 1, out=lanes)
