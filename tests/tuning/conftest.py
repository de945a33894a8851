"""A small search space, and a study that a scripted worker trains in this process."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from tunelab.datasets import PreparedData, prepare
from tunelab.spec.study import StudySpec
from tunelab.storage.claims import Claim, claim_next
from tunelab.storage.engine import Database
from tunelab.storage.leases import Lease, acquire_lease
from tunelab.storage.owners import Owner
from tunelab.storage.recorder import Outcome, Recorder
from tunelab.storage.schema import open_database
from tunelab.storage.states import EndReason
from tunelab.storage.studies import StudyRow, create_study, study_by_id
from tunelab.storage.tables import leases, trials
from tunelab.storage.trials import TrialRow, study_trials
from tunelab.training.monitor import Signal, Verdict
from tunelab.training.records import EpochRecord
from tunelab.tuning import coordinator as coordinator_module
from tunelab.tuning.coordinator import Coordinator, Progress

HERE = Owner.this_process()
DEAD = replace(HERE, started="0")
LEASE = "coordinator"

SPACE = {
    "optimizer": {
        "sgd": {"learning_rate": {"low": 1e-3, "high": 1.0, "scale": "log"}},
        "nesterov": {
            "learning_rate": {"low": 1e-3, "high": 1.0, "scale": "log"},
            "momentum": {"low": 0.5, "high": 0.99, "scale": "reverse_log"},
        },
        "adam": {"learning_rate": {"low": 1e-4, "high": 3e-2, "scale": "log"}},
    },
    "schedule": {
        "constant": {},
        "step_drop": {"factor": [0.1, 0.5], "every": {"low": 5, "high": 20}},
    },
    "layers": {"low": 1, "high": 4},
    "units": {"low": 16, "high": 512, "scale": "log"},
    "dropout_rate": {"low": 0.0, "high": 0.5, "step": 0.1},
    "l2": {"low": 1e-7, "high": 1e-2, "scale": "log", "optional": True},
}
MAX_EPOCHS = 40


def study_spec(confirm: Any = "off", space: Any = None, **search: Any) -> StudySpec:
    mapping = {
        "name": "small",
        "task": "classification",
        "data": {"source": "sklearn", "name": "iris"},
        "objective": {"metric": search.pop("metric", "validation_loss")},
        "search": {
            "pruner": {"startup_trials": 3, "warm_up_epochs": 5, "min_trials": 2},
            "max_epochs": MAX_EPOCHS,
            "seed": 3,
            **search,
        },
        "space": space or SPACE,
        "confirm": confirm,
    }
    return StudySpec.from_mapping(mapping).resolve(1000)


def same_configuration(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """Whether two flat configurations are equal; 1 - (1 - x) is x only up to rounding."""
    return list(left) == list(right) and all(
        value == right[name] or math.isclose(value, right[name], rel_tol=1e-9, abs_tol=2e-16)
        for name, value in left.items()
    )


class Clock:
    """Stands in for the coordinator's time module; goes only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def curve(hyperparameters: dict[str, Any]) -> Iterator[float]:
    """The best values so far of a made-up training run, epochs 1, 2 ...: all of one shape."""
    rate = math.log10(hyperparameters["learning_rate"])
    end = 0.2 + 0.1 * (rate + 2.3) ** 2 + 0.05 * hyperparameters["layers"]
    end += 0.1 * abs(hyperparameters["dropout_rate"] - 0.2)
    speed = 0.05 + 0.2 / hyperparameters["layers"]
    for epoch in range(1, MAX_EPOCHS + 1):
        yield end + math.exp(-speed * epoch)


def scripted_end(claim: Claim) -> EndReason | None:
    """How some configurations end whatever happens; the others train until they are pruned."""
    units = claim.hyperparameters["units"]
    if claim.hyperparameters["learning_rate"] > 0.4:
        return EndReason.DIVERGED
    if units % 11 == 3:
        return EndReason.FAILED
    return EndReason.EARLY_STOPPED if units % 3 == 0 else None


class Worker:
    """Trains in as many calls as it is asked for, with the real claims and the real recorder."""

    def __init__(self, study: SearchedStudy) -> None:
        self._study = study
        self.claim: Claim | None = None
        self._due: Outcome | None = None

    def step(self) -> bool:
        """Claim a trial, or train and finish the one it has; false if there is none."""
        if self.claim is None:
            with self._study.database.write() as connection:
                self.claim = claim_next(connection, self._study.id, HERE)
            return self.claim is not None
        claim, recorder = self.claim, Recorder(self._study.database, self.claim, maximize=False)
        self.claim = recorder.finish(self.train(claim, recorder), HERE)
        return True

    @staticmethod
    def train(claim: Claim, recorder: Recorder) -> Outcome:
        scripted = scripted_end(claim)
        rung_values = {}
        end, reason, best = EndReason.COMPLETED, "budget used", None
        number = 0
        for number, best in enumerate(curve(claim.hyperparameters), start=1):
            recorder.record(
                EpochRecord(number, best, best, 0.1, 1.0, 1e-6), verdict(number, best), None
            )
            if scripted is not None and number == 7:
                end, reason = scripted, "as the script says"
                break
            if number in claim.limits.rungs:
                rung_values[number] = best
            if claim.limits.exceeded(number, best, maximize=False):
                end, reason = EndReason.PRUNED, "behind"
                break
        if end is EndReason.DIVERGED and claim.hyperparameters["units"] % 2:
            best = None  # its loss was never a number
        return Outcome(end, reason, verdict(number, best), best, rung_values)


def verdict(epoch: int, best: float | None) -> Verdict:
    return Verdict(
        Signal.LEARNING, False, epoch, 0 if best is None else epoch, best, True, None, None, "-"
    )


class SearchedStudy:
    """A study in a real database, its coordinator and its clock."""

    def __init__(
        self, database: Database, clock: Clock, data: PreparedData, *, n_trials: int, **search: Any
    ) -> None:
        self.database = database
        self.clock = clock
        self.spec = study_spec(**search)
        with database.write() as connection:
            study = create_study(
                connection,
                name="small",
                spec=self.spec.to_mapping(),
                spec_hash="",
                data_digest=data.digest,
                data_path=str(data.path),
                baseline_loss=1.0,
                n_trials=n_trials,
                timeout_seconds=self.spec.search.timeout_seconds,
            )
        self.id = study.id

    @property
    def row(self) -> StudyRow:
        with self.database.read() as connection:
            return study_by_id(connection, self.id)

    @property
    def trials(self) -> list[TrialRow]:
        with self.database.read() as connection:
            return study_trials(connection, self.id)

    def lease(self) -> Lease:
        with self.database.write() as connection:
            lease = acquire_lease(connection, LEASE, HERE)
        assert lease is not None
        return lease

    def coordinator(self, n_workers: int = 1) -> Coordinator:
        """The study's coordinator; the one before it, if any, is dead."""
        with self.database.write() as connection:
            connection.execute(update(leases).values(owner=str(DEAD)))
        return Coordinator(self.database, self.row, self.lease(), n_workers=n_workers)

    def worker(self) -> Worker:
        return Worker(self)

    def kill(self, worker: Worker) -> None:
        """Let the worker die with what it has."""
        if worker.claim is not None:
            with self.database.write() as connection:
                connection.execute(
                    update(trials)
                    .where(trials.c.id == worker.claim.trial_id)
                    .values(owner=str(DEAD))
                )
        worker.claim = None

    def run(self, coordinator: Coordinator, *workers: Worker) -> None:
        """Tick and train in turn until the study has ended."""
        for _ in range(10_000):
            self.clock.now += 0.1
            progress = coordinator.tick()
            if progress is Progress.CONFIRMED:
                assert coordinator.finish()
                return
            if progress is Progress.FINISHED:
                return
            for worker in workers:
                worker.step()
        raise AssertionError("the study does not end")

    def limits(self) -> dict[int, Any]:
        with self.database.read() as connection:
            query = select(trials.c.number, trials.c.rung_limits)
            return {row.number: row.rung_limits for row in connection.execute(query)}

    def proposed(self) -> list[Any]:
        """All that the coordinator decided about each trial."""
        query = select(
            trials.c.number,
            trials.c.hyperparameters,
            trials.c.sampler_state,
            trials.c.seed,
            trials.c.rung_limits,
        ).order_by(trials.c.number)
        with self.database.read() as connection:
            return [tuple(row) for row in connection.execute(query)]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "tunelab.db"
    open_database(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """The prepared data of the studies; only their validation labels are ever read."""
    spec = study_spec()
    return prepare(spec.data, spec.task, tmp_path_factory.mktemp("data"))


@pytest.fixture
def searched(
    template: Path, data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., SearchedStudy]]:
    clock = Clock()
    monkeypatch.setattr(coordinator_module, "time", clock)
    databases: list[Database] = []

    def new(n_trials: int = 10, **search: Any) -> SearchedStudy:
        path = tmp_path / f"{len(databases)}.db"
        shutil.copy(template, path)
        databases.append(open_database(f"sqlite:///{path}"))
        return SearchedStudy(databases[-1], clock, data, n_trials=n_trials, **search)

    yield new
    for database in databases:
        database.close()
