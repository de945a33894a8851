"""Hold, then exponential: the rate is kept for a while and then falls by a share per epoch."""

from __future__ import annotations

import math

from tunelab.training.schedules.base import Schedule
from tunelab.training.schedules.checks import check_learning_rate, check_number, check_whole


def hold_then_exponential(initial: float, *, hold: int = 10, decay_rate: float = 0.1) -> Schedule:
    """Keep the rate for ``hold`` epochs, then let it fall exponentially.

    With ``k`` epochs done before::

        rate(k) = initial                                     for k < hold
        rate(k) = initial * exp(-decay_rate * (k - hold))     for k >= hold

    At k = hold the exponent is 0, so hold + 1 epochs have the initial rate: with ``hold=10``
    epoch 12 (k = 11) is the first to change. Then each epoch has exp(-decay_rate) of the rate of
    the epoch before, 90.5 % with 0.1.

    Source: the lecture, eps_0 for k < 10, then eps_0 * exp(-0.1 * (k - 10)). The example in
    Keras' documentation of LearningRateScheduler looks alike and multiplies the rate of the epoch
    before by exp(-0.1) whenever k >= 10: it drops one epoch earlier. PyTorch's ExponentialLR
    agrees with ``hold=0`` and ``gamma=exp(-decay_rate)``.

    Args:
        initial: First rate, > 0.
        hold: Epochs before the exponential begins, a whole number, at least 0.
        decay_rate: Exponent per epoch, >= 0; 0 keeps the rate.

    Raises:
        ValueError: If an argument is out of range.

    >>> rate = hold_then_exponential(0.1, hold=10, decay_rate=0.1)
    >>> rate(0), rate(10), round(rate(11), 6), round(rate(20), 6)
    (0.1, 0.1, 0.090484, 0.036788)
    """
    check_learning_rate("hold_then_exponential", initial)
    check_whole("hold_then_exponential", "hold", hold, 0, unit="epochs")
    check_number("hold_then_exponential", "decay_rate", decay_rate, 0)
    return Schedule(lambda k: initial * math.exp(-decay_rate * max(k - hold, 0.0)))
