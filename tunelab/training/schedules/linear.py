"""Linear: the rate falls along a straight line."""

from __future__ import annotations

from tunelab.training.schedules.base import Schedule, between
from tunelab.training.schedules.checks import check_learning_rate, check_number, check_whole


def linear(
    initial: float, *, max_epochs: int, end: float = 0.01, tau: int | None = None
) -> Schedule:
    """Fall along a straight line for ``tau`` epochs, then keep the rate.

    With ``k`` epochs done before::

        a = min(k / tau, 1)
        rate(k) = (1 - a) * initial + a * end * initial

    Epoch 1 has the initial rate, epoch 2 (k = 1) is the first to change, and from epoch tau + 1
    (k = tau) on the rate is ``end * initial``.

    Source: Goodfellow, Bengio & Courville (2016), Deep Learning, equation 8.14, which advises an
    end of about 1 % of the initial rate; also in the lecture. The book counts k in weight updates;
    here the rate is constant within an epoch. PyTorch's LinearLR agrees with ``start_factor=1``,
    ``end_factor=end`` and ``total_iters=tau``; its own defaults rise from a third instead. Keras
    has PolynomialDecay with power 1, whose end is a rate, not a share, and which counts steps.

    Args:
        initial: First rate, > 0.
        max_epochs: Epochs of the run, at least 1.
        end: Last rate, as a share of the initial one, in [0, 1].
        tau: Epochs until the last rate, a whole number, at least 1; None is ``max_epochs``. With
            more than ``max_epochs`` the run ends on the slope.

    Raises:
        ValueError: If an argument is out of range.

    >>> rate = linear(0.1, max_epochs=60, end=0.0, tau=50)
    >>> rate(0), rate(25), rate(50), rate(59)
    (0.1, 0.05, 0.0, 0.0)
    """
    check_learning_rate("linear", initial)
    check_whole("linear", "max_epochs", max_epochs, 1, unit="epochs")
    check_number("linear", "end", end, 0, 1)
    length = max_epochs if tau is None else tau
    check_whole("linear", "tau", length, 1, unit="epochs")
    return Schedule(lambda k: between(initial, end * initial, 1.0 - min(k / length, 1.0)))
