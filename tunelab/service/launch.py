"""From a study file to a study that can run: prepare the data, create the study or find it again.

``study start`` on a name that exists goes on with it. Its budget may change: by an option, or by
the study file where its own number has changed; a budget that an option set once stays otherwise.
Whatever would change its meaning is refused with the differences, and ``--new`` starts another
generation.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from tunelab.datasets import PreparedData, find_prepared, load_training_data, prepare
from tunelab.datasets.remote import fetch, put
from tunelab.errors import (
    DataError,
    MissingDataFileError,
    NoCompletedTrialError,
    NotFoundError,
    StudyConflictError,
    UsageError,
)
from tunelab.service.summary import summarize
from tunelab.spec.grid import count_cells
from tunelab.spec.sections import BUDGET
from tunelab.spec.study import StudySpec, differences
from tunelab.spec.study_file import StudyDocument
from tunelab.spec.tables import GRID
from tunelab.storage.engine import Database
from tunelab.storage.leases import coordinator_lease, lease_holder
from tunelab.storage.schema import open_database
from tunelab.storage.states import Executor, StudyState
from tunelab.storage.studies import (
    StudyRow,
    create_study,
    find_study,
    get_study,
    mark_started,
    study_by_id,
    update_study,
)
from tunelab.storage.study_data import data_cache, data_store
from tunelab.training.arrays import TrainingData
from tunelab.training.losses import baseline_loss
from tunelab.training.metrics import METRICS, baseline_score
from tunelab.tuning.flatness import FLAT


def launch(
    database_url: str,
    document: StudyDocument,
    *,
    n_trials: int | None = None,
    timeout_seconds: float | None = None,
    new: bool = False,
    executor: Executor = Executor.LOCAL,
    share: bool = True,
) -> tuple[Database, StudyRow, bool]:
    """Make the study of a study file ready to run.

    Args:
        database_url: Of the study database, which is created if it is missing.
        document: The study file.
        n_trials: Total number of trials; goes before the file's ``search.trials``.
        timeout_seconds: Total running time; goes before the file's ``search.timeout``.
        new: Start another generation even if the latest could go on.
        executor: Who runs it. Of a study that exists, only ``EXTERNAL`` is noted: it is handed over
            to the service, and counts as running from here on.
        share: Whether to put the prepared data into the data store, if there is one.

    Returns:
        The open database, the study's row, and whether there is anything left to run.

    Raises:
        StudyFileError: If the study asks for more than the data have.
        DataError: If the data cannot be used.
        StudyConflictError: If the study exists with another meaning.
        DatabaseError: If the database cannot be opened or written.
        DiskError: If the prepared data, or the data store, cannot be written.
    """
    spec = document.spec
    store = data_store() if share else None
    database = Database(database_url)
    database.check_place()
    ready = _ready(
        database, spec, lambda n_train: document.resolve(n_train, n_trials=n_trials), n_trials
    )
    resolved, prepared = ready.spec, ready.prepared
    if store is not None:
        put(prepared, store)
    database = open_database(database_url)
    with database.write() as connection:
        study = None if new else find_study(connection, spec.name)
        if study is None:
            study = ready.create(
                connection, executor, n_trials=n_trials, timeout_seconds=timeout_seconds
            )
            return database, study, True
        _refuse_changes(study, resolved, prepared, database)
        now, then = resolved.search, StudySpec.from_mapping(study.spec).search
        trials_changed = now.trials != then.trials
        timeout_changed = now.timeout_seconds != then.timeout_seconds
        update_study(
            connection,
            study.id,
            spec=resolved.to_mapping(),
            n_trials=n_trials or (resolved.n_trials if trials_changed else study.n_trials),
            timeout_seconds=timeout_seconds
            or (now.timeout_seconds if timeout_changed else study.timeout_seconds),
            data_path=str(prepared.path),
        )
        study = study_by_id(connection, study.id)
        has_more = _has_more(study, summarize(connection, study).n_finished)
        if executor is Executor.EXTERNAL and has_more:
            study = _hand_over(connection, study)
    return database, study, has_more


def launch_generation(
    database: Database, spec: StudySpec, settle: Callable[[Connection, StudyRow], None]
) -> StudyRow:
    """Create the next generation of a study, for the service to run, with the data as they are now.

    Args:
        database: The open study database.
        spec: The study, not resolved.
        settle: Called in the transaction that creates the study; what it raises undoes that.

    Raises:
        StudyFileError: If the study asks for more than the data have.
        DataError: If the data cannot be used.
        MissingDataFileError: If they are gone.
        DatabaseError: If the database cannot be written.
        DiskError: If the prepared data, or the data store, cannot be written.
    """
    store = data_store()
    ready = _ready(database, spec, spec.resolve)
    if store is not None:
        put(ready.prepared, store)
    with database.write() as connection:
        study = ready.create(connection, Executor.EXTERNAL)
        settle(connection, study)
    return study


@dataclass(frozen=True)
class _Ready:
    """A study that can run: resolved, and its data prepared."""

    spec: StudySpec
    prepared: PreparedData
    baseline: float

    def create(
        self,
        connection: Connection,
        executor: Executor,
        *,
        n_trials: int | None = None,
        timeout_seconds: float | None = None,
    ) -> StudyRow:
        return create_study(
            connection,
            executor=executor,
            name=self.spec.name,
            spec=self.spec.to_mapping(),
            spec_hash=_spec_hash(self.spec),
            data_digest=self.prepared.digest,
            data_path=str(self.prepared.path),
            baseline_loss=self.baseline,
            n_trials=n_trials or self.spec.n_trials,
            timeout_seconds=timeout_seconds or self.spec.search.timeout_seconds,
        )


def _ready(
    database: Database,
    spec: StudySpec,
    resolve: Callable[[int], StudySpec],
    n_trials: int | None = None,
) -> _Ready:
    def check(prepared: PreparedData) -> None:
        resolved = resolve(prepared.n_train)
        _check_metric(resolved, load_training_data(prepared))
        if resolved.search.sampler == GRID and n_trials is not None:
            _check_grid(resolved, n_trials)

    # A study that cannot run leaves no data, and nothing in the database.
    prepared = prepare(spec.data, spec.task, database.home / "data", check)
    baseline = baseline_loss(load_training_data(prepared), spec.objective.loss)
    return _Ready(resolve(prepared.n_train), prepared, baseline)


def _hand_over(connection: Connection, study: StudyRow) -> StudyRow:
    """Let the service go on with a study that exists."""
    if study.executor is not Executor.EXTERNAL and (
        lease_holder(connection, coordinator_lease(study.id)) is not None
    ):
        raise StudyConflictError(
            f"{study.title} is run by `tunelab study start` at present",
            hint=f"`tunelab study stop {study.name}` first, or --new for another generation",
        )
    update_study(connection, study.id, executor=Executor.EXTERNAL)
    if study.state is not StudyState.RUNNING:
        mark_started(connection, study.id)
    return study_by_id(connection, study.id)


def relaunch(database_url: str, name: str) -> tuple[Database, StudyRow, bool]:
    """Make a study that exists ready to go on, without its file.

    Raises:
        NotFoundError: If there is no such study.
        DataError: If its data can no longer be prepared.
    """
    database = open_database(database_url, create=False)
    with database.read() as connection:
        study = get_study(connection, name)
        n_finished = summarize(connection, study).n_finished
    spec = StudySpec.from_mapping(study.spec)
    # What was prepared is the study's data, whatever has become of the file they came from.
    prepared = _stored(study, database)
    if prepared is None and (store := data_store()) is not None:
        with contextlib.suppress(DataError):
            # Others need the folder's name alone, so where it was prepared stays noted.
            fetch(store, Path(study.data_path).name, study.data_digest, data_cache(database))
            return database, study, _has_more(study, n_finished)
    if prepared is None:
        prepared = _prepared_again(study, spec, database)
        _refuse_changes(study, spec, prepared, database)
    if (store := data_store()) is not None:
        put(prepared, store)
    with database.write() as connection:
        update_study(connection, study.id, data_path=str(prepared.path))
        study = study_by_id(connection, study.id)
    return database, study, _has_more(study, n_finished)


def launch_confirmation(
    database_url: str, name: str, *, n_finalists: int | None = None, n_seeds: int | None = None
) -> tuple[Database, StudyRow]:
    """Make a study that has finished ready for its confirm stage, be it the first or another.

    What was trained for an earlier one counts as it is; the test split is opened again.

    Args:
        database_url: Of the study database.
        name: The study.
        n_finalists: In the place of what the study says; None: as it says.
        n_seeds: Likewise.

    Raises:
        NotFoundError: If there is no such study.
        UsageError: If it has not finished.
        NoCompletedTrialError: If not one of its trials completed.
        DataError: If its data can no longer be prepared.
    """
    with closing(open_database(database_url, create=False)) as database, database.read() as reader:
        study = get_study(reader, name)
    if study.state is not StudyState.FINISHED:
        raise UsageError(
            f"{study.title} has not finished",
            hint=f"`tunelab study resume {study.name}` goes on with it, and confirms what it finds",
        )
    database, study, _ = relaunch(database_url, name)
    check_result(database, study.id)
    spec = StudySpec.from_mapping(study.spec)
    given = {"finalists": n_finalists, "seeds": n_seeds, "enabled": True}
    update = {key: value for key, value in given.items() if value is not None}
    spec = spec.model_copy(update={"confirm": spec.confirm.model_copy(update=update)})
    with database.write() as connection:
        update_study(connection, study.id, spec=spec.to_mapping(), confirmed=None)
        return database, study_by_id(connection, study.id)


def check_result(database: Database, study_id: int) -> None:
    """Raise if a finished study has nothing to show.

    Raises:
        NoCompletedTrialError: If not one of its trials completed.
    """
    with database.read() as connection:
        summary = summarize(connection, study_by_id(connection, study_id))
    if summary.study.state is StudyState.FINISHED and summary.best is None:
        raise NoCompletedTrialError(
            f"{summary.study.title} has finished, and none of its {summary.n_finished} trials "
            "completed",
            hint=f"`tunelab study trials {summary.study.name}` tells why each one ended",
        )


def _check_metric(spec: StudySpec, data: TrainingData) -> None:
    """Raise if the objective has no value on the validation rows, whatever is predicted."""
    metric = spec.objective.metric
    if metric in METRICS and math.isnan(baseline_score(metric, data)):
        raise DataError(
            f"{metric} cannot be computed from these {len(data.x_validation)} validation rows: "
            f"it needs {'two classes' if data.n_classes else 'two rows'}",
            hint="make data.split.validation larger, or choose another objective.metric",
        )


def _check_grid(spec: StudySpec, n_trials: int) -> None:
    n_cells = count_cells(spec.search_space)
    if n_cells is not None and n_trials > n_cells:
        raise UsageError(
            f"search.trials: must be at most {n_cells}, the cells of the grid, got {n_trials}"
        )


def _has_more(study: StudyRow, n_finished: int) -> bool:
    if study.state is not StudyState.FINISHED:
        return True
    spec = StudySpec.from_mapping(study.spec)
    if spec.search.stop_when_flat and (study.end_reason or "").startswith(FLAT):
        return False  # more trials alone do not undo it; switching the rule off does
    timeout = study.timeout_seconds
    return n_finished < study.n_trials and (timeout is None or study.running_seconds < timeout)


def _spec_hash(spec: StudySpec) -> str:
    """Hash of all that may not change while a study goes on."""
    mapping = spec.to_mapping()
    mapping.pop("description", None)
    mapping.pop("confirm", None)
    mapping.pop("sweep", None)
    mapping["data"].pop("path", None)
    mapping["search"] = {
        key: mapping["search"][key] for key in mapping["search"] if key not in BUDGET
    }
    return hashlib.sha256(json.dumps(mapping, sort_keys=True).encode()).hexdigest()


def _prepared_again(study: StudyRow, spec: StudySpec, database: Database) -> PreparedData:
    try:
        return prepare(spec.data, spec.task, database.home / "data")
    except MissingDataFileError as error:
        hint = f"what was prepared at the start of {study.title} is gone: bring its data back"
        raise NotFoundError(error.message, hint=hint) from error


def _stored(study: StudyRow, database: Database) -> PreparedData | None:
    """The study's data as they were prepared at its start; None if they are gone."""
    # The folder may have moved with the project.
    prepared = find_prepared(database.home / "data" / Path(study.data_path).name)
    return prepared if prepared and prepared.digest == study.data_digest else None


def _refuse_changes(
    study: StudyRow, spec: StudySpec, prepared: PreparedData, database: Database
) -> None:
    then = StudySpec.from_mapping(study.spec)
    changes = differences(then, spec)
    hint = "give the study another name, or start a new generation of it with --new"
    if (then.sweep is None) != (spec.sweep is None) and then.data.split != spec.data.split:
        hint += f"; or keep the rows where they are by data.split.method: {then.data.split.method}"
    if prepared.digest != study.data_digest:
        before = _stored(study, database)
        counts = f": {_rows(before)} -> {_rows(prepared)}" if before is not None else ""
        changes.append(f"the rows of the data{counts}")
        if before is not None and len(changes) == 1:
            hint += f"; `tunelab study resume {study.name}` goes on with the rows it began with"
    if changes:
        listed = "".join(f"\n    {change}" for change in changes)
        raise StudyConflictError(
            f"{study.title} exists and was started differently:{listed}", hint=hint
        )


def _rows(prepared: PreparedData) -> str:
    return f"{prepared.n_train + prepared.n_validation + prepared.n_test:,} ({prepared.digest[:8]})"
