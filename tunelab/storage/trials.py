"""Trials and epochs as they are read: by the coordinator, the mirror and the command line."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, delete, func, select, update

from tunelab.storage.inserts import insert_into
from tunelab.storage.rungs import RungLimits
from tunelab.storage.states import EndReason, TrialState
from tunelab.storage.tables import epochs, mirror_runs, trials

SEARCH = "trial"  # the kind of the trials that a search proposes
CONFIRM = "confirm"  # and of those that train its finalists again


@dataclass(frozen=True)
class TrialRow:
    """One trial, as it stands in its table (see ``tables.py`` for the columns)."""

    id: int
    study_id: int
    number: int
    state: TrialState
    hyperparameters: Mapping[str, Any]
    sampler_state: Mapping[str, Any]
    rung_values: Mapping[str, float] | None
    attempts: int
    n_epochs: int
    value: float | None
    best_epoch: int | None
    signal: str | None
    onset: int | None
    gap: float | None
    reason: str | None
    end_reason: EndReason | None
    error: str | None
    started_at: float | None
    ended_at: float | None
    kind: str = SEARCH
    confirms: int | None = None
    repeat: int | None = None
    seed: int = 0
    data_path: str | None = None
    data_digest: str | None = None

    @property
    def seconds(self) -> float | None:
        """From its first claim to its end; None before that."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at


@dataclass(frozen=True)
class EpochRow:
    """One epoch of one trial; None stands for a number that was not finite."""

    trial_id: int
    epoch: int
    recorded_at: float
    train_loss: float | None
    validation_loss: float | None
    train_score: float | None
    validation_score: float | None
    learning_rate: float
    gradient_norm: float | None
    seconds: float
    signal: str
    suspicion: str | None = None


SEARCH_FIRST = (trials.c.kind.desc(), trials.c.number)  # "trial" stands before "confirm"
_TRIAL_COLUMNS = [trials.c[field.name] for field in fields(TrialRow)]
_EPOCH_COLUMNS = [epochs.c[field.name] for field in fields(EpochRow)]


@dataclass(frozen=True)
class NewTrial:
    """A trial that the coordinator hands to the workers."""

    number: int
    hyperparameters: Mapping[str, Any]
    sampler_state: Mapping[str, Any]
    seed: int
    limits: RungLimits
    kind: str = SEARCH
    confirms: int | None = None
    repeat: int | None = None
    data_path: str | None = None
    data_digest: str | None = None


def insert_trials(connection: Connection, study_id: int, new: Sequence[NewTrial]) -> None:
    """Add waiting trials; those that are there already stay as they are. In a write transaction."""
    now = time.time()
    statement = insert_into(connection.dialect.name, trials)
    connection.execute(
        statement.on_conflict_do_nothing(index_elements=["study_id", "kind", "number"]),
        [
            {
                "study_id": study_id,
                "kind": trial.kind,
                "number": trial.number,
                "confirms": trial.confirms,
                "repeat": trial.repeat,
                "data_path": trial.data_path,
                "data_digest": trial.data_digest,
                "state": TrialState.WAITING,
                "hyperparameters": dict(trial.hyperparameters),
                "sampler_state": dict(trial.sampler_state),
                "seed": trial.seed,
                "rung_limits": trial.limits.to_json(),
                "stop_requested": False,
                "attempts": 0,
                "lost_leases": 0,
                "token": 0,
                "n_epochs": 0,
                "created_at": now,
            }
            for trial in new
        ],
    )


def drop_unclaimed(
    connection: Connection, study_id: int, kind: str, *, but: Iterable[int] = ()
) -> None:
    """Delete trials that nobody has begun, all ``but`` those numbers. In a write transaction."""
    connection.execute(
        delete(trials).where(
            trials.c.study_id == study_id,
            trials.c.kind == kind,
            trials.c.state == TrialState.WAITING,
            trials.c.attempts == 0,
            trials.c.number.not_in(list(but)),
        )
    )


def move_data(connection: Connection, moved: Iterable[tuple[int, str]]) -> None:
    """Note where the same data of trials lie now: keys and paths. In a write transaction."""
    for trial_id, path in moved:
        connection.execute(update(trials).where(trials.c.id == trial_id).values(data_path=path))


def train_again(connection: Connection, trial_id: int) -> None:
    """Let a finished trial wait, to be trained from its beginning. In a write transaction."""
    connection.execute(
        update(trials)
        .where(trials.c.id == trial_id, trials.c.state == TrialState.FINISHED)
        .values(state=TrialState.WAITING, end_reason=None, ended_at=None, stop_requested=False)
    )
    # It ends at another time: MLflow is to be told.
    connection.execute(
        update(mirror_runs).where(mirror_runs.c.trial_id == trial_id).values(sent="running")
    )


def study_trials(
    connection: Connection,
    study_id: int,
    *,
    states: Iterable[TrialState] | None = None,
    numbers: Iterable[int] | None = None,
    from_number: int = 0,
    kind: str = SEARCH,
) -> list[TrialRow]:
    """The search's trials in order of their numbers, or those of another kind, as asked."""
    query = select(*_TRIAL_COLUMNS).where(trials.c.study_id == study_id, trials.c.kind == kind)
    if states is not None:
        query = query.where(trials.c.state.in_(list(states)))
    if from_number:
        query = query.where(trials.c.number >= from_number)
    if numbers is not None:
        query = query.where(trials.c.number.in_(list(numbers)))
    return _trial_rows(connection, query.order_by(trials.c.number))


def trials_by_id(connection: Connection, trial_ids: Iterable[int]) -> list[TrialRow]:
    """The trials with these keys, of whatever kind: the search's first, in order of numbers."""
    query = select(*_TRIAL_COLUMNS).where(trials.c.id.in_(list(trial_ids)))
    return _trial_rows(connection, query.order_by(*SEARCH_FIRST))


def latest_number(connection: Connection, study_id: int) -> int | None:
    """The number of the trial that was proposed last; None if there is none."""
    query = select(func.max(trials.c.number)).where(
        trials.c.study_id == study_id, trials.c.kind == SEARCH
    )
    number: int | None = connection.scalar(query)
    return number


@dataclass(frozen=True)
class TrialsAlike:
    """How many trials have a state, an end reason and a signal in common.

    Attributes:
        state: Their state.
        end_reason: Why they ended; None for trials that have not.
        signal: The monitor's; None where it had said nothing.
        n_trials: How many they are.
        n_epochs: How many epochs they have trained together.
    """

    state: TrialState
    end_reason: EndReason | None
    signal: str | None
    n_trials: int
    n_epochs: int


def count_trials_alike(
    connection: Connection, study_id: int, *, kind: str = SEARCH
) -> list[TrialsAlike]:
    """The search's trials, counted: whatever is to be known of their numbers, in one pass."""
    alike = (trials.c.state, trials.c.end_reason, trials.c.signal)
    query = (
        select(*alike, func.count(), func.sum(trials.c.n_epochs))
        .where(trials.c.study_id == study_id, trials.c.kind == kind)
        .group_by(*alike)
        .order_by(*alike)
    )
    return [
        TrialsAlike(
            TrialState(state), None if end is None else EndReason(end), signal, n_trials, n_epochs
        )
        for state, end, signal, n_trials, n_epochs in connection.execute(query)
    ]


def count_trials(connection: Connection, study_id: int) -> dict[str, int]:
    """How many trials there are of each state and, of the finished, of each end reason."""
    return count_states(count_trials_alike(connection, study_id))


def count_states(groups: Iterable[TrialsAlike]) -> dict[str, int]:
    """How many trials there are of each state and, of the finished, of each end reason."""
    counts = dict.fromkeys([*TrialState, *EndReason], 0)
    for group in groups:
        counts[group.state] += group.n_trials
        if group.end_reason is not None:
            counts[group.end_reason] += group.n_trials
    return {str(name): count for name, count in counts.items()}


def best_trial(connection: Connection, study_id: int, *, maximize: bool) -> TrialRow | None:
    """The complete trial with the best value, the earliest among equals; None if none is."""
    rows = _trial_rows(connection, _best_first(study_id, maximize=maximize).limit(1))
    return rows[0] if rows else None


def best_trials(connection: Connection, study_id: int, n: int, *, maximize: bool) -> list[TrialRow]:
    """The complete trials with the best values, the best first, ``n`` at most.

    Of trials with equal hyperparameters the best stands for all.
    """
    best: list[TrialRow] = []
    for row in connection.execute(_best_first(study_id, maximize=maximize)).mappings():
        if len(best) == n:
            break
        trial = _trial_row(row)
        if all(trial.hyperparameters != other.hyperparameters for other in best):
            best.append(trial)
    return best


def _best_first(study_id: int, *, maximize: bool) -> Select[Any]:
    return (
        select(*_TRIAL_COLUMNS)
        .where(
            trials.c.study_id == study_id,
            trials.c.kind == SEARCH,
            trials.c.end_reason.in_([reason for reason in EndReason if reason.is_complete]),
            trials.c.value.is_not(None),
        )
        .order_by(trials.c.value.desc() if maximize else trials.c.value, trials.c.number)
    )


def set_rung_limits(connection: Connection, study_id: int, limits: RungLimits) -> None:
    """Give every trial of the search that runs or waits new limits. In a write transaction."""
    connection.execute(
        update(trials)
        .where(trials.c.study_id == study_id, trials.c.state != TrialState.FINISHED)
        .where(trials.c.kind == SEARCH)
        .values(rung_limits=limits.to_json())
    )


def delete_later_epochs(connection: Connection, trial_id: int, n_epochs: int) -> None:
    """Delete what an earlier attempt did beyond the trial's end. In a write transaction."""
    connection.execute(
        delete(epochs).where(epochs.c.trial_id == trial_id, epochs.c.epoch > n_epochs)
    )


def trial_curve(connection: Connection, trial_id: int, *, after_epoch: int = 0) -> list[EpochRow]:
    """A trial's epochs after ``after_epoch``, in order."""
    return study_curves(connection, {trial_id: after_epoch})[trial_id]


def study_curves(
    connection: Connection, after_epoch: Mapping[int, int]
) -> dict[int, list[EpochRow]]:
    """The epochs of several trials, each from behind its own epoch, in order.

    Args:
        connection: A transaction.
        after_epoch: Trial key -> last epoch that is known already.
    """
    curves: dict[int, list[EpochRow]] = {trial_id: [] for trial_id in after_epoch}
    if not curves:
        return curves
    query = (
        select(*_EPOCH_COLUMNS)
        .where(epochs.c.trial_id.in_(list(curves)), epochs.c.epoch > min(after_epoch.values()))
        .order_by(epochs.c.trial_id, epochs.c.epoch)
    )
    for row in connection.execute(query):
        if row.epoch > after_epoch[row.trial_id]:
            curves[row.trial_id].append(EpochRow(*row))
    return curves


def _trial_rows(connection: Connection, query: Select[Any]) -> list[TrialRow]:
    return [_trial_row(row) for row in connection.execute(query).mappings()]


def _trial_row(row: RowMapping) -> TrialRow:
    end_reason = row["end_reason"]
    return TrialRow(
        **{
            **row,
            "state": TrialState(row["state"]),
            "end_reason": None if end_reason is None else EndReason(end_reason),
        }
    )
