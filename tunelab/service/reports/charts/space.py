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
from tunelab.storage.trials import TrialRow
from tunelab.tuning.importances import Importance

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
    )
    for place, importance in enumerate(shown):
        canvas.bar((place - 0.32, place + 0.32), (0.0, importance.share), "own")
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
    """The objective of every trial over one hyperparameter, and the best value of each bin."""
    rows = [
        row for row in evidence.trained if name in row.hyperparameters and row.value is not None
    ]
    given = [row.hyperparameters[name] for row in rows]
    if len(set(given)) < 2:
        return None
    bins = _bins(given)
    numeric = not isinstance(bins[0][0], str)
    names = [] if numeric else [str(key) for key, _ in bins]
    numbers = [float(value) for value in given] if numeric else []
    positive = [value for value in numbers if value > 0]
    # "Off" is 0, which a logarithmic axis does not have: it stands a step below the least.
    log = bool(positive) and len(set(numbers)) > 2 and max(positive) / min(positive) >= 30
    floor = min(positive) / 3 if positive else 0.0
    values = without_extremes([row.value or 0.0 for row in rows], maximize=evidence.maximize)
    canvas = Canvas(
        [max(value, floor) if log else value for value in numbers],
        values,
        x_label=name,
        y_label=metric,
        log_x=log,
        log_y=False,
        x_names=names,
        width=360,
        height=235,
    )

    def place(row: TrialRow) -> float:
        value = row.hyperparameters[name]
        if not numeric:
            return names.index(str(value)) + _JITTER[row.number % len(_JITTER)]
        return max(float(value), floor) if log else float(value)

    for style in ("pruned", "complete"):
        wanted = style == "complete"
        canvas.dots(
            ((place(row), row.value or 0.0) for row in rows if is_complete(row) is wanted), style
        )
    counts = []
    for position, (key, _) in enumerate(bins):
        own = [row for row in rows if _in_bin(row.hyperparameters[name], key)]
        complete = [evidence.sign * (row.value or 0.0) for row in own if is_complete(row)]
        low, high = (position - 0.4, position + 0.4) if not numeric else _ends(key, log, floor)
        if complete:
            best = evidence.sign * min(complete)
            canvas.line([(low, best), (high, best)], "best")
        counts.append((_middle(low, high, log), len(own)))
    for x, n in counts:
        canvas.note(canvas.x(x), canvas.top + 2, str(n), anchor="middle")
    return Figure(
        name,
        canvas.svg(f"{metric} over {name}"),
    )


KEYS = (
    ("dots complete", "complete trial"),
    ("dots pruned", "pruned, its best until then"),
    ("line best", "best complete trial of a value or bin, whatever the rest was"),
)


def _bins(given: Sequence[Any]) -> list[tuple[Any, int]]:
    """Values, or intervals of about equally many trials, each with its number of trials."""
    if any(isinstance(value, str) for value in given):
        return [(key, given.count(key)) for key in dict.fromkeys(sorted(given, key=str))]
    distinct = sorted({float(value) for value in given})
    if len(distinct) <= _BINS:
        return [((value, value), given.count(value)) for value in distinct]
    ordered = sorted(float(value) for value in given)
    edges = [ordered[round(i * (len(ordered) - 1) / _BINS)] for i in range(_BINS + 1)]
    edges = list(dict.fromkeys(edges))
    return [((a, b), 0) for a, b in pairwise(edges)]


def _in_bin(value: Any, key: Any) -> bool:
    if isinstance(key, str):
        return str(value) == key
    low, high = key
    return bool(low <= float(value) <= high)


def _ends(key: tuple[float, float], log: bool, floor: float) -> tuple[float, float]:
    low, high = key
    if log:
        low, high = max(low, floor), max(high, floor)
    if low != high:
        return low, high
    return (low / 1.12, low * 1.12) if log else (low - 0.02 * abs(low), low + 0.02 * abs(low))


def _middle(low: float, high: float, log: bool) -> float:
    return math.sqrt(low * high) if log else (low + high) / 2
