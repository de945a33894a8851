"""What a trial costs besides its training: commits, SQL statements and CPU time, counted.

A backend that does nothing runs 30 epochs a trial, with 12 hyperparameters, the median pruner and
the random sampler. Coordinator and worker run as threads of this process, so that its CPU time and
its database events are all there is; the mirror runs afterwards, as the process that it is.
Optuna's own database storage, doing the same with MLflow left out, is the peer::

    python benchmarks/overhead.py [--trials 200] [--no-mirror] [--no-peer]

Counts are exact. CPU times depend on the machine: compare the ratio.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine, event

from tunelab.datasets import prepare
from tunelab.execution.worker import work
from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.spec.study import StudySpec
from tunelab.storage.engine import Database
from tunelab.storage.leases import acquire_lease, coordinator_lease
from tunelab.storage.location import DATABASE_URL_VARIABLE
from tunelab.storage.owners import Owner
from tunelab.storage.schema import open_database
from tunelab.storage.studies import StudyRow, create_study
from tunelab.training.arrays import StateDict, TrainingData
from tunelab.training.records import EpochRecord
from tunelab.tuning.coordinator import Coordinator, Progress

N_EPOCHS = 30

STUDY: dict[str, Any] = {
    "name": "overhead",
    "task": "classification",
    "data": {"source": "sklearn", "name": "iris"},
    "search": {"sampler": "random", "pruner": "median", "max_epochs": N_EPOCHS},
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
    """Yields a falling curve whose level is the run's own, without any work."""

    interrupted = False

    def __init__(self, level: float, n_epochs: int) -> None:
        self._level = level
        self._n_epochs = n_epochs

    def __iter__(self) -> Iterator[EpochRecord]:
        for epoch in range(1, self._n_epochs + 1):
            loss = self._level + 1 / epoch
            yield EpochRecord(epoch, loss, loss, 0.1, 1.0, 1e-5, 0.5, 0.5)

    def keep_best(self) -> None:
        """There are no weights."""

    def restore_best(self) -> None:
        """There are no weights."""

    def state_dict(self) -> StateDict:
        """There is no state."""
        return {}

    def weights(self) -> dict[str, Any]:
        """There are none."""
        return {}


class IdleBackend:
    """A backend whose trials cost nothing."""

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
        return IdleRun(0.1 + hyperparameters.dropout_rate, max_epochs)


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


def make_study(folder: Path, n_trials: int) -> tuple[Database, StudyRow]:
    """A study in a new database, ready to run."""
    spec = StudySpec.from_mapping(STUDY)
    prepared = prepare(spec.data, spec.task, folder / "data")
    spec = spec.resolve(prepared.n_train)
    database = open_database(f"sqlite:///{folder / 'tunelab.db'}")
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
    return database, study


def run_tunelab(database: Database, study: StudyRow) -> None:
    """Coordinator in this thread, one worker in another."""
    with database.write() as connection:
        name = coordinator_lease(study.id)
        lease = acquire_lease(connection, name, Owner.this_process())
    if lease is None:
        raise RuntimeError("another process holds the lease of a study in a new database")
    coordinator = Coordinator(database, study, lease, n_workers=2)
    worker = threading.Thread(target=work, args=(database, study.id, _never, IdleBackend()))
    worker.start()
    while coordinator.tick() is Progress.RUNNING:
        time.sleep(coordinator.poll_seconds)
    worker.join()


def _never() -> bool:
    return False


def run_optuna(folder: Path, n_trials: int) -> Engine:
    """The same with Optuna's own SQLite storage, reporting at the rungs only."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'optuna.db'}")
    study = optuna.create_study(
        storage=storage,
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.MedianPruner(5, 10, n_min_trials=3),
    )
    global _optuna_counter
    _optuna_counter = Counter(storage.engine)
    for _ in range(n_trials):
        trial = study.ask()
        levels = [trial.suggest_float(f"hyperparameter_{i}", 0.0, 0.5) for i in range(12)]
        value = pruned = None
        for epoch in (10, 20):
            value = levels[0] + 1 / epoch
            trial.report(value, epoch)
            if trial.should_prune():
                pruned = optuna.trial.TrialState.PRUNED
                break
        study.tell(trial, None if pruned else value, state=pruned)
    return storage.engine


_optuna_counter: Counter


def mirror_cpu_seconds(folder: Path, database: Database, study: StudyRow) -> float:
    """CPU time of one mirror process that sends the whole study, less that of an empty start."""
    environment = {
        **os.environ,
        DATABASE_URL_VARIABLE: str(database.url),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
    }
    spent = []
    for _ in range(2):  # the second finds everything sent: that is what a start costs
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "tunelab.service.mirror", "--study", str(study.id)],
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=folder,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return spent[0] - spent[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved with the peer's")
    parser.add_argument("--no-mirror", action="store_true")
    parser.add_argument("--no-peer", action="store_true")
    arguments = parser.parse_args()
    n = arguments.trials
    ours, peers = [], []
    for round_ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            database, study = make_study(folder, n)
            counter = Counter(database.engine)
            cpu, wall = time.process_time(), time.perf_counter()
            run_tunelab(database, study)
            ours.append((time.process_time() - cpu) / n * 1e3)
            wall = time.perf_counter() - wall
            if round_ == 0:
                print(f"{n} trials of {N_EPOCHS} epochs, {n / wall:.0f} trials/s")
                print(f"commits a trial      {counter.commits / n:8.2f}")
                print(f"statements a trial   {counter.statements / n:8.2f}")
                if not arguments.no_mirror:
                    _create_tracking(folder)
                    milliseconds = mirror_cpu_seconds(folder, database, study) / n * 1e3
                    print(f"mirror CPU a trial   {milliseconds:8.2f} ms")
            if not arguments.no_peer:
                cpu = time.process_time()
                run_optuna(folder, n)
                peers.append((time.process_time() - cpu) / n * 1e3)
                if round_ == 0:
                    print(
                        f"Optuna's storage     {_optuna_counter.commits / n:8.2f} commits, "
                        f"{_optuna_counter.statements / n:.2f} statements a trial"
                    )
    print(f"CPU a trial          {np.median(ours):8.2f} ms (median of {len(ours)})")
    if peers:
        ratio = np.median(peers) / np.median(ours)
        print(f"Optuna's storage     {np.median(peers):8.2f} ms, {ratio:.1f} times ours")


def _create_tracking(folder: Path) -> None:
    """MLflow's first migration is no trial's cost."""
    from tunelab.service.mirror.tracking_database import ensure_database

    ensure_database(f"sqlite:///{folder / 'mlflow.db'}")


if __name__ == "__main__":
    main()
