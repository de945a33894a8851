"""Trials whose steps are so large that their losses are soon no numbers."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Iterable, Sequence

from benchmarks.faults.accounts import disagreements, row, unfinished
from benchmarks.faults.place import Place, listen
from tests.service.conftest import Folder
from tunelab.service.launch import launch
from tunelab.spec.space import Space
from tunelab.spec.study import StudySpec
from tunelab.spec.study_file import read_study_file
from tunelab.storage.rungs import RungLimits
from tunelab.storage.schema import open_database
from tunelab.storage.states import EndReason
from tunelab.storage.trials import (
    EpochRow,
    NewTrial,
    TrialRow,
    insert_trials,
    study_curves,
    study_trials,
)
from tunelab.tuning.optuna_study import OptunaStudy
from tunelab.tuning.samplers import trial_seed

_STUDY = """\
name: small
task: classification
data: {source: sklearn, name: digits}
search: {trials: TRIALS, max_epochs: 20, seed: 3}
confirm: off
"""
_LEARNING_RATE = 1e9
_SOUND = 10  # trials that the sampler proposes afterwards
_CLIPPED = 1e300  # MLflow stores an infinity as 1.8e308; a loss in float32 cannot come so far


def divergence(place: Place, times: int) -> str:
    """``times`` trials at a learning rate of 1e9, then some that are the sampler's own.

    No study file may name such a rate: the trials are put into the study's table, as a coordinator
    puts them there, and the program goes on with the study.
    """
    folder = place.folder(times, mirrored=True)
    folder.study_file.write_text(_STUDY.replace("TRIALS", str(times + _SOUND)))
    space = _insert(folder, times)
    process = folder.start("--workers", "2")
    _, errors = listen(process).result(timeout=1800)
    folder.tunelab("tracking", "sync", timeout=600)  # the mirror may have run out of time
    trials, epochs = _stored(folder)
    given = trials[:times]
    ends = [trial.end_reason for trial in given]
    with_gaps = {epoch.trial_id for epoch in epochs if epoch.validation_loss is None}
    diverged = [trial for trial in trials if trial.end_reason is EndReason.DIVERGED]
    best = folder.json("study", "show", "small")["best"]["value"]
    return row(
        f"{ends.count(EndReason.DIVERGED)} of {times} diverged, "
        f"{ends.count(EndReason.PRUNED)} pruned, exit {process.returncode}",
        not_finite_in_database=_not_finite(_numbers([*trials, *epochs])),
        not_finite_in_optuna=_not_finite(_told_to_optuna(space, trials)),
        not_finite_in_mlflow=_not_finite_in_mlflow(folder),
        best_not_finite=_not_finite([best]),
        epoch_not_named=sum(f"epoch {t.n_epochs}" not in (t.reason or "") for t in diverged),
        not_called_diverged=len(with_gaps - {trial.id for trial in diverged}),
        failed=sum(trial.end_reason is EndReason.FAILED for trial in trials),
        unfinished=unfinished(folder),
        tracebacks=errors.count("Traceback"),
        **disagreements(folder),
    )


def _insert(folder: Folder, n_trials: int) -> Space:
    """Create the study, and in it trials of all kinds that wait, each with the enormous rate."""
    with contextlib.chdir(folder.path):
        database, study, _ = launch(_url(folder), read_study_file(folder.study_file))
    space = StudySpec.from_mapping(study.spec).search_space
    optuna = OptunaStudy(space, sampler="random", seed=0, maximize=False)
    new = []
    for number in range(n_trials):
        proposal = optuna.propose()
        flat = proposal.hyperparameters.to_flat() | {"learning_rate": _LEARNING_RATE}
        seed = trial_seed(0, number)
        new.append(NewTrial(number, flat, proposal.sampler_state, seed, RungLimits()))
    with database.write() as connection:
        insert_trials(connection, study.id, new)
    database.close()
    return space


def _stored(folder: Folder) -> tuple[list[TrialRow], list[EpochRow]]:
    database = open_database(_url(folder), create=False)
    with contextlib.closing(database), database.read() as connection:
        trials = study_trials(connection, 1)
        curves = study_curves(connection, {trial.id: 0 for trial in trials})
    return trials, [epoch for curve in curves.values() for epoch in curve]


def _url(folder: Folder) -> str:
    default = f"sqlite:///{folder.path / 'tunelab.db'}"
    return folder.variables.get("TUNELAB_DATABASE_URL", default)


def _numbers(rows: Sequence[TrialRow | EpochRow]) -> Iterable[float]:
    for item in rows:
        yield from (value for value in vars(item).values() if isinstance(value, float))
        if isinstance(item, TrialRow):
            yield from (item.rung_values or {}).values()


def _told_to_optuna(space: Space, trials: Sequence[TrialRow]) -> Iterable[float]:
    """Every value that Optuna has once it knows the trials and their ends."""
    optuna = OptunaStudy(space, sampler="random", seed=0, maximize=False)
    for trial in trials:
        optuna.restore(trial)
        optuna.tell(trial)
    for told in optuna.trials:
        yield from told.values or ()
        yield from told.intermediate_values.values()


def _not_finite(numbers: Iterable[float]) -> int:
    return sum(not math.isfinite(number) for number in numbers)


def _not_finite_in_mlflow(folder: Folder) -> int:
    query = "SELECT count(*) FROM {} WHERE is_nan OR abs(value) > ? OR value IS NULL"
    with contextlib.closing(sqlite3.connect(folder.path / "mlflow.db")) as mlflow:
        tables = ("metrics", "latest_metrics")
        counts = [mlflow.execute(query.format(table), (_CLIPPED,)).fetchone() for table in tables]
    return sum(int(count) for (count,) in counts)
