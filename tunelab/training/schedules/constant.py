"""Constant: the rate never changes."""

from __future__ import annotations

from tunelab.training.schedules.base import Schedule
from tunelab.training.schedules.checks import check_learning_rate


def constant(initial: float) -> Schedule:
    """Keep the initial rate.

    ::

        rate(k) = initial

    PyTorch's ConstantLR is something else: it multiplies the rate by a factor for its first steps
    and is the initial rate only after them.

    Args:
        initial: The rate, > 0.

    Raises:
        ValueError: If the rate is out of range.

    >>> rate = constant(0.1)
    >>> rate(0), rate(99)
    (0.1, 0.1)
    """
    check_learning_rate("constant", initial)
    return Schedule(lambda k: initial)  # noqa: ARG005
