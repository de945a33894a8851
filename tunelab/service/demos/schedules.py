"""Every schedule of the trainer as one picture. Loads matplotlib, so it is imported when needed."""

from __future__ import annotations

import inspect
import io
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tunelab.training.schedules import SCHEDULES, default_settings, make_schedule

GENERATOR = "tunelab demo schedules"

MAX_EPOCHS = 60
LEARNING_RATE = 0.1
_STEPS_PER_EPOCH = 20
_COLUMNS = 3
_BLUE, _ORANGE, _GREY = "#1f5fa8", "#d9730d", "#7a7a7a"

Curve = tuple[list[float], list[float]]


def settings_of(name: str, max_epochs: int) -> dict[str, Any]:
    """The settings that a schedule is drawn with: its defaults, and rates where it has none.

    >>> settings_of("step_drop", 60)
    {'factor': 0.5, 'every': 10, 'offset': 0}
    >>> settings_of("piecewise", 60)
    {'rates': '20: 0.05, 40: 0.01'}
    """
    settings = {key: value for key, value in default_settings(name).items() if key != "warm_up"}
    if settings.get("rates") is inspect.Parameter.empty:
        third = max(1, max_epochs // 3)
        settings["rates"] = f"{third}: {LEARNING_RATE / 2:g}, {2 * third}: {LEARNING_RATE / 10:g}"
    return settings


def curve(name: str, max_epochs: int, *, warm_up: int = 0) -> Curve:
    """Epochs done before, and the rate from there on, to be drawn as stairs.

    Args:
        name: A key of ``SCHEDULES``.
        max_epochs: Epochs of the run, at least 2.
        warm_up: Epochs of rise before the schedule begins.

    Returns:
        A point for each epoch, or for each step where the schedule counts steps; the last rate
        stands twice, for the end of the last one.

    >>> curve("step_drop", 20)[1] == [0.1] * 10 + [0.05] * 11
    True
    """
    settings = settings_of(name, max_epochs)
    if warm_up:
        settings["warm_up"] = warm_up
    schedule = make_schedule(
        name, LEARNING_RATE, max_epochs, settings, steps_per_epoch=_STEPS_PER_EPOCH
    )
    per_epoch = _STEPS_PER_EPOCH if schedule.unit == "step" else 1
    n = max_epochs * per_epoch
    rates = [schedule(k) for k in range(n)]
    return [k / per_epoch for k in range(n + 1)], [*rates, rates[-1]]


def draw_schedules(max_epochs: int, ending: str) -> bytes:
    """The picture: a panel for each schedule, dashed with a warm-up where it takes one.

    Args:
        max_epochs: Epochs of the run, at least 2.
        ending: ``.png`` or ``.svg``.
    """
    rows = -(-len(SCHEDULES) // _COLUMNS)
    figure = Figure(figsize=(9.0, 2.1 * rows + 0.7), layout="constrained")
    panels = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False)
    rise = max(1, max_epochs // 10)
    lines = [
        _draw(ax, name, max_epochs, rise)
        for ax, name in zip(panels.ravel(), SCHEDULES, strict=False)
    ]
    for ax in panels.ravel()[len(SCHEDULES) :]:
        ax.axis("off")
    for ax in panels[-1]:
        ax.set_xlabel("epochs done before, k", fontsize=9)
    for ax in panels[:, 0]:
        ax.set_ylabel("learning rate", fontsize=9)
    figure.legend(
        handles=max(lines, key=len), loc="outside upper center", ncols=2, frameon=False, fontsize=9
    )
    out = io.BytesIO()
    # Without a date the same command writes the same bytes.
    if ending == ".svg":
        with mpl.rc_context({"svg.hashsalt": GENERATOR}):
            figure.savefig(out, format="svg", metadata={"Creator": GENERATOR, "Date": None})
    else:
        figure.savefig(out, format="png", dpi=100, metadata={"Software": GENERATOR})
    return out.getvalue()


def _draw(ax: Axes, name: str, max_epochs: int, rise: int) -> list[Any]:
    """One panel; returns its lines for the legend."""
    lines = ax.plot(
        *curve(name, max_epochs),
        drawstyle="steps-post",
        color=_BLUE,
        linewidth=1.8,
        label="the schedule",
    )
    if "warm_up" in default_settings(name):
        lines += ax.plot(
            *curve(name, max_epochs, warm_up=rise),
            "--",
            drawstyle="steps-post",
            color=_ORANGE,
            linewidth=1.3,
            label=f"after a warm-up of {rise} epoch{'' if rise == 1 else 's'}",
        )
    settings = settings_of(name, max_epochs)
    ax.set_title(name, fontsize=10, fontweight="bold", loc="left", pad=16)
    ax.text(
        0.0, 1.03, _words(settings), transform=ax.transAxes, fontsize=7.5, color=_GREY, va="bottom"
    )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    ax.set_ylim(0.0, 1.08 * LEARNING_RATE)
    ax.grid(visible=True, alpha=0.25)
    ax.tick_params(labelsize=8)
    return lines


def _words(settings: dict[str, Any]) -> str:
    """The settings under a panel's name.

    >>> _words({"end": 4e-06, "tau": None})
    'end=4e-06'
    """
    given = {key: value for key, value in settings.items() if value is not None}
    return "  ".join(
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in given.items()
    )
