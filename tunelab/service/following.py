"""A study seen from anywhere: whoever follows it leads nothing and leaves no trace."""

from __future__ import annotations

import time
from functools import partial

from sqlalchemy import Connection

from tunelab.service.events import Notice, StudyFinished, StudyStarted
from tunelab.service.running import WATCH_SECONDS, Events
from tunelab.service.stop import StopRequest
from tunelab.service.watch import Watcher
from tunelab.storage.engine import Database
from tunelab.storage.leases import coordinator_lease, lease_holder
from tunelab.storage.outages import OUTAGE_SECONDS, Patience
from tunelab.storage.states import Executor, StudyState, TrialState
from tunelab.storage.studies import StudyRow, study_by_id

_SILENT_SECONDS = 5.0  # without a coordinator, before a person is told


def follow_study(database: Database, study: StudyRow, stop: StopRequest) -> Events:
    """Follow a running study until it is no longer running, or the one who watches leaves.

    Args:
        database: The study database.
        study: The study.
        stop: Read several times a second.

    Yields:
        Events as they happen, and None when there is none for a while. The last one is
        StudyFinished.

    Raises:
        NotFoundError: If the study is deleted meanwhile.
        DatabaseError: If the database fails for long.
    """
    said: list[str] = []
    database.patience = Patience(OUTAGE_SECONDS, lambda: stop.signal is not None, said.append)
    watcher = Watcher(database, study.id)
    summary = watcher.summary()
    n_workers = max(1, summary.counts[TrialState.RUNNING])
    yield StudyStarted(summary, n_workers, leads=False, watches=True)
    look = partial(_look, study_id=study.id)
    led_at: float | None = time.monotonic()
    while stop.signal is None:
        yield from watcher.poll()
        while said:
            yield Notice(said.pop(0))
        yield None
        study, led = database.fetch(look)
        if study.state is not StudyState.RUNNING:
            yield from watcher.poll()
            break
        now = time.monotonic()
        if led:
            led_at = now
        elif led_at is not None and now - led_at > _SILENT_SECONDS:
            led_at = None  # said once, until somebody leads it again
            yield Notice(_missing(study))
        time.sleep(WATCH_SECONDS)
    yield StudyFinished(watcher.summary())


def _look(connection: Connection, study_id: int) -> tuple[StudyRow, bool]:
    led = lease_holder(connection, coordinator_lease(study_id)) is not None
    return study_by_id(connection, study_id), led


def _missing(study: StudyRow) -> str:
    if study.executor is Executor.EXTERNAL:
        return "no controller leads this study: `tunelab controller run` does"
    return f"no process runs this study: `tunelab study resume {study.name}` goes on with it"
