"""One cycle: the rate rises from low to its peak and falls far below where it began."""

from __future__ import annotations

import math

from tunelab.training.schedules.base import Schedule, between
from tunelab.training.schedules.checks import check_learning_rate, check_number, check_whole


def one_cycle(
    peak: float,
    *,
    max_epochs: int,
    steps_per_epoch: int,
    rise: float = 0.3,
    start: float = 0.04,
    end: float = 1e-4 / 25,
) -> Schedule:
    """Rise to the peak and fall below the start, step by step, each along half a cosine.

    With ``k`` steps done before, of ``n`` = max_epochs * steps_per_epoch in all::

        top = rise * n - 1
        rate(k) = cos_between(start * peak, peak, k / top)                      for k < top
        rate(k) = cos_between(peak, end * peak, (k - top) / (n - 1 - top))      for k >= top
        cos_between(from, to, a) = to + (from - to) * (1 + cos(pi * a)) / 2

    The learning rate of a configuration is the peak. The second step (k = 1) is the first to
    change; the last step (k = n - 1) has ``end * peak``, and so has every step after it. Takes no
    warm-up: the rise is one.

    Source: Smith & Topin (2018), arXiv:1708.07120. Their cycle is two straight lines and a last
    stretch far lower; two half cosines are the form of fastai and the default of PyTorch's
    OneCycleLR, which this equals with ``pct_start=rise``, ``div_factor=1/start`` and
    ``final_div_factor=start/end``. PyTorch also lowers the momentum while the rate rises unless
    told ``cycle_momentum=False``, and raises an error after the last step. Keras has none.

    Args:
        peak: Greatest rate, > 0.
        max_epochs: Epochs of the run, at least 1.
        steps_per_epoch: Weight updates of an epoch, at least 1.
        rise: Share of the steps in which the rate rises, in (0, 1).
        start: First rate, as a share of the peak, in (0, 1].
        end: Last rate, as a share of the peak, in [0, 1].

    Raises:
        ValueError: If an argument is out of range.

    >>> rate = one_cycle(0.1, max_epochs=10, steps_per_epoch=10, rise=0.31)
    >>> rate(0), round(rate(15), 6), rate(30), rate(99) < 5e-7, rate.unit
    (0.004, 0.052, 0.1, True, 'step')
    """
    check_learning_rate("one_cycle", peak)
    check_whole("one_cycle", "max_epochs", max_epochs, 1, unit="epochs")
    check_whole("one_cycle", "steps_per_epoch", steps_per_epoch, 1, unit="steps")
    check_number("one_cycle", "rise", rise, 0, 1, low_open=True, high_open=True)
    check_number("one_cycle", "start", start, 0, 1, low_open=True)
    check_number("one_cycle", "end", end, 0, 1)
    last = max_epochs * steps_per_epoch - 1
    top = rise * (last + 1) - 1

    def rate(k: float) -> float:
        if k < top:
            return _along_cosine(start * peak, peak, k / top)
        return _along_cosine(peak, end * peak, (min(k, last) - top) / (last - top))

    return Schedule(rate, "step")


def _along_cosine(begin: float, stop: float, a: float) -> float:
    """From ``begin`` at a = 0 to ``stop`` at a = 1."""
    return between(begin, stop, (1.0 + math.cos(math.pi * a)) / 2.0)
