"""What the trials that run have reached at their rungs, from the epochs that they have written."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

from tunelab.storage.engine import Database
from tunelab.storage.states import TrialState
from tunelab.storage.trials import EpochRow, study_curves, study_trials


@dataclass
class _Standing:
    """How far one trial's epochs have been read."""

    epoch: int = 0
    best: float = math.inf  # less is better
    rung_values: dict[int, float] = field(default_factory=dict)


class RunningTrials:
    """Follows the trials that run; each epoch is read once.

    Args:
        database: The study database.
        study_id: Key of the study.
        rungs: Epochs at which the best value so far is noted.
        metric: The study's objective.
        maximize: Whether greater values are better.
    """

    def __init__(
        self,
        database: Database,
        study_id: int,
        *,
        rungs: Collection[int],
        metric: str,
        maximize: bool,
    ) -> None:
        self._database = database
        self._study_id = study_id
        self._rungs = rungs
        self._is_loss = metric == "validation_loss"
        self._sign = -1.0 if maximize else 1.0
        self._standings: dict[int, _Standing] = {}

    def read(self, numbers: Collection[int]) -> dict[int, dict[int, float]]:
        """Number of a trial that runs -> epoch -> its best value so far, at the rungs.

        Args:
            numbers: Of the trials that may run.
        """
        with self._database.read() as connection:
            running = study_trials(
                connection, self._study_id, numbers=numbers, states=[TrialState.RUNNING]
            )
            # An epoch that is trained again after a crash has the value that it had.
            self._standings = {
                row.id: self._standings.get(row.id) or _Standing() for row in running
            }
            read_up_to = {key: standing.epoch for key, standing in self._standings.items()}
            curves = study_curves(connection, read_up_to)
        for trial_id, epochs in curves.items():
            for epoch in epochs:
                self._advance(self._standings[trial_id], epoch)
        return {row.number: dict(self._standings[row.id].rung_values) for row in running}

    def _advance(self, standing: _Standing, row: EpochRow) -> None:
        value = row.validation_loss if self._is_loss else row.validation_score
        if value is not None:  # a number that was not finite is stored as none
            standing.best = min(standing.best, self._sign * value)
        standing.epoch = row.epoch
        if row.epoch in self._rungs and standing.best < math.inf:
            standing.rung_values[row.epoch] = self._sign * standing.best
