"""Learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tunelab.service.findings.wording import number
from tunelab.service.overfitting_region import overfitting_region
from tunelab.service.reports.charts.canvas import Canvas
from tunelab.service.reports.charts.figures import Figure
from tunelab.service.reports.charts.scales import fitting
from tunelab.service.reports.formats import exponent
from tunelab.storage.trials import EpochRow, TrialRow

_RATE_SHARE = 0.9  # of the picture's height that the learning rate may take

KEYS = (
    ("line train", "training loss"),
    ("line validation dashed", "validation loss"),
    ("dots best", "best epoch: its weights were restored"),
    ("area overfit", "overfitting, or past the best epoch with a widening gap"),
    ("line rate", "learning rate (right axis)"),
)


def learning_curve(row: TrialRow, curve: Sequence[EpochRow], tags: tuple[str, ...]) -> Figure:
    """The losses of one trial, its best epoch, and where it overfitted."""
    train = [(float(e.epoch), _number(e.train_loss)) for e in curve]
    validation = [(float(e.epoch), _number(e.validation_loss)) for e in curve]
    epochs = [float(e.epoch) for e in curve]
    canvas = Canvas(
        [1.0, *epochs],
        [loss for _, loss in train + validation],
        x_label="epoch",
        y_label="loss",
        width=360,
        height=235,
        right=46,
    )
    region = overfitting_region(curve, row.best_epoch, row.onset)
    if region is not None:
        canvas.span(float(region[0]), epochs[-1], "overfit")
    rates = [e.learning_rate for e in curve if e.learning_rate > 0]
    if rates:
        scale = fitting(rates, canvas.bottom, canvas.top, log=True, margin=1 - _RATE_SHARE)
        at = canvas.y
        canvas.y = scale
        canvas.line(((float(e.epoch), e.learning_rate or math.nan) for e in curve), "rate")
        for rate in dict.fromkeys((max(rates), min(rates))):
            canvas.note(canvas.right + 4, scale(rate) + 3.5, exponent(rate))
        canvas.y = at
    canvas.line(train, "train")
    canvas.line(validation, "validation dashed")
    best = next((e for e in curve if e.epoch == row.best_epoch), None)
    if best is not None:
        canvas.upright(float(best.epoch), "best thin")
        canvas.dots([(float(best.epoch), _number(best.validation_loss))], "best")
    said = f"Learning curve of trial {row.number}: {row.reason or row.signal or ''}"
    return Figure(
        f"Trial {row.number}",
        canvas.svg(said),
        caption=_caption(row, region),
        tags=tags,
    )


def _caption(row: TrialRow, region: tuple[int, str] | None) -> str:
    parts = [f"{number(row.value)} at epoch {row.best_epoch} of {row.n_epochs}"]
    if row.signal and row.onset is None:
        parts.append(row.signal.replace("_", " "))
    if region is not None:
        parts.append(region[1])
    return ", ".join(parts)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
