"""The schedules by the names that study files use."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from tunelab.training.schedules.base import Schedule
from tunelab.training.schedules.checks import check_learning_rate, check_whole
from tunelab.training.schedules.constant import constant
from tunelab.training.schedules.cosine import cosine
from tunelab.training.schedules.hold_then_exponential import hold_then_exponential
from tunelab.training.schedules.inverse_time import inverse_time
from tunelab.training.schedules.linear import linear
from tunelab.training.schedules.one_cycle import one_cycle
from tunelab.training.schedules.piecewise import piecewise
from tunelab.training.schedules.polynomial import polynomial
from tunelab.training.schedules.step_drop import step_drop
from tunelab.training.schedules.warm_up import warm_up

ScheduleFactory = Callable[..., Schedule]
"""(learning rate, settings by keyword) -> schedule."""

SCHEDULES: dict[str, ScheduleFactory] = {
    "constant": constant,
    "linear": linear,
    "inverse_time": inverse_time,
    "step_drop": step_drop,
    "hold_then_exponential": hold_then_exponential,
    "piecewise": piecewise,
    "polynomial": polynomial,
    "cosine": cosine,
    "one_cycle": one_cycle,
}

_FROM_THE_RUN = ("max_epochs", "steps_per_epoch")
_WITHOUT_WARM_UP = ("one_cycle",)


def default_settings(name: str) -> dict[str, object]:
    """The settings that :func:`make_schedule` takes for a schedule, and their defaults.

    ::

        setting -> default; inspect.Parameter.empty where it must be given

    Args:
        name: A key of ``SCHEDULES``.

    Raises:
        ValueError: If the name is unknown.

    >>> default_settings("step_drop")
    {'factor': 0.5, 'every': 10, 'offset': 0, 'warm_up': 0}
    """
    _, *settings = inspect.signature(_factory(name)).parameters.values()
    defaults = {own.name: own.default for own in settings if own.name not in _FROM_THE_RUN}
    return defaults if name in _WITHOUT_WARM_UP else {**defaults, "warm_up": 0}


def make_schedule(
    name: str,
    learning_rate: float,
    max_epochs: int,
    settings: Mapping[str, float | int | str],
    *,
    steps_per_epoch: int,
) -> Schedule:
    """Build a schedule from the names of a study file.

    Only factories that have a parameter ``max_epochs`` or ``steps_per_epoch`` are given it; the
    others do not depend on the length of a run. Every schedule but one_cycle also takes the
    setting ``warm_up``, in epochs::

        schedule of max_epochs - warm_up epochs, after warm_up epochs of rise

    Args:
        name: A key of ``SCHEDULES``.
        learning_rate: Initial rate, or the peak of one_cycle, > 0.
        max_epochs: Epochs of the whole run, at least 1.
        settings: What :func:`default_settings` lists; a missing one has its default.
            ``warm_up`` is a whole number from 0 to ``max_epochs`` - 1.
        steps_per_epoch: Weight updates of an epoch, at least 1.

    Raises:
        ValueError: If the name or a setting is unknown or missing, or a value out of range.

    >>> make_schedule("step_drop", 0.1, 100, {"every": 20}, steps_per_epoch=45)(20)
    0.05
    >>> rate = make_schedule("cosine", 0.3, 12, {"warm_up": 2}, steps_per_epoch=45)
    >>> [round(rate(k), 6) for k in (0, 1, 2, 7, 12)]
    [0.1, 0.2, 0.3, 0.15, 0.0]
    """
    factory = _factory(name)
    check_learning_rate(name, learning_rate)
    check_whole(name, "max_epochs", max_epochs, 1, unit="epochs")
    check_whole(name, "steps_per_epoch", steps_per_epoch, 1, unit="steps")
    given: dict[str, Any] = {**default_settings(name), **settings}
    if unknown := sorted(given.keys() - default_settings(name).keys()):
        raise ValueError(f"{name}: unknown settings {', '.join(unknown)}")
    if missing := [key for key, value in given.items() if value is inspect.Parameter.empty]:
        raise ValueError(f"{name}: {', '.join(missing)} must be given")
    rise = given.pop("warm_up", 0)
    check_whole(name, "warm_up", rise, 0, max_epochs - 1, unit="epochs")
    run = {"max_epochs": max_epochs - rise, "steps_per_epoch": steps_per_epoch}
    wanted = inspect.signature(factory).parameters
    inner = factory(learning_rate, **given, **{key: run[key] for key in run if key in wanted})
    if rise == 0:
        return inner
    per_epoch = steps_per_epoch if inner.unit == "step" else 1
    return warm_up(inner, learning_rate, rise * per_epoch)


def planned_rates(schedule: Schedule, max_epochs: int, *, steps_per_epoch: int) -> list[float]:
    """The rate at the first step of each of the epochs 1 to ``max_epochs``.

    ::

        rate(0), rate(1), ...                  where the schedule counts epochs
        rate(0), rate(steps_per_epoch), ...    where it counts steps

    Args:
        schedule: What is planned.
        max_epochs: Epochs of the run.
        steps_per_epoch: Weight updates of an epoch.

    >>> planned_rates(step_drop(0.4, every=2), 5, steps_per_epoch=45)
    [0.4, 0.4, 0.2, 0.2, 0.1]
    >>> planned_rates(inverse_time(0.8, decay_rate=0.1, unit="step"), 4, steps_per_epoch=10)
    [0.8, 0.4, 0.26666666666666666, 0.2]
    """
    per_epoch = steps_per_epoch if schedule.unit == "step" else 1
    return [schedule(epoch * per_epoch) for epoch in range(max_epochs)]


def _factory(name: str) -> ScheduleFactory:
    if name not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {name!r}")
    return SCHEDULES[name]
