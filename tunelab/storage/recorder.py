"""The recorder: what one claimed trial writes, in as few transactions as its promises allow.

Epochs are buffered and written in one transaction when the oldest would become more than a second
old, when the trial ends (together with the claim of the worker's next one), and when the worker
has to leave. A checkpoint goes into the transaction of the epochs that it covers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any

from sqlalchemy import Connection, Update, bindparam, select, update

from tunelab.storage.checkpoints import (
    delete_state,
    keep_best_weights,
    keep_weights,
    pack,
    write_state,
)
from tunelab.storage.claims import Claim, LostLeaseError
from tunelab.storage.clock import database_now
from tunelab.storage.engine import Database
from tunelab.storage.inserts import Insert, insert_into
from tunelab.storage.leases import GRACE_SECONDS
from tunelab.storage.owners import Owner
from tunelab.storage.queues import Queue, StudyQueue
from tunelab.storage.rungs import RungLimits
from tunelab.storage.standings import Standing, standing
from tunelab.storage.states import EndReason, TrialState
from tunelab.storage.tables import epochs, trials
from tunelab.storage.trials import CONFIRM, delete_later_epochs
from tunelab.training.monitor import Verdict
from tunelab.training.records import EpochRecord

FLUSH_SECONDS = 1.0
CHECKPOINT_SECONDS = 5.0

Snapshot = Callable[[], dict[str, Any]]

# Built once: to build a statement costs more time than to execute it.
_CLAIMED = (
    update(trials)
    .where(trials.c.id == bindparam("claimed_id"), trials.c.token == bindparam("claimed_token"))
    .where(trials.c.state == TrialState.RUNNING)
)
_CLAIMED_AND_RENEWED = _CLAIMED.values(expires_at=database_now() + GRACE_SECONDS)


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        end_reason: Which of the ends it was.
        reason: One sentence with its numbers.
        verdict: The monitor's last verdict; None if no epoch was finished.
        best_value: The objective at the best epoch; None if it was never finite.
        rung_values: Epoch -> best value so far, at the rungs that the trial passed.
        weights: The best epoch's weights by name; empty if there are none to keep.
        error: The exception's text of a failed trial.
    """

    end_reason: EndReason
    reason: str
    verdict: Verdict | None
    best_value: float | None
    rung_values: Mapping[int, float] = field(default_factory=dict)
    weights: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


class Recorder:
    """Writes one claimed trial.

    Args:
        database: The study database.
        claim: The trial.
        maximize: Whether greater values of the objective are better.
    """

    def __init__(self, database: Database, claim: Claim, *, maximize: bool) -> None:
        self.claim = claim
        self.limits: RungLimits = claim.limits
        self._database = database
        self._maximize = maximize
        self._pending: list[dict[str, Any]] = []
        self.verdict: Verdict | None = None
        self._has_state = claim.checkpoint is not None
        self._flushed_at = self._checkpointed_at = time.monotonic()
        self._n_epochs = claim.checkpoint[0] if claim.checkpoint else 0

    def record(self, record: EpochRecord, verdict: Verdict, snapshot: Snapshot | None) -> bool:
        """Take in one finished epoch and write what is due.

        Args:
            record: The epoch.
            verdict: The monitor's verdict on it.
            snapshot: Returns the state to continue from after this epoch; called only when a
                checkpoint is due. None: nothing will continue from here.

        Returns:
            Whether the trial has been asked to end (the study's time is over).

        Raises:
            LostLeaseError: If the trial is no longer this worker's; nothing was written.
        """
        self._pending.append(_epoch_row(self.claim.trial_id, record, verdict))
        self.verdict = verdict
        self._n_epochs = record.epoch
        now = time.monotonic()
        # The next chance to write comes an epoch later: what would be too old then is due now.
        if now - self._flushed_at + record.seconds < FLUSH_SECONDS:
            return False
        checkpoint = None
        due = now - self._checkpointed_at + record.seconds >= CHECKPOINT_SECONDS
        if due and snapshot is not None:
            checkpoint = pack(snapshot())
            self._checkpointed_at = now

        def write(connection: Connection) -> bool:
            asked_to_stop = self._flush(connection)
            self._write_state(connection, checkpoint)
            return asked_to_stop

        asked_to_stop = self._database.attempt(write)
        self._written()
        return asked_to_stop

    def standing(
        self, epoch: int, best: float | None, *, metric: str, completed_only: bool
    ) -> Standing:
        """Where the trial stands at ``epoch``, a rung; see :func:`standings.standing`."""
        return self._database.fetch(
            lambda connection: standing(
                connection,
                self.claim.trial_id,
                epoch,
                best,
                metric=metric,
                maximize=self._maximize,
                completed_only=completed_only,
            )
        )

    def finish(
        self, outcome: Outcome, successor: Owner | None, queue: Queue | None = None
    ) -> Claim | None:
        """End the trial and, in the same transaction, claim the next for ``successor``.

        Args:
            outcome: How the trial ended.
            successor: Who gets the next trial; None: nobody.
            queue: Where the next trial comes from; None: from the same study.

        Returns:
            The next claim; None if none waits or ``successor`` is None.

        Raises:
            LostLeaseError: If the trial is no longer this worker's; nothing was written.
        """
        tries = count()

        def write(connection: Connection) -> Claim | None:
            again = next(tries) > 0
            # An answer was lost: the result, and the next claim, may be stored all the same.
            stored = again and self._is(connection, TrialState.FINISHED)
            if not stored:
                self._write_end(connection, outcome)
            if successor is None:
                return None
            following = queue or StudyQueue(self.claim.study_id)
            held = following.held(connection, successor) if stored else None
            return held or following.claim(connection, successor)

        return self._database.attempt(write)

    def _write_end(self, connection: Connection, outcome: Outcome) -> None:
        verdict = outcome.verdict
        self._update_trial(
            connection,
            _CLAIMED,
            state=TrialState.FINISHED,
            owner=None,
            expires_at=None,
            ended_at=time.time(),
            end_reason=outcome.end_reason,
            reason=outcome.reason,
            error=outcome.error,
            n_epochs=self._n_epochs,
            rung_values={str(rung): value for rung, value in outcome.rung_values.items()},
            **_verdict_columns(verdict),
        )
        self._insert_epochs(connection)
        if self.claim.attempt > 1:
            # An earlier attempt may have come further before it died than this one, which met
            # stricter limits at its rungs.
            delete_later_epochs(connection, self.claim.trial_id, self._n_epochs)
        if self._has_state:
            delete_state(connection, self.claim.trial_id)
        keeps = outcome.end_reason.is_complete and outcome.weights
        if not keeps or outcome.best_value is None or verdict is None:
            return
        if self.claim.kind == CONFIRM:
            keep_weights(
                connection,
                self.claim.trial_id,
                epoch=verdict.best_epoch,
                weights=dict(outcome.weights),
            )
        else:
            keep_best_weights(
                connection,
                study_id=self.claim.study_id,
                trial_id=self.claim.trial_id,
                value=outcome.best_value,
                maximize=self._maximize,
                epoch=verdict.best_epoch,
                weights=dict(outcome.weights),
            )

    def release(self, snapshot: Snapshot) -> None:
        """Give the trial back: epochs and a checkpoint are kept, and it waits for a worker again.

        Raises:
            LostLeaseError: If the trial is no longer this worker's; nothing was written.
        """
        checkpoint = pack(snapshot()) if self._n_epochs else None
        tries = count()

        def write(connection: Connection) -> None:
            if next(tries) > 0 and self._is(connection, TrialState.WAITING):
                return  # an answer was lost
            self._update_trial(
                connection,
                _CLAIMED,
                state=TrialState.WAITING,
                owner=None,
                expires_at=None,
                n_epochs=self._n_epochs,
                **_verdict_columns(self.verdict),
            )
            self._insert_epochs(connection)
            self._write_state(connection, checkpoint)

        self._database.attempt(write)
        self._written()

    def _is(self, connection: Connection, state: TrialState) -> bool:
        """Whether this claim, and no later one, has brought the trial into ``state``."""
        query = select(trials.c.id).where(
            trials.c.id == self.claim.trial_id,
            trials.c.token == self.claim.token,
            trials.c.state == state,
        )
        return connection.execute(query).first() is not None

    def _flush(self, connection: Connection) -> bool:
        self._update_trial(
            connection,
            _CLAIMED_AND_RENEWED,
            n_epochs=self._n_epochs,
            **_verdict_columns(self.verdict),
        )
        self._insert_epochs(connection)
        row = connection.execute(
            select(trials.c.stop_requested, trials.c.rung_limits).where(
                trials.c.id == self.claim.trial_id
            )
        ).one()
        self.limits = RungLimits.from_json(row.rung_limits)
        return bool(row.stop_requested)

    def _update_trial(self, connection: Connection, statement: Update, **values: Any) -> None:
        """Write to the trial's row, provided that it is still this worker's."""
        held = {"claimed_id": self.claim.trial_id, "claimed_token": self.claim.token}
        result = connection.execute(statement, {**held, **values})
        if result.rowcount != 1:
            raise LostLeaseError(
                f"trial {self.claim.number} was taken from this worker; its result is not counted"
            )

    def _insert_epochs(self, connection: Connection) -> None:
        if self._pending:
            connection.execute(_upsert_epochs(connection.dialect.name), self._pending)

    def _write_state(self, connection: Connection, checkpoint: bytes | None) -> None:
        if checkpoint is not None:
            write_state(connection, self.claim.trial_id, self._n_epochs, checkpoint)
            self._has_state = True

    def _written(self) -> None:
        self._pending.clear()
        self._flushed_at = time.monotonic()


@cache
def _upsert_epochs(dialect: str) -> Insert:
    """Epochs, where one that is trained again after a crash takes its new values.

    When it ended and how long it took stay those of the first time: MLflow may have been sent both.
    """
    statement = insert_into(dialect, epochs)
    renewed = {
        column.name: statement.excluded[column.name]
        for column in epochs.columns
        if column.name not in ("trial_id", "epoch", "recorded_at", "seconds")
    }
    return statement.on_conflict_do_update(index_elements=["trial_id", "epoch"], set_=renewed)


def _epoch_row(trial_id: int, record: EpochRecord, verdict: Verdict) -> dict[str, Any]:
    return {
        "trial_id": trial_id,
        "epoch": record.epoch,
        "recorded_at": time.time(),
        "train_loss": _finite(record.train_loss),
        "validation_loss": _finite(record.validation_loss),
        "train_score": _finite(record.train_score),
        "validation_score": _finite(record.validation_score),
        "learning_rate": record.learning_rate,
        "gradient_norm": _finite(record.gradient_norm),
        "seconds": record.seconds,
        "signal": str(verdict.signal),
        "suspicion": None if verdict.suspicion is None else str(verdict.suspicion),
    }


def _verdict_columns(verdict: Verdict | None) -> dict[str, Any]:
    if verdict is None:
        return {}
    return {
        "value": verdict.best_value,
        "best_epoch": verdict.best_epoch or None,
        "signal": str(verdict.signal),
        "onset": verdict.onset,
        "gap": verdict.gap,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
