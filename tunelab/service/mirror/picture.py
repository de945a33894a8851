"""The learning curve of one trial as a picture. Loads matplotlib, so it is imported when needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tunelab.service.overfitting_region import overfitting_region
from tunelab.storage.trials import EpochRow

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
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    losses = figure.subplots()
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
        losses.set_yscale("log")
    losses.set_xlabel("epoch")
    losses.set_ylabel("loss")
    losses.xaxis.set_major_locator(MaxNLocator(integer=True))
    losses.grid(visible=True, alpha=0.25)
    losses.set_title(title, fontsize=11)
    rates = losses.twinx()
    drawn += rates.plot(
        epochs,
        [row.learning_rate or math.nan for row in curve],
        color=_GREY,
        linewidth=0.8,
        label="learning rate (right axis)",
    )
    rates.set_yscale("log")
    rates.set_ylabel("learning rate", color=_GREY)
    rates.tick_params(colors=_GREY)
    losses.legend(
        handles=drawn,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        ncols=3,
        fontsize=8,
        frameon=False,
    )
    figure.savefig(path, dpi=110)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
