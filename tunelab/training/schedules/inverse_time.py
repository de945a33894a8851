"""Inverse time: the rate falls as one over a straight line."""

from __future__ import annotations

from typing import Literal

from tunelab.training.schedules.base import Schedule
from tunelab.training.schedules.checks import check_learning_rate, check_number


def inverse_time(
    initial: float, *, decay_rate: float = 0.05, unit: Literal["epoch", "step"] = "epoch"
) -> Schedule:
    """Divide the rate by a number that grows by ``decay_rate`` per epoch, or per step.

    With ``k`` epochs or steps done before, as ``unit`` says::

        rate(k) = initial / (1 + decay_rate * k)

    The first epoch (step) has the initial rate, the second (k = 1) is the first to change. The
    rate is halved at k = 1 / decay_rate and never reaches 0.

    Source: the ``decay`` that Keras' optimizers had, ``lr / (1 + decay * iterations)``, which
    counts weight updates: that is ``unit="step"``. The lecture sets ``decay = learning_rate /
    epochs``, which for 0.1 and 60 epochs is 0.0017 per weight update. The same number per epoch is
    weaker by the number of steps in an epoch, so a decay taken over from Keras needs its unit with
    it. Keras now has InverseTimeDecay, whose ``decay_rate`` is per ``decay_steps``; PyTorch has
    none.

    Args:
        initial: First rate, > 0.
        decay_rate: Growth of the divisor per unit, >= 0; 0 keeps the rate.
        unit: ``epoch`` or ``step``.

    Raises:
        ValueError: If an argument is out of range.

    >>> rate = inverse_time(0.1, decay_rate=0.25)
    >>> rate(0), rate(1), rate(4)
    (0.1, 0.08, 0.05)
    >>> inverse_time(0.1, decay_rate=0.1 / 60, unit="step").unit
    'step'
    """
    check_learning_rate("inverse_time", initial)
    check_number("inverse_time", "decay_rate", decay_rate, 0)
    if unit not in ("epoch", "step"):
        raise ValueError(f"inverse_time: unit must be epoch or step, got {unit!r}")
    return Schedule(lambda k: initial / (1.0 + decay_rate * k), unit)
