"""A study whose trials cost nothing: run for real, or written straight into its tables."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine, event, insert

from tunelab.datasets import prepare
from tunelab.execution.worker import work
from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.spec.study import StudySpec
from tunelab.storage.engine import Database
from tunelab.storage.leases import acquire_lease, coordinator_lease
from tunelab.storage.owners import Owner
from tunelab.storage.schema import open_database
from tunelab.storage.states import EndReason, TrialState
from tunelab.storage.studies import StudyRow, create_study, mark_started, study_by_id, update_study
from tunelab.storage.tables import epochs, trials
from tunelab.storage.trials import SEARCH
from tunelab.training.arrays import Floats, StateDict, TrainingData
from tunelab.training.records import EpochRecord
from tunelab.tuning.coordinator import Coordinator, Progress
from tunelab.tuning.optuna_study import OptunaStudy

N_EPOCHS = 30
_N_DISTINCT = 300  # configurations of a study that is filled
_BUNCH = 500

STUDY: dict[str, Any] = {
    "name": "overhead",
    "task": "classification",
    "data": {"source": "sklearn", "name": "iris"},
    "search": {"sampler": "random", "pruner": "median", "max_epochs": N_EPOCHS},
    "confirm": "off",
    "space": {
        "optimizer": {
            "momentum": {
                "learning_rate": {"low": 1e-3, "high": 1.0, "scale": "log"},
                "momentum": {"low": 0.5, "high": 0.99, "scale": "reverse_log"},
            },
            "nesterov": {
                "learning_rate": {"low": 1e-3, "high": 1.0, "scale": "log"},
                "momentum": {"low": 0.5, "high": 0.99, "scale": "reverse_log"},
            },
        },
        "schedule": {"step_drop": {"factor": [0.1, 0.5], "every": {"low": 5, "high": 20}}},
        "batch_size": [16, 32],
    },
}


class IdleRun:
    """Yields a falling curve whose level is the run's own, without any work.

    Args:
        level: What the loss falls to.
        n_epochs: How many epochs there are.
        epoch_seconds: How long each sleeps.
    """

    interrupted = False

    def __init__(self, level: float, n_epochs: int, epoch_seconds: float) -> None:
        self.level = level
        self._n_epochs = n_epochs
        self._epoch_seconds = epoch_seconds

    def __iter__(self) -> Iterator[EpochRecord]:
        for epoch in range(1, self._n_epochs + 1):
            if self._epoch_seconds:
                time.sleep(self._epoch_seconds)
            loss = self.level + 1 / epoch
            yield EpochRecord(epoch, loss, loss, 0.1, 1.0, self._epoch_seconds, 0.5, 0.5)

    def keep_best(self) -> None:
        """The weights are always the same."""

    def restore_best(self) -> None:
        """The weights are always the same."""

    def state_dict(self) -> StateDict:
        """There is no state."""
        return {}

    def weights(self) -> dict[str, Any]:
        """As few as can be, so that the best are kept as those of any trial."""
        return {"w": np.zeros(1, np.float32)}


@dataclass(frozen=True)
class IdleBackend:
    """A backend whose trials cost nothing but the time that they sleep."""

    epoch_seconds: float = 0.0

    def planned_rates(
        self, hyperparameters: Hyperparameters, *, max_epochs: int, n_train: int
    ) -> list[float]:
        """A constant rate."""
        del n_train
        return [hyperparameters.learning_rate] * max_epochs

    def start(
        self,
        hyperparameters: Hyperparameters,
        data: TrainingData,
        *,
        max_epochs: int,
        seed: int,
        loss: str | None,
        score: str | None,
        state: StateDict | None,
        should_stop: Callable[[], bool],
    ) -> IdleRun:
        """Start a run whose loss depends on the hyperparameters alone."""
        del data, seed, loss, score, state, should_stop
        return IdleRun(0.1 + hyperparameters.dropout_rate, max_epochs, self.epoch_seconds)

    def evaluate(
        self,
        hyperparameters: Hyperparameters,
        weights: Mapping[str, Any],
        data: TrainingData,
        *,
        loss: str | None,
        score: str,
    ) -> tuple[float, float | None]:
        """The same loss again."""
        del weights, data, loss, score
        return 0.1 + hyperparameters.dropout_rate, None

    def predict(
        self, hyperparameters: Hyperparameters, weights: Mapping[str, Any], data: TrainingData
    ) -> Floats:
        """The same for every row."""
        del hyperparameters, weights
        return np.zeros((len(data.x_validation), data.n_outputs), np.float32)


class Counter:
    """Counts statements and commits of an engine."""

    def __init__(self, engine: Engine) -> None:
        self.statements = self.commits = 0
        event.listen(engine, "before_cursor_execute", self._statement)
        event.listen(engine, "commit", self._commit)

    def _statement(self, *_: Any) -> None:
        self.statements += 1

    def _commit(self, *_: Any) -> None:
        self.commits += 1


@dataclass
class Spent:
    """CPU seconds of a part of a study, and how long it took.

    Attributes:
        cpu: Of the whole process: coordinator and worker.
        worker: Of the worker alone: what keeps a trial from training.
        wall: Seconds by the clock.
    """

    cpu: float = 0.0
    worker: float = 0.0
    wall: float = 0.0


def make_study(
    folder: Path,
    url: str,
    *,
    n_trials: int,
    sampler: str = "random",
    pruner: str = "median",
    n_filled: int = 0,
) -> tuple[Database, StudyRow]:
    """A study in a new database, ready to run.

    Args:
        folder: Where the prepared data go.
        url: Of the database.
        n_trials: The study's budget.
        sampler: The study's sampler.
        pruner: The study's pruner.
        n_filled: How many trials it has finished already.
    """
    search = {**STUDY["search"], "sampler": sampler, "pruner": pruner}
    spec = StudySpec.from_mapping({**STUDY, "search": search})
    prepared = prepare(spec.data, spec.task, folder / "data")
    spec = spec.resolve(prepared.n_train)
    database = open_database(url)
    with database.write() as connection:
        study = create_study(
            connection,
            name=spec.name,
            spec=spec.to_mapping(),
            spec_hash="",
            data_digest=prepared.digest,
            data_path=str(prepared.path),
            baseline_loss=1.1,
            n_trials=n_trials,
            timeout_seconds=None,
        )
    if n_filled:
        fill(database, study, spec, n_filled)
    return database, study


def fill(database: Database, study: StudyRow, spec: StudySpec, n_trials: int) -> None:
    """Write finished trials with their epochs, three fifths complete and two fifths pruned.

    The random sampler proposes them, whatever the study's own: TPE would take minutes. Their
    number of distinct configurations is bounded.
    """
    proposals = OptunaStudy(spec.search_space, sampler="random", seed=0, maximize=False)
    proposed = [proposals.propose() for _ in range(min(n_trials, _N_DISTINCT))]
    generator = np.random.default_rng(0)
    now = time.time() - n_trials
    for first in range(0, n_trials, _BUNCH):
        rows: list[dict[str, Any]] = []
        for number in range(first, min(first + _BUNCH, n_trials)):
            proposal = proposed[number % len(proposed)]
            pruned = number % 5 in (1, 3)
            n_epochs = 10 if pruned else N_EPOCHS
            value = float(generator.uniform(0.1, 1.0))
            rows.append(
                {
                    "study_id": study.id,
                    "kind": SEARCH,
                    "number": number,
                    "state": TrialState.FINISHED,
                    "hyperparameters": dict(proposal.hyperparameters.to_flat()),
                    "sampler_state": proposal.sampler_state,
                    "seed": number,
                    "rung_limits": {},
                    "stop_requested": False,
                    "attempts": 1,
                    "lost_leases": 0,
                    "token": 1,
                    "n_epochs": n_epochs,
                    "value": value,
                    "best_epoch": n_epochs,
                    "signal": "learning" if pruned or number % 2 else "plateau",
                    "reason": f"validation_loss {value:.4g} at epoch {n_epochs}",
                    "rung_values": {str(rung): value for rung in (10, 20) if rung <= n_epochs},
                    "end_reason": EndReason.PRUNED if pruned else EndReason.COMPLETED,
                    "created_at": now + number,
                    "started_at": now + number,
                    "ended_at": now + number + 1,
                }
            )
        with database.write() as connection:
            keys = connection.scalars(
                insert(trials).returning(trials.c.id, sort_by_parameter_order=True), rows
            ).all()
            connection.execute(
                insert(epochs),
                [
                    {
                        "trial_id": key,
                        "epoch": epoch,
                        "recorded_at": row["started_at"] + epoch / N_EPOCHS,
                        "train_loss": row["value"] + 1 / epoch,
                        "validation_loss": row["value"] + 1 / epoch,
                        "train_score": 0.5,
                        "validation_score": 0.5,
                        "learning_rate": 0.1,
                        "gradient_norm": 1.0,
                        "seconds": 1 / N_EPOCHS,
                        "signal": row["signal"],
                    }
                    for key, row in zip(keys, rows, strict=True)
                    for epoch in range(1, row["n_epochs"] + 1)
                ],
            )


def coordinate(database: Database, study: StudyRow) -> Coordinator:
    """The study's coordinator, with what it rebuilds from the tables."""
    with database.write() as connection:
        name = coordinator_lease(study.id)
        lease = acquire_lease(connection, name, Owner.this_process())
    if lease is None:
        raise RuntimeError("another process holds the lease of a study that is this one's own")
    return Coordinator(database, study, lease, n_workers=2)


def extend(database: Database, study: StudyRow, n_trials: int) -> StudyRow:
    """Give a study more trials to run."""
    with database.write() as connection:
        update_study(connection, study.id, n_trials=n_trials)
        mark_started(connection, study.id)
        return study_by_id(connection, study.id)


def run(database: Database, study: StudyRow, backend: IdleBackend | None = None) -> Spent:
    """Run a study to its end: coordinator in this thread, one worker in another."""
    coordinator = coordinate(database, study)
    spent = Spent()

    def train() -> None:
        began = time.thread_time()
        work(database, study.id, lambda: False, backend or IdleBackend())
        spent.worker = time.thread_time() - began

    worker = threading.Thread(target=train)
    cpu, wall = time.process_time(), time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):  # a worker says what it has claimed
        worker.start()
        while coordinator.tick() is Progress.RUNNING:
            time.sleep(coordinator.poll_seconds)
        worker.join()
    spent.cpu, spent.wall = time.process_time() - cpu, time.perf_counter() - wall
    return spent
