"""A study on one machine: coordinator, workers and mirror together, as a stream of events.

Whoever holds the study's coordinator lease leads it; a second ``study start`` of the same study
follows, and takes over if the first dies.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator

from tunelab.errors import UsageError
from tunelab.service.children import (
    MIRROR_SECONDS,
    MIRROR_STOP_SECONDS,
    MirrorProcess,
    Workers,
)
from tunelab.service.events import (
    EpochFinished,
    Event,
    Notice,
    StudyFinished,
    StudyStarted,
    TrialFinished,
)
from tunelab.service.mirror.backlog import unsent
from tunelab.service.summary import coordinator_lease
from tunelab.service.watch import Watcher
from tunelab.storage.claims import requeue_lost
from tunelab.storage.engine import Database
from tunelab.storage.leases import Lease, acquire_lease, lease_holder, release_lease
from tunelab.storage.owners import Owner
from tunelab.storage.states import StudyState
from tunelab.storage.studies import StudyRow, mark_started, study_by_id

WATCH_SECONDS = 0.2
MIRROR_DELAY_SECONDS = 3.0
_FOLLOW_SECONDS = 0.2


class StopRequest:
    """Set by signal handlers: the study is to be left in order."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def request(self, signal: int) -> None:
        """Ask for an orderly stop, because of ``signal``."""
        self.signal = signal


def available_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_study(
    database: Database, study: StudyRow, *, n_workers: int | None, stop: StopRequest
) -> Iterator[Event | None]:
    """Run a study until it has finished or is stopped, or follow the process that runs it.

    Args:
        database: The study database.
        study: The study, as :func:`tunelab.service.launch.launch` returned it.
        n_workers: Worker processes; None: as the study file says, else one for each core.
        stop: Read several times a second.

    Yields:
        Events as they happen, and None when there is none for a while. The last one is
        StudyFinished.

    Raises:
        UsageError: If ``n_workers`` is below 1.
        TunelabError: If the database fails, or workers cannot be started.
    """
    watcher = Watcher(database, study.id)
    summary = watcher.summary()
    if n_workers is None:
        n_workers = summary.spec.search.workers or available_cores()
    if n_workers < 1:
        raise UsageError(f"a study needs at least 1 worker, got {n_workers}")
    announced = False
    while True:
        lease = _lead(database, study.id)
        if not announced:
            announced = True
            yield StudyStarted(summary, n_workers, leads=lease is not None)
        if lease is None:
            takes_over = yield from _follow(database, study.id, watcher, stop)
            if takes_over:
                continue
        else:
            yield from _run(database, study.id, lease, watcher, n_workers, stop)
        break
    yield StudyFinished(watcher.summary())


def _lead(database: Database, study_id: int) -> Lease | None:
    """Take the study's lease and note that it runs; None if another process leads it."""
    with database.write() as connection:
        lease = acquire_lease(connection, coordinator_lease(study_id), Owner.this_process())
        if lease is not None:
            mark_started(connection, study_id)
    return lease


def _run(
    database: Database,
    study_id: int,
    lease: Lease,
    watcher: Watcher,
    n_workers: int,
    stop: StopRequest,
) -> Iterator[Event | None]:
    # Workers load their libraries while this process loads Optuna.
    workers = Workers(database, study_id, n_workers)
    mirror: MirrorProcess | None = None
    try:
        from tunelab.tuning.coordinator import Coordinator, Progress

        with database.read() as connection:
            study = study_by_id(connection, study_id)
        coordinator = Coordinator(database, study, lease, n_workers=n_workers)
        started = watched = time.monotonic()
        progress = Progress.RUNNING
        while progress is Progress.RUNNING and stop.signal is None:
            progress = coordinator.tick()
            now = time.monotonic()
            if now - watched >= WATCH_SECONDS:
                watched = now
                events = watcher.poll()
                yield from events
                yield None
                if mirror is None:
                    # MLflow takes seconds to load: on few cores it waits for the first epoch.
                    under_way = any(isinstance(e, EpochFinished | TrialFinished) for e in events)
                    if under_way or now - started > MIRROR_DELAY_SECONDS:
                        mirror = MirrorProcess(database, study_id)
                else:
                    yield from map(Notice, mirror.tend())
                if progress is Progress.RUNNING:
                    yield from map(Notice, workers.tend())
            if progress is Progress.RUNNING:
                time.sleep(coordinator.poll_seconds)
        workers.leave()
        if progress is not Progress.SUPERSEDED:
            with database.write() as connection:
                requeue_lost(connection, study_id)
            if progress is not Progress.FINISHED:
                coordinator.suspend()
        yield from watcher.poll()
        yield from _send_rest(database, study_id, mirror, stop)
    finally:
        # Also on an error, or when the caller stops listening: no child and no lease is left.
        workers.leave()
        if mirror is not None:
            mirror.kill()
        with database.write() as connection:
            release_lease(connection, lease)


def catch_up(database: Database, study: StudyRow, stop: StopRequest) -> Iterator[Event | None]:
    """Send to MLflow what a study that has finished still lacks there, if anything.

    Yields:
        Notices, and None while there is nothing to say.
    """
    with database.read() as connection:
        led = lease_holder(connection, coordinator_lease(study.id)) is not None
    if not led and unsent(database, study.id):
        yield from _send_rest(database, study.id, None, stop)


def _send_rest(
    database: Database, study_id: int, mirror: MirrorProcess | None, stop: StopRequest
) -> Iterator[Event | None]:
    mirror = mirror or MirrorProcess(database, study_id)
    try:
        hurried = stop.signal is not None
        for said in mirror.leave(MIRROR_STOP_SECONDS if hurried else MIRROR_SECONDS):
            yield Notice(said) if said else None
            if stop.signal is not None and not hurried:
                return
    finally:
        mirror.kill()


def _follow(
    database: Database, study_id: int, watcher: Watcher, stop: StopRequest
) -> Generator[Event | None, None, bool]:
    """Show what another process runs; true at the end if that process has died."""
    while stop.signal is None:
        yield from watcher.poll()
        yield None
        with database.read() as connection:
            study = study_by_id(connection, study_id)
            led = lease_holder(connection, coordinator_lease(study_id)) is not None
        if study.state is not StudyState.RUNNING:
            yield from watcher.poll()
            return False
        if not led:
            return True
        time.sleep(_FOLLOW_SECONDS)
    return False
