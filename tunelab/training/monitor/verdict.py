"""What the monitor concludes from the curves after each epoch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Signal(StrEnum):
    """The category of a verdict.

    Where several hold at once, the first of this order is given: a non-finite loss, warming_up,
    diverged, overfitting, underfitting, plateau, unfinished, learning. ``Criteria`` names the
    numbers.
    """

    WARMING_UP = "warming_up"
    """Too early to judge: the first epochs, or the learning rate still climbs."""
    LEARNING = "learning"
    """The monitored value improved within patience."""
    OVERFITTING = "overfitting"
    """The validation loss rose far above its minimum and stayed there. Stops."""
    PLATEAU = "plateau"
    """Patience ran out with the validation loss near its minimum. Stops."""
    UNDERFITTING = "underfitting"
    """Training ended, and not even the training loss got far below the constant predictor's."""
    UNFINISHED = "unfinished"
    """The budget ended while the validation loss still fell."""
    DIVERGED = "diverged"
    """A loss is not finite, or the training loss ran away. Stops."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """The stop that a learning run heads for, and how far it has come.

    >>> str(Suspicion(Signal.OVERFITTING, 3, 10))
    'overfitting? 3/10'

    Attributes:
        signal: What the run would end with.
        epochs: For how many epochs running its sign has been there.
        limit: At how many of them the monitor stops.
    """

    signal: Signal
    epochs: int
    limit: int

    def __str__(self) -> str:
        return f"{self.signal}? {self.epochs}/{self.limit}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The monitor's conclusion after one epoch.

    Attributes:
        signal: Its category.
        stop: Whether training should end here. False at a budget that simply ran out.
        epoch: The epoch judged.
        best_epoch: Epoch whose weights are to be restored on every way out; 0 while there is none.
        best_value: The monitored value (validation loss or score) at ``best_epoch``; None while
            nothing finite was seen.
        is_best: This very epoch is the new best: keep its weights.
        onset: For overfitting, the epoch of the lowest validation loss, after which it rose;
            else None. Differs from ``best_epoch`` only where a score is the objective.
        gap: validation_loss - train_loss at ``best_epoch``; None while there is none.
        reason: One sentence with its numbers.
        suspicion: While learning, the stop that this run heads for; None if there is no sign.
    """

    signal: Signal
    stop: bool
    epoch: int
    best_epoch: int
    best_value: float | None
    is_best: bool
    onset: int | None
    gap: float | None
    reason: str
    suspicion: Suspicion | None = None
