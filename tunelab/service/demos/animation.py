"""The animation as a GIF, for places that show no HTML."""

from __future__ import annotations

import io
import math
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from tunelab.service.demos.contours import SHARES, heights
from tunelab.service.demos.looks import LOOKS
from tunelab.service.demos.paths import Run
from tunelab.service.demos.results import Races
from tunelab.service.demos.surfaces import Surface

COMMENT = "tunelab demo surfaces"  # by which the command knows its own picture

_N_FRAMES = 56
_MILLISECONDS = 140
_LAST_MILLISECONDS = 4000
_SLOW = 20.0  # steps around which the pace changes: the first ones are the most eventful
_PIXELS = (760, 520)
_DPI = 100
_GROUND = LinearSegmentedColormap.from_list("ground", ["#a3b2c8", "#f4f6f9"])
_INK, _EDGE = "#1c1f24", "#8d9cb3"
_SIGNS = {"start": "s", "global minimum": "o"}
_BLENDS = (1.0, 0.7, 0.4)  # of a line and the ground, at its edges


def build_gif(races: Races, n_steps: int) -> bytes:
    """The GIF.

    Args:
        races: Surface -> optimizer -> race.
        n_steps: Steps of every run that did not diverge.
    """
    width, height = _PIXELS
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3).ravel()
    moving: list[tuple[Run, Line2D]] = []
    for ax, of in zip(axes, races.values(), strict=False):
        best = [race.best for race in of.values()]
        _draw_ground(ax, best[0].surface)
        moving += [(run, _line(ax, run)) for run in best]
    *_, last = axes
    last.axis("off")
    handles = [_sample(name) for name in next(iter(races.values()))]
    handles += [Line2D([], [], label=words, **_sign(sign)) for words, sign in _SIGNS.items()]
    last.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.0, 0.92),
        frameon=False,
        fontsize=9,
        handlelength=3.2,
        labelspacing=0.35,
    ).set_in_layout(False)
    counter = last.text(0.04, 0.94, "", transform=last.transAxes, color=_INK, animated=True)
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)
    frames = []
    for step in frame_steps(n_steps):
        canvas.restore_region(still)
        for run, line in moving:
            _move(line, run, step)
        counter.set_text(f"step {step} of {n_steps}")
        counter.axes.draw_artist(counter)
        frames.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    return _encode(frames)


def _sign(mark: str) -> dict[str, Any]:
    return {
        "color": _INK,
        "marker": mark,
        "markerfacecolor": "none",
        "markersize": 8,
        "linestyle": "none",
    }


def frame_steps(n_steps: int) -> list[int]:
    """The step that each frame shows: slow at first, then ever faster.

    >>> steps = frame_steps(1000)
    >>> steps[:5], steps[-1]
    ([0, 1, 3, 5, 7], 1000)
    """
    pace = math.log1p(n_steps / _SLOW) / (_N_FRAMES - 1)
    steps = [round(_SLOW * math.expm1(number * pace)) for number in range(_N_FRAMES)]
    return list(dict.fromkeys(steps))


def _draw_ground(ax: Axes, surface: Surface) -> None:
    ground = heights(surface)
    levels = ground.levels.copy()
    levels[0], levels[-1] = -1.0, ground.gaps.max() + 1.0
    norm = BoundaryNorm(levels, _GROUND.N)
    ax.contourf(ground.x, ground.y, ground.gaps, levels=levels, cmap=_GROUND, norm=norm)
    ax.contour(ground.x, ground.y, ground.gaps, levels=levels, colors=_EDGE, linewidths=0.4)
    ax.set_title(surface.title, fontsize=10, color=_INK)
    ax.set(xticks=[], yticks=[])
    left, right, bottom, top = surface.window
    ax.set(xlim=(left, right), ylim=(bottom, top))
    ax.plot(*surface.start, **_sign(_SIGNS["start"]))
    for point in surface.minima:
        ax.plot(*point, **_sign(_SIGNS["global minimum"]))


def _line(ax: Axes, run: Run) -> Line2D:
    (line,) = ax.plot([], [], animated=True, **_style(run.optimizer))
    return line


def _sample(optimizer: str) -> Line2D:
    return Line2D([], [], label=optimizer, **_style(optimizer))


def _style(optimizer: str) -> dict[str, Any]:
    look = LOOKS[optimizer]
    return {
        "color": look.light,
        "linewidth": 1.6,
        "linestyle": (0, look.dash) if look.dash else "-",
        "marker": [*look.mark, look.mark[0]],
        # Matplotlib stretches an outline to its full size; here a square is as large as a circle.
        "markersize": 9 * max(max(map(abs, corner)) for corner in look.mark),
        "markeredgecolor": "white",
        "markeredgewidth": 0.7,
    }


def _move(line: Line2D, run: Run, step: int) -> None:
    """Draw the path up to ``step``, with the mark at its end."""
    points = run.points[: step + 1]
    line.set_data(points[:, 0], points[:, 1])
    line.set_markevery([len(points) - 1])
    line.axes.draw_artist(line)  # type: ignore[union-attr]


def _encode(frames: list[Any]) -> bytes:
    """One palette for all frames, without dithering, which would cost ten times the bytes."""
    palette = Image.new("P", (1, 1))
    palette.putpalette([channel for colour in _palette() for channel in colour])
    pictures = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in frames
    ]
    durations = [_MILLISECONDS] * (len(pictures) - 1) + [_LAST_MILLISECONDS]
    out = io.BytesIO()
    pictures[0].save(
        out,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=durations,
        loop=0,
        optimize=True,
        comment=COMMENT,
    )
    return out.getvalue()


def _palette() -> list[tuple[int, int, int]]:
    """The colours of the ground, of the lines and of their edges, from 0 to 255."""
    n_bands = len(SHARES) + 1
    ground = [np.array(to_rgb(_GROUND(number / (n_bands - 1)))) for number in range(n_bands)]
    middle = ground[n_bands // 2]
    lines = [np.array(to_rgb(look.light)) for look in LOOKS.values()]
    edges = [share * line + (1 - share) * middle for line in lines for share in _BLENDS]
    greys = [np.full(3, level) for level in np.linspace(0.1, 1.0, 7)]
    colours = [*ground, *edges, *greys, np.array(to_rgb(_INK)), np.array(to_rgb(_EDGE))]
    return [(int(r), int(g), int(b)) for r, g, b in np.round(255 * np.array(colours))]
