"""What the monitor knows before epoch 1: when warm-up ends, and the patience of every epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tunelab.training.monitor.criteria import Criteria


@dataclass(frozen=True)
class Plan:
    """The criteria worked out for one budget and one learning-rate schedule.

    Attributes:
        warm_up: The last epoch of the warm-up; 0 for none.
        patience: Epochs of patience at epochs 1..max_epochs, shape (max_epochs,).
        late_epoch: The epoch whose smoothed validation loss the last one is compared with to tell
            whether the run is unfinished; 0 for none.
    """

    warm_up: int
    patience: tuple[int, ...]
    late_epoch: int


def make_plan(criteria: Criteria, max_epochs: int, learning_rates: Sequence[float]) -> Plan:
    """Work out the criteria.

    ``learning_rates`` are those planned for epochs 1..; where they end before ``max_epochs`` the
    last one holds on, and what lies beyond ``max_epochs`` is not read.

    >>> plan = make_plan(Criteria(), 200, [0.1] * 100 + [0.01] * 100)
    >>> plan.warm_up, plan.late_epoch
    (10, 160)
    >>> plan.patience[99], plan.patience[100]      # epochs 100 and 101
    (40, 20)

    Raises:
        ValueError: If ``max_epochs`` is below 1, or a rate is missing, negative or not finite.
    """
    if max_epochs < 1:
        raise ValueError(f"max_epochs must be at least 1, got {max_epochs}")
    rates = [float(rate) for rate in learning_rates[:max_epochs]]
    if not rates:
        raise ValueError("learning_rates must name the planned rate of at least epoch 1, got none")
    for epoch, rate in enumerate(rates, start=1):
        if not (math.isfinite(rate) and rate >= 0):
            raise ValueError(
                f"learning_rates must be finite and at least 0, got {rate} for epoch {epoch}"
            )
    rates += rates[-1:] * (max_epochs - len(rates))
    late_epochs = max(1, round(criteria.unfinished_share * max_epochs))
    return Plan(
        warm_up=max(_warm_up(criteria, max_epochs), _climbing(rates)),
        patience=tuple(_patience(criteria, max_epochs, rates)),
        late_epoch=max_epochs - late_epochs,
    )


def _warm_up(criteria: Criteria, max_epochs: int) -> int:
    if criteria.warm_up is not None:
        return criteria.warm_up
    share = criteria.warm_up_share * max_epochs
    return _whole(max(criteria.warm_up_min, min(criteria.warm_up_max, share)))


def _climbing(rates: list[float]) -> int:
    """How many leading epochs have a rate below the next epoch's."""
    for epoch, (rate, following) in enumerate(pairwise(rates)):
        if rate >= following:
            return epoch
    return len(rates) - 1


def _patience(criteria: Criteria, max_epochs: int, rates: list[float]) -> list[int]:
    if criteria.patience is not None:
        patience: float = criteria.patience
    else:
        patience = max(criteria.patience_min, criteria.patience_share * max_epochs)
    low, high = _whole(patience), _whole(criteria.high_rate_factor * patience)
    limit = criteria.high_rate_share * max(rates)
    last_below = max((epoch for epoch, rate in enumerate(rates) if rate < limit), default=-1)
    return [
        high if rate > limit and epoch < last_below else low for epoch, rate in enumerate(rates)
    ]


def _whole(epochs: float) -> int:
    """Round up, but not for rounding errors: 0.05 * 140 is 7.000000000000001."""
    return math.ceil(round(epochs, 9))
