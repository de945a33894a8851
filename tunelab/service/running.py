"""A study led from here: coordinator, executor and mirror together, as a stream of events.

Whoever holds the study's coordinator lease leads it; a second ``study start`` of the same study
follows, and takes over if the first dies.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from tunelab.errors import UsageError
from tunelab.execution.limits import check_memory_limit
from tunelab.service.champion import decide_champion
from tunelab.service.events import (
    Event,
    Notice,
    StudyFinished,
    StudyStarted,
)
from tunelab.service.executors.base import Executor, LedStudy
from tunelab.service.mirror.backlog import unsent
from tunelab.service.mirror_process import MIRROR_SECONDS, MIRROR_STOP_SECONDS, MirrorProcess
from tunelab.service.open_test import open_test
from tunelab.service.stop import StopRequest
from tunelab.service.watch import Watcher
from tunelab.storage.claims import requeue_lost
from tunelab.storage.engine import Database
from tunelab.storage.leases import (
    Lease,
    acquire_lease,
    coordinator_lease,
    lease_holder,
    release_lease,
)
from tunelab.storage.outages import OUTAGE_SECONDS, OutageError, Patience
from tunelab.storage.owners import Owner
from tunelab.storage.states import CANCELLED, STOPPED, StudyState
from tunelab.storage.studies import (
    StudyRow,
    mark_led,
    mark_started,
    study_by_id,
    take_all_back,
)
from tunelab.storage.workers import dead_workers, strike_out

if TYPE_CHECKING:  # Optuna is loaded when the workers are on their way
    from tunelab.tuning.coordinator import Coordinator

WATCH_SECONDS = 0.2
_BLINK_SECONDS = 2.0  # of an outage that nobody is told of

Events = Generator[Event | None, None, None]
"""Events as they happen; close it, and no child process is left."""


def run_study(
    database: Database,
    study: StudyRow,
    *,
    n_workers: int | None,
    executor: Executor,
    stop: StopRequest,
    mirrored: bool = True,
) -> Events:
    """Run a study until it has finished or is stopped, or follow the process that runs it.

    Args:
        database: The study database.
        study: The study, as :func:`tunelab.service.launch.launch` returned it.
        n_workers: Workers; None: as the study file says, else as many as the executor has.
        executor: What runs them, if this process comes to lead the study.
        stop: Read several times a second.
        mirrored: Whether MLflow is sent the study now; if not, a later start sends it.

    Yields:
        Events as they happen, and None when there is none for a while. The last one is
        StudyFinished.

    Raises:
        UsageError: If ``n_workers`` is below 1, or this system knows no limit of memory.
        TunelabError: If the database fails, or no worker can train the study.
    """
    # A long outage is borne by the loop below, which goes on telling; a cut connection anywhere.
    database.patience = Patience(_BLINK_SECONDS)
    watcher = Watcher(database, study.id)
    summary = watcher.summary()
    check_memory_limit(summary.spec.search.trial_memory_bytes)
    if n_workers is None:
        n_workers = summary.spec.search.workers
    elif n_workers < 1:
        raise UsageError(f"a study needs at least 1 worker, got {n_workers}")
    lease = _lead(database, study.id, executor)
    yield StudyStarted(summary, executor.expects(n_workers), leads=lease is not None)
    while lease is None and (yield from _follow(database, study.id, watcher, stop)):
        lease = _lead(database, study.id, executor)
    if lease is not None:
        mirror = MirrorProcess(database, study.id) if mirrored else None
        try:
            timeout = summary.spec.search.trial_timeout_seconds
            led = LedStudy(database, study, lease, n_workers, timeout)
            yield from _run(led, executor, watcher, mirror, stop)
            if mirror is not None:
                hurried = stop.signal is not None or watcher.summary().study.end_reason == CANCELLED
                yield from _send_rest(mirror, stop, hurried=hurried)
        finally:
            if mirror is not None:
                mirror.kill()
    yield StudyFinished(watcher.summary())


def catch_up(database: Database, study: StudyRow, stop: StopRequest) -> Events:
    """Send to MLflow what a study that has finished still lacks there, if anything.

    Yields:
        Notices, and None while there is nothing to say.
    """
    with database.read() as connection:
        led = lease_holder(connection, coordinator_lease(study.id)) is not None
    if led or not unsent(database, study.id):
        return
    mirror = MirrorProcess(database, study.id)
    try:
        yield from _send_rest(mirror, stop, hurried=stop.signal is not None)
    finally:
        mirror.kill()


def _lead(database: Database, study_id: int, executor: Executor) -> Lease | None:
    """Take the study's lease and note that it runs; None if another process leads it."""

    def write(connection: Connection) -> Lease | None:
        lease = acquire_lease(connection, coordinator_lease(study_id), Owner.this_process())
        if lease is not None:
            mark_started(connection, study_id)
            mark_led(connection, study_id, is_open=executor.is_open)
        return lease

    return database.attempt(write)


def _run(
    led: LedStudy,
    executor: Executor,
    watcher: Watcher,
    mirror: MirrorProcess | None,
    stop: StopRequest,
) -> Events:
    """Lead the study; behind it no worker runs, and the study says that it has been left."""
    database, study_id, lease = led.database, led.study.id, led.lease
    said: list[str] = []
    patience = Patience(OUTAGE_SECONDS, lambda: stop.signal is not None, said.append, silence=0.0)
    outage = patience.begin()  # of one that was more than a blink
    ended = cancelled = False
    coordinator: Coordinator | None = None
    try:
        # Workers load their libraries while this process loads Optuna.
        executor.start(led)
        from tunelab.tuning.coordinator import Coordinator, Progress

        study = database.fetch(lambda connection: study_by_id(connection, study_id))
        coordinator = Coordinator(
            database, study, lease, n_workers=executor.n_workers, death_of=executor.death_of
        )
        watched = time.monotonic()
        while not ended and stop.signal is None:
            try:
                progress = coordinator.tick()
                ended = progress in (Progress.FINISHED, Progress.SUPERSEDED)
                due = (
                    ended
                    or progress is Progress.CONFIRMED
                    or time.monotonic() - watched >= WATCH_SECONDS
                )
                events = watcher.poll() if due else []
            except OutageError as error:
                outage.wait(error)
                yield from _notices(said)
                yield None
                continue
            outage.end()
            yield from _notices(said)
            if progress is Progress.CANCELLED:
                cancelled = True
                executor.kill()
            if progress in (Progress.STOP_REQUESTED, Progress.CANCELLED):
                break
            yield from _of_stage(coordinator)
            if progress is Progress.CONFIRMED:
                executor.leave()  # nobody trains any more
                said += [*open_test(database, study_id), *decide_champion(database, study_id)]
                coordinator.finish()
                ended = True
            if due:
                watched = time.monotonic()
                yield from events
                yield None
                if mirror is not None:
                    mirror.tell_of(events)
                    yield from map(Notice, mirror.tend())
                if not ended:
                    yield from map(Notice, executor.tend())
                    coordinator.n_workers = executor.n_workers
            if not ended:
                time.sleep(coordinator.poll_seconds)
    finally:
        # Also on an error, or when the caller stops listening.
        executor.leave()
        if not ended:
            database.attempt(lambda connection: _take_stock(connection, study_id))
            reason = CANCELLED if cancelled else STOPPED
            if coordinator is not None and coordinator.suspend(reason):
                # Workers elsewhere cannot be asked: their trials go on from what is stored.
                database.attempt(lambda connection: take_all_back(connection, [study_id]))
        with contextlib.suppress(OutageError):  # then it ends with this process
            database.attempt(lambda connection: release_lease(connection, lease))
    yield from _notices(said)
    yield from watcher.poll()


def _of_stage(coordinator: Coordinator) -> Events:
    """What the confirm stage has to say."""
    if coordinator.stage is not None:
        yield from _notices(coordinator.stage.notices)


def _take_stock(connection: Connection, study_id: int) -> None:
    """Behind the last worker: what those had that were killed waits again."""
    requeue_lost(connection, study_id, blamed=False)
    strike_out(connection, dead_workers(connection))


def _notices(said: list[str]) -> Events:
    while said:
        yield Notice(said.pop(0))


def _send_rest(mirror: MirrorProcess, stop: StopRequest, *, hurried: bool) -> Events:
    """Wait for the mirror's last pass; not for long once somebody has pressed Ctrl-C."""
    for said in mirror.leave(MIRROR_STOP_SECONDS if hurried else MIRROR_SECONDS):
        yield Notice(said) if said else None
        if stop.signal is not None and not hurried:
            return


def _follow(
    database: Database, study_id: int, watcher: Watcher, stop: StopRequest
) -> Generator[Event | None, None, bool]:
    """Show what another process runs; true at the end if that process has died."""
    while stop.signal is None:
        yield from watcher.poll()
        yield None
        study, led = database.fetch(
            lambda connection: (
                study_by_id(connection, study_id),
                lease_holder(connection, coordinator_lease(study_id)) is not None,
            )
        )
        if study.state is not StudyState.RUNNING:
            yield from watcher.poll()
            return False
        if not led:
            return True
        time.sleep(WATCH_SECONDS)
    return False
