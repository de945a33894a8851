"""Optimizers, batch sizes, and where trials diverged."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from tunelab.service.findings.evidence import Evidence
from tunelab.service.findings.groups import BatchSizeResult, OptimizerResult
from tunelab.service.reports.charts.canvas import Canvas
from tunelab.service.reports.charts.figures import Figure
from tunelab.storage.states import EndReason
from tunelab.storage.trials import TrialRow


def optimizer_intervals(results: Sequence[OptimizerResult], *, metric: str) -> Figure | None:
    """The best of k trials of each optimizer: median, and the middle 80 %."""
    shown = [result for result in results if result.of_k is not None]
    if len(shown) < 2:
        return None
    values = [v for result in shown for v in (*(result.of_k or ()), result.best) if v is not None]
    canvas = Canvas(
        values,
        [],
        x_label=metric,
        y_label="",
        y_names=[result.name for result in shown],
        height=70 + 30 * len(shown),
    )
    for place, result in enumerate(shown):
        middle, good, bad = result.of_k or (math.nan, math.nan, math.nan)
        end = bad if math.isfinite(bad) else middle
        canvas.interval((min(good, end), max(good, end)), place, "own")
        canvas.dots([(middle, place)], "large own")
        if result.best is not None:
            canvas.dots([(result.best, place)], "best")
    k = shown[0].k
    return Figure(
        f"Best of {k} trials of each optimizer",
        canvas.svg("Optimizers at equal numbers of trials"),
        (
            ("dots large own", f"median of the best of {k} trials drawn at random"),
            ("line own", "10 % to 90 %"),
            ("dots best", "best of all its trials"),
        ),
        "All optimizers get the same number of trials, so that the one that was tried most does "
        "not win by that.",
    )


def batch_size_times(results: Sequence[BatchSizeResult]) -> Figure | None:
    """Median time of an epoch."""
    known = [result for result in results if result.epoch_seconds is not None]
    if len(known) < 2:
        return None
    times = [1000 * (result.epoch_seconds or 0.0) for result in known]
    canvas = Canvas(
        [],
        [0.0, max(times)],
        x_label="batch_size",
        y_label="ms per epoch",
        x_names=[str(result.size) for result in known],
        height=250,
        bars="y",
    )
    for place, time in enumerate(times):
        canvas.column((place - 0.3, place + 0.3), time, "own")
        canvas.words(place, time, f"{time:.3g} ms", dy=-5)
    return Figure(
        "Time of an epoch",
        canvas.svg("Time of an epoch by batch size"),
        caption="Median over trials; the networks differ in size too.",
    )


def batch_size_values(
    evidence: Evidence, results: Sequence[BatchSizeResult], *, metric: str
) -> Figure | None:
    """Values of complete trials by batch size, with the best and the median."""
    known = [result for result in results if result.best is not None]
    if len(known) < 2:
        return None
    names = [str(result.size) for result in known]
    points = [
        (names.index(size) + 0.22 * ((row.number % 5) - 2) / 2, row.value or 0.0)
        for row in evidence.complete
        if (size := str(row.hyperparameters["batch_size"])) in names
    ]
    canvas = Canvas(
        [], [value for _, value in points], x_label="batch_size", y_label=metric,
        x_names=names, log_y=False, height=250,
    )  # fmt: skip
    canvas.dots(points, "complete")
    for place, result in enumerate(known):
        for value, style in ((result.middle, "spread"), (result.best, "best")):
            if value is not None:
                canvas.line([(place - 0.36, value), (place + 0.36, value)], style)
    return Figure(
        "Score",
        canvas.svg("Values by batch size"),
        (
            ("dots complete", "complete trial"),
            ("line best", "best"),
            ("line spread", "median"),
        ),
    )


def diverged_region(evidence: Evidence) -> Figure | None:
    """Learning rate and optimizer of each trial; those that diverged or failed as crosses."""
    rows = [row for row in evidence.finished if "learning_rate" in row.hyperparameters]
    bad = (EndReason.DIVERGED, EndReason.FAILED)
    if not any(row.end_reason in bad for row in rows):
        return None
    names = list(dict.fromkeys(sorted(str(row.hyperparameters["optimizer"]) for row in rows)))
    canvas = Canvas(
        [float(row.hyperparameters["learning_rate"]) for row in rows],
        [],
        x_label="learning_rate",
        y_label="",
        log_x=True,
        y_names=names,
        height=70 + 38 * len(names),
    )
    for wanted, style in ((None, "pruned"), *((reason, "") for reason in bad)):
        points = [
            (
                float(row.hyperparameters["learning_rate"]),
                names.index(str(row.hyperparameters["optimizer"])) + 0.11 * (row.number % 5 - 2),
            )
            for row in rows
            if (row.end_reason is wanted if wanted else row.end_reason not in bad)
        ]
        if wanted is None:
            canvas.dots(points, style)
        else:
            canvas.crosses(points, "diverged" if wanted is EndReason.DIVERGED else "failed")
    return Figure(
        "Where trials diverged",
        canvas.svg("Learning rate and optimizer of the trials that diverged"),
        (*_keys(rows), ("dots pruned", "neither")),
    )


def _keys(rows: Sequence[TrialRow]) -> list[tuple[str, str]]:
    ends = {row.end_reason for row in rows}
    kinds = (EndReason.DIVERGED, EndReason.FAILED)
    return [(f"cross {kind}", str(kind)) for kind in kinds if kind in ends]


def pruning_epochs(evidence: Evidence) -> Figure | None:
    """How many trials were pruned at which epoch."""
    counts = Counter(
        row.n_epochs for row in evidence.finished if row.end_reason is EndReason.PRUNED
    )
    if not counts:
        return None
    most = evidence.summary.spec.search.max_epochs
    canvas = Canvas(
        [0.0, float(most)],
        [0.0, float(max(counts.values()))],
        x_label="epoch",
        y_label="pruned trials",
        height=250,
        bars="y",
    )
    half = max(most / 120, 0.35)
    for epoch, n in counts.items():
        canvas.column((epoch - half, epoch + half), n, "pruned")
    return Figure(
        "When trials were pruned",
        canvas.svg("Epochs at which trials were pruned"),
        caption=f"Of {most} epochs that a trial may train.",
    )
