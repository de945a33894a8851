"""A study as an Optuna database, which ``optuna-dashboard`` and Optuna itself open.

Optuna's own ``add_trials`` takes 50 ms of CPU for each trial, in a transaction of its own. Here the
rows of its tables are made by its own models and written in one transaction: 500 trials take about
a second, and whoever opens the database sees the whole study or nothing of it. The models are
private to Optuna; a test reads what they wrote through its public interface.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from tunelab.errors import DatabaseError, UsageError
from tunelab.spec.sections import ObjectiveSpec
from tunelab.storage.files import new_file
from tunelab.storage.foreign import ForeignDatabase

_OWN_TABLE = "version_info"  # every Optuna database has it
_MARK = "tunelab"  # the attribute that says whose export a study is
_OF_TRIAL = (
    models.TrialUserAttributeModel,
    models.TrialSystemAttributeModel,
    models.TrialParamModel,
    models.TrialValueModel,
    models.TrialIntermediateValueModel,
    models.TrialHeartbeatModel,
)


def write_optuna(
    database: ForeignDatabase,
    name: str,
    trials: Sequence[FrozenTrial],
    objective: ObjectiveSpec,
    identity: Mapping[str, Any],
) -> None:
    """Write a study to an Optuna database, whole or not at all.

    Args:
        database: Where; a file or a schema that is missing is made.
        name: The study's name there. An earlier export of the same study is replaced.
        trials: In order of their numbers.
        objective: Says the direction.
        identity: What tells this study from all others, as JSON values.

    Raises:
        UsageError: If the database is none of Optuna's, or has another study of that name.
        DatabaseError: If it cannot be written.
        DiskError: If its file cannot be made.
    """
    if database.path is not None and not database.path.exists():
        with new_file(database.path) as part:
            _write(database.moved_to(part), name, trials, objective, identity)
        return
    tables = database.tables()
    if tables and _OWN_TABLE not in tables:
        raise UsageError(
            f"{database.place} is no Optuna database: it has other tables, such as {min(tables)}",
            hint="name a database of its own: --optuna sqlite:///optuna.db",
        )
    _write(database, name, trials, objective, identity)


def _write(
    database: ForeignDatabase,
    name: str,
    trials: Sequence[FrozenTrial],
    objective: ObjectiveSpec,
    identity: Mapping[str, Any],
) -> None:
    with database.errors_named(), _session(database) as session:
        study = models.StudyModel.find_by_name(name, session)
        if study is not None:
            _delete_export(session, study, database, identity)
        study = models.StudyModel(study_name=name)
        session.add(study)
        session.flush()
        direction = StudyDirection[objective.direction.upper()]
        session.add(
            models.StudyDirectionModel(study_id=study.study_id, direction=direction, objective=0)
        )
        mark = {"study": dict(identity), "trials": len(trials)}
        session.add(
            models.StudyUserAttributeModel(
                study_id=study.study_id, key=_MARK, value_json=json.dumps(mark)
            )
        )
        rows: list[Any] = [
            models.TrialModel(
                study_id=study.study_id,
                number=number,
                state=trial.state,
                datetime_start=trial.datetime_start,
                datetime_complete=trial.datetime_complete,
            )
            for number, trial in enumerate(trials)
        ]
        session.add_all(rows)
        session.flush()
        keys = [row.trial_id for row in rows]
        for model, entries in _entries(keys, trials):
            session.bulk_insert_mappings(model, entries)


@contextmanager
def _session(database: ForeignDatabase) -> Iterator[Any]:
    """One transaction in Optuna's tables, which are made if there are none."""
    try:
        storage = RDBStorage(database.url)
    except RuntimeError as error:  # another version's tables
        raise DatabaseError(f"{database.place}: {error}") from error
    try:
        with storage.scoped_session() as session:
            session.begin()
            yield session
            session.commit()
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _delete_export(
    session: Any,
    study: Any,
    database: ForeignDatabase,
    identity: Mapping[str, Any],
) -> None:
    """Make room for the same study's new export; what anybody else made stays."""
    marks = {
        str(row.key): json.loads(str(row.value_json))
        for row in models.StudyUserAttributeModel.where_study_id(study.study_id, session)
    }
    mark = marks.get(_MARK)
    own = session.query(models.TrialModel).filter(models.TrialModel.study_id == study.study_id)
    if not isinstance(mark, dict) or mark.get("study") != dict(identity):
        reason = "that is no export of this one"
    elif own.count() != mark.get("trials"):
        reason = "whose trials have been added to since it was exported"
    else:
        keys = own.with_entities(models.TrialModel.trial_id)
        for model in _OF_TRIAL:
            session.query(model).filter(model.trial_id.in_(keys)).delete(synchronize_session=False)
        own.delete(synchronize_session=False)
        session.delete(study)
        session.flush()
        return
    raise UsageError(
        f"{database.place} has a study {study.study_name!r} {reason}",
        hint="name another database, or delete that study: optuna delete-study",
    )


def _entries(
    keys: Sequence[int], trials: Sequence[FrozenTrial]
) -> Iterator[tuple[type[Any], list[dict[str, Any]]]]:
    """The rows that hang on trials, by their tables."""
    paired = list(zip(keys, trials, strict=True))
    yield (
        models.TrialParamModel,
        [
            {
                "trial_id": key,
                "param_name": name,
                "param_value": trial.distributions[name].to_internal_repr(value),
                "distribution_json": distribution_to_json(trial.distributions[name]),
            }
            for key, trial in paired
            for name, value in trial.params.items()
        ],
    )
    yield (
        models.TrialValueModel,
        [
            {
                "trial_id": key,
                "objective": 0,
                "value": trial.value,
                "value_type": models.TrialValueModel.TrialValueType.FINITE,
            }
            for key, trial in paired
            if trial.value is not None
        ],
    )
    yield (
        models.TrialIntermediateValueModel,
        [
            {
                "trial_id": key,
                "step": step,
                "intermediate_value": value,
                "intermediate_value_type": (
                    models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE
                ),
            }
            for key, trial in paired
            for step, value in trial.intermediate_values.items()
        ],
    )
    yield (
        models.TrialUserAttributeModel,
        [
            {"trial_id": key, "key": name, "value_json": json.dumps(value)}
            for key, trial in paired
            for name, value in trial.user_attrs.items()
        ],
    )
