"""A small study in a real database, and a backend that plays curves from a script."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tunelab.datasets import load_training_data, prepare
from tunelab.execution.trial import Task
from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.spec.study import StudySpec
from tunelab.storage.engine import Database
from tunelab.storage.rungs import RungLimits
from tunelab.storage.schema import open_database
from tunelab.storage.studies import StudyRow, create_study
from tunelab.storage.trials import NewTrial, insert_trials
from tunelab.training.records import EpochRecord

FALLING = [(1.0 / epoch, 1.0 / epoch) for epoch in range(1, 61)]
CONFIGURATION = Hyperparameters(
    optimizer="adam",
    learning_rate=0.01,
    schedule="constant",
    layers=1,
    units=16,
    activation="relu",
    dropout_rate=0.2,
    batch_size=16,
)


class ScriptedRun:
    """Yields (train_loss, validation_loss) pairs; an exception in the list is raised."""

    def __init__(self, curve: list[Any], state: dict[str, Any] | None, stop: Callable[[], bool]):
        self.interrupted = False
        self.restored: list[int] = []
        self._curve = curve
        self._epoch = state["epoch"] if state else 0
        self._best = state["best"] if state else 0
        self._stop = stop

    def __iter__(self) -> Iterator[EpochRecord]:
        for entry in self._curve[self._epoch :]:
            if self._stop():
                self.interrupted = True
                return
            if isinstance(entry, BaseException):
                raise entry
            self._epoch += 1
            train, validation, *score = entry
            yield EpochRecord(
                self._epoch, train, validation, 0.1, 1.0, 1e-3, None, score[0] if score else 0.5
            )

    def keep_best(self) -> None:
        self._best = self._epoch

    def restore_best(self) -> None:
        self.restored.append(self._best)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._epoch, "best": self._best}

    def weights(self) -> Mapping[str, Any]:
        return {}


class ScriptedBackend:
    """Plays one curve per start, in order."""

    def __init__(self, *curves: list[Any]) -> None:
        self._curves = list(curves)
        self.runs: list[ScriptedRun] = []

    def planned_rates(
        self, hyperparameters: Hyperparameters, *, max_epochs: int, n_train: int
    ) -> list[float]:
        del n_train
        return [hyperparameters.learning_rate] * max_epochs

    def start(
        self,
        hyperparameters: Any,
        data: Any,
        *,
        state: Any,
        should_stop: Callable[[], bool],
        **_: Any,
    ) -> ScriptedRun:
        run = ScriptedRun(self._curves[len(self.runs)], state, should_stop)
        self.runs.append(run)
        return run


class SmallStudy:
    """A study on iris whose trials the test inserts itself."""

    def __init__(self, folder: Path, **search: Any) -> None:
        metric = search.pop("metric", "validation_loss")
        spec = StudySpec.from_mapping(
            {
                "name": "small",
                "task": "classification",
                "data": {"source": "sklearn", "name": "iris"},
                "objective": {"metric": metric},
                "search": {"max_epochs": 60, **search},
            }
        )
        prepared = prepare(spec.data, spec.task, folder / "data")
        self.spec = spec.resolve(prepared.n_train)
        self.data = load_training_data(prepared)
        self.database: Database = open_database(f"sqlite:///{folder / 'tunelab.db'}")
        with self.database.write() as connection:
            self.study: StudyRow = create_study(
                connection,
                name="small",
                spec=self.spec.to_mapping(),
                spec_hash="",
                data_digest=prepared.digest,
                data_path=str(prepared.path),
                baseline_loss=math.log(3),
                n_trials=10,
                timeout_seconds=None,
            )

    def insert(
        self,
        n: int = 1,
        limits: RungLimits | None = None,
        configuration: Hyperparameters = CONFIGURATION,
        start: int = 0,
    ) -> None:
        with self.database.write() as connection:
            trials = [
                NewTrial(number, configuration.to_flat(), {}, 7, limits or RungLimits())
                for number in range(start, start + n)
            ]
            insert_trials(connection, self.study.id, trials)

    def task(self, backend: Any) -> Task:
        return Task(self.spec, self.data, self.study.baseline_loss, backend)


@pytest.fixture
def small_study(tmp_path: Path) -> Callable[..., SmallStudy]:
    return lambda **search: SmallStudy(tmp_path, **search)
