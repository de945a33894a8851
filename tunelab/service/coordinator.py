"""The coordinator of one study of the service, whose workers are elsewhere.

Run as ``python -m tunelab.service.coordinator --study ID``. The database comes from
TUNELAB_DATABASE_URL, orders by the standard input. It leads the study under its lease; if another
process does, it leaves at once. If it has to leave before the study's end, it gives up the lease
and changes nothing else: whoever takes the lease next goes on with what the tables say.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
import time
from collections.abc import Callable

from sqlalchemy import Connection

from tunelab.errors import NotFoundError, TunelabError
from tunelab.execution.log import say
from tunelab.execution.orders import obey
from tunelab.service.champion import decide_champion
from tunelab.service.executors.external import COUNT_SECONDS, needed_trials
from tunelab.service.open_test import open_test
from tunelab.storage.engine import Database
from tunelab.storage.leases import Lease, acquire_lease, coordinator_lease, release_lease
from tunelab.storage.location import database_url
from tunelab.storage.outages import OUTAGE_SECONDS, OutageError, Patience
from tunelab.storage.owners import Owner
from tunelab.storage.schema import open_database
from tunelab.storage.states import Executor, StudyState
from tunelab.storage.studies import StudyRow, study_by_id, take_all_back, update_study

_GONE_SECONDS = 10.0  # when a process that has to leave ends whatever it is doing


def lead(database: Database, study_id: int, should_leave: Callable[[], bool]) -> bool:
    """Coordinate a study until it has ended, another leads it, or this process has to leave.

    Args:
        database: The study database.
        study_id: Key of the study.
        should_leave: Read before every tick.

    Returns:
        Whether this process ever led the study.

    Raises:
        TunelabError: If the study's data are gone, or the database fails.
    """
    led = database.attempt(lambda connection: _take(connection, study_id))
    if led is None:
        return False
    study, lease = led
    try:
        _coordinate(database, study, lease, should_leave)
    finally:
        with contextlib.suppress(OutageError):  # then it ends with this process
            database.attempt(lambda connection: release_lease(connection, lease))
    return True


def _take(connection: Connection, study_id: int) -> tuple[StudyRow, Lease] | None:
    """The study and its lease; None if it does not run for the service, or another leads it."""
    try:
        study = study_by_id(connection, study_id)
    except NotFoundError:
        return None
    if study.state is not StudyState.RUNNING or study.executor is not Executor.EXTERNAL:
        return None
    lease = acquire_lease(connection, coordinator_lease(study_id), Owner.this_process())
    if lease is None:
        return None
    # An order to stop that the coordinator before this one was given still stands.
    if study.started_at is None:
        update_study(connection, study_id, started_at=time.time())
    return study, lease


def _coordinate(
    database: Database, study: StudyRow, lease: Lease, should_leave: Callable[[], bool]
) -> None:
    # Loaded when the lease is held: whoever finds it taken leaves at once.
    from tunelab.tuning.coordinator import Coordinator, Progress

    asked_for = study.spec["search"].get("workers")
    n_workers = asked_for or needed_trials(database, study.id)
    coordinator = Coordinator(database, study, lease, n_workers=n_workers)
    counted = time.monotonic()
    while not should_leave():
        if not asked_for and time.monotonic() - counted >= COUNT_SECONDS:
            coordinator.n_workers = needed_trials(database, study.id)
            counted = time.monotonic()
        progress = coordinator.tick()
        while coordinator.stage is not None and coordinator.stage.notices:
            say(f"{study.title}: {coordinator.stage.notices.pop(0)}")
        if progress is Progress.CONFIRMED:
            for line in [*open_test(database, study.id), *decide_champion(database, study.id)]:
                say(f"{study.title}: {line}")
            coordinator.finish()
        if progress is Progress.STOP_REQUESTED and coordinator.suspend():
            # Nobody here can ask the workers: what they have stored is what the trials go on from.
            database.attempt(lambda connection: take_all_back(connection, [study.id]))
        if progress is not Progress.RUNNING:
            return
        time.sleep(coordinator.poll_seconds)


def main() -> None:
    """Run one coordinator process."""
    parser = argparse.ArgumentParser(prog="python -m tunelab.service.coordinator")
    parser.add_argument("--study", type=int, required=True, help="key of the study")
    arguments = parser.parse_args()
    leave = threading.Event()
    obey(leave.set, hard_seconds=_GONE_SECONDS)
    try:
        patience = Patience(OUTAGE_SECONDS, leave.is_set, say)
        database = open_database(database_url(), create=False, patience=patience)
        lead(database, arguments.study, leave.is_set)
    except TunelabError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
