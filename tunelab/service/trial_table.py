"""The trials of a study as one table, for other programs: a row a trial, numbers in full."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tunelab.storage.trials import SEARCH, TrialRow

_CONFIRM_HEAD = ["kind", "confirms", "repeat"]
_HEAD = ["number", "state", "end_reason", "value", "epochs", "best_epoch", "verdict", "gap"]
_HEAD += ["attempts", "started_at", "seconds", "reason"]


def trial_table(trials: Sequence[TrialRow]) -> tuple[list[str], list[list[object]]]:
    """Head and rows; None where there is no value.

    Every hyperparameter has a column, behind those that every study has. Runs of the confirm stage
    among the trials make three more columns before all others.
    """
    names = list(dict.fromkeys(name for row in trials for name in row.hyperparameters))
    head = [*_HEAD, *names]
    rows = [[*_cells(row), *(row.hyperparameters.get(name) for name in names)] for row in trials]
    if any(row.kind != SEARCH for row in trials):
        head = [*_CONFIRM_HEAD, *head]
        own = ([row.kind, row.confirms, row.repeat] for row in trials)
        rows = [[*first, *rest] for first, rest in zip(own, rows, strict=True)]
    return head, rows


def _cells(trial: TrialRow) -> list[object]:
    cells: list[object] = [trial.number, trial.state, trial.end_reason, trial.value]
    cells += [trial.n_epochs, trial.best_epoch, trial.signal, trial.gap, trial.attempts]
    return [*cells, _instant(trial.started_at), trial.seconds, trial.reason]


def _instant(timestamp: float | None) -> str | None:
    if timestamp is None:
        return None
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
