"""A worker: claims a trial, trains it, writes the result together with its next claim, repeats.

Run as ``python -m tunelab.execution.worker --study ID`` for one study, and without ``--study`` for
all that the service runs. The database comes from
TUNELAB_DATABASE_URL, orders by the standard input: its end means that the worker is to leave, so
no worker outlives the process that started it.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Protocol

from sqlalchemy import Connection
from threadpoolctl import threadpool_limits

from tunelab.errors import DatabaseError, TunelabError
from tunelab.execution.backends import Backend
from tunelab.execution.beat import Beat
from tunelab.execution.limits import out_of_memory
from tunelab.execution.log import say
from tunelab.execution.memory import keep_freed_memory
from tunelab.execution.orders import obey
from tunelab.execution.tasks import Data, Tasks, load_task
from tunelab.execution.trial import Task, TrialLimitError, run_trial
from tunelab.storage.claims import (
    Claim,
    LostLeaseError,
    give_back,
    requeue_lost,
    with_configuration,
)
from tunelab.storage.engine import Database
from tunelab.storage.leases import coordinator_lease, lease_holder
from tunelab.storage.location import database_url
from tunelab.storage.outages import OUTAGE_SECONDS, Patience
from tunelab.storage.owners import Owner
from tunelab.storage.queues import Queue, ServiceQueue, StudyQueue, service_studies
from tunelab.storage.recorder import Outcome, Recorder
from tunelab.storage.schema import open_database
from tunelab.storage.states import EndReason, StudyState
from tunelab.storage.studies import StudyRow, study_by_id
from tunelab.storage.trials import SEARCH
from tunelab.storage.workers import register_worker, unregister_worker

POLL_SECONDS = 0.02
LEFT_ALONE_SECONDS = 60.0  # a study that could not be trained here
_IDLE_SHARE, _LONGEST_POLL_SECONDS = 0.1, 0.5  # the longer there was nothing, the rarer a look
CLAIMED = "claimed trial"
_GONE_SECONDS = 10.0  # more than it takes to checkpoint and leave


def work(
    database: Database,
    study_id: int,
    should_stop: Callable[[], bool],
    backend: Backend | None = None,
    max_trials: int | None = None,
) -> int:
    """Train the study's trials until it is no longer running or ``should_stop`` says so.

    Args:
        database: The study database.
        study_id: Key of the study.
        should_stop: Read before every step of training.
        backend: What trains; None for the one that the study names.
        max_trials: Leave after so many; None: do not count.

    Returns:
        How many trials this worker ended.

    Raises:
        TunelabError: If the study or its prepared data are gone, or the database cannot be
            written.
    """
    return _work(database, _OneStudy(database, study_id, backend), should_stop, max_trials)


def serve(
    database: Database, should_stop: Callable[[], bool], max_trials: int | None = None
) -> int:
    """Train trials of all studies that the service runs, until ``should_stop`` says so.

    A study that cannot be trained here, because its data are missing for example, is told of and
    left alone for a while.

    Args:
        database: The study database.
        should_stop: Read before every step of training.
        max_trials: Leave after so many; None: do not count.

    Returns:
        How many trials this worker ended.

    Raises:
        TunelabError: If the database cannot be read or written.
    """
    return _work(database, _Service(database), should_stop, max_trials)


class _Source(Protocol):
    """What a worker works at."""

    study_id: int | None  # where it is a single one

    def queue(self) -> Queue:
        """Where the next claim comes from."""

    def task(self, claim: Claim) -> Task | None:
        """What the claim's study needs to be trained; None if it cannot be trained here."""

    def shown(self, claim: Claim) -> str:
        """The claimed trial, as the one who started this worker understands it."""

    def idle(self) -> float | None:
        """Seconds to wait when no trial does; None: there will be none any more."""


class _OneStudy:
    """A worker of one study, whatever runs it."""

    def __init__(self, database: Database, study_id: int, backend: Backend | None) -> None:
        self.study_id: int | None = study_id
        self._database = database
        self._queue = StudyQueue(study_id)
        self._backend = backend
        self._tasks: dict[Data, Task] = {}

    def queue(self) -> Queue:
        return self._queue

    def task(self, claim: Claim | None = None) -> Task:
        data = claim.data if claim else None
        if data not in self._tasks:
            study = _study(self._database, self._queue.study_id)
            self._tasks[data] = load_task(self._database, study, self._backend, data)
        return self._tasks[data]

    def shown(self, claim: Claim) -> str:
        return _name(claim)

    def idle(self) -> float | None:
        study = _study(self._database, self._queue.study_id)
        return POLL_SECONDS if study.state is StudyState.RUNNING else None


class _Service:
    """A worker of all studies that the service runs."""

    study_id: int | None = None

    def __init__(self, database: Database) -> None:
        self._tasks = Tasks(database)
        self._left_alone: dict[int, float] = {}  # key of a study -> until when
        self._claimed_at = time.monotonic()

    def queue(self) -> Queue:
        now = time.monotonic()
        return ServiceQueue({key for key, until in self._left_alone.items() if now < until})

    def task(self, claim: Claim) -> Task | None:
        self._claimed_at = time.monotonic()
        try:
            return self._tasks.of(claim.study_id, claim.data)
        except DatabaseError:
            raise
        except Exception as error:  # a worker is not ended by one of many studies
            if claim.study_id not in self._left_alone:
                what = error.message if isinstance(error, TunelabError) else repr(error)
                title = self._tasks.title(claim.study_id)
                say(f"warning: {title} cannot be trained here and is left alone: {what}")
            self._left_alone[claim.study_id] = time.monotonic() + LEFT_ALONE_SECONDS
            return None

    def shown(self, claim: Claim) -> str:
        self._left_alone.pop(claim.study_id, None)
        return f"{_name(claim)} of {self._tasks.title(claim.study_id)}"

    def idle(self) -> float | None:
        # A hundred workers that have nothing to do for long ask two hundred times a second.
        idle = time.monotonic() - self._claimed_at
        return min(max(POLL_SECONDS, _IDLE_SHARE * idle), _LONGEST_POLL_SECONDS)


def _work(
    database: Database, source: _Source, should_stop: Callable[[], bool], max_trials: int | None
) -> int:
    owner = Owner.this_process()
    database.attempt(lambda connection: _enter(connection, owner, source.study_id))
    if isinstance(source, _OneStudy):
        source.task()  # while the coordinator makes its first proposals
    n_ended = 0
    claim: Claim | None = None
    with Beat(database) as beat:
        while not should_stop() and n_ended != max_trials:
            claim = claim or _claim(database, source.queue(), owner)
            if claim is None:
                pause = source.idle()
                if pause is None:
                    break
                time.sleep(pause)
                continue
            task = source.task(claim)
            if task is None:
                database.attempt(partial(give_back, claim=claim))
                claim = None
                continue
            beat.claim = claim
            # Whoever started this worker learns from it what the worker died of, if it dies.
            say(f"{CLAIMED} {source.shown(claim)}", sys.stdout)
            for epoch in claim.damaged:
                say(f"trial {claim.number}: its checkpoint of epoch {epoch} is damaged")
            try:
                recorder = Recorder(database, claim, maximize=task.maximize)
                outcome = _outcome(task, claim, recorder, should_stop)
                if outcome is None:
                    claim = None
                    continue
                leaves = should_stop() or n_ended + 1 == max_trials
                claim = recorder.finish(outcome, None if leaves else owner, source.queue())
                n_ended += 1
            except LostLeaseError as lost:
                say(str(lost))
                claim = None
            finally:
                beat.claim = None
    if claim is not None:  # the order to leave came with it
        database.attempt(partial(give_back, claim=claim))
    database.attempt(lambda connection: unregister_worker(connection, owner))
    return n_ended


def _name(claim: Claim) -> str:
    """The trial's number; of a confirm run, that it is one."""
    return str(claim.number) if claim.kind == SEARCH else f"{claim.number} ({claim.kind})"


def _enter(connection: Connection, owner: Owner, study_id: int | None) -> None:
    register_worker(connection, owner, study_id)
    for key in service_studies(connection) if study_id is None else [study_id]:
        if lease_holder(connection, coordinator_lease(key)) is None:
            # Nobody else takes trials back from the dead at present.
            requeue_lost(connection, key, blamed=True)


def _study(database: Database, study_id: int) -> StudyRow:
    return database.fetch(lambda connection: study_by_id(connection, study_id))


def _outcome(
    task: Task, claim: Claim, recorder: Recorder, should_stop: Callable[[], bool]
) -> Outcome | None:
    """Run the trial; what goes wrong in it ends it, not its worker."""
    try:
        return run_trial(task, claim, recorder, should_stop)
    except (LostLeaseError, KeyboardInterrupt):
        raise
    except MemoryError:
        reason = out_of_memory(task.limits.memory.limit_bytes)
    except TrialLimitError as limit:
        reason = str(limit)
    except TunelabError:
        raise  # the database or the data, not the trial
    except BaseException as error:  # a sys.exit() in the middle of training is one, too
        say(traceback.format_exc())
        reason = f"{type(error).__name__}: {error}"
    return Outcome(
        end_reason=EndReason.FAILED,
        reason=with_configuration(reason, claim.hyperparameters),
        verdict=recorder.verdict,
        best_value=None,
        error=reason,
    )


def _claim(database: Database, queue: Queue, owner: Owner) -> Claim | None:
    # Idle workers only read, so that they do not keep the others from the write lock.
    if not database.fetch(queue.any_waiting):
        return None
    tries = count()

    def claim(connection: Connection) -> Claim | None:
        # An answer was lost: the claim may be stored all the same.
        held = queue.held(connection, owner) if next(tries) else None
        return held or queue.claim(connection, owner)

    return database.attempt(claim)


def main() -> None:
    """Run one worker process."""
    parser = argparse.ArgumentParser(prog="python -m tunelab.execution.worker")
    parser.add_argument("--study", type=int, help="key of the study; without: the service's")
    parser.add_argument("--max-trials", type=int, help="leave after so many")
    arguments = parser.parse_args()
    keep_freed_memory()
    leave = threading.Event()
    obey(leave.set, hard_seconds=_GONE_SECONDS)
    try:
        # The environment limits BLAS before NumPy is loaded; this also holds where it does not.
        with threadpool_limits(limits=1):
            patience = Patience(OUTAGE_SECONDS, leave.is_set, say)
            database = open_database(database_url(), create=False, patience=patience)
            if arguments.study is None:
                serve(database, leave.is_set, arguments.max_trials)
            else:
                work(database, arguments.study, leave.is_set, max_trials=arguments.max_trials)
    except TunelabError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
