"""What all pruners share: how they are told of trials, and the epochs at which they compare."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from tunelab.storage.rungs import RungLimits

RungValues = Mapping[int, float]
"""Epoch -> best value so far, at the rungs that a trial has passed."""


@dataclass(frozen=True)
class EndedTrial:
    """What a pruner knows of a trial that has ended.

    Attributes:
        number: The trial's number.
        value: Its best value; None if it never had one.
        rung_values: Its best value so far at the rungs that it passed, also at the one where it
            was pruned.
        complete: Whether it ended by itself, with a value, and so could be the study's best.
    """

    number: int
    value: float | None
    rung_values: RungValues
    complete: bool


class Pruner(ABC):
    """Turns what is known of other trials into limits for those that run.

    Limits depend only on what the pruner was told and on the order of that. A trial that failed
    is not reported: its numbers are no result.

    Attributes:
        rungs: Epochs of comparison, ascending.
        compares_running: Whether trials that still run count, too.
    """

    compares_running = False

    def __init__(self, rungs: tuple[int, ...]) -> None:
        self.rungs = rungs

    @abstractmethod
    def observe(self, trial: EndedTrial) -> None:
        """Take in a trial that has ended. Each is reported once."""

    def watch(self, running: Mapping[int, RungValues]) -> None:  # noqa: B027
        """Take in what the trials that run have reached by now.

        Args:
            running: Number of each of them -> its values; replaces what was said before.
        """

    @abstractmethod
    def limits(self) -> RungLimits:
        """The limits that hold as far as is known."""


class NoPruner(Pruner):
    """Let every trial train until its own monitor stops it."""

    def __init__(self) -> None:
        super().__init__(())

    def observe(self, trial: EndedTrial) -> None:
        """Nothing is compared."""

    def limits(self) -> RungLimits:
        """No limits."""
        return RungLimits((), {})


def rungs(first: int, max_epochs: int, factor: int = 2) -> tuple[int, ...]:
    """The epochs at which trials are compared, each ``factor`` times the one before.

    >>> rungs(10, 100)
    (10, 20, 40, 80)
    >>> rungs(10, 100, factor=3)
    (10, 30, 90)
    >>> rungs(0, 4)
    (1, 2)
    """
    epochs = []
    rung = max(1, first)
    while rung < max_epochs:  # at the budget's end there is nothing left to save
        epochs.append(rung)
        rung *= factor
    return tuple(epochs)
