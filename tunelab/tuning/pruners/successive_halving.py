"""Comparison with all trials that have come as far, whether they go on or not."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping

from tunelab.storage.rungs import RungLimit, RungLimits
from tunelab.tuning.pruners.base import EndedTrial, Pruner, RungValues


class SuccessiveHalvingPruner(Pruner):
    """Asynchronous successive halving: one in ``reduction_factor`` trials goes on at a rung.

    A trial that comes to a rung which ``m`` others have reached goes on if its best is among the
    ``k`` best of all ``m + 1``::

        k = max((m + 1) // reduction_factor, 1)

    that is, unless ``k`` of the others are strictly better. So the limit at the rung is the
    ``k``-th best value of the others; the first trial there meets none. No rule needs the trial's
    own value, which is why the limit can be known before the trial comes.

    Decides like ``optuna.pruners.SuccessiveHalvingPruner(min_resource, reduction_factor,
    min_early_stopping_rate)`` that is told each trial's best value so far at each rung, and that
    knows the same values of the others. Known are: of a trial that has ended, its values at the
    rungs that it passed; of one that runs, those that it has written by now. A trial that ended
    by itself is told once more with its best at the end of its budget: at the rungs behind its
    end it counts as if it had trained on without improving, up to the first where it would have
    been pruned. Otherwise the trials that learn fast and stop early would be missing there. A
    trial that failed does not count, while Optuna goes on counting what it has reported.

    Not offered are ``min_resource="auto"``, which moves the rungs when the first trial completes,
    and ``bootstrap_count``, which prunes the first trials at every rung however good they are.

    Source: Li et al. (2020), A System for Massively Parallel Hyperparameter Tuning,
    arXiv:1810.05934, Algorithm 2, without waiting: what is not promoted at once has ended.

    Args:
        rungs: Epochs of comparison, ascending.
        reduction_factor: At least 2.
        maximize: Whether greater values are better.
    """

    compares_running = True

    def __init__(self, rungs: tuple[int, ...], *, reduction_factor: int, maximize: bool) -> None:
        super().__init__(rungs)
        self._factor = reduction_factor
        self._sign = -1.0 if maximize else 1.0  # values are kept so that less is better
        self._ended: dict[int, list[float]] = {rung: [] for rung in rungs}  # ascending
        self._running: dict[int, dict[int, float]] = {}

    def observe(self, trial: EndedTrial) -> None:
        """Take in a trial that has ended."""
        self._running.pop(trial.number, None)
        for rung in self.rungs:
            value = trial.rung_values.get(rung)
            goes_on = value is not None
            if value is None:
                if not trial.complete or trial.value is None:
                    return
                value = trial.value
                limit = self._limit(rung)
                goes_on = limit is None or self._sign * value <= self._sign * limit.value
            insort(self._ended[rung], self._sign * value)
            if not goes_on:
                return

    def watch(self, running: Mapping[int, RungValues]) -> None:
        """Take in what the trials that run have reached by now."""
        self._running = {
            number: {rung: self._sign * value for rung, value in values.items()}
            for number, values in running.items()
        }

    def limits(self) -> RungLimits:
        """The limits that hold as far as is known."""
        limits = {rung: self._limit(rung) for rung in self.rungs}
        return RungLimits(
            self.rungs, {rung: limit for rung, limit in limits.items() if limit is not None}
        )

    def _limit(self, rung: int) -> RungLimit | None:
        others = self._ended[rung]
        running = [values[rung] for values in self._running.values() if rung in values]
        if running:
            others = sorted(others + running)
        if not others:
            return None
        k = max((len(others) + 1) // self._factor, 1)
        return RungLimit(self._sign * others[k - 1], len(others))
