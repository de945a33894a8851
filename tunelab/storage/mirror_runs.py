"""What MLflow has been sent: which run stands for which study or trial, and how far it is.

``mirror_runs.sent`` says of a trial whether its run was left open (``running``), ended because
the study was stopped (``stopped at`` and when) or for good (``finished``); of a study it holds a
document of the mirror's own. ``last_epoch`` of a study counts the trials whose results its run
shows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, func, insert, or_, select, update

from tunelab.storage.states import StudyState, TrialState
from tunelab.storage.studies import StudyRow
from tunelab.storage.tables import mirror_runs, studies, trials
from tunelab.storage.trials import SEARCH, SEARCH_FIRST

RUNNING = "running"
FINISHED = "finished"


def open_or_stopped(study: StudyRow) -> str:
    """What the run of a trial that has not ended is sent: it is open while its study runs."""
    return RUNNING if study.state is StudyState.RUNNING else f"stopped at {study.ended_at}"


@dataclass(frozen=True)
class MirrorRun:
    """One run in MLflow and what it has been sent (see the module's docstring).

    ``trial_id`` is None for the run that stands for the study.
    """

    study_id: int
    trial_id: int | None
    tracking_uri: str
    experiment_id: str
    run_id: str
    last_epoch: int
    sent: str


def study_run(connection: Connection, study_id: int, tracking_uri: str) -> MirrorRun | None:
    """The run that stands for the study at ``tracking_uri``; None if there is none yet."""
    return _one(connection, _runs(study_id, tracking_uri).where(mirror_runs.c.trial_id.is_(None)))


def trial_runs(
    connection: Connection, study_id: int, tracking_uri: str, trial_ids: Iterable[int]
) -> dict[int, MirrorRun]:
    """The runs of the given trials at ``tracking_uri``, by the trials' keys."""
    keys = list(trial_ids)
    query = _runs(study_id, tracking_uri).where(mirror_runs.c.trial_id.in_(keys))
    rows = [_run(row) for row in connection.execute(query).mappings()] if keys else []
    return {row.trial_id: row for row in rows if row.trial_id is not None}


def all_runs(connection: Connection, study_id: int, tracking_uri: str) -> list[MirrorRun]:
    """Every run of the study that is remembered at ``tracking_uri``: its own and its trials'."""
    return [_run(row) for row in connection.execute(_runs(study_id, tracking_uri)).mappings()]


def latest_study_run(
    connection: Connection, tracking_uri: str, name: str | None = None
) -> MirrorRun | None:
    """The run of the latest study at ``tracking_uri``; None if there is none yet.

    Args:
        connection: A transaction.
        tracking_uri: Where the runs are.
        name: Of the study, to look at its generations alone.
    """
    columns = [mirror_runs.c[column] for column in MirrorRun.__dataclass_fields__]
    query = (
        select(*columns)
        .where(mirror_runs.c.tracking_uri == tracking_uri, mirror_runs.c.trial_id.is_(None))
        .order_by(mirror_runs.c.study_id.desc())
        .limit(1)
    )
    if name is not None:
        own = select(studies.c.id).where(studies.c.name == name)
        query = query.where(mirror_runs.c.study_id.in_(own))
    return _one(connection, query)


def trials_behind(
    connection: Connection, study: StudyRow, tracking_uri: str, *, limit: int
) -> list[int]:
    """Keys of the trials whose runs lack something: the search's first, in order of numbers.

    Args:
        connection: A transaction.
        study: The study as it stands: trials that wait have open runs only while it runs.
        tracking_uri: Where the runs are.
        limit: How many keys at most.
    """
    query = _behind(select(trials.c.id), study, tracking_uri)
    return list(connection.scalars(query.order_by(*SEARCH_FIRST).limit(limit)))


def count_behind(connection: Connection, study: StudyRow, tracking_uri: str) -> int:
    """How many trials :func:`trials_behind` would name without a limit."""
    query = _behind(select(func.count()).select_from(trials), study, tracking_uri)
    return connection.scalar(query) or 0


def oldest_start(connection: Connection, study_id: int, tracking_uri: str) -> float | None:
    """When the first of the study's trials that have no run yet was started."""
    run = mirror_runs.c
    own = and_(run.trial_id == trials.c.id, run.tracking_uri == tracking_uri)
    query = (
        select(func.min(trials.c.started_at))
        .select_from(trials)
        .outerjoin(mirror_runs, own)
        .where(trials.c.study_id == study_id, trials.c.attempts > 0, run.id.is_(None))
    )
    found: float | None = connection.scalar(query)
    return found


def last_end(connection: Connection, study_id: int) -> float | None:
    """When the latest of the study's finished trials ended; None while there is none."""
    query = select(func.max(trials.c.ended_at)).where(
        trials.c.study_id == study_id,
        trials.c.kind == SEARCH,
        trials.c.state == TrialState.FINISHED,
    )
    found: float | None = connection.scalar(query)
    return found


def remember(connection: Connection, run: MirrorRun) -> None:
    """Store what a run has been sent, replacing what was known of it. In a write transaction."""
    changed = connection.execute(
        update(mirror_runs)
        .where(mirror_runs.c.run_id == run.run_id)
        .values(last_epoch=run.last_epoch, sent=run.sent)
    )
    if changed.rowcount == 0:
        connection.execute(insert(mirror_runs).values(**vars(run)))


def forget(connection: Connection, run_ids: Iterable[str]) -> None:
    """Forget single runs: they are looked for and sent anew. In a write transaction."""
    for run_id in run_ids:
        connection.execute(delete(mirror_runs).where(mirror_runs.c.run_id == run_id))


def forget_runs(connection: Connection, study_id: int, tracking_uri: str) -> None:
    """Forget the study's runs, because they are gone from MLflow. In a write transaction."""
    connection.execute(
        delete(mirror_runs).where(
            mirror_runs.c.study_id == study_id, mirror_runs.c.tracking_uri == tracking_uri
        )
    )


def _behind(query: Select[Any], study: StudyRow, tracking_uri: str) -> Select[Any]:
    run = mirror_runs.c
    own = and_(run.trial_id == trials.c.id, run.tracking_uri == tracking_uri)
    finished = trials.c.state == TrialState.FINISHED
    return query.outerjoin(mirror_runs, own).where(
        trials.c.study_id == study.id,
        trials.c.attempts > 0,
        or_(
            run.id.is_(None),
            and_(finished, run.sent != FINISHED),
            and_(~finished, run.sent != open_or_stopped(study)),
            trials.c.n_epochs > run.last_epoch,
        ),
    )


def _runs(study_id: int, tracking_uri: str) -> Select[Any]:
    return select(*[mirror_runs.c[name] for name in MirrorRun.__dataclass_fields__]).where(
        mirror_runs.c.study_id == study_id, mirror_runs.c.tracking_uri == tracking_uri
    )


def _one(connection: Connection, query: Select[Any]) -> MirrorRun | None:
    row = connection.execute(query).mappings().first()
    return None if row is None else _run(row)


def _run(row: Any) -> MirrorRun:
    return MirrorRun(**row)
