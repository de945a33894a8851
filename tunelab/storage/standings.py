"""Where a trial stands among others at the same epoch, for the sentence that says it was pruned."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from tunelab.storage.states import EndReason, TrialState
from tunelab.storage.tables import epochs, trials
from tunelab.storage.trials import SEARCH


@dataclass(frozen=True)
class Standing:
    """A place among trials, 1 being the best.

    >>> str(Standing(14, 20))
    'rank 14 of 20'
    """

    rank: int
    n_trials: int

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.n_trials}"


def standing(
    connection: Connection,
    trial_id: int,
    epoch: int,
    best: float | None,
    *,
    metric: str,
    maximize: bool,
    completed_only: bool,
) -> Standing:
    """The place of a running trial, itself included.

    It is compared with the best that others had at ``epoch``: those that completed (one that ended
    sooner carries its best there) and, unless ``completed_only``, those that were pruned at it or
    later and those that run and have come as far.

    Args:
        connection: A transaction.
        trial_id: Key of the trial.
        epoch: A rung of its study.
        best: Its best value so far; None stands behind every number.
        metric: The study's objective.
        maximize: Whether greater values are better.
        completed_only: Whether only trials that completed count.
    """
    study_id = select(trials.c.study_id).where(trials.c.id == trial_id).scalar_subquery()
    of_search = (trials.c.study_id == study_id, trials.c.kind == SEARCH)
    finished = select(trials.c.end_reason, trials.c.value, trials.c.rung_values).where(
        *of_search, trials.c.state == TrialState.FINISHED, trials.c.end_reason != EndReason.FAILED
    )
    others: list[float | None] = []
    for end_reason, value, rung_values in connection.execute(finished):
        complete = EndReason(end_reason).is_complete
        if complete or not completed_only:
            others.append((rung_values or {}).get(str(epoch), value if complete else None))
    if not completed_only:
        by_loss = metric == "validation_loss"
        column = epochs.c.validation_loss if by_loss else epochs.c.validation_score
        running = (
            select(func.max(column) if maximize else func.min(column))
            .join(trials, trials.c.id == epochs.c.trial_id)
            .where(*of_search, trials.c.state == TrialState.RUNNING, trials.c.id != trial_id)
            .where(epochs.c.epoch <= epoch)
            .group_by(epochs.c.trial_id)
            .having(func.max(epochs.c.epoch) == epoch)
        )
        others += connection.execute(running).scalars()
    known = [value for value in others if value is not None]
    if best is None:
        return Standing(len(known) + 1, len(known) + 1)
    ahead = sum(value > best if maximize else value < best for value in known)
    return Standing(ahead + 1, len(known) + 1)
