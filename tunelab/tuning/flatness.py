"""When a study has become flat: its latest trials have improved nothing that could be told apart.

Of ``n`` trials that completed, in the order of their numbers, the last ``max(15, 30 %)`` are
compared with those before. The study is flat if the best of the last is not better than the best
before them by more than that one's standard error (`tunelab.tuning.standard_errors`): what other
validation rows could as well have brought about. The trials share their validation rows, so
differences between them are more certain than their values; the rule asks for more than chance.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass

from tunelab.datasets import load_training_data
from tunelab.spec.study import StudySpec
from tunelab.spec.tables import LOSSES
from tunelab.storage.engine import Database
from tunelab.storage.studies import StudyRow
from tunelab.storage.study_data import study_data
from tunelab.tuning.standard_errors import ValidationRows, standard_error

FLAT = "flat"  # how the end reason of such a study begins
LEAST_LAST = 15
SHARE_LAST = 0.3


@dataclass(frozen=True)
class Flat:
    """What made a study flat.

    Attributes:
        n_last: How many completed trials in a row have improved nothing.
        best: The best value before them.
        error: Its standard error.
    """

    n_last: int
    best: float
    error: float

    def __str__(self) -> str:
        return (
            f"{FLAT}: the last {self.n_last} completed trials did not beat {self.best:.4g} "
            f"by its standard error {self.error:.2g}"
        )


class Flatness:
    """Watches a study's completed trials.

    Args:
        error: Value -> its standard error.
        maximize: Whether greater values are better.
    """

    def __init__(self, error: Callable[[float], float], *, maximize: bool) -> None:
        self._error = error
        self._sign = -1.0 if maximize else 1.0
        self._values: list[tuple[int, float]] = []  # number, value (less is better); ascending

    def observe(self, number: int, value: float) -> None:
        """Take in a trial that completed; in any order."""
        insort(self._values, (number, self._sign * value))

    def before(self, number: int) -> Flat | None:
        """What makes the study flat as far as the trials below ``number`` tell; None if not."""
        n = bisect_left(self._values, (number, -math.inf))
        n_last = max(LEAST_LAST, math.ceil(SHARE_LAST * n))
        if n <= n_last:
            return None
        values = [value for _, value in self._values[:n]]
        best, latest = min(values[:-n_last]), min(values[-n_last:])
        error = self._error(self._sign * best)
        return None if best - latest > error else Flat(n_last, self._sign * best, error)


def study_flatness(database: Database, study: StudyRow, spec: StudySpec) -> Flatness:
    """What watches a study for becoming flat.

    Raises:
        DataError: If the prepared data cannot be read.
    """
    data = load_training_data(study_data(database, study))
    rows = ValidationRows.of(data.y_validation, data.n_classes)
    quantity = spec.objective.metric
    if quantity == "validation_loss":
        quantity = spec.objective.loss or LOSSES[spec.task][0]
    return Flatness(
        lambda value: standard_error(quantity, value, rows),
        maximize=spec.objective.direction == "maximize",
    )
