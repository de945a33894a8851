"""What mattered: importances, and the objective over each hyperparameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tunelab.service.findings.evidence import Evidence, is_complete
from tunelab.service.reports.charts.canvas import Canvas
from tunelab.service.reports.charts.figures import Figure
from tunelab.service.reports.charts.scales import without_extremes
from tunelab.service.resolved_space import axes
from tunelab.tuning.importances import Importance, bare_name

_BINS = 6
_MOST_NAMED = 12
_JITTER = (0.0, 0.21, -0.21, 0.1, -0.1, 0.28, -0.28)


def importance_bars(found: Sequence[Importance]) -> Figure | None:
    """Each hyperparameter's share, and two standard errors to each side."""
    shown = list(found[:_MOST_NAMED])
    if not shown:
        return None
    most = max(min(i.share + 2 * i.spread, 1.0) for i in shown)
    canvas = Canvas(
        [0.0, most],
        [],
        x_label="share of the importance",
        y_label="",
        y_names=[i.name for i in shown],
        height=60 + 24 * len(shown),
        bars="x",
    )
    canvas.bars(((0.0, i.share, n - 0.32, n + 0.32) for n, i in enumerate(shown)), "own")
    for place, importance in enumerate(shown):
        low = max(importance.share - 2 * importance.spread, 0.0)
        canvas.interval((low, min(importance.share + 2 * importance.spread, 1.0)), place, "spread")
    return Figure(
        "What decided whether a trial was among the best",
        canvas.svg("Importances of the hyperparameters"),
        (("bar own", "share"), ("line spread", "two standard errors to each side")),
        "PED-ANOVA over all trials, pruned ones behind complete ones; the spread is that over "
        "random halves of the trials.",
    )


def objective_over(evidence: Evidence, name: str, *, metric: str) -> Figure | None:
    """The objective of every trial over one hyperparameter, and the best value of each bin.

    A bin's best value, whatever all other hyperparameters were, isolates this one: where it is
    flat, others decide.
    """
    rows = [
        row for row in evidence.trained if name in row.hyperparameters and row.value is not None
    ]
    given = [row.hyperparameters[name] for row in rows]
    if len(set(given)) < 2:
        return None
    axis = _Axis(given, log=name in _on_log_scales(evidence))
    # Dots of trials that are far worse than the rest stand at the edge of the picture.
    values = without_extremes([row.value or 0.0 for row in rows], maximize=evidence.maximize)
    canvas = Canvas(
        [axis.place(value) for value in given],
        values,
        x_label=name,
        y_label=metric,
        log_x=axis.log,
        log_y=False,
        x_names=axis.names,
        width=360,
        height=245,
        top=24,
    )
    for style in ("pruned", "complete"):
        canvas.dots(
            (
                (axis.place(row.hyperparameters[name], row.number), row.value or 0.0)
                for row in rows
                if is_complete(row) is (style == "complete")
            ),
            style,
        )
    for low, high in axis.bins():
        own = [row for row in rows if low <= axis.place(row.hyperparameters[name]) < high]
        if not own:
            continue
        left, right = max(canvas.x(low), canvas.left), min(canvas.x(high), canvas.right)
        canvas.note((left + right) / 2, canvas.top - 8, str(len(own)), anchor="middle")
        complete = [evidence.sign * (row.value or 0.0) for row in own if is_complete(row)]
        if complete:
            best = evidence.sign * min(complete)
            canvas.line([(low, best), (high, best)], "best")
    if axis.has_off:
        canvas.note(canvas.x(axis.place(0)), canvas.bottom + 15, "off", anchor="middle")
    return Figure(name, canvas.svg(f"{metric} over {name}"))


class _Axis:
    """Where the values of a hyperparameter stand, and the bins between them.

    Args:
        given: Its values.
        log: Whether it is searched on a logarithmic scale.
    """

    def __init__(self, given: Sequence[Any], *, log: bool) -> None:
        self.names: list[str] = []
        if any(isinstance(value, str) for value in given):
            self.names = sorted({str(value) for value in given})
        numbers = [] if self.names else [float(value) for value in given]
        positive = [value for value in numbers if value > 0]
        self.log = log and bool(positive)
        # "Off" is 0, which a logarithmic axis does not have: it stands apart below the least.
        self.has_off = self.log and min(numbers) <= 0
        self._off = min(positive) / 5 if positive else 0.0
        self._ends = sorted(set(positive if self.log else numbers))

    def place(self, value: Any, number: int = 0) -> float:
        """Where a value stands; of names, trials beside each other by their ``number``."""
        if self.names:
            return self.names.index(str(value)) + _JITTER[number % len(_JITTER)]
        return self._off if self.log and value <= 0 else float(value)

    def bins(self) -> list[tuple[float, float]]:
        """Intervals [low, high) that hold every value: each value's own, or equally wide ones."""
        if self.names:
            return [(place - 0.4, place + 0.4) for place in range(len(self.names))]
        off = [self._around(self._off)] if self.has_off else []
        if len(self._ends) <= _BINS:
            return off + [self._around(value) for value in self._ends]
        low, high = self._on(self._ends[0]), self._on(self._ends[-1])
        edges = [self._back(low + i * (high - low) / _BINS) for i in range(_BINS + 1)]
        # The last one holds its own end, and rounding shall lose none.
        edges[0], edges[-1] = self._ends[0], math.nextafter(self._ends[-1], math.inf)
        return off + list(pairwise(edges))

    def _around(self, value: float) -> tuple[float, float]:
        if self.log:
            return value / 1.25, value * 1.25
        gaps = [b - a for a, b in pairwise(self._ends)]
        half = 0.3 * min(gaps, default=1.0)
        return value - half, value + half

    def _on(self, value: float) -> float:
        return math.log(value) if self.log else value

    def _back(self, value: float) -> float:
        return math.exp(value) if self.log else value


def _on_log_scales(evidence: Evidence) -> set[str]:
    return {
        bare_name(axis.name)
        for axis in axes(evidence.space)
        if getattr(axis.dimension, "scale", "linear") == "log"
    }


KEYS = (
    ("dots complete", "complete trial"),
    ("dots pruned", "pruned, its best until then"),
    ("line best", "best complete trial of a value or bin, whatever the rest was"),
)
"""The legend of all pictures of `objective_over`."""
