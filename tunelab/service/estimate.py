"""A study tried out without being started: in a folder that is gone afterwards.

The rehearsal takes the way of ``study start`` up to the first trial, so what it accepts can run. An
epoch is timed in a process of its own, with one BLAS thread, as workers have it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tunelab.datasets import PreparedData, load_training_data, open_prepared
from tunelab.errors import TunelabError
from tunelab.execution.backends import BACKENDS
from tunelab.execution.trial import Task
from tunelab.service.advice import Rows
from tunelab.service.children import Child
from tunelab.service.resolved_launch import launch_with
from tunelab.service.stop import available_cores
from tunelab.service.summary import effective_spec
from tunelab.spec.default_space import default_configuration
from tunelab.spec.overrides import Override
from tunelab.spec.study import StudySpec
from tunelab.spec.study_file import StudyDocument
from tunelab.storage.engine import Database
from tunelab.storage.location import database_url
from tunelab.storage.schema import open_database
from tunelab.storage.studies import StudyRow, study_by_id

_START_SECONDS = 2.0  # until workers have loaded their libraries; a busy machine takes longer
_TIMED_SECONDS = 0.5
_MOST_EPOCHS = 20


@dataclass(frozen=True)
class Estimate:
    """How long a study takes if every trial uses its whole budget.

    Attributes:
        epoch_seconds: One epoch of the default configuration.
        n_workers: Worker processes.
        seconds: The whole study, at most, its confirm stage included; the timeout bounds the
            search alone.
    """

    epoch_seconds: float
    n_workers: int
    seconds: float


@dataclass(frozen=True)
class Rehearsal:
    """What a study would be.

    Attributes:
        document: The study file with its settings.
        spec: The same, resolved, with the budget in force.
        data: Counts and names of the prepared data, whose folder is gone.
        rows: What advice needs of them.
        estimate: If it was asked for.
    """

    document: StudyDocument
    spec: StudySpec
    data: PreparedData
    rows: Rows
    estimate: Estimate | None


def rehearse(path: Path, settings: Sequence[Override], *, timed: bool) -> Rehearsal:
    """Do all that ``study start`` does before the first trial, and leave nothing of it.

    Args:
        path: The study file.
        settings: What goes before it.
        timed: Whether to train an epoch of the default configuration.

    Raises:
        TunelabError: If the study cannot be started as it is.
    """
    with tempfile.TemporaryDirectory(prefix="tunelab-") as folder:
        launched = launch_with(
            f"sqlite:///{folder}/tunelab.db", path, settings, new=True, share=False
        )
        with closing(launched.database):
            spec = effective_spec(launched.study)
            data = open_prepared(Path(launched.study.data_path))
            estimate = None
            if timed:
                seconds = _timed_epoch(launched.database, launched.study)
                n_workers = launched.n_workers or spec.search.workers or available_cores()
                estimate = _estimate(spec, seconds, n_workers)
            return Rehearsal(launched.document, spec, data, _rows(data), estimate)


def _rows(data: PreparedData) -> Rows:
    arrays = load_training_data(data)
    counts = {}
    if data.class_names:
        n = len(data.class_names)
        per_part = [
            np.bincount(labels.astype(np.intp), minlength=n).tolist()
            for labels in (arrays.y_train, arrays.y_validation)
        ]
        counts = dict(zip(data.class_names, zip(*per_part, strict=True), strict=True))
    return Rows(data.n_train, data.n_validation, counts, data.notes)


def _estimate(spec: StudySpec, epoch_seconds: float, n_workers: int) -> Estimate:
    # More workers than cores, or than trials, make nothing faster.
    side_by_side = min(n_workers, available_cores(), spec.n_trials)
    trial_seconds = epoch_seconds * spec.search.max_epochs
    seconds = trial_seconds * spec.n_trials / side_by_side + _START_SECONDS
    timeout = spec.search.timeout_seconds
    if timeout is not None:
        seconds = min(seconds, timeout)
    n_confirm = spec.confirm.most_runs  # the study's time does not bound them
    if n_confirm:
        seconds += trial_seconds * n_confirm / min(n_workers, available_cores(), n_confirm)
    return Estimate(epoch_seconds, n_workers, seconds)


def _timed_epoch(database: Database, study: StudyRow) -> float:
    log = database.home / "logs" / "estimate.log"
    child = Child("tunelab.service.estimate", [str(study.id)], database, log)
    try:
        code = child.process.wait()
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if code or not said:
            cause = said[-1] if said else f"exit code {code}"
            raise TunelabError(f"the default configuration cannot be trained: {cause}")
        return float(said[-1])
    finally:
        child.order_to_leave()
        child.kill()


def time_epoch(study: StudyRow) -> float:
    """Train the default configuration for some epochs; the seconds of one."""
    spec = StudySpec.from_mapping(study.spec)
    task = Task(
        spec=spec,
        data=load_training_data(open_prepared(Path(study.data_path))),
        baseline_loss=study.baseline_loss,
        backend=BACKENDS[spec.backend](),
    )
    run = task.backend.start(
        default_configuration(spec.search_space),
        task.data,
        max_epochs=spec.search.max_epochs,
        seed=spec.search.seed,
        loss=spec.objective.loss,
        score=task.score,
        state=None,
        should_stop=lambda: False,
    )
    seconds = []
    started = before = time.perf_counter()
    for _ in run:
        now = time.perf_counter()
        seconds.append(now - before)
        before = now
        if now - started > _TIMED_SECONDS or len(seconds) == _MOST_EPOCHS:
            break
    # The first epoch also pays for what is done once, as long as there is another.
    return float(np.median(seconds[1:] or seconds))


def main() -> None:
    """Print the seconds of one epoch of the study whose key is the only argument."""
    try:
        with closing(open_database(database_url(), create=False)) as database:
            with database.read() as connection:
                study = study_by_id(connection, int(sys.argv[1]))
            print(time_epoch(study))
    except TunelabError as error:
        sys.exit(str(error))
    except MemoryError:
        sys.exit("it needs more memory than there is; make space.units or space.layers smaller")


if __name__ == "__main__":
    main()
