"""How the search went: its best value over trials, its values beside an earlier one's, its time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tunelab.service.findings.evidence import is_complete
from tunelab.service.reports.charts.canvas import Canvas
from tunelab.service.reports.charts.figures import Figure
from tunelab.service.reports.charts.scales import without_extremes
from tunelab.storage.states import EndReason
from tunelab.storage.trials import TrialRow

_HALF = 0.5 + 1e-12  # rounding shall not decide


def best_so_far(rows: Sequence[TrialRow], *, maximize: bool, metric: str) -> Figure | None:
    """The search's best value over its trials, beside that of the same trials in random order.

    The reference is the median of the best of k trials drawn from all without replacement: what
    k trials would have found had the order been random. A search that learns lies on its good
    side early, as the later trials, which it chose well, are in the reference from the start.
    """
    ended = [row for row in rows if row.end_reason is not None and row.value is not None]
    if not any(is_complete(row) for row in ended):
        return None
    sign = -1.0 if maximize else 1.0
    complete = [(float(row.number), row.value or 0.0) for row in ended if is_complete(row)]
    pruned = [
        (float(row.number), row.value or 0.0) for row in ended if row.end_reason is EndReason.PRUNED
    ]
    best = []
    least = math.inf
    for number, value in complete:
        least = min(least, sign * value)
        best.append((number, sign * least))
    last = float(rows[-1].number)
    best.append((last, best[-1][1]))
    reference = random_order(
        [sign * (row.value or 0.0) for row in ended if is_complete(row)],
        sum(row.end_reason is not None for row in rows),
    )
    values = without_extremes([value for _, value in complete + pruned], maximize=maximize)
    canvas = Canvas([0.0, last], values, x_label="trial", y_label=metric, log_y=False)
    canvas.dots(pruned, "pruned")
    canvas.dots(complete, "complete")
    canvas.line([(k, sign * value) for k, value in reference], "reference dashed")
    canvas.steps(best, "best")
    return Figure(
        "Best value over the search",
        canvas.svg("Best value so far over the trials, with the same trials in random order"),
        (
            ("dots complete", "complete trial"),
            ("dots pruned", "pruned, its best until then"),
            ("line best", "best so far"),
            ("line reference dashed", "the same in random order"),
        ),
        "The reference is computed, not run: the median of the best of k of these trials, drawn "
        "at random. Where the search's line is better early, its proposals were better than "
        "chance.",
    )


def distribution(
    own: Sequence[float], earlier: Sequence[float], titles: tuple[str, str], *, metric: str
) -> Figure | None:
    """The share of complete trials that are at most as large as a value (EDF)."""
    if len(own) < 2:
        return None
    canvas = Canvas([*own, *earlier], [0.0, 1.0], x_label=metric, y_label="share of trials")
    keys = [("line own", titles[0])]
    for values, style in ((earlier, "earlier dashed"), (own, "own")):
        if len(values) > 1:
            ordered = sorted(values)
            n = len(ordered)
            points = [(v, (i + 1) / n) for i, v in enumerate(ordered)]
            canvas.steps([(ordered[0], 0.0), *points], style)
    if len(earlier) > 1:
        keys.append(("line earlier dashed", titles[1]))
    return Figure(
        "How the values are distributed",
        canvas.svg("Empirical distribution of the complete trials' values"),
        tuple(keys),
        "Share of the complete trials with at most this value"
        + ("." if len(earlier) > 1 else "; there is no earlier generation to compare with."),
    )


def timeline(rows: Sequence[TrialRow], confirm: Sequence[TrialRow]) -> Figure | None:
    """When trials ran, on as many lines as ran at once."""
    ran = [
        row for row in (*rows, *confirm) if row.started_at is not None and row.ended_at is not None
    ]
    if not ran:
        return None
    begin = min(row.started_at or 0.0 for row in ran)
    end = max(row.ended_at or 0.0 for row in ran)
    span = end - begin
    unit, size = next(
        (unit, size)
        for unit, size in (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
        if span >= 3 * size or size == 1.0
    )
    lanes: list[float] = []
    bars = []
    for row in sorted(ran, key=lambda row: row.started_at or 0.0):
        start, stop = row.started_at or 0.0, row.ended_at or 0.0
        lane = next((i for i, free in enumerate(lanes) if free <= start + 1e-6), len(lanes))
        lanes[lane : lane + 1] = [stop]
        bars.append((lane, (start - begin) / size, (stop - begin) / size, _style(row)))
    canvas = Canvas(
        [0.0, span / size],
        [],
        x_label=f"{unit} since the start",
        y_label="",
        y_names=[f"worker {i + 1}" if len(lanes) < 13 else "" for i in range(len(lanes))],
        height=min(90 + 30 * len(lanes), 330),
        width=980,
    )
    for style in dict.fromkeys(style for *_, style in bars):
        own = ((a, b, lane - 0.36, lane + 0.36) for lane, a, b, kind in bars if kind == style)
        canvas.bars(own, style)
    return Figure(
        "Who was busy when",
        canvas.svg("Timeline of the trials"),
        (
            ("bar complete", "complete"),
            ("bar pruned", "pruned"),
            ("bar failed", "diverged or failed"),
            ("bar confirm", "confirm run"),
        ),
        "Trials are laid on as few lines as ran at once; a gap is time in which a worker waited, "
        "or in which an attempt was lost.",
    )


def _style(row: TrialRow) -> str:
    if row.confirms is not None:
        return "confirm"
    if is_complete(row):
        return "complete"
    return "pruned" if row.end_reason is EndReason.PRUNED else "failed"


def random_order(values: Sequence[float], n: int) -> list[tuple[float, float]]:
    """The median of the least of the first k of ``n`` trials in random order, for every k.

    The chance that none of the i least values is among k of n trials is C(n - i, k) / C(n, k);
    the median is the i-th least for the least i at which it has fallen to one half.

    Args:
        values: Of the trials that have one.
        n: How many trials there are.

    Returns:
        k - 1 and the median, where there is one.
    """
    ordered = sorted(values)
    points = []
    for k in range(1, n + 1):
        none = 1.0
        for i, value in enumerate(ordered):
            none *= max(n - i - k, 0) / (n - i)
            if none <= _HALF:
                points.append((float(k - 1), value))
                break
    return points
