"""Comparisons of optimizers and of batch sizes: fair ones, at equal numbers of trials.

Whoever is tried more often finds more. So an optimizer is not judged by its best trial, but by
the best of k trials drawn from its own without replacement, with the same k for all. With values
sorted from the best, ``P(best of k is the i-th or better) = 1 - C(n - i, k) / C(n, k)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from tunelab.service.findings.evidence import Evidence, grouped, is_complete
from tunelab.service.findings.wording import number, share
from tunelab.storage.trials import TrialRow

LEAST = 5
"""Trials of one kind below which it is not compared."""

NEAR = 0.05
"""How near to the best value, relative to it, a trial counts as good."""


@dataclass(frozen=True)
class OptimizerResult:
    """What one optimizer has reached.

    Attributes:
        name: Its name.
        n_trials: Trials that have ended, failed ones not counted.
        best: Its best value; None if none is complete.
        best_number: Trial of that.
        learning_rate: Learning rate of that trial.
        of_k: Best value of ``k`` of its trials: median, and the 10 % and 90 % quantiles; None if
            it has fewer than ``k``, or more than half of such draws have no value.
        k: The number of trials at which optimizers are compared; 0 where they are not.
        n_near: Its trials within `NEAR` of the best value of all.
    """

    name: str
    n_trials: int
    best: float | None
    best_number: int | None
    learning_rate: float | None
    of_k: tuple[float, float, float] | None
    k: int
    n_near: int


@dataclass(frozen=True)
class BatchSizeResult:
    """What one batch size has reached.

    Attributes:
        size: The batch size.
        n_trials: Trials that have ended, neither diverged nor failed.
        epoch_seconds: Median over its trials of the mean time of an epoch; None without epochs.
        best: Its best value; None if none is complete.
        middle: Median value of its complete trials.
    """

    size: int
    n_trials: int
    epoch_seconds: float | None
    best: float | None
    middle: float | None


def best_of_k(values: Sequence[float], k: int, quantile: float) -> float:
    """A quantile of the least of ``k`` values drawn without replacement.

    >>> best_of_k([1.0, 2.0, 3.0, 4.0], 4, 0.5), best_of_k([1.0, 2.0, 3.0, 4.0], 1, 0.5)
    (1.0, 2.0)
    """
    ordered = sorted(values)
    n = len(ordered)
    if not 1 <= k <= n:
        raise ValueError(f"k must be in [1, {n}], got {k}")
    for place, value in enumerate(ordered, start=1):
        if 1 - math.comb(n - place, k) / math.comb(n, k) >= quantile - 1e-12:
            return value
    return ordered[-1]


def compare_optimizers(evidence: Evidence) -> tuple[OptimizerResult, ...]:
    """What each optimizer has reached, the best first."""
    rows = [row for row in evidence.finished if row.end_reason != "failed"]
    groups = grouped(rows, lambda row: str(row.hyperparameters["optimizer"]))
    sizes = [len(own) for own in groups.values() if len(own) >= LEAST]
    # With k as large as a group, its best is found for sure, and nothing is said of its spread.
    k = max(min(sizes) // 2, LEAST) if len(sizes) > 1 else 0
    results = [_optimizer(evidence, name, own, k) for name, own in groups.items()]

    def place(result: OptimizerResult) -> tuple[float, float]:
        of_k = math.inf if result.of_k is None else evidence.sign * result.of_k[0]
        return of_k, math.inf if result.best is None else evidence.sign * result.best

    return tuple(sorted(results, key=place))


def optimizer_sentence(results: Sequence[OptimizerResult]) -> str:
    """The comparison in words."""
    if len(results) < 2:
        return "One optimizer was tried, so there is none to compare it with"
    compared = [result for result in results if result.of_k is not None]
    if len(compared) < 2:
        of = ", ".join(f"{result.name} {result.n_trials}" for result in results)
        return f"The optimizers cannot be compared: they have too few trials each ({of})"
    first, last = compared[0], compared[-1]
    if first.of_k is None or last.of_k is None:
        raise ValueError("a compared optimizer has quantiles")
    return (
        f"At {first.k} trials each and its own best learning rate, {first.name} reaches "
        f"{number(first.of_k[0])} in the median and {last.name} {number(last.of_k[0])}; "
        f"{share(first.n_near, first.n_trials)} of the trials of {first.name} come within "
        f"5 % of the best, {share(last.n_near, last.n_trials)} of those of {last.name}"
    )


def compare_batch_sizes(evidence: Evidence) -> tuple[BatchSizeResult, ...]:
    """What each batch size has cost and reached, the smallest first."""
    groups = grouped(evidence.trained, lambda row: int(row.hyperparameters["batch_size"]))
    return tuple(_batch_size(evidence, size, groups[size]) for size in sorted(groups))


def batch_size_sentence(results: Sequence[BatchSizeResult]) -> str:
    """The comparison in words."""
    if len(results) < 2:
        return "One batch size was tried, so there is none to compare it with"
    known = [r for r in results if r.n_trials >= LEAST and r.epoch_seconds and r.best is not None]
    if len(known) < 2:
        return f"The batch sizes cannot be compared: fewer than two have {LEAST} trials each"
    best = ", ".join(f"{number(result.best)} with {result.size}" for result in known)
    times = [result.epoch_seconds or 0.0 for result in known]
    # Networks differ in size too. A batch twice as large halves the steps of an epoch and makes
    # none of them cheaper: what falls faster than that, or rises, is the networks' doing.
    if not all(
        earlier.size / later.size <= ratio < 1
        for (earlier, later), ratio in zip(
            pairwise(known), (b / a for a, b in pairwise(times)), strict=True
        )
    ):
        return (
            f"The best values are {best}; what a batch size costs in time cannot be told from "
            "networks of such different sizes"
        )
    small, large = known[0].size, known[-1].size
    return (
        f"An epoch with batch_size {large} takes {times[-1] / times[0]:.2g} times the time of one "
        f"with {small} ({1000 * times[-1]:.3g} against {1000 * times[0]:.3g} ms in the median, "
        f"over networks of all sizes); the best values are {best}"
    )


def _optimizer(evidence: Evidence, name: str, rows: Sequence[TrialRow], k: int) -> OptimizerResult:
    sign = evidence.sign
    complete = [row for row in evidence.complete if row in rows]
    best = complete[0] if complete else None
    # A pruned trial counts with what it had reached, one that diverged with nothing.
    values = [
        math.inf if row.value is None or row.end_reason == "diverged" else sign * row.value
        for row in rows
    ]
    of_k = None
    if k and len(rows) >= k:
        middle, good, bad = (best_of_k(values, k, q) for q in (0.5, 0.1, 0.9))
        if math.isfinite(middle):
            of_k = (sign * middle, sign * good, sign * bad if math.isfinite(bad) else math.nan)
    limit = evidence.sign * (evidence.complete[0].value or 0.0) if evidence.complete else math.nan
    near = limit + NEAR * abs(limit)
    return OptimizerResult(
        name,
        len(rows),
        None if best is None else best.value,
        None if best is None else best.number,
        None if best is None else float(best.hyperparameters["learning_rate"]),
        of_k,
        k,
        sum(sign * (row.value or 0.0) <= near for row in complete),
    )


def _batch_size(evidence: Evidence, size: int, rows: Sequence[TrialRow]) -> BatchSizeResult:
    seconds = [evidence.epoch_seconds[row.id] for row in rows if row.id in evidence.epoch_seconds]
    values = [row.value for row in rows if is_complete(row) and row.value is not None]
    return BatchSizeResult(
        size,
        len(rows),
        median(seconds) if seconds else None,
        (max(values) if evidence.maximize else min(values)) if values else None,
        median(values) if values else None,
    )
