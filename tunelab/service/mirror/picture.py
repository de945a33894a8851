"""Learning curves and the search's history as PNG. Loads matplotlib: imported when needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from tunelab.service.overfitting_region import overfitting_region
from tunelab.storage.trials import EpochRow, TrialRow

_DPI = 110
_TITLE_AT = 1.01  # in heights of the axes
_BLUE, _ORANGE, _GREY = "#1f5fa8", "#d9730d", "#7a7a7a"


def draw_learning_curve(
    path: Path,
    curve: Sequence[EpochRow],
    *,
    title: str,
    best_epoch: int | None,
    onset: int | None,
) -> None:
    """Write a PNG: losses, the best epoch, the region of overfitting, the learning rate.

    Args:
        path: The file.
        curve: The trial's epochs.
        title: Text above the picture.
        best_epoch: The epoch whose weights were kept.
        onset: Where the monitor saw overfitting begin; None if it did not.
    """
    figure, losses = _figure()
    epochs = [row.epoch for row in curve]
    train = [_number(row.train_loss) for row in curve]
    validation = [_number(row.validation_loss) for row in curve]
    drawn: list[Any] = []
    drawn += losses.plot(epochs, train, color=_BLUE, linewidth=1.8, label="train loss")
    drawn += losses.plot(
        epochs, validation, "--", color=_ORANGE, linewidth=1.8, label="validation loss"
    )
    at_best = next((row for row in curve if row.epoch == best_epoch), None)
    if at_best is not None and at_best.validation_loss is not None:
        label = f"best epoch {best_epoch}: {at_best.validation_loss:.4g}"
        losses.axvline(at_best.epoch, color=_ORANGE, linewidth=0.8, alpha=0.6)
        drawn += losses.plot(
            [at_best.epoch], [at_best.validation_loss], "o", color=_ORANGE, label=label
        )
    region = overfitting_region(curve, best_epoch, onset)
    if region is not None:
        begin, words = region
        drawn.append(
            losses.axvspan(begin, epochs[-1], color=_ORANGE, alpha=0.12, linewidth=0, label=words)
        )
    finite = [value for value in train + validation if value > 0]
    if finite and max(finite) > 20 * min(finite):
        _make_logarithmic(losses)
    losses.set_xlabel("epoch")
    losses.set_ylabel("loss")
    losses.xaxis.set_major_locator(MaxNLocator(integer=True))
    losses.grid(visible=True, alpha=0.25)
    losses.set_title(title, fontsize=11, y=_TITLE_AT)
    rates = losses.twinx()
    rate = [row.learning_rate for row in curve if row.learning_rate > 0]
    drawn += rates.plot(
        epochs,
        [row.learning_rate or math.nan for row in curve],
        color=_GREY,
        linewidth=0.8,
        label="learning rate (right axis)",
    )
    if rate and max(rate) > 3 * min(rate):  # or else no tick may lie between
        _make_logarithmic(rates)
    rates.set_ylabel("learning rate", color=_GREY)
    rates.tick_params(colors=_GREY)
    _put_legend(losses, drawn)
    figure.savefig(path, dpi=_DPI)


def draw_history(
    path: Path, trials: Sequence[TrialRow], *, title: str, metric: str, maximize: bool
) -> None:
    """Write a PNG: the objective of every trial by number, by its end, and the best so far.

    Args:
        path: The file.
        trials: The search's trials that have ended, in order of their numbers.
        title: Text above the picture.
        metric: Name of the objective.
        maximize: Whether greater values are better.
    """
    figure, axes = _figure()
    valued = [trial for trial in trials if trial.value is not None]
    complete = [t for t in valued if t.end_reason is not None and t.end_reason.is_complete]
    others = [t for t in valued if t not in complete]
    for group, colour, mark, label in (
        (others, _GREY, "x", "pruned or diverged: best value"),
        (complete, _BLUE, "o", "complete"),
    ):
        axes.plot(
            [t.number for t in group],
            [_number(t.value) for t in group],
            mark,
            color=colour,
            markersize=4,
            label=f"{label} ({len(group)})",
        )
    values = [_number(t.value) for t in complete]
    best = list(accumulate(values, max if maximize else min))
    axes.step([t.number for t in complete], best, where="post", color=_ORANGE, label="best so far")
    positive = [_number(t.value) for t in valued]
    if positive and min(positive) > 0 and max(positive) > 20 * min(positive):
        _make_logarithmic(axes)
    axes.set_xlabel("trial")
    axes.set_ylabel(metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, alpha=0.25)
    axes.set_title(title, fontsize=11, y=_TITLE_AT)
    _put_legend(axes, axes.get_legend_handles_labels()[0])
    figure.savefig(path, dpi=_DPI)


def _figure() -> tuple[Figure, Any]:
    # Margins and the title's place are fixed: finding them takes longer than all the rest.
    figure = Figure(figsize=(8, 4.8))
    figure.subplots_adjust(left=0.12, right=0.9, top=0.92, bottom=0.24)
    return figure, figure.subplots()


def _make_logarithmic(axes: Any) -> None:
    # Plain numbers at few ticks: ticks in between and typeset powers take as long as the curves.
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _put_legend(axes: Any, handles: Sequence[Any]) -> None:
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        ncols=3,
        fontsize=8,
        frameon=False,
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value
