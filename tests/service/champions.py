"""Studies that have been confirmed, written straight into a database, with networks that exist."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import update

from tunelab.datasets import PreparedData, load_training_data, prepare
from tunelab.execution.backends import NumpyBackend
from tunelab.spec.default_space import default_configuration
from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.spec.study import StudySpec
from tunelab.storage.checkpoints import keep_weights
from tunelab.storage.confirmed import Confirmation, Finalist
from tunelab.storage.engine import Database
from tunelab.storage.rungs import RungLimits
from tunelab.storage.states import EndReason, StudyState, TrialState
from tunelab.storage.studies import StudyRow, create_study, mark_started, study_by_id, update_study
from tunelab.storage.tables import trials
from tunelab.storage.trials import CONFIRM, NewTrial, insert_trials, study_trials

COLORS = ("blue", "green", "=red")


def write_rows(path: Path, n: int, seed: int = 0, *, regression: bool = False) -> None:
    """A table with a number, a text, a number that may be missing, and what follows from them."""
    generator = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["size", "color", "weight", "left"])
        for _ in range(n):
            size, color, weight = generator.normal(), generator.integers(3), generator.normal(5, 2)
            signal = 2 * size + (weight - 5) * (color - 1) + generator.normal(0, 0.7)
            gap = "" if generator.random() < 0.05 else f"{weight:.4f}"
            target = f"{10 * signal + 100:.3f}" if regression else ["no", "-1"][int(signal > 0)]
            out.writerow([f"{size:.4f}", COLORS[color], gap, target])


def make_spec(path: Path, **others: Any) -> StudySpec:
    """A study of such a table."""
    given: dict[str, Any] = {
        "name": "leaving",
        "task": "classification",
        "data": {
            "source": "csv", "path": str(path), "target": "left", "missing": "impute",
            "split": {"method": "hash", "test": 0.3, "validation": 0.2},
        },
        "search": {"max_epochs": 20, "trials": 1},
        "space": {"layers": 1, "units": 16, "batch_size": 32, "optimizer": "adam"},
    }  # fmt: skip
    for key, value in others.items():
        given[key] = {**given.get(key, {}), **value} if isinstance(value, Mapping) else value
    return StudySpec.from_mapping(given).resolve(500)


@lru_cache(maxsize=32)
def network(path: Path, n_epochs: int, seed: int) -> tuple[Hyperparameters, dict[str, Any]]:
    """A small network after some epochs on prepared data, and its weights."""
    from tunelab.datasets import open_prepared

    rows = load_training_data(open_prepared(path))
    flat = Hyperparameters(
        optimizer="adam", learning_rate=0.02, schedule="constant", layers=1, units=16,
        activation="relu", batch_size=32,
    )  # fmt: skip
    run = NumpyBackend().start(
        flat, rows, max_epochs=20, seed=seed, loss=None, score=None, state=None,
        should_stop=lambda: False,
    )  # fmt: skip
    for _ in zip(range(n_epochs), run, strict=False):
        pass
    return flat, dict(run.weights())


@dataclass
class Place:
    """A database, and a folder for prepared data."""

    database: Database
    folder: Path

    def prepare(self, spec: StudySpec) -> PreparedData:
        return prepare(spec.data, spec.task, self.folder / "data")

    def confirmed(
        self, spec: StudySpec, n_epochs: int = 15, seed: int = 1, weights: Any = None
    ) -> StudyRow:
        """A generation whose confirm stage has just ended with one run."""
        data = self.prepare(spec)
        flat, learned = network(data.path, n_epochs, seed)
        with self.database.write() as connection:
            study = create_study(
                connection, name=spec.name, spec=spec.to_mapping(), spec_hash="",
                data_digest=data.digest, data_path=str(data.path), baseline_loss=1.0, n_trials=1,
                timeout_seconds=None,
            )  # fmt: skip
            mark_started(connection, study.id)
            default = default_configuration(spec.search_space).to_flat()
            new = [
                NewTrial(0, default, {}, 0, RungLimits()),
                NewTrial(0, flat.to_flat(), {}, 0, RungLimits(), CONFIRM, confirms=0, repeat=0),
            ]
            insert_trials(connection, study.id, new)
            connection.execute(
                update(trials)
                .where(trials.c.study_id == study.id)
                .values(
                    state=TrialState.FINISHED,
                    end_reason=EndReason.COMPLETED,
                    value=0.5,
                    best_epoch=3,
                    n_epochs=3,
                    attempts=1,
                    started_at=time.time(),
                    ended_at=time.time(),
                )
            )
            (run,) = study_trials(connection, study.id, kind=CONFIRM)
            keep_weights(connection, run.id, epoch=3, weights=weights or learned)
            update_study(connection, study.id, confirmed=confirmation().to_json())
            return study_by_id(connection, study.id)

    def finish(self, study: StudyRow) -> StudyRow:
        """The study as it stands, after its end."""
        with self.database.write() as connection:
            update_study(connection, study.id, state=StudyState.FINISHED, ended_at=time.time())
            return study_by_id(connection, study.id)


def confirmation() -> Confirmation:
    """That trial 0 is the pick, and confirm run 0 its champion."""
    return Confirmation(
        ranked=(Finalist(0, 0.5, 0.1, 1, True, 100),), n_seeds=1, new_splits=0, pick=0, champion=0,
        best=0, best_value=0.4, optimism=0.1, default=0, default_margin=0.0, beats_default=None,
        at=time.time(),
    )  # fmt: skip
