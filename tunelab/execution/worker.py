"""A worker: claims a trial, trains it, writes the result together with its next claim, repeats.

Run as ``python -m tunelab.execution.worker --study ID``. The database comes from
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
from itertools import count

from sqlalchemy import Connection
from threadpoolctl import threadpool_limits

from tunelab.datasets import load_training_data
from tunelab.errors import TunelabError
from tunelab.execution.backends import BACKENDS, Backend
from tunelab.execution.beat import Beat
from tunelab.execution.limits import TrialLimits, out_of_memory
from tunelab.execution.log import say
from tunelab.execution.memory import keep_freed_memory
from tunelab.execution.orders import obey
from tunelab.execution.trial import Task, TrialLimitError, run_trial
from tunelab.spec.study import StudySpec
from tunelab.storage.claims import (
    Claim,
    LostLeaseError,
    any_waiting,
    claim_next,
    held_claim,
    requeue_lost,
    with_configuration,
)
from tunelab.storage.engine import Database
from tunelab.storage.leases import coordinator_lease, lease_holder
from tunelab.storage.location import database_url
from tunelab.storage.outages import OUTAGE_SECONDS, Patience
from tunelab.storage.owners import Owner
from tunelab.storage.recorder import Outcome, Recorder
from tunelab.storage.schema import open_database
from tunelab.storage.states import EndReason, StudyState
from tunelab.storage.studies import StudyRow, study_by_id
from tunelab.storage.study_data import study_data
from tunelab.storage.workers import register_worker, unregister_worker

POLL_SECONDS = 0.02
CLAIMED = "claimed trial"
_GONE_SECONDS = 10.0  # more than it takes to checkpoint and leave


def work(
    database: Database,
    study_id: int,
    should_stop: Callable[[], bool],
    backend: Backend | None = None,
) -> int:
    """Train the study's trials until it is no longer running or ``should_stop`` says so.

    Args:
        database: The study database.
        study_id: Key of the study.
        should_stop: Read before every step of training.
        backend: What trains; None for the one that the study names.

    Returns:
        How many trials this worker ended.

    Raises:
        TunelabError: If the study or its prepared data are gone, or the database cannot be
            written.
    """
    owner = Owner.this_process()
    study = database.attempt(lambda connection: _enter(connection, owner, study_id))
    spec = StudySpec.from_mapping(study.spec)
    task = Task(
        spec=spec,
        data=load_training_data(study_data(database, study)),
        baseline_loss=study.baseline_loss,
        backend=backend or BACKENDS[spec.backend](),
        limits=TrialLimits(spec.search),
    )
    n_ended = 0
    claim: Claim | None = None
    with Beat(database) as beat:
        while not should_stop():
            claim = claim or _claim(database, study_id, owner)
            if claim is None:
                if not _is_running(database, study_id):
                    break
                time.sleep(POLL_SECONDS)
                continue
            beat.claim = claim
            # Whoever started this worker learns from it what the worker died of, if it dies.
            say(f"{CLAIMED} {claim.number}", sys.stdout)
            for epoch in claim.damaged:
                say(f"trial {claim.number}: its checkpoint of epoch {epoch} is damaged")
            try:
                recorder = Recorder(database, claim, maximize=task.maximize)
                outcome = _outcome(task, claim, recorder, should_stop)
                if outcome is None:
                    claim = None
                    continue
                claim = recorder.finish(outcome, None if should_stop() else owner)
                n_ended += 1
            except LostLeaseError as lost:
                say(str(lost))
                claim = None
            finally:
                beat.claim = None
    database.attempt(lambda connection: unregister_worker(connection, owner))
    return n_ended


def _enter(connection: Connection, owner: Owner, study_id: int) -> StudyRow:
    register_worker(connection, owner, study_id)
    if lease_holder(connection, coordinator_lease(study_id)) is None:
        # Nobody else takes trials back from the dead at present.
        requeue_lost(connection, study_id, blamed=True)
    return study_by_id(connection, study_id)


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


def _claim(database: Database, study_id: int, owner: Owner) -> Claim | None:
    # Idle workers only read, so that they do not keep the others from the write lock.
    if not database.fetch(lambda connection: any_waiting(connection, study_id)):
        return None
    tries = count()

    def claim(connection: Connection) -> Claim | None:
        # An answer was lost: the claim may be stored all the same.
        held = held_claim(connection, study_id, owner) if next(tries) else None
        return held or claim_next(connection, study_id, owner)

    return database.attempt(claim)


def _is_running(database: Database, study_id: int) -> bool:
    study = database.fetch(lambda connection: study_by_id(connection, study_id))
    return study.state is StudyState.RUNNING


def main() -> None:
    """Run one worker process."""
    parser = argparse.ArgumentParser(prog="python -m tunelab.execution.worker")
    parser.add_argument("--study", type=int, required=True, help="key of the study")
    arguments = parser.parse_args()
    keep_freed_memory()
    leave = threading.Event()
    obey(leave.set, hard_seconds=_GONE_SECONDS)
    try:
        # The environment limits BLAS before NumPy is loaded; this also holds where it does not.
        with threadpool_limits(limits=1):
            patience = Patience(OUTAGE_SECONDS, leave.is_set, say)
            database = open_database(database_url(), create=False, patience=patience)
            work(database, arguments.study, leave.is_set)
    except TunelabError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
