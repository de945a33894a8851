"""Learning rate schedules: pure functions of the epoch.

A schedule maps k, the number of epochs done *before*, to the rate of the next epoch: k is 0 during
epoch 1. The rate is constant within an epoch. Being pure, a schedule needs no state and a resumed
run no replay.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping

Schedule = Callable[[float], float]
"""Epochs done before, from 0 -> learning rate."""

ScheduleFactory = Callable[..., Schedule]
"""(initial rate, settings by keyword) -> schedule."""


def constant(initial: float) -> Schedule:
    """Keep the rate.

    >>> rate = constant(0.1)
    >>> rate(0), rate(99)
    (0.1, 0.1)
    """
    _check_rate("constant", initial)
    return lambda epoch: initial  # noqa: ARG005


def step_drop(initial: float, *, factor: float = 0.5, every: int = 10) -> Schedule:
    """Multiply the rate by ``factor`` once every ``every`` epochs.

    ``rate(k) = initial * factor ** floor(k / every)``: with ``every=10`` epochs 1 to 10 keep the
    initial rate and epoch 11 (k = 10) is the first to change.

    Args:
        initial: First rate, > 0.
        factor: In (0, 1].
        every: Epochs, at least 1.

    Raises:
        ValueError: If an argument is out of range.

    >>> rate = step_drop(0.1, factor=0.5, every=10)
    >>> rate(0), rate(9), rate(10), rate(25)
    (0.1, 0.1, 0.05, 0.025)
    """
    _check_rate("step_drop", initial)
    if not 0.0 < factor <= 1.0:
        raise ValueError(f"step_drop: factor must be in (0, 1], got {factor}")
    if every < 1:
        raise ValueError(f"step_drop: every must be at least 1 epoch, got {every}")
    return lambda epoch: initial * factor ** (epoch // every)


def cosine(initial: float, *, max_epochs: int, end: float = 0.0) -> Schedule:
    """Fall from ``initial`` to ``end`` along half a cosine, without restarts.

    ``rate(k) = end + (initial - end) * (1 + cos(pi * k / max_epochs)) / 2``. Epoch 1 has the
    initial rate; ``end`` would be that of epoch max_epochs + 1, so the last epoch still learns
    when ``end`` is 0. Past ``max_epochs`` the rate stays at ``end``.

    Source: Loshchilov & Hutter (2017), arXiv:1608.03983, equation 5.

    Args:
        initial: First rate, > 0.
        max_epochs: Epochs over which to fall, at least 1.
        end: Last rate, in [0, initial].

    Raises:
        ValueError: If an argument is out of range.

    >>> rate = cosine(0.1, max_epochs=10)
    >>> rate(0), round(rate(5), 6), round(rate(10), 6)
    (0.1, 0.05, 0.0)
    """
    _check_rate("cosine", initial)
    if max_epochs < 1:
        raise ValueError(f"cosine: max_epochs must be at least 1, got {max_epochs}")
    if not 0.0 <= end <= initial:
        raise ValueError(f"cosine: end must be in [0, {initial}], got {end}")

    def rate(epoch: float) -> float:
        done = min(epoch / max_epochs, 1.0)
        return end + (initial - end) * (1.0 + math.cos(math.pi * done)) / 2.0

    return rate


SCHEDULES: dict[str, ScheduleFactory] = {
    "constant": constant,
    "step_drop": step_drop,
    "cosine": cosine,
}


def make_schedule(
    name: str, learning_rate: float, max_epochs: int, settings: Mapping[str, float]
) -> Schedule:
    """Build a schedule from the names of a study file.

    Only factories that have a parameter ``max_epochs`` are given it; the others do not depend on
    the length of a run.

    Args:
        name: A key of ``SCHEDULES``.
        learning_rate: Initial rate.
        max_epochs: Epochs of the whole run.
        settings: The factory's other parameters.

    Raises:
        ValueError: If the name or a setting is unknown, or a value out of range.

    >>> make_schedule("step_drop", 0.1, 100, {"every": 20})(20)
    0.05
    """
    if name not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {name!r}")
    factory = SCHEDULES[name]
    known = set(inspect.signature(factory).parameters) - {"initial"}
    unknown = set(settings) - (known - {"max_epochs"})
    if unknown:
        raise ValueError(f"{name}: unknown settings {', '.join(sorted(unknown))}")
    length = {"max_epochs": max_epochs} if "max_epochs" in known else {}
    return factory(learning_rate, **settings, **length)


def planned_rates(schedule: Schedule, max_epochs: int) -> list[float]:
    """The rates of epochs 1 to ``max_epochs``.

    >>> planned_rates(step_drop(0.4, every=2), 5)
    [0.4, 0.4, 0.2, 0.2, 0.1]
    """
    return [schedule(epoch) for epoch in range(max_epochs)]


def _check_rate(name: str, initial: float) -> None:
    """Raise ValueError unless ``initial`` is a usable learning rate."""
    if not (initial > 0.0 and math.isfinite(initial)):
        raise ValueError(f"{name}: learning_rate must be > 0 and finite, got {initial}")
