"""A small picture with two axes, as SVG that takes its colours from the page.

Why not a plotting library: the page has to follow light and dark, to print, to be read without
scripts, and to stay small with 500 trials. Marks have classes instead of colours (``page.css``
gives them), and points of one kind are one path: a thousand of them take some ten kilobytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tunelab.service.reports.charts.scales import Scale, fitting
from tunelab.service.reports.formats import escaped

LEFT, RIGHT, TOP, BOTTOM = 54, 12, 12, 40
_FINE, _COARSE, _MANY = 0.5, 3.0, 2000  # units; dots beyond which the coarse grid is used
_SCALE = 1.2  # the most that a page enlarges a picture

Points = Iterable[tuple[float, float]]


class Canvas:
    """One picture. Marks are drawn in the order of the calls, above grid and axes.

    Args:
        x: Values that the horizontal axis must show, or their scale's kind by ``log_x``.
        y: The same for the vertical axis.
        x_label: What the horizontal axis means, with its unit.
        y_label: The same for the vertical axis.
        log_x: Whether that axis is logarithmic; None: as the values suggest.
        log_y: The same for the vertical axis.
        x_names: Names in place of numbers: value i is the place of name i.
        y_names: The same for the vertical axis.
        width: Units of the picture; the page scales it.
        height: The same.
        right: Free units at the right.
        top: Free units at the top.
        bars: The axis along which bars grow from 0: ``x``, ``y`` or none.
    """

    def __init__(
        self,
        x: Iterable[float],
        y: Iterable[float],
        *,
        x_label: str,
        y_label: str,
        log_x: bool | None = False,
        log_y: bool | None = None,
        x_names: Sequence[str] = (),
        y_names: Sequence[str] = (),
        width: int = 480,
        height: int = 260,
        right: int = RIGHT,
        top: int = TOP,
        bars: str = "",
    ) -> None:
        longest = max((len(name) for name in y_names), default=0)
        left = max(LEFT, min(24 + 7 * longest, width // 3))
        self.width, self.height = width, height
        self.left, self.right = left, width - right
        self.top, self.bottom = top, height - BOTTOM
        self._x_names, self._y_names = x_names, y_names
        self.x = (
            Scale(-0.5, len(x_names) - 0.5, False, self.left, self.right)
            if x_names
            else fitting(x, self.left, self.right, log=log_x, from_zero=bars == "x")
        )
        self.y = (
            Scale(-0.5, len(y_names) - 0.5, False, self.top, self.bottom)
            if y_names
            else fitting(y, self.bottom, self.top, log=log_y, from_zero=bars == "y")
        )
        self._labels = (x_label, y_label)
        self._marks: list[str] = []

    def line(self, points: Points, style: str) -> None:
        """A line through these points; one that is not finite breaks it."""
        self._path(_broken_line(self._places(points)), f"line {style}")

    def steps(self, points: Points, style: str) -> None:
        """A line that keeps each value until the next point."""
        places: list[tuple[float, float]] = []
        for x, y in self._places(points):
            if places:
                places.append((x, places[-1][1]))
            places.append((x, y))
        self._path(_broken_line(places), f"line {style}")

    def dots(self, points: Points, style: str) -> None:
        """A dot at each point that is finite; dots that nobody could tell apart are one."""
        places = [place for place in self._places(points) if _finite(place)]
        grid = _FINE if len(places) <= _MANY else _COARSE
        seen = dict.fromkeys((round(x / grid) * grid, round(y / grid) * grid) for x, y in places)
        self._path("".join(f"M{x:.5g} {y:.5g}h0" for x, y in seen), f"dots {style}")

    def crosses(self, points: Points, style: str) -> None:
        """A cross at each point that is finite."""
        places = [place for place in self._places(points) if _finite(place)]
        d = "".join(f"M{x - 3:.5g} {y - 3:.5g}l6 6m-6 0l6-6" for x, y in places)
        self._path(d, f"line {style}")

    def band(self, low: Points, high: Points, style: str) -> None:
        """The area between two lines."""
        forth, back = self._places(low), self._places(high)[::-1]
        self._path(_broken_line([*forth, *back]) + "Z", f"area {style}")

    def span(self, begin: float, end: float, style: str) -> None:
        """The area between two places of the horizontal axis."""
        x, width = self.x(begin), self.x(end) - self.x(begin)
        self._marks.append(
            f'<rect class="area {style}" x="{x:.5g}" y="{self.top}" width="{max(width, 1):.5g}" '
            f'height="{self.bottom - self.top}"/>'
        )

    def upright(self, x: float, style: str) -> None:
        """A line from top to bottom."""
        self._path(f"M{self.x(x):.5g} {self.top}V{self.bottom}", f"line {style}")

    def interval(self, x: tuple[float, float], y: float, style: str) -> None:
        """A horizontal line with ends."""
        a, b, at = self.x(x[0]), self.x(x[1]), self.y(y)
        self._path(
            f"M{a:.5g} {at:.5g}H{b:.5g}M{a:.5g} {at - 4:.5g}v8M{b:.5g} {at - 4:.5g}v8",
            f"line {style}",
        )

    def column(self, x: tuple[float, float], height: float, style: str) -> None:
        """A bar upright from the lower end of the axis."""
        a, b, top = self.x(x[0]), self.x(x[1]), self.y(height)
        self._marks.append(
            f'<rect class="bar {style}" x="{a:.5g}" y="{top:.5g}" width="{max(b - a, 1):.5g}" '
            f'height="{max(self.bottom - top, 0):.5g}"/>'
        )

    def bars(self, bars: Iterable[tuple[float, float, float, float]], style: str) -> None:
        """Lying bars: from, to, and the two sides of each."""
        parts = []
        for begin, end, side, other in bars:
            a, b, top, bottom = self.x(begin), self.x(end), self.y(side), self.y(other)
            parts.append(f"M{a:.5g} {top:.4g}h{max(b - a, 0.5):.4g}v{bottom - top:.4g}H{a:.5g}Z")
        self._path("".join(parts), f"bar {style}")

    def words(
        self, x: float, y: float, text: str, *, anchor: str = "middle", dy: float = 0
    ) -> None:
        """A text at a point of the axes, moved by ``dy`` units downwards."""
        self.note(self.x(x), self.y(y) + dy, text, anchor=anchor)

    def note(self, x: float, y: float, text: str, *, anchor: str = "start") -> None:
        """A text at a place of the picture."""
        self._marks.append(
            f'<text x="{x:.5g}" y="{y:.5g}" text-anchor="{anchor}">{escaped(text)}</text>'
        )

    def svg(self, description: str) -> str:
        """The picture, with what it shows for those who do not see it."""
        widest = round(_SCALE * self.width)  # else the words of small pictures would be huge
        return (
            f'<svg class="chart" viewBox="0 0 {self.width} {self.height}" '
            f'style="max-width:{widest}px" role="img" aria-label="{escaped(description)}">'
            f"{self._axes()}{''.join(self._marks)}</svg>"
        )

    def _path(self, d: str, style: str) -> None:
        if d.strip("Z"):
            self._marks.append(f'<path class="{style}" d="{d}"/>')

    def _places(self, points: Points) -> list[tuple[float, float]]:
        return [
            (self.x(x), self.y(y))
            if math.isfinite(x) and math.isfinite(y)
            else (math.nan, math.nan)
            for x, y in points
        ]

    def _axes(self) -> str:
        parts = []
        grid = []
        for value, name in self._x_ticks():
            x = self.x(value)
            if not self._x_names:
                grid.append(f"M{x:.5g} {self.top}V{self.bottom}")
            parts.append(
                f'<text x="{x:.5g}" y="{self.bottom + 15}" text-anchor="middle">{name}</text>'
            )
        for value, name in self._y_ticks():
            y = self.y(value)
            if not self._y_names:
                grid.append(f"M{self.left} {y:.5g}H{self.right}")
            parts.append(
                f'<text x="{self.left - 6}" y="{y + 3.5:.5g}" text-anchor="end">{name}</text>'
            )
        x_label, y_label = (escaped(label) for label in self._labels)
        middle = (self.left + self.right) / 2
        parts.append(
            f'<text class="label" x="{middle:.5g}" y="{self.height - 6}" '
            f'text-anchor="middle">{x_label}</text>'
        )
        if y_label:
            y = (self.top + self.bottom) / 2
            parts.append(
                f'<text class="label" transform="translate(11 {y:.5g})rotate(-90)" '
                f'text-anchor="middle">{y_label}</text>'
            )
        frame = f"M{self.left} {self.top}V{self.bottom}H{self.right}"
        return (
            f'<path class="grid" d="{"".join(grid)}"/><path class="axis" d="{frame}"/>'
            + "".join(parts)
        )

    def _x_ticks(self) -> list[tuple[float, str]]:
        if self._x_names:
            room = (self.right - self.left) / len(self._x_names) / 6.2
            return [(i, _cut(name, room)) for i, name in enumerate(self._x_names)]
        n = max(2, round((self.right - self.left) / 80))
        return [(value, f"{value:.4g}") for value in self.x.ticks(n)]

    def _y_ticks(self) -> list[tuple[float, str]]:
        if self._y_names:
            room = (self.left - 24) / 6.2
            return [(i, _cut(name, room)) for i, name in enumerate(self._y_names)]
        n = max(2, round((self.bottom - self.top) / 45))
        return [(value, f"{value:.4g}") for value in self.y.ticks(n)]


def _cut(name: str, room: float) -> str:
    most = max(int(room), 3)
    return escaped(name if len(name) <= most else name[: most - 1] + "…")


def _finite(place: tuple[float, float]) -> bool:
    return math.isfinite(place[0]) and math.isfinite(place[1])


def _broken_line(places: Sequence[tuple[float, float]]) -> str:
    parts = []
    pen_up = True
    for place in places:
        if not _finite(place):
            pen_up = True
            continue
        parts.append(f"{'M' if pen_up else 'L'}{place[0]:.5g} {place[1]:.5g}")
        pen_up = False
    return "".join(parts)
