"""Checks of settings that several optimizers share."""

from __future__ import annotations

import math


def check_share(name: str, value: float) -> None:
    """Raise ValueError unless ``value`` is a share kept per step, in [0, 1).

    >>> check_share("momentum", 1.0)
    Traceback (most recent call last):
    ValueError: momentum must be in [0, 1), got 1.0
    """
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name} must be in [0, 1), got {value}")


def check_epsilon(epsilon: float) -> None:
    """Raise ValueError unless ``epsilon`` keeps a division finite.

    >>> check_epsilon(0.0)
    Traceback (most recent call last):
    ValueError: epsilon must be > 0 and finite, got 0.0
    """
    if not (epsilon > 0.0 and math.isfinite(epsilon)):
        raise ValueError(f"epsilon must be > 0 and finite, got {epsilon}")
