"""What is known of many trials' epochs at once, without reading each of them."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from tunelab.storage.tables import epochs, trials


def mean_epoch_seconds(connection: Connection, study_id: int) -> dict[int, float]:
    """Mean seconds of an epoch, by the keys of the study's trials that have any."""
    query = (
        select(epochs.c.trial_id, func.avg(epochs.c.seconds))
        .join(trials, trials.c.id == epochs.c.trial_id)
        .where(trials.c.study_id == study_id)
        .group_by(epochs.c.trial_id)
    )
    return {key: float(mean) for key, mean in connection.execute(query)}


def last_gaps(connection: Connection, study_id: int) -> dict[int, float]:
    """Validation loss minus training loss at the last epoch, by trial; where both are finite."""
    gap = epochs.c.validation_loss - epochs.c.train_loss
    query = (
        select(epochs.c.trial_id, gap)
        .join(trials, trials.c.id == epochs.c.trial_id)
        .where(trials.c.study_id == study_id, epochs.c.epoch == trials.c.n_epochs)
        .where(gap.is_not(None))
    )
    return {key: float(value) for key, value in connection.execute(query)}
