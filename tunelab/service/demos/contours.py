"""The ground of the pictures: bands of equal height, and where their limits are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline

from tunelab.service.demos.surfaces import Surface
from tunelab.training.arrays import Floats

COLUMNS, ROWS = 129, 97  # points at which values are computed
SHARES = (0.003, 0.015, 0.04, 0.08, 0.14, 0.22, 0.32, 0.43, 0.55, 0.67, 0.79, 0.9)
"""Shares of a window's area below the limits between its bands."""


@dataclass(frozen=True, eq=False)
class Heights:
    """The values of a surface over its window.

    Attributes:
        x: Shape (columns,).
        y: Shape (rows,).
        gaps: How far the value is above the lowest one, shape (rows, columns).
        levels: Limits of the bands, rising. Each share of the window's area has a band, however
            much the heights differ, and the bands around the minima are the smallest.
    """

    x: Floats
    y: Floats
    gaps: Floats
    levels: Floats


def heights(surface: Surface) -> Heights:
    """Compute the values of ``surface`` over its window."""
    left, right, bottom, top = surface.window
    x, y = np.linspace(left, right, COLUMNS), np.linspace(bottom, top, ROWS)
    gaps = np.array([[surface.gap(float(a), float(b)) for a in x] for b in y])
    between = np.quantile(gaps, SHARES)
    return Heights(x, y, gaps, np.concatenate([[-np.inf], between, [np.inf]]))


def svg_bands(surface: Surface, width: float, height: float) -> list[str]:
    """The bands as path data of SVG, the lowest first, in a box of this size.

    Matplotlib traces them. Each has the limits of its holes in it, for ``fill-rule="evenodd"``.
    """
    ground = heights(surface)
    levels = ground.levels.copy()
    levels[0], levels[-1] = -1.0, ground.gaps.max() + 1.0
    traced = Figure().subplots().contourf(ground.x, ground.y, ground.gaps, levels=levels)
    left, right, bottom, top = surface.window
    scale = np.array([width / (right - left), -height / (top - bottom)])
    return [_path_data(path, np.array([left, top]), scale) for path in traced.get_paths()]


def _path_data(path: Outline, origin: Floats, scale: Floats) -> str:
    if path.codes is None:
        return ""
    parts: list[str] = []
    before = None
    corners = np.round((np.asarray(path.vertices) - origin) * scale, 1)
    for (x, y), code in zip(corners.tolist(), np.asarray(path.codes).tolist(), strict=True):
        if code == Outline.CLOSEPOLY:
            parts.append("Z")
        elif code == Outline.MOVETO:
            parts.append(f"M{x:g} {y:g}")
        elif (x, y) != before:
            parts.append(f"L{x:g} {y:g}")
        before = (x, y)
    return "".join(parts)
