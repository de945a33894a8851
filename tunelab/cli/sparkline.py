"""Curves in one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
GAP = "×"  # a number that was not finite
WIDTH = 14

Curve = Sequence[float | None]


def sparkline(curve: Curve, *, width: int = WIDTH, scale: tuple[float, float] | None = None) -> str:
    """A curve as a row of bars, one for each epoch, or for each group of them if there are many.

    Losses fall by orders of magnitude, so positive curves are drawn on a logarithmic scale.

    >>> sparkline([1.0, 0.5, 0.25, 0.125]), sparkline([3.0, 3.0]), sparkline([0.1, 1.0, None])
    ('█▆▃▁', '▁▁', '▁█×')
    >>> sparkline([0.0, *range(1, 80)], width=8, scale=(0.0, 79.0))
    '▂▃▄▄▅▆▇█'

    Args:
        curve: Values in order; None where one was not finite.
        width: The greatest number of characters.
        scale: Values of the lowest and the highest bar; None: those of this curve.
    """
    values = _groups(curve, width)
    low, high = scale or extent(values)
    logarithmic = low > 0
    if logarithmic:
        low, high = math.log(low), math.log(high)
    span = high - low
    bars = []
    for value in values:
        if value is None:
            bars.append(GAP)
            continue
        height = math.log(value) if logarithmic else value
        share = (height - low) / span if span > 0 else 0.0
        bars.append(BARS[round(min(max(share, 0.0), 1.0) * (len(BARS) - 1))])
    return "".join(bars)


def extent(*curves: Curve) -> tuple[float, float]:
    """The least and the greatest value of some curves, to draw them on one scale.

    >>> extent([3.0, None, 1.0], [2.0, 4.0]), extent([])
    ((1.0, 4.0), (0.0, 0.0))
    """
    finite = [value for curve in curves for value in curve if value is not None]
    return (min(finite), max(finite)) if finite else (0.0, 0.0)


def _groups(curve: Curve, width: int) -> list[float | None]:
    """The curve in at most ``width`` values: the last of each group, for that is where it got."""
    n = len(curve)
    if n <= width:
        return list(curve)
    return [curve[(i + 1) * n // width - 1] for i in range(width)]
