"""Claims: a waiting trial is handed to one worker, and comes back if that worker dies.

A claim is a lease on the trial's row: owner, token, expiry by database time. The token grows with
every claim, so that what a worker writes after it has lost its lease is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, select, update

from tunelab.errors import TunelabError
from tunelab.storage.checkpoints import delete_state, read_state
from tunelab.storage.clock import database_now
from tunelab.storage.leases import GRACE_SECONDS
from tunelab.storage.owners import Owner
from tunelab.storage.rungs import RungLimits
from tunelab.storage.states import EndReason, StudyState, TrialState
from tunelab.storage.tables import studies, trials
from tunelab.storage.trials import SEARCH, SEARCH_FIRST, delete_later_epochs

MAX_LOST_LEASES = 3  # a trial is tried again twice; then it has failed

# Built once: to build a statement costs more time than to execute it.
_NEXT = (
    select(trials)
    .join(studies, studies.c.id == trials.c.study_id)
    .where(
        trials.c.study_id == bindparam("of_study"),
        trials.c.state == TrialState.WAITING,
        studies.c.state == StudyState.RUNNING,
        studies.c.stop_requested.is_(False),
    )
    .order_by(*SEARCH_FIRST)
    .limit(1)
    .with_for_update(of=trials, skip_locked=True)
)
_TAKE = (
    update(trials)
    .where(
        trials.c.id == bindparam("trial"),
        # The study may have been stopped between the look and the lock.
        select(studies.c.id)
        .where(studies.c.id == trials.c.study_id, studies.c.state == StudyState.RUNNING)
        .exists(),
    )
    .values(
        state=TrialState.RUNNING,
        owner=bindparam("by"),
        expires_at=database_now() + GRACE_SECONDS,
        token=bindparam("with_token"),
        attempts=bindparam("attempt"),
        started_at=bindparam("began"),
    )
)
_ANY_WAITING = (
    select(trials.c.id)
    .where(trials.c.study_id == bindparam("of_study"), trials.c.state == TrialState.WAITING)
    .limit(1)
)


class LostLeaseError(TunelabError):
    """The trial is no longer this worker's: its lease ran out and another may have it."""


@dataclass(frozen=True)
class Death:
    """What is known about how a worker died.

    Attributes:
        cause: What it was, as in "killed by SIGABRT".
        final: Whether its trial would only end the same way again.
    """

    cause: str
    final: bool = False


def _unknown(_owner: Owner) -> Death | None:
    return None


@dataclass(frozen=True)
class Claim:
    """One trial in the hands of one worker.

    Attributes:
        trial_id: Key of the trial's row.
        study_id: Key of its study.
        number: The trial's number within the study and its kind, from 0.
        attempt: How often the trial has been claimed, this time included.
        owner: The process that holds it.
        token: Tells this claim from the trial's earlier and later ones.
        hyperparameters: The flat record.
        seed: Seed of the training run.
        limits: What the trial must reach at its rungs.
        checkpoint: Epoch and state to continue from; None to start from nothing.
        damaged: Epochs of later checkpoints that cannot be continued from.
        kind: Whether it is one of the search's or a confirm run.
        data: Path and digest of the trial's own prepared data; None: the study's.
    """

    trial_id: int
    study_id: int
    number: int
    attempt: int
    owner: str
    token: int
    hyperparameters: dict[str, Any]
    seed: int
    limits: RungLimits
    checkpoint: tuple[int, dict[str, Any]] | None
    damaged: Sequence[int] = ()
    kind: str = SEARCH
    data: tuple[str, str] | None = None


def claim_next(connection: Connection, study_id: int, owner: Owner) -> Claim | None:
    """Claim the first waiting trial; None if none waits. In a write transaction."""
    row = connection.execute(_NEXT, {"of_study": study_id}).mappings().one_or_none()
    return None if row is None else _claim(connection, row, owner)


def held_claim(connection: Connection, study_id: int, owner: Owner) -> Claim | None:
    """The claim that ``owner`` holds, for one who was not told of it; None if there is none."""
    query = select(trials).where(
        trials.c.study_id == study_id,
        trials.c.state == TrialState.RUNNING,
        trials.c.owner == str(owner),
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else _claim_of(connection, row, owner)


def give_back(connection: Connection, claim: Claim) -> None:
    """Undo a claim whose trial has not been begun. In a write transaction."""
    connection.execute(
        update(trials)
        .where(trials.c.id == claim.trial_id, trials.c.token == claim.token)
        .where(trials.c.state == TrialState.RUNNING)
        .values(
            state=TrialState.WAITING,
            owner=None,
            expires_at=None,
            attempts=claim.attempt - 1,
            **({"started_at": None} if claim.attempt == 1 else {}),
        )
    )


def _claim(connection: Connection, row: RowMapping, owner: Owner) -> Claim | None:
    values = {
        "token": row["token"] + 1,
        "attempts": row["attempts"] + 1,
        "started_at": row["started_at"] or time.time(),
    }
    taken = connection.execute(
        _TAKE,
        {
            "trial": row["id"],
            "by": str(owner),
            "with_token": values["token"],
            "attempt": values["attempts"],
            "began": values["started_at"],
        },
    )
    return _claim_of(connection, {**row, **values}, owner) if taken.rowcount == 1 else None


def _claim_of(connection: Connection, row: Mapping[Any, Any], owner: Owner) -> Claim:
    # Only a trial that was claimed before can have a checkpoint.
    checkpoint, damaged = read_state(connection, row["id"]) if row["attempts"] > 1 else (None, [])
    return Claim(
        trial_id=row["id"],
        study_id=row["study_id"],
        number=row["number"],
        attempt=row["attempts"],
        owner=str(owner),
        token=row["token"],
        hyperparameters=row["hyperparameters"],
        seed=row["seed"],
        limits=RungLimits.from_json(row["rung_limits"]),
        checkpoint=checkpoint,
        damaged=damaged,
        kind=row["kind"],
        data=None if row["data_path"] is None else (row["data_path"], row["data_digest"]),
    )


def any_waiting(connection: Connection, study_id: int) -> bool:
    """Whether a trial waits: asked by idle workers before they take the write lock."""
    return connection.execute(_ANY_WAITING, {"of_study": study_id}).first() is not None


def beat(connection: Connection, claim: Claim) -> bool:
    """Put off the claim's expiry; False if the lease is lost. In a write transaction."""
    result = connection.execute(
        update(trials)
        .where(trials.c.id == claim.trial_id, trials.c.token == claim.token)
        .where(trials.c.state == TrialState.RUNNING)
        .values(expires_at=database_now() + GRACE_SECONDS)
    )
    return result.rowcount == 1


def requeue_lost(
    connection: Connection,
    study_id: int,
    *,
    blamed: bool,
    also_silent: bool = True,
    death_of: Callable[[Owner], Death | None] = _unknown,
) -> Sequence[int]:
    """Take running trials back from workers that are dead or silent. In a write transaction.

    A trial keeps its number, hyperparameters, epochs and checkpoint and waits again.

    Args:
        connection: A write transaction.
        study_id: Key of the study.
        blamed: Whether the trial may be the cause, because its worker alone died: then one that
            has lost :data:`MAX_LOST_LEASES` workers ends as failed. False where the whole program
            was killed or the machine went down.
        also_silent: Whether to take them also from workers that may live and have not been heard
            of for the grace; not after an outage, when nobody was heard.
        death_of: Tells what a worker died of, where that is known.

    Returns:
        The numbers of the trials taken back.
    """
    taken = []
    for row in _running(connection, study_id, lock=True):
        if not _is_lost(row, also_silent=also_silent):
            continue
        taken.append(row.number)
        lost = row.lost_leases + blamed
        death = death_of(Owner.parse(row.owner))
        values: dict[str, Any] = {
            "state": TrialState.WAITING,
            "owner": None,
            "expires_at": None,
            "token": row.token + 1,
            "lost_leases": lost,
        }
        if lost >= MAX_LOST_LEASES or (death is not None and death.final):
            cause = f"{lost} workers died or fell silent while they trained this trial"
            if death is not None:
                cause = death.cause if death.final else f"{cause}; the last was {death.cause}"
            values |= {
                "state": TrialState.FINISHED,
                "end_reason": EndReason.FAILED,
                "reason": with_configuration(cause, row.hyperparameters),
                "error": cause,
                "ended_at": time.time(),
            }
            delete_state(connection, row.id)
            delete_later_epochs(connection, row.id, row.n_epochs)
        connection.execute(update(trials).where(trials.c.id == row.id).values(**values))
    return taken


def with_configuration(cause: str, hyperparameters: Mapping[str, Any]) -> str:
    """Why a trial failed, and what it was.

    >>> with_configuration("out of memory", {"units": 512, "layers": 4})
    'out of memory (with units=512 layers=4)'
    """
    shown = " ".join(f"{name}={value}" for name, value in hyperparameters.items())
    return f"{cause} (with {shown})"


def has_lost(connection: Connection, study_id: int, *, also_silent: bool = True) -> bool:
    """Whether :func:`requeue_lost` would find something: asked before the write lock is taken."""
    return any(_is_lost(row, also_silent=also_silent) for row in _running(connection, study_id))


def lost_trials(connection: Connection, study_id: int) -> list[int]:
    """The numbers of the trials that :func:`requeue_lost` would take back."""
    return [row.number for row in _running(connection, study_id) if _is_lost(row, also_silent=True)]


def _is_lost(row: Any, *, also_silent: bool) -> bool:
    return (also_silent and row.expired) or Owner.parse(row.owner).is_dead


def _running(connection: Connection, study_id: int, *, lock: bool = False) -> Sequence[Any]:
    query = (
        select(
            trials.c.id,
            trials.c.number,
            trials.c.owner,
            trials.c.token,
            trials.c.lost_leases,
            trials.c.n_epochs,
            trials.c.hyperparameters,
            (trials.c.expires_at < database_now()).label("expired"),
        )
        .where(trials.c.study_id == study_id, trials.c.state == TrialState.RUNNING)
        .order_by(trials.c.id)
    )
    # A trial whose row is locked is being written by a worker that lives: the server ends sessions
    # that are silent with a lock in their hands.
    return connection.execute(query.with_for_update(skip_locked=True) if lock else query).all()
