"""What a run says about one epoch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One completed pass over the training split.

    Both losses are in evaluation mode (no dropout, running statistics in batch norm) and means
    per example, without penalties, label smoothing and class weights. Any number may be
    non-finite when a run diverges.

    Attributes:
        epoch: Completed passes, from 1.
        train_loss: On a fixed random subset of at most the validation split's size.
        validation_loss: On the whole validation split.
        learning_rate: The rate of this epoch's first step.
        gradient_norm: Euclidean norm of the last step's gradient, penalties included, before
            clipping.
        seconds: Wall time of the epoch, evaluation included.
        train_score: The score named by the objective, in original units; None without one.
        validation_score: Likewise, on the validation split.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    learning_rate: float
    gradient_norm: float
    seconds: float
    train_score: float | None = None
    validation_score: float | None = None
