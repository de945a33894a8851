"""From values to places in a picture, and the round numbers beside an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_CLIP = 0.75  # share of the values that a picture must show
_TINY = 1e-150  # beyond it, and one over it, products of values could be 0 or infinite
_LEAST_RATIO = 30.0  # of a quantity that may be drawn on a logarithmic scale


@dataclass(frozen=True)
class Scale:
    """Values in [low, high] -> [start, end] of a picture.

    Attributes:
        low: Value at ``start``.
        high: Value at ``end``; greater than ``low``.
        log: Whether equal factors are equal distances.
        start: Place of ``low``.
        end: Place of ``high``.
    """

    low: float
    high: float
    log: bool
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value; what lies outside is moved to the nearer end."""
        share = self.share(min(max(value, self.low), self.high))
        return self.start + share * (self.end - self.start)

    def share(self, value: float) -> float:
        """How far a value lies from ``low`` to ``high``, in [0, 1]."""
        if self.log:
            begin = math.log(self.low)
            return (math.log(value) - begin) / (math.log(self.high) - begin)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, n: int = 5) -> list[float]:
        """Round values within the scale, about ``n``."""
        if not self.log or self.high / self.low < 4:
            return _round_values(self.low, self.high, n)
        first = math.floor(math.log10(self.low))
        last = math.ceil(math.log10(self.high))
        decades = last - first
        digits = (1, 2, 5) if decades <= 2 else (1,)
        stride = max(1, math.ceil(decades / (n + 1)))
        values = [
            digit * 10.0**power for power in range(first, last + 1, stride) for digit in digits
        ]
        return [value for value in values if self.low <= value * (1 + 1e-9) <= self.high * 1.001]


def fitting(
    values: Iterable[float],
    start: float,
    end: float,
    *,
    log: bool | None = None,
    margin: float = 0.04,
    from_zero: bool = False,
) -> Scale:
    """A scale that shows all these values.

    Args:
        values: Finite numbers; none at all makes a scale from 0 to 1.
        start: Place of the least.
        end: Place of the greatest.
        log: Whether it is logarithmic; None: where the values are positive and span much.
        margin: Share of the width that is left free at both ends.
        from_zero: Begin at 0 exactly, where bars stand.
    """
    known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if from_zero:
        return Scale(0.0, (high if high > 0 else 1.0) * (1 + margin), False, start, end)
    possible = low >= _TINY and high <= 1 / _TINY
    log = possible and (log or (log is None and high / low >= _LEAST_RATIO))
    if low == high:
        low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
    if log:
        free = math.exp((math.log(high) - math.log(low)) * margin)
        return Scale(low / free, high * free, True, start, end)
    width = (high - low) * margin
    return Scale(low - width, high + width, False, start, end)


def _round_values(low: float, high: float, n: int) -> list[float]:
    rough = (high - low) / max(n, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * digit for digit in _STEPS if power * digit >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    # Rounding takes away what 3 * 0.1 has too much; it also makes -0.0 to 0.0.
    return [float(f"{i * step:.10g}") + 0.0 for i in range(first, last + 1)]


def without_extremes(values: Sequence[float], *, maximize: bool) -> list[float]:
    """The values without those that lie far beyond the rest: they would flatten the picture."""
    ordered = sorted(values, reverse=maximize)
    best, usual = ordered[0], ordered[int(_CLIP * (len(ordered) - 1))]
    limit = best + 2.5 * (usual - best)
    return [value for value in values if (value >= limit if maximize else value <= limit)]
