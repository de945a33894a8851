"""How each optimizer is drawn: no two share a colour or a mark, families share a dash.

A picture has to be read by people who do not tell colours apart, so colour is never alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Outline = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Look:
    """The line and the mark of one optimizer.

    Attributes:
        light: Colour on a light ground.
        dark: Colour on a dark ground.
        dash: Lengths of strokes and gaps in units of the line's width; empty for a solid line.
        mark: Polygon of about unit size around (0, 0).
    """

    light: str
    dark: str
    dash: tuple[float, ...]
    mark: Outline


def _star(n: int, turn: float, inner: float) -> Outline:
    """A star of ``n`` points on the unit circle, the first at ``turn`` degrees."""
    corners = []
    for number in range(2 * n):
        angle = math.radians(turn) + math.pi * number / n
        radius = inner if number % 2 else 1.0
        corners.append((round(radius * math.cos(angle), 3), round(radius * math.sin(angle), 3)))
    return tuple(corners)


def _polygon(n: int, turn: float = 0.0) -> Outline:
    return _star(n, turn, 1.0)[::2]


_SOLID, _DASHED, _DOTTED = (), (4.0, 2.0), (1.2, 1.4)

LOOKS: dict[str, Look] = {
    "sgd": Look("#1a1a1a", "#f4f4f4", _SOLID, _polygon(24)),
    "momentum": Look("#0063b1", "#5db8ff", _SOLID, _polygon(4, 45)),
    "nesterov": Look("#d1470c", "#ff9257", _SOLID, _polygon(3, 90)),
    "adagrad": Look("#00805b", "#3ddbab", _DASHED, _polygon(4)),
    "adadelta": Look("#8a6a00", "#f2dc4e", _DASHED, _polygon(3, -90)),
    "rmsprop": Look("#c2267f", "#ff9ccf", _DASHED, _star(4, 0, 0.4)),
    "adam": Look("#6a33c2", "#bda2ff", _DOTTED, _star(5, 90, 0.45)),
    "adamw": Look("#7a4a21", "#dba873", _DOTTED, _star(4, 45, 0.4)),
    "nadam": Look("#007f99", "#4fd3ee", _DOTTED, _polygon(3, 0)),
}
"""Plain and with momentum: solid. Rates of their own: dashed. Both: dotted."""
