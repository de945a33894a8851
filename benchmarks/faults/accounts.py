"""What is counted after a fault, and the row that tells it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3

from tests.service.conftest import Folder


def row(what: str, **zeros: int) -> str:
    """What was done, and the numbers that should be 0."""
    told = ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in zeros.items())
    return f"{what}: {told}  {'*' if any(zeros.values()) else 'ok'}"


def acknowledged(folder: Folder) -> set[tuple[int, int]]:
    """The epochs that are stored at this moment: (trial number, epoch)."""
    query = "SELECT number, epoch FROM epochs JOIN trials ON trials.id = trial_id"
    with contextlib.suppress(Exception):  # there is no database yet
        return {(number, epoch) for number, epoch in folder.sql(query)}
    return set()


def unfinished(folder: Folder) -> int:
    """How many trials have not ended, and 1 more if the study has not."""
    (trials,) = folder.sql("SELECT count(*) FROM trials WHERE state <> 'finished'")
    (studies,) = folder.sql("SELECT count(*) FROM studies WHERE state <> 'finished'")
    return int(trials[0] + studies[0])


def disagreements(folder: Folder) -> dict[str, int]:
    """What MLflow shows otherwise than the study database."""
    with contextlib.closing(sqlite3.connect(folder.path / "mlflow.db")) as mlflow:
        runs = mlflow.execute(
            "SELECT tags.value, runs.status, runs.run_uuid FROM runs JOIN tags ON "
            "tags.run_uuid = runs.run_uuid AND tags.key = 'tunelab.trial' "
            "WHERE runs.lifecycle_stage = 'active'"
        ).fetchall()
        points = mlflow.execute(
            "SELECT run_uuid, count(*), count(DISTINCT step) FROM metrics "
            "WHERE key = 'loss/validation' GROUP BY run_uuid"
        ).fetchall()
    of_run = {run: (n, distinct) for run, n, distinct in points}
    stored = dict(
        folder.sql(
            "SELECT number, count(validation_loss) FROM trials JOIN epochs "
            "ON trials.id = trial_id GROUP BY number"
        )
    )
    numbers = [int(number) for number, _, _ in runs]
    return {
        "runs_twice": len(numbers) - len(set(numbers)),
        "runs_missing": len(set(stored) - set(numbers)),
        "runs_open": sum(status == "RUNNING" for _, status, _ in runs),
        "points_missing": sum(
            max(0, stored.get(int(number), 0) - of_run.get(run, (0, 0))[1])
            for number, _, run in runs
        ),
        "points_twice": sum(n - distinct for n, distinct in of_run.values()),
    }


def table_hash(folder: Folder) -> str:
    """Of everything that must repeat: trials and curves, not times and owners."""
    trials = folder.sql(
        "SELECT number, CAST(hyperparameters AS TEXT), seed, end_reason, value, best_epoch, "
        "n_epochs, reason FROM trials ORDER BY number"
    )
    curves = folder.sql(
        "SELECT number, epoch, train_loss, validation_loss, validation_score, gradient_norm "
        "FROM epochs JOIN trials ON trials.id = trial_id ORDER BY number, epoch"
    )
    return hashlib.sha256(json.dumps([trials, curves], default=str).encode()).hexdigest()
