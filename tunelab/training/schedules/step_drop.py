"""Step drop: the rate is cut at regular intervals."""

from __future__ import annotations

from tunelab.training.schedules.base import Schedule
from tunelab.training.schedules.checks import check_learning_rate, check_number, check_whole


def step_drop(initial: float, *, factor: float = 0.5, every: int = 10, offset: int = 0) -> Schedule:
    """Multiply the rate by a factor at regular intervals of epochs.

    With ``k`` epochs done before::

        rate(k) = initial * factor ^ floor((offset + k) / every)

    With ``every=10`` and ``offset=0`` epochs 1 to 10 keep the initial rate and epoch 11 (k = 10)
    is the first to change. With ``offset=1`` epoch 10 (k = 9) is the first, and every drop comes
    one epoch earlier.

    Source: the lecture, with initial rate 0.1, factor 0.5 (its ``drop``) and every 10, writes
    ``floor((1 + epoch) / 10)`` although Keras counts epochs from 0: that is ``offset=1``.
    PyTorch's StepLR agrees with ``offset=0``, ``gamma=factor`` and ``step_size=every``; Keras'
    ExponentialDecay with ``staircase=True`` likewise, but counts steps.

    Args:
        initial: First rate, > 0.
        factor: Share of the rate that a drop leaves, in (0, 1].
        every: Epochs from drop to drop, a whole number, at least 1.
        offset: 0, or 1 for the lecture's own form.

    Raises:
        ValueError: If an argument is out of range.

    >>> rate = step_drop(0.1, factor=0.5, every=10)
    >>> rate(0), rate(9), rate(10), rate(25)
    (0.1, 0.1, 0.05, 0.025)
    >>> rate = step_drop(0.1, factor=0.5, every=10, offset=1)
    >>> rate(8), rate(9), rate(18), rate(19)
    (0.1, 0.05, 0.05, 0.025)
    """
    check_learning_rate("step_drop", initial)
    check_number("step_drop", "factor", factor, 0, 1, low_open=True)
    check_whole("step_drop", "every", every, 1, unit="epochs")
    check_whole("step_drop", "offset", offset, 0, 1)
    return Schedule(lambda k: initial * factor ** ((offset + k) // every))
