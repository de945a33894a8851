"""Polynomial: the rate falls as a power of the share of the run that is left."""

from __future__ import annotations

from tunelab.training.schedules.base import Schedule, between
from tunelab.training.schedules.checks import check_learning_rate, check_number, check_whole


def polynomial(
    initial: float, *, max_epochs: int, power: float = 2.0, end: float = 0.0
) -> Schedule:
    """Fall over the whole run as a power of the share of it that is left.

    With ``k`` epochs done before::

        left = 1 - min(k / max_epochs, 1)
        rate(k) = end * initial + (1 - end) * initial * left ^ power

    Epoch 1 has the initial rate, epoch 2 (k = 1) is the first to change. ``end`` would be the
    share of epoch max_epochs + 1, so the last epoch still learns when ``end`` is 0. Past
    ``max_epochs`` the rate stays at its end. Power 1 is a straight line; greater powers fall fast
    first and slowly later.

    Source: the "poly" policy of semantic segmentation, there with power 0.9 and end 0: Chen et al.
    (2017), arXiv:1606.00915, section 4.1. PyTorch's PolynomialLR agrees with ``end=0`` and
    ``total_iters=max_epochs``; Keras' PolynomialDecay has an end that is a rate, not a share, and
    counts steps.

    Args:
        initial: First rate, > 0.
        max_epochs: Epochs over which to fall, at least 1.
        power: Exponent, > 0.
        end: Rate at the end, as a share of the initial one, in [0, 1].

    Raises:
        ValueError: If an argument is out of range.

    >>> rate = polynomial(0.1, max_epochs=10, power=2.0)
    >>> rate(0), rate(5), rate(10), rate(99)
    (0.1, 0.025, 0.0, 0.0)
    """
    check_learning_rate("polynomial", initial)
    check_whole("polynomial", "max_epochs", max_epochs, 1, unit="epochs")
    check_number("polynomial", "power", power, 0, low_open=True)
    check_number("polynomial", "end", end, 0, 1)

    def rate(k: float) -> float:
        left = 1.0 - min(k / max_epochs, 1.0)
        return between(initial, end * initial, left**power)

    return Schedule(rate)
