"""``tracking sync``: MLflow is made to show what the study database has.

What is wrong is deleted or forgotten, and the mirror's own projection sends it again. A kill at
any moment leaves what the next sync completes.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from tunelab.service.mirror.comparison import Differences, compare
from tunelab.service.mirror.destination import Destination
from tunelab.service.mirror.environment import without_credentials
from tunelab.service.mirror.projection import Projection
from tunelab.service.mirror.registry import Registry
from tunelab.service.mirror.tracking import Tracking
from tunelab.service.mirror.trial_sender import SLICE
from tunelab.storage.engine import Database
from tunelab.storage.mirror_runs import count_behind, forget, forget_runs, study_run
from tunelab.storage.studies import study_by_id


def repair(
    database: Database,
    study_id: int,
    tracking: Tracking,
    progressed: Callable[[], None],
    confirm: Callable[[Connection], None],
    tell: Callable[[str], None],
) -> Differences:
    """Repair the runs of one study. The caller holds the study's mirror lease.

    Args:
        database: The study database.
        study_id: Key of the study.
        tracking: Where the runs are.
        progressed: Called between runs; what it raises ends the work.
        confirm: Called in each transaction that remembers or forgets runs; raises if the lease is
            lost.
        tell: Gets warnings of what MLflow did not take and is done without.

    Returns:
        What was different before.

    Raises:
        NotFoundError: If the study has been deleted.
        Exception: Whatever MLflow raises.
    """
    found = compare(database, study_id, tracking, progressed=progressed)
    for run_id in found.doomed:
        tracking.delete(run_id)
        progressed()
    with database.write() as connection:
        confirm(connection)
        if found.from_nothing:
            forget_runs(connection, study_id, without_credentials(tracking.uri))
        else:
            forget(connection, found.forgotten)
    projection = Projection(Destination(database, study_id, tracking, progressed, confirm, tell))
    for _ in range(_passes(database, study_id, tracking.uri)):
        if not projection.run_pass():
            break
        progressed()
    projection.complete()
    if found.differences.wrong_models:
        _repair_model(database, study_id, tracking.uri)
    return found.differences


def _repair_model(database: Database, study_id: int, uri: str) -> None:
    """What the passes leave: a model that is there and damaged, and aliases that were moved."""
    with database.read() as connection:
        parent = study_run(connection, study_id, without_credentials(uri))
    if parent is not None:
        Registry(database, study_id, uri).repair(parent.experiment_id, parent.run_id)


def _passes(database: Database, study_id: int, uri: str) -> int:
    """How many passes send what is behind now: a study that runs is never at its end."""
    with database.read() as connection:
        study = study_by_id(connection, study_id)
        behind = count_behind(connection, study, without_credentials(uri))
    return 3 + behind // SLICE  # what the last trial changes at the study's own run comes last
