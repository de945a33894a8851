"""Pruning without a round trip: a rule for what a trial must have reached at each rung.

A rung is an epoch at which trials are compared: 10, 20, 40, 80 ... Compared is the *best value so
far*, and a trial that completed before a rung carries its best there. The decisions are those of
Optuna's own pruners; a contract test shows it on random histories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tunelab.spec.study import PrunerSpec
from tunelab.storage.rungs import RungLimit, RungLimits


@dataclass(frozen=True)
class CompletedTrial:
    """What a pruner knows of a trial that completed.

    Attributes:
        value: Its best value.
        rung_values: Epoch -> best value so far, at the rungs that it passed.
    """

    value: float
    rung_values: Mapping[int, float]

    def at(self, rung: int) -> float:
        """The best value at a rung, also at one behind the trial's end."""
        return self.rung_values.get(rung, self.value)


class Pruner(Protocol):
    """Turns the completed trials into limits for those that run."""

    def limits(self, completed: Sequence[CompletedTrial]) -> RungLimits:
        """The limits that hold while ``completed`` are the completed trials."""


@dataclass(frozen=True)
class MedianPruner:
    """Give up a trial whose best is worse than the median of the others at the same epoch.

    Like ``optuna.pruners.MedianPruner(startup_trials, warm_up_epochs, n_min_trials=min_trials)``
    that is asked at the rungs.

    Attributes:
        rungs: Epochs of comparison, ascending.
        startup_trials: Number of completed trials before anything is pruned.
        min_trials: Least number of values at a rung.
    """

    rungs: tuple[int, ...]
    startup_trials: int
    min_trials: int

    def limits(self, completed: Sequence[CompletedTrial]) -> RungLimits:
        """The limits that hold while ``completed`` are the completed trials."""
        n = len(completed)
        if n < max(1, self.startup_trials, self.min_trials):
            return RungLimits(self.rungs, {})
        return RungLimits(
            self.rungs,
            {
                rung: RungLimit(float(np.median([trial.at(rung) for trial in completed])), n)
                for rung in self.rungs
            },
        )


@dataclass(frozen=True)
class NoPruner:
    """Let every trial train until its own monitor stops it."""

    def limits(self, _completed: Sequence[CompletedTrial]) -> RungLimits:
        """No limits."""
        return RungLimits((), {})


def rungs(warm_up_epochs: int, max_epochs: int) -> tuple[int, ...]:
    """The epochs at which trials are compared, each twice the one before.

    >>> rungs(10, 100)
    (10, 20, 40, 80)
    >>> rungs(0, 4)
    (1, 2)
    """
    epochs = []
    rung = max(1, warm_up_epochs)
    while rung < max_epochs:  # at the budget's end there is nothing left to save
        epochs.append(rung)
        rung *= 2
    return tuple(epochs)


def make_pruner(spec: PrunerSpec, max_epochs: int) -> Pruner:
    """The pruner that a study file names."""
    if spec.name == "none":
        return NoPruner()
    return MedianPruner(
        rungs(spec.warm_up_epochs, max_epochs), spec.startup_trials, spec.min_trials
    )
