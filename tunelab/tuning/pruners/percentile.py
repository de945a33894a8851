"""Comparison with the trials that have completed."""

from __future__ import annotations

import numpy as np

from tunelab.storage.rungs import RungLimit, RungLimits
from tunelab.tuning.pruners.base import EndedTrial, Pruner


class PercentilePruner(Pruner):
    """Give up a trial whose best is not among the best ``percentile`` % at the same epoch.

    The limit at a rung is a percentile of the completed trials' best values so far, interpolated
    linearly. A trial that completed before the rung carries its best there.

    Decides like ``optuna.pruners.PercentilePruner(percentile, startup_trials, warm_up_epochs,
    n_min_trials=min_trials)`` that is asked at the rungs and knows the same completed trials; at
    50 like ``MedianPruner``.

    Args:
        rungs: Epochs of comparison, ascending.
        percentile: Share of the best that go on, in percent.
        startup_trials: Number of completed trials before anything is pruned.
        min_trials: Least number of values at a rung.
        maximize: Whether greater values are better.
    """

    def __init__(
        self,
        rungs: tuple[int, ...],
        *,
        percentile: float,
        startup_trials: int,
        min_trials: int,
        maximize: bool,
    ) -> None:
        super().__init__(rungs)
        self._quantile = 100 - percentile if maximize else percentile
        self._least = max(1, startup_trials, min_trials)
        self._values: dict[int, list[float]] = {rung: [] for rung in rungs}
        self._n = 0
        self._limits: RungLimits | None = None  # until they are asked for

    def observe(self, trial: EndedTrial) -> None:
        """Take in a trial that has ended; only complete ones count."""
        if not trial.complete or trial.value is None:
            return
        self._n += 1
        self._limits = None
        for rung, values in self._values.items():
            values.append(trial.rung_values.get(rung, trial.value))

    def limits(self) -> RungLimits:
        """The limits that hold as far as is known."""
        if self._limits is None:
            compared = self._values if self._n >= self._least else {}
            limits = {
                rung: RungLimit(float(np.percentile(values, self._quantile)), self._n)
                for rung, values in compared.items()
            }
            self._limits = RungLimits(self.rungs, limits)
        return self._limits
