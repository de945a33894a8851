"""``study delete --mlflow``: the runs of a study go as well."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from tunelab.service.mirror.environment import without_credentials
from tunelab.service.mirror.registry import Registry
from tunelab.service.mirror.study_record import identity_tags
from tunelab.service.mirror.tracking import Tracking
from tunelab.storage.engine import Database
from tunelab.storage.mirror_runs import forget_runs
from tunelab.storage.studies import study_by_id


def remove(
    database: Database,
    study_id: int,
    tracking: Tracking,
    progressed: Callable[[], None],
    confirm: Callable[[Connection], None],
) -> int:
    """Put all runs of one study among MLflow's deleted ones, and delete its registered models.

    The caller holds the study's mirror lease. After a kill at any moment, the next removal goes on,
    and a repair brings everything back.

    Args:
        database: The study database.
        study_id: Key of the study.
        tracking: Where the runs are.
        progressed: Called between runs; what it raises ends the work.
        confirm: Called in the transaction that forgets the runs; raises if the lease is lost.

    Returns:
        How many runs went.

    Raises:
        NotFoundError: If the study has been deleted.
        TrackingError: If its experiment has been deleted in MLflow.
        Exception: Whatever MLflow raises.
    """
    with database.read() as connection:
        study = study_by_id(connection, study_id)
    experiment = tracking.known_experiment(study.name)
    found = tracking.find(experiment, identity_tags(study)) if experiment else []
    for run in found:
        tracking.delete(run.run_id)
        progressed()
    Registry(database, study_id, tracking.uri).remove()
    with database.write() as connection:
        confirm(connection)
        forget_runs(connection, study_id, without_credentials(tracking.uri))
    return len(found)
