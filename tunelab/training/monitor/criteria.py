"""The numbers the monitor decides by, and the presets."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Criteria:
    """Every number of the monitor; the defaults are the preset ``default``.

    Below, L0 is the validation loss of the constant predictor, e the smoothed validation loss,
    m the minimum of e so far, and GL = 100 * (e - m) / max(m, gl_floor * L0) the generalisation
    loss of Prechelt (1998, "Early Stopping - But When?"), in percent. The floor departs from the
    paper: without it GL fires on early spikes and near a loss of 0. The training loss is *falling*
    when its smoothed value is more than ``falling_delta`` below that of ``falling_epochs`` epochs
    ago; before so many epochs have passed it is not.

    Attributes:
        patience: Epochs without improvement before training stops, >= 1.
            None: max(patience_min, patience_share * max_epochs).
        patience_min: Least derived patience, in epochs, >= 1.
        patience_share: Derived patience as a share of max_epochs, in [0, 1].
        high_rate_factor: Multiplies patience (given or derived) while the planned learning rate is
            above ``high_rate_share`` of its peak and a later one is below it, >= 1: late gains are
            what a decaying rate is for.
        high_rate_share: Share of the peak rate, in (0, 1].
        min_delta: Least improvement that resets the wait, as a share of L0 (of ``score_scale`` for
            a score), >= 0. Any strict improvement moves the best epoch, however small.
        smoothing: Share that the moving averages keep of their past, in [0, 1). 0 is no smoothing.
        warm_up: Epochs at the start in which only a non-finite loss stops, >= 0. None:
            ceil(max(warm_up_min, min(warm_up_max, warm_up_share * max_epochs))). The leading
            epochs whose planned learning rate is below the next epoch's belong to it always.
        warm_up_min: Least derived warm-up, in epochs, >= 0.
        warm_up_max: Most derived warm-up, in epochs, >= 0.
        warm_up_share: Derived warm-up as a share of max_epochs, in [0, 1].
        gl_limit: GL in percent that is overfitting if it persists, >= 0.
        gl_epochs: Epochs running for which GL > gl_limit and the training loss falling must hold
            together, >= 1.
        gl_floor: Floor of GL's denominator as a share of L0, >= 0.
        gl_patience: GL in percent above which running out of patience is overfitting rather than a
            plateau, >= 0.
        best_age: Age in epochs that the best epoch must have before persisting GL stops, >= 0.
        falling_delta: Share of itself that the smoothed training loss must have lost to be falling,
            in [0, 1).
        falling_epochs: Over how many epochs, >= 1.
        divergence_factor: A training loss above this many L0 that is not falling runs away, > 0.
        divergence_epochs: For how many epochs running, counted from epoch 1, >= 1.
        underfitting_share: A run whose lowest training loss is above this share of L0 at its end
            has underfitted, >= 0.
        unfinished_delta: Share that e must have lost late in the budget for the run to be
            unfinished, in [0, 1).
        unfinished_share: What late means, as a share of max_epochs (at least one epoch), in [0, 1].
        early_stopping: False: the signals are computed as ever, and only a non-finite loss stops.

    Raises:
        ValueError: If a number is outside its range, or a count is no whole number.
    """

    patience: int | None = None
    patience_min: int = 10
    patience_share: float = 0.1
    high_rate_factor: float = 2.0
    high_rate_share: float = 0.5
    min_delta: float = 0.01
    smoothing: float = 0.6
    warm_up: int | None = None
    warm_up_min: int = 3
    warm_up_max: int = 10
    warm_up_share: float = 0.05
    gl_limit: float = 40.0
    gl_epochs: int = 10
    gl_floor: float = 0.05
    gl_patience: float = 10.0
    best_age: int = 10
    falling_delta: float = 0.001
    falling_epochs: int = 5
    divergence_factor: float = 10.0
    divergence_epochs: int = 5
    underfitting_share: float = 0.6
    unfinished_delta: float = 0.01
    unfinished_share: float = 0.2
    early_stopping: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _RANGES and not (value is None and "None" in str(field.type)):
                _check(field.name, value, whole="int" in str(field.type))


@dataclass(frozen=True)
class _Range:
    """Finite numbers from ``low`` to ``high``; ``ends`` as in "[)" says which end belongs to it."""

    low: float
    high: float = math.inf
    ends: str = "[)"

    def __contains__(self, value: float) -> bool:
        above = value > self.low or (self.ends[0] == "[" and value == self.low)
        below = value < self.high or (self.ends[1] == "]" and value == self.high)
        return above and below

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'at least' if self.ends[0] == '[' else 'above'} {self.low:g}"
        return f"in {self.ends[0]}{self.low:g}, {self.high:g}{self.ends[1]}"


_COUNT_FROM_0, _COUNT_FROM_1 = _Range(0), _Range(1)
_NOT_NEGATIVE, _POSITIVE = _Range(0), _Range(0, ends="()")
_SHARE, _SHARE_BELOW_1, _SHARE_ABOVE_0 = _Range(0, 1, "[]"), _Range(0, 1, "[)"), _Range(0, 1, "(]")

_RANGES = {
    "patience": _COUNT_FROM_1,
    "patience_min": _COUNT_FROM_1,
    "patience_share": _SHARE,
    "high_rate_factor": _Range(1),
    "high_rate_share": _SHARE_ABOVE_0,
    "min_delta": _NOT_NEGATIVE,
    "smoothing": _SHARE_BELOW_1,
    "warm_up": _COUNT_FROM_0,
    "warm_up_min": _COUNT_FROM_0,
    "warm_up_max": _COUNT_FROM_0,
    "warm_up_share": _SHARE,
    "gl_limit": _NOT_NEGATIVE,
    "gl_epochs": _COUNT_FROM_1,
    "gl_floor": _NOT_NEGATIVE,
    "gl_patience": _NOT_NEGATIVE,
    "best_age": _COUNT_FROM_0,
    "falling_delta": _SHARE_BELOW_1,
    "falling_epochs": _COUNT_FROM_1,
    "divergence_factor": _POSITIVE,
    "divergence_epochs": _COUNT_FROM_1,
    "underfitting_share": _NOT_NEGATIVE,
    "unfinished_delta": _SHARE_BELOW_1,
    "unfinished_share": _SHARE,
}


def _check(name: str, value: Any, *, whole: bool) -> None:
    allowed = _RANGES[name]
    is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not (is_number and value in allowed):
        kind = "a whole number " if whole else ""
        raise ValueError(f"{name} must be {kind}{allowed}, got {value!r}")


PRESETS: dict[str, Criteria] = {
    "default": Criteria(),
    "careful": Criteria(patience=30, min_delta=0.003),
    "eager": Criteria(patience=10),
    "off": Criteria(early_stopping=False),
}
"""``careful`` waits longer for less, ``eager`` waits less, ``off`` judges but does not stop."""
