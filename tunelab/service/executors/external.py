"""Workers elsewhere: ``tunelab worker run``, on as many machines as there are.

Nothing is started here, and nobody can be asked: workers claim trials while the study runs, and
when it is stopped they find their trials taken back, with the last checkpoints.
"""

from __future__ import annotations

import math
import time

from sqlalchemy import Connection

from tunelab.service.executors.base import LedStudy
from tunelab.storage.claims import Death
from tunelab.storage.engine import Database
from tunelab.storage.owners import Owner
from tunelab.storage.states import TrialState
from tunelab.storage.trials import count_trials
from tunelab.storage.workers import count_idle_workers, count_serving

COUNT_SECONDS = 0.5  # between two looks at how many workers there are
_ALONE_SECONDS = 2.0  # without a worker, before a person is told what to do


class ExternalExecutor:
    """Counts the workers that serve the study, and says so when there are none."""

    is_open = True

    def __init__(self) -> None:
        self._study: LedStudy | None = None
        self._n_workers = 0
        self._counted = self._served_at = 0.0
        self._told = False

    def expects(self, n_workers: int | None) -> int:
        """See :class:`tunelab.service.executors.base.Executor`, as for all methods here."""
        return n_workers or 0

    def start(self, study: LedStudy) -> None:
        """Nothing to start."""
        self._study = study
        self._served_at = time.monotonic()
        self._n_workers = study.n_workers or needed_trials(study.database, study.study.id)

    @property
    def n_workers(self) -> int:
        """As many as were asked for, else as :func:`needed_trials` says."""
        return self._n_workers

    def tend(self) -> list[str]:
        """Count the workers; one line each time that there are none for a while."""
        now = time.monotonic()
        if self._study is None or now - self._counted < COUNT_SECONDS:
            return []
        self._counted = now
        database, study = self._study.database, self._study.study
        if self._study.n_workers is None:
            self._n_workers = needed_trials(database, study.id)
        if database.fetch(lambda connection: count_serving(connection, study.id)):
            self._served_at, self._told = now, False
        elif now - self._served_at > _ALONE_SECONDS and not self._told:
            self._told = True
            where = "on any machine that reaches the study database and the data"
            if database.is_sqlite:
                where = "on this machine; for other machines, SQLite must give way to PostgreSQL"
            command = f"tunelab worker run --study {study.reference}"
            return [f"waiting for workers: `{command}` starts them, {where}"]
        return []

    def death_of(self, _owner: Owner) -> Death | None:
        """Whoever started the worker knows."""
        return None

    def kill(self) -> None:
        """The database has taken their trials; workers notice within seconds."""

    def leave(self) -> None:
        """Nothing was started."""


def needed_trials(database: Database, study_id: int) -> int:
    """For how many workers to have trials ready: those that train its trials, and more.

    More are those that train nothing at present, and at least a quarter: workers come and go as
    they like, and others may become free. At least 2: with one, the next proposal would wait for
    the outcome of the last.
    """

    def count(connection: Connection) -> tuple[int, int]:
        training = count_trials(connection, study_id)[TrialState.RUNNING]
        return training, count_idle_workers(connection, study_id)

    n_training, n_idle = database.fetch(count)
    return max(2, n_training + max(n_idle, math.ceil(n_training / 4)))
