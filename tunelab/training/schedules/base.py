"""What a schedule is: a pure function from the units of training done before to a rate.

Being pure, a schedule needs no state and a resumed run no replay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """The learning rate as a function of how much was trained before.

    ``k`` counts units done *before*, from 0: with the unit epoch, k is 0 during epoch 1 and the
    rate is constant within an epoch; with the unit step, k is 0 at the first weight update and
    grows on through all epochs. Where a formula allows it, k may be a fraction.

    Args:
        rate: k -> learning rate.
        unit: What k counts.

    >>> halving = Schedule(lambda k: 0.8 * 0.5**k)
    >>> halving(0), halving(1), halving.unit
    (0.8, 0.4, 'epoch')
    """

    rate: Callable[[float], float]
    unit: Literal["epoch", "step"] = "epoch"

    def __call__(self, k: float) -> float:
        """The rate after ``k`` units."""
        return self.rate(k)


def between(initial: float, final: float, share: float) -> float:
    """The point that has ``share`` of its way from ``final`` back to ``initial``, in [0, 1].

    At shares 1 and 0 it is ``initial`` and ``final`` exactly, without a rounding error.

    >>> between(0.8, 0.2, 1.0), between(0.8, 0.2, 0.5), between(0.8, 0.2, 0.0)
    (0.8, 0.5, 0.2)
    """
    return share * initial + (1.0 - share) * final
