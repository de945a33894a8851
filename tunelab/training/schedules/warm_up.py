"""Warm-up: a straight rise before any schedule."""

from __future__ import annotations

from tunelab.training.schedules.base import Schedule
from tunelab.training.schedules.checks import check_learning_rate, check_whole


def warm_up(inner: Schedule, initial: float, length: int) -> Schedule:
    """Rise to the initial rate along a straight line, then follow another schedule.

    With ``k`` units done before, epochs or steps as the other schedule counts::

        rate(k) = initial * (k + 1) / (length + 1)     for k < length
        rate(k) = inner(k - length)                    for k >= length

    The first unit has 1 / (length + 1) of the initial rate, not 0, so that it learns; unit
    length + 1 (k = length) is the first with the whole of it, where ``inner`` begins. ``inner``
    is shifted by ``length``: if it lasts for a time, that must be so much shorter.

    Source: Goyal et al. (2017), arXiv:1706.02677, section 2.2, gradual warm-up; theirs grows with
    every step, also where the schedule is one of epochs. PyTorch writes it as a SequentialLR that
    begins with LinearLR at ``start_factor=1/(length + 1)``, ``total_iters=length``. In Keras
    CosineDecay alone has ``warmup_steps``, which rise from one given rate to another.

    Args:
        inner: The schedule that follows.
        initial: The rate to rise to, > 0.
        length: Units of ``inner`` that the rise takes, a whole number, at least 0.

    Raises:
        ValueError: If an argument is out of range.

    >>> rate = warm_up(Schedule(lambda k: 0.8 * 0.5**k), 0.8, 3)
    >>> [round(rate(k), 6) for k in range(6)]
    [0.2, 0.4, 0.6, 0.8, 0.4, 0.2]
    """
    check_learning_rate("warm_up", initial)
    check_whole("warm_up", "length", length, 0, unit=f"{inner.unit}s")

    def rate(k: float) -> float:
        if k < length:
            return initial * (k + 1) / (length + 1)
        return inner(k - length)

    return Schedule(rate, inner.unit)
