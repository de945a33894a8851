"""Cosine: the rate falls slowly at both ends and fast between them."""

from __future__ import annotations

import math

from tunelab.training.schedules.base import Schedule, between
from tunelab.training.schedules.checks import check_learning_rate, check_number, check_whole


def cosine(initial: float, *, max_epochs: int, end: float = 0.0) -> Schedule:
    """Fall over the whole run along half a cosine, without restarts.

    With ``k`` epochs done before::

        a = min(k / max_epochs, 1)
        rate(k) = end * initial + (1 - end) * initial * (1 + cos(pi * a)) / 2

    Epoch 1 has the initial rate, epoch 2 (k = 1) is the first to change. ``end`` would be the
    share of epoch max_epochs + 1, so the last epoch still learns when ``end`` is 0. Past
    ``max_epochs`` the rate stays at its end.

    Source: Loshchilov & Hutter (2017), arXiv:1608.03983, equation 5, with one period. PyTorch's
    CosineAnnealingLR agrees up to ``T_max=max_epochs``, has a rate ``eta_min`` for the share
    ``end``, and rises again after ``T_max``. Keras' CosineDecay has the share (``alpha``) and
    stays at the end, but counts steps.

    Args:
        initial: First rate, > 0.
        max_epochs: Epochs over which to fall, at least 1.
        end: Rate at the end, as a share of the initial one, in [0, 1].

    Raises:
        ValueError: If an argument is out of range.

    >>> rate = cosine(0.1, max_epochs=10)
    >>> rate(0), round(rate(5), 6), rate(10), rate(99)
    (0.1, 0.05, 0.0, 0.0)
    """
    check_learning_rate("cosine", initial)
    check_whole("cosine", "max_epochs", max_epochs, 1, unit="epochs")
    check_number("cosine", "end", end, 0, 1)

    def rate(k: float) -> float:
        a = min(k / max_epochs, 1.0)
        return between(initial, end * initial, (1.0 + math.cos(math.pi * a)) / 2.0)

    return Schedule(rate)
