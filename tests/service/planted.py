"""Studies whose truth is known: rows are written as a search would leave them, without training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy import insert

from tunelab.spec.study import StudySpec
from tunelab.storage.confirmed import Confirmation
from tunelab.storage.engine import Database
from tunelab.storage.states import EndReason, StudyState, TrialState
from tunelab.storage.studies import StudyRow, create_study, study_by_id, update_study
from tunelab.storage.tables import epochs, trials
from tunelab.storage.trials import CONFIRM, SEARCH, TrialRow, study_trials
from tunelab.tuning.confirmation import conclude
from tunelab.tuning.optuna_study import OptunaStudy

Flat = Mapping[str, Any]
BEGAN = 1_700_000_000.0
MAX_EPOCHS = 40

SPACE: dict[str, Any] = {
    "optimizer": {
        "nesterov": {
            "learning_rate": {"low": 1e-3, "high": 1.0, "scale": "log"},
            "momentum": {"low": 0.5, "high": 0.99, "scale": "reverse_log"},
        },
        "adam": {"learning_rate": {"low": 1e-4, "high": 3e-2, "scale": "log"}},
    },
    "schedule": ["constant", "cosine"],
    "layers": {"low": 1, "high": 3},
    "units": {"low": 16, "high": 512, "scale": "log"},
    "activation": "relu",
    "shape": "constant",
    "batch_norm": "off",
    "dropout_rate": {"low": 0.0, "high": 0.5},
    "l2": {"low": 1e-6, "high": 1e-2, "scale": "log", "optional": True},
    "batch_size": [16, 32, 64],
}


@dataclass(frozen=True)
class Fate:
    """What becomes of a planted trial.

    Attributes:
        value: Of the objective; None: it has none.
        end: Why it ended; None: it still runs.
        signal: The monitor's.
        error: Its error text.
        gap: Validation loss minus training loss at the last epoch.
        n_epochs: How many it trained.
    """

    value: float | None
    end: EndReason | None = EndReason.EARLY_STOPPED
    signal: str = "plateau"
    error: str | None = None
    gap: float = 0.1
    n_epochs: int = 12


class Planter:
    """Writes one study whose trials end as they are told.

    Args:
        database: Where.
        n_trials: How many trials it has.
        space: Its search space.
        description: Its description.
        objective: Its metric.
        seed: Of the proposals.
    """

    def __init__(
        self,
        database: Database,
        n_trials: int,
        *,
        space: Mapping[str, Any] = SPACE,
        description: str | None = None,
        objective: str = "validation_loss",
        seed: int = 0,
    ) -> None:
        self.database = database
        mapping = {
            "name": "planted",
            "description": description,
            "task": "classification",
            "data": {"source": "sklearn", "name": "digits"},
            "objective": {"metric": objective},
            "search": {"trials": n_trials, "max_epochs": MAX_EPOCHS, "sampler": "random"},
            "space": dict(space),
        }
        self.spec = StudySpec.from_mapping(mapping).resolve(1000)
        self.maximize = self.spec.objective.direction == "maximize"
        optuna = OptunaStudy(
            self.spec.search_space, sampler="random", seed=seed, maximize=self.maximize
        )
        proposals = [optuna.propose() for _ in range(n_trials)]
        self.flats = [proposal.hyperparameters.to_flat() for proposal in proposals]
        self.states = [proposal.sampler_state for proposal in proposals]
        with database.write() as connection:
            self.study = create_study(
                connection,
                name="planted",
                spec=self.spec.to_mapping(),
                spec_hash="",
                data_digest="d1" * 32,
                data_path="",
                baseline_loss=2.3,
                n_trials=n_trials,
                timeout_seconds=None,
            )

    def grow(self, fate: Callable[[int, Flat], Fate]) -> StudyRow:
        """Let every trial end as ``fate`` says of its number and hyperparameters."""
        rows, curves = [], []
        for number, flat in enumerate(self.flats):
            end = fate(number, flat)
            row = self._row(number, flat, self.states[number], end, SEARCH)
            rows.append(row)
        with self.database.write() as connection:
            connection.execute(insert(trials), rows)
            for stored in study_trials(connection, self.study.id):
                end = fate(stored.number, stored.hyperparameters)
                curves += _curve(stored.id, end)
            if curves:
                connection.execute(insert(epochs), curves)
            unfinished = any(row["end_reason"] is None for row in rows)
            update_study(
                connection,
                self.study.id,
                started_at=BEGAN,
                running_seconds=60.0,
                state=StudyState.RUNNING if unfinished else StudyState.FINISHED,
            )
            return study_by_id(connection, self.study.id)

    def confirm(
        self, truth: Callable[[int], float], *, noise: float, n_seeds: int = 3, finalists: int = 3
    ) -> Confirmation:
        """Train the best trials and trial 0 again: their true values, and noise of each seed."""
        generator = np.random.default_rng(5)
        with self.database.read() as connection:
            rows = study_trials(connection, self.study.id)
        sign = -1.0 if self.maximize else 1.0
        complete = [row for row in rows if row.end_reason and row.end_reason.is_complete]
        best = sorted(complete, key=lambda row: sign * (row.value or math.inf))[:finalists]
        chosen = best + [row for row in rows[:1] if row not in best]
        stored = []
        for repeat in range(n_seeds):
            for row in chosen:
                value = truth(row.number) + noise * float(generator.standard_normal())
                run = self._row(len(stored), row.hyperparameters, {}, Fate(value), CONFIRM)
                stored.append({**run, "confirms": row.number, "repeat": repeat, "seed": repeat + 9})
        with self.database.write() as connection:
            connection.execute(insert(trials), stored)
            runs: dict[int, list[TrialRow]] = {row.number: [] for row in chosen}
            for run_row in study_trials(connection, self.study.id, kind=CONFIRM):
                runs[run_row.confirms or 0].append(run_row)
            sizes = {row.number: 1000 + row.number for row in chosen}
            found = conclude(chosen, runs, sizes, maximize=self.maximize, default=0)
            found = replace(found, at=BEGAN + 100)
            update_study(connection, self.study.id, confirmed=found.to_json())
        return found

    def _row(
        self, number: int, flat: Flat, state: Mapping[str, Any], fate: Fate, kind: str
    ) -> dict[str, Any]:
        finished = fate.end is not None
        return {
            "study_id": self.study.id,
            "kind": kind,
            "number": number,
            "state": TrialState.FINISHED if finished else TrialState.RUNNING,
            "hyperparameters": dict(flat),
            "sampler_state": dict(state),
            "seed": 0,
            "rung_limits": {"rungs": [], "limits": {}},
            "stop_requested": False,
            "attempts": 1,
            "lost_leases": 0,
            "token": 1,
            "n_epochs": fate.n_epochs,
            "value": fate.value,
            "best_epoch": None if fate.value is None else max(fate.n_epochs - 3, 1),
            "signal": fate.signal,
            "onset": 4 if fate.signal == "overfitting" else None,
            "gap": 0.05,
            "reason": "planted",
            "end_reason": fate.end,
            "error": fate.error,
            "created_at": BEGAN + number,
            "started_at": BEGAN + number,
            "ended_at": BEGAN + number + 1.5 if finished else None,
        }


def _curve(trial_id: int, fate: Fate) -> list[dict[str, Any]]:
    if fate.value is None:
        return []
    n = fate.n_epochs
    rows = []
    for epoch in range(1, n + 1):
        loss = abs(fate.value) + 1.5 * math.exp(-0.5 * epoch)
        rows.append(
            {
                "trial_id": trial_id,
                "epoch": epoch,
                "recorded_at": BEGAN + epoch,
                "train_loss": loss - fate.gap * epoch / n,
                "validation_loss": loss,
                "learning_rate": 0.01 * (1 - epoch / (2 * n)),
                "seconds": 0.05,
                "signal": "learning",
            }
        )
    return rows


def bowl(flat: Flat) -> float:
    """A loss that learning_rate decides and dropout_rate changes a little."""
    rate = math.log10(flat["learning_rate"])
    return 0.2 + 0.15 * (rate + 2.5) ** 2 + 0.05 * abs(flat["dropout_rate"] - 0.25)


def values_of(flats: Sequence[Flat], name: str) -> list[Any]:
    """The hyperparameter of every configuration that has it."""
    return [flat[name] for flat in flats if name in flat]
