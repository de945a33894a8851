"""Refusals of settings: they name the schedule, the setting, what must hold and what was given."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TypeGuard


def check_learning_rate(schedule: str, value: object) -> None:
    """Raise ValueError unless ``value`` is a usable learning rate: > 0 and finite."""
    if not (_is_number(value, Real) and 0.0 < value < math.inf):
        raise _refusal(schedule, "learning_rate", "> 0 and finite", value)


def check_number(
    schedule: str,
    setting: str,
    value: object,
    low: float,
    high: float = math.inf,
    *,
    low_open: bool = False,
    high_open: bool = False,
) -> None:
    """Raise ValueError unless ``value`` is a finite number from ``low`` to ``high``."""
    if _is_number(value, Real) and math.isfinite(value):
        above = value > low if low_open else value >= low
        below = value < high if high_open else value <= high
        if above and below:
            return
    if high == math.inf:
        wanted = f"{'>' if low_open else '>='} {low:g} and finite"
    else:
        wanted = f"in {'(' if low_open else '['}{low:g}, {high:g}{')' if high_open else ']'}"
    raise _refusal(schedule, setting, wanted, value)


def check_whole(
    schedule: str,
    setting: str,
    value: object,
    low: int,
    high: float = math.inf,
    *,
    unit: str = "",
) -> None:
    """Raise ValueError unless ``value`` is a whole number from ``low`` to ``high``."""
    if _is_number(value, Integral) and low <= value <= high:
        return
    noun = f"a whole number of {unit}" if unit else "a whole number"
    wanted = f"at least {low}" if high == math.inf else f"in [{low}, {high:g}]"
    raise _refusal(schedule, setting, f"{noun}, {wanted}", value)


def _is_number(value: object, kind: type) -> TypeGuard[float]:
    return isinstance(value, kind) and not isinstance(value, bool)


def _refusal(schedule: str, setting: str, wanted: str, value: object) -> ValueError:
    return ValueError(f"{schedule}: {setting} must be {wanted}, got {value!r}")
