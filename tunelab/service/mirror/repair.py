"""``tracking sync``: MLflow is made to show what the study database has.

What is wrong is deleted or forgotten, and the mirror's own projection sends it again. A kill at
any moment leaves what the next sync, or the next mirror, completes.
"""

from __future__ import annotations

from collections.abc import Callable

from tunelab.service.mirror.comparison import Differences, compare
from tunelab.service.mirror.environment import without_credentials
from tunelab.service.mirror.projection import Projection
from tunelab.service.mirror.tracking import Tracking
from tunelab.storage.engine import Database
from tunelab.storage.mirror_runs import forget, forget_runs


def repair(
    database: Database, study_id: int, tracking: Tracking, progressed: Callable[[], None]
) -> Differences:
    """Repair the runs of one study. The caller holds the study's mirror lease.

    Args:
        database: The study database.
        study_id: Key of the study.
        tracking: Where the runs are.
        progressed: Called between runs; what it raises ends the work.

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
        if found.from_nothing:
            forget_runs(connection, study_id, without_credentials(tracking.uri))
        else:
            forget(connection, found.forgotten)
    projection = Projection(database, study_id, tracking, progressed)
    while projection.run_pass():
        progressed()
    projection.draw_best()
    return found.differences
