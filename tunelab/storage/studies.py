"""Studies: created once per generation, found by name, started, stopped, finished, deleted."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, delete, func, insert, select, update

from tunelab.errors import NotFoundError, nearest
from tunelab.storage.checkpoints import delete_state
from tunelab.storage.confirmed import Confirmation
from tunelab.storage.gate import GateDecision
from tunelab.storage.locks import hold
from tunelab.storage.states import CANCELLED, TIME_OVER, EndReason, Executor, StudyState, TrialState
from tunelab.storage.tables import studies, trials
from tunelab.storage.trials import SEARCH, delete_later_epochs

_LONGEST_GENERATION = 9  # digits; SQLite and PostgreSQL refuse greater integers in their own ways


@dataclass(frozen=True)
class StudyRow:
    """One generation of a study, as it stands in its table (see ``tables.py`` for the columns)."""

    id: int
    name: str
    generation: int
    state: StudyState
    executor: Executor
    spec: Mapping[str, Any]
    spec_hash: str
    data_digest: str
    data_path: str
    baseline_loss: float
    n_trials: int
    timeout_seconds: float | None
    running_seconds: float
    stop_requested: bool
    end_reason: str | None
    created_at: float
    started_at: float | None
    ended_at: float | None
    confirmed: Mapping[str, Any] | None = None
    gate: Mapping[str, Any] | None = None

    @property
    def title(self) -> str:
        """Name and generation, as people write them: ``digits #7``."""
        return f"{self.name} #{self.generation}"

    @property
    def reference(self) -> str:
        """The same in one word, as commands take it: ``digits#7``."""
        return f"{self.name}#{self.generation}"

    @property
    def follows_earlier(self) -> bool:
        """Whether it follows on earlier generations: one of a sweep that the service runs."""
        return self.executor is Executor.EXTERNAL and self.spec.get("sweep") is not None

    @property
    def confirmation(self) -> Confirmation | None:
        """What its confirm stage came to; None while it has not."""
        return None if self.confirmed is None else Confirmation.from_json(self.confirmed)

    @property
    def decision(self) -> GateDecision | None:
        """How its model fared against the champion; None while that is not decided."""
        return None if self.gate is None else GateDecision.from_json(self.gate)


def find_study(connection: Connection, name: str, generation: int | None = None) -> StudyRow | None:
    """The study ``name``: the given generation, or the latest; None if there is none."""
    query = select(studies).where(studies.c.name == name)
    if generation is not None:
        query = query.where(studies.c.generation == generation)
    return _one(connection, query.order_by(studies.c.generation.desc()).limit(1))


def get_study(connection: Connection, name: str) -> StudyRow:
    """The study that ``name`` means: ``digits`` is the latest generation, ``digits#7`` the 7th.

    Raises:
        NotFoundError: If there is none; the message names those that there are.
    """
    bare, mark, suffix = name.replace(" ", "").partition("#")
    row = None
    if not mark or (suffix.isdecimal() and len(suffix) <= _LONGEST_GENERATION):
        row = find_study(connection, bare, int(suffix) if mark else None)
    if row is not None:
        return row
    names = connection.scalars(select(studies.c.name).distinct().order_by(studies.c.name)).all()
    if not names:
        raise NotFoundError(
            f"no study {name!r}; there are none yet",
            hint="`tunelab study start FILE` starts one",
        )
    close = nearest(bare, names)
    raise NotFoundError(
        f"no study {name!r}; there are: {', '.join(names)}",
        hint=f"did you mean {close!r}?" if close and close != bare else None,
    )


def earlier_study(connection: Connection, study: StudyRow) -> StudyRow | None:
    """The generation before this one, as far as there is one still."""
    query = select(studies).where(
        studies.c.name == study.name, studies.c.generation < study.generation
    )
    return _one(connection, query.order_by(studies.c.generation.desc()).limit(1))


def study_by_id(connection: Connection, study_id: int) -> StudyRow:
    """The study with this key.

    Raises:
        NotFoundError: If it has been deleted.
    """
    row = _one(connection, select(studies).where(studies.c.id == study_id))
    if row is None:
        raise NotFoundError("the study has been deleted")
    return row


def all_studies(connection: Connection) -> list[StudyRow]:
    """Every study, newest first."""
    rows = connection.execute(select(studies).order_by(studies.c.created_at.desc())).mappings()
    return [_row(row) for row in rows]


@dataclass(frozen=True)
class Standing:
    """How a study stands, without what it is."""

    id: int
    state: StudyState
    executor: Executor
    ended_at: float | None


def standings(connection: Connection) -> list[Standing]:
    """How every study stands, the oldest first: cheap, for those who look often."""
    columns = (studies.c[name] for name in Standing.__dataclass_fields__)
    query = select(*columns).order_by(studies.c.id)
    return [Standing(*row) for row in connection.execute(query)]


def running_studies(connection: Connection, executor: Executor) -> list[StudyRow]:
    """The studies that say that they run, by who is to run them, the oldest first."""
    query = select(studies).where(
        studies.c.state == StudyState.RUNNING, studies.c.executor == executor
    )
    return [_row(row) for row in connection.execute(query.order_by(studies.c.id)).mappings()]


def create_study(
    connection: Connection, *, executor: Executor = Executor.LOCAL, **values: Any
) -> StudyRow:
    """Insert the next generation of ``values["name"]`` and return it. In a write transaction.

    Args:
        connection: A write transaction, so that no two generations get one number.
        executor: Who runs it.
        **values: name, spec, spec_hash, data_digest, data_path, baseline_loss, n_trials and
            timeout_seconds.
    """
    hold(connection, f"study {values['name']}")
    latest = connection.scalar(
        select(func.max(studies.c.generation)).where(studies.c.name == values["name"])
    )
    result = connection.execute(
        insert(studies).values(
            generation=(latest or 0) + 1,
            state=StudyState.RUNNING,
            executor=executor,
            running_seconds=0.0,
            stop_requested=False,
            created_at=time.time(),
            **values,
        )
    )
    (key,) = result.inserted_primary_key or (None,)
    return study_by_id(connection, int(key or 0))


def update_study(connection: Connection, study_id: int, **values: Any) -> None:
    """Set columns of a study's row. In a write transaction."""
    connection.execute(update(studies).where(studies.c.id == study_id).values(**values))


def delete_study(connection: Connection, study_id: int) -> None:
    """Delete a study with its trials, epochs and checkpoints. In a write transaction."""
    connection.execute(delete(studies).where(studies.c.id == study_id))


def mark_started(connection: Connection, study_id: int) -> None:
    """Note that the study runs (again), and take back orders to end. In a write transaction."""
    connection.execute(
        update(studies)
        .where(studies.c.id == study_id)
        .values(
            state=StudyState.RUNNING,
            stop_requested=False,
            end_reason=None,
            ended_at=None,
            started_at=func.coalesce(studies.c.started_at, time.time()),
        )
    )
    # Trials that were given back after the study's time had ended: it may have got more.
    connection.execute(
        update(trials)
        .where(trials.c.study_id == study_id, trials.c.stop_requested)
        .where(trials.c.state != TrialState.FINISHED)
        .values(stop_requested=False)
    )


def mark_led(connection: Connection, study_id: int, *, is_open: bool) -> None:
    """Note whether the service's workers are to train a study that ``study start`` leads.

    One that was submitted stays the service's, whoever leads it for now. In a write transaction.
    """
    connection.execute(
        update(studies)
        .where(studies.c.id == study_id, studies.c.executor != Executor.EXTERNAL)
        .values(executor=Executor.OPEN if is_open else Executor.LOCAL)
    )


def mark_ended(
    connection: Connection,
    study_id: int,
    state: StudyState,
    *,
    end_reason: str,
    running_seconds: float,
) -> None:
    """Note that the study was stopped or has finished. In a write transaction."""
    update_study(
        connection,
        study_id,
        state=state,
        stop_requested=False,
        end_reason=end_reason,
        ended_at=time.time(),
        running_seconds=running_seconds,
    )


def cancel_study(connection: Connection, study: StudyRow) -> None:
    """Stop a study without asking its processes. In a write transaction.

    Its trials are taken from their workers, whose results are refused from here on, and wait
    again with the last checkpoint that was stored.
    """
    mark_ended(
        connection,
        study.id,
        StudyState.STOPPED,
        end_reason=CANCELLED,
        running_seconds=study.running_seconds,
    )
    take_all_back(connection, [study.id])


def take_all_back(connection: Connection, study_ids: Sequence[int]) -> None:
    """Take these studies' trials from their workers, whoever those are. In a write transaction."""
    _hold_unfinished(connection, study_ids)
    connection.execute(
        update(trials)
        .where(trials.c.study_id.in_(study_ids), trials.c.state == TrialState.RUNNING)
        .values(state=TrialState.WAITING, owner=None, expires_at=None, token=trials.c.token + 1)
    )


def end_trials(connection: Connection, study_id: int) -> None:
    """The search's time is over: no trial begins any more, and those that run are asked to end.

    Trials that nobody ever claimed are deleted; those that wait to be continued end as they are.
    In a write transaction.
    """
    of_study = (trials.c.study_id == study_id) & (trials.c.kind == SEARCH)
    waiting = of_study & (trials.c.state == TrialState.WAITING)
    _hold_unfinished(connection, [study_id])
    connection.execute(delete(trials).where(waiting, trials.c.attempts == 0))
    for row in connection.execute(select(trials.c.id, trials.c.n_epochs).where(waiting)).all():
        delete_state(connection, row.id)
        delete_later_epochs(connection, row.id, row.n_epochs)
    connection.execute(
        update(trials)
        .where(waiting)
        .values(
            state=TrialState.FINISHED,
            end_reason=EndReason.PRUNED,
            reason=TIME_OVER,
            ended_at=time.time(),
        )
    )
    connection.execute(
        update(trials)
        .where(of_study, trials.c.state == TrialState.RUNNING)
        .values(stop_requested=True)
    )


def _hold_unfinished(connection: Connection, study_ids: Sequence[int]) -> None:
    """From here on no trial of these studies is claimed, finished or given back."""
    connection.execute(
        select(trials.c.id)
        .where(trials.c.study_id.in_(study_ids), trials.c.state != TrialState.FINISHED)
        .order_by(trials.c.id)
        .with_for_update()
    )


def data_in_use(
    connection: Connection, study_ids: Sequence[int] | None = None
) -> set[tuple[str, str]]:
    """Folder and digest of all prepared data that studies and their confirm runs refer to.

    Args:
        connection: A transaction.
        study_ids: Which studies; None: all.
    """
    of_studies = select(studies.c.data_path, studies.c.data_digest)
    of_trials = select(trials.c.data_path, trials.c.data_digest).where(
        trials.c.data_path.is_not(None)
    )
    if study_ids is not None:
        of_studies = of_studies.where(studies.c.id.in_(study_ids))
        of_trials = of_trials.where(trials.c.study_id.in_(study_ids))
    return {(path, digest) for path, digest in connection.execute(of_studies.union(of_trials))}


def _one(connection: Connection, query: Select[Any]) -> StudyRow | None:
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _row(row)


def _row(row: RowMapping) -> StudyRow:
    return StudyRow(
        **{**row, "state": StudyState(row["state"]), "executor": Executor(row["executor"])}
    )
