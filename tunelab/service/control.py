"""Orders to a study from another process: stop, delete."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection

from tunelab.datasets.remote import place, remove
from tunelab.errors import TunelabError, UsageError
from tunelab.storage.claims import requeue_lost
from tunelab.storage.engine import Database
from tunelab.storage.leases import coordinator_lease, lease_holder
from tunelab.storage.states import STOPPED, Executor, StudyState
from tunelab.storage.studies import (
    StudyRow,
    all_studies,
    cancel_study,
    data_in_use,
    delete_study,
    get_study,
    mark_ended,
    study_by_id,
    take_all_back,
    update_study,
)
from tunelab.storage.study_data import data_cache, data_store

_STOP_SECONDS = 20.0
_CANCEL_SECONDS = 1.5


def stop_study(database: Database, name: str) -> StudyRow:
    """Ask the study's coordinator to stop in order, and wait until it has.

    Returns:
        The study's row; still ``running`` if the coordinator has not answered in time.

    Raises:
        NotFoundError: If there is no such study.
        UsageError: If it does not run.
    """
    with database.write() as connection:
        study = _running(connection, name)
        if lease_holder(connection, coordinator_lease(study.id)) is None:
            # Its processes died; there is nobody to ask.
            requeue_lost(connection, study.id, blamed=False)
            if study.executor is not Executor.LOCAL:  # its workers live on without a coordinator
                take_all_back(connection, [study.id])
            mark_ended(
                connection,
                study.id,
                StudyState.STOPPED,
                end_reason=STOPPED,
                running_seconds=study.running_seconds,
            )
            return study_by_id(connection, study.id)
        update_study(connection, study.id, stop_requested=True)
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline:
        with database.read() as connection:
            study = study_by_id(connection, study.id)
        if study.state is not StudyState.RUNNING:
            break
        time.sleep(0.1)
    return study


def cancel(database: Database, name: str) -> StudyRow:
    """Stop the study at once: what its trials did since their last checkpoint is lost.

    The database says so before this returns, whether the study's processes answer or not; those
    that live end when they notice, which is waited for a moment.

    Raises:
        NotFoundError: If there is no such study.
        UsageError: If it does not run.
    """
    with database.write() as connection:
        study = _running(connection, name)
        cancel_study(connection, study)
    deadline = time.monotonic() + _CANCEL_SECONDS
    while time.monotonic() < deadline:
        with database.read() as connection:
            study = study_by_id(connection, study.id)
            if lease_holder(connection, coordinator_lease(study.id)) is None:
                break
        time.sleep(0.05)
    return study


def _running(connection: Connection, name: str) -> StudyRow:
    study = get_study(connection, name)
    if study.state is not StudyState.RUNNING:
        raise UsageError(f"{study.title} does not run: it is {study.state}")
    return study


def doomed_studies(database: Database, name: str) -> list[StudyRow]:
    """What :func:`remove_study` would delete, the oldest first.

    Raises:
        NotFoundError: If there is no such study.
        UsageError: If it runs.
    """
    with database.read() as connection:
        return _doomed(connection, name)


def remove_study(
    database: Database, name: str, tell: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Delete a study with its trials, epochs, checkpoints, logs and prepared data.

    What lies in the data store goes too, unless another study of this database needs it.

    Args:
        database: The study database.
        name: ``digits`` for all generations, ``digits#7`` for one.
        tell: Called with a sentence if the data store keeps something.

    Returns:
        The titles of what was deleted.

    Raises:
        NotFoundError: If there is no such study.
        UsageError: If it runs.
    """
    with database.write() as connection:
        doomed = _doomed(connection, name)
        had = data_in_use(connection, [study.id for study in doomed])
        for study in doomed:
            delete_study(connection, study.id)
        kept = data_in_use(connection)
    # Files go after the rows: a kill in between leaves files that nothing refers to, not a study
    # without its data.
    for path in {path for path, _ in had} - {path for path, _ in kept}:
        shutil.rmtree(Path(path), ignore_errors=True)
    _remove_shared(database, set(map(_share, had)) - set(map(_share, kept)), tell)
    for study in doomed:
        for log in (database.home / "logs").glob(f"study-{study.id}-*.log"):
            log.unlink(missing_ok=True)
    return [study.title for study in doomed]


def _share(data: tuple[str, str]) -> tuple[str, str]:
    """Key and digest of prepared data: what they are called wherever they are fetched."""
    path, digest = data
    return Path(path).name, digest


def _remove_shared(
    database: Database, shares: set[tuple[str, str]], tell: Callable[[str], None]
) -> None:
    try:
        store = data_store()
        for key, digest in shares:
            shutil.rmtree(data_cache(database) / place(key, digest), ignore_errors=True)
            if store is not None:
                remove(store, key, digest)
    except TunelabError as error:  # the study is gone all the same
        tell(f"warning: its data stay in the data store: {error}")


def _doomed(connection: Connection, name: str) -> list[StudyRow]:
    doomed = [get_study(connection, name)]
    if "#" not in name:
        doomed = [row for row in all_studies(connection) if row.name == doomed[0].name][::-1]
    for study in doomed:
        if lease_holder(connection, coordinator_lease(study.id)) is not None:
            raise UsageError(
                f"{study.title} is running", hint=f"`tunelab study stop {study.name}` first"
            )
    return doomed
