"""Trials in the order of one of their columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tunelab.cli.outcomes import outcome
from tunelab.errors import UsageError, nearest
from tunelab.storage.trials import CONFIRM, SEARCH, TrialRow

_COLUMNS: dict[str, Callable[[TrialRow], Any]] = {
    "number": lambda trial: trial.number,
    "state": lambda trial: str(trial.state),
    "end_reason": lambda trial: trial.end_reason and str(trial.end_reason),
    "value": lambda trial: trial.value,
    "epochs": lambda trial: trial.n_epochs,
    "best_epoch": lambda trial: trial.best_epoch,
    "gap": lambda trial: trial.gap,
    "verdict": outcome,
    "confirms": lambda trial: trial.confirms,
    "repeat": lambda trial: trial.repeat,
    "attempts": lambda trial: trial.attempts,
    "seconds": lambda trial: trial.seconds,
    "started_at": lambda trial: trial.started_at,
    "ended_at": lambda trial: trial.ended_at,
}


def kinds(name: str) -> tuple[str, ...]:
    """The kinds of trials that ``--kind`` means.

    Raises:
        UsageError: If it is none.
    """
    known = {SEARCH: (SEARCH,), CONFIRM: (CONFIRM,), "all": (SEARCH, CONFIRM)}
    if name not in known:
        raise UsageError(f"--kind: must be one of {' '.join(known)}, got {name!r}")
    return known[name]


def sort_trials(trials: Sequence[TrialRow], column: str, *, maximize: bool) -> list[TrialRow]:
    """Trials by a column or a hyperparameter, ascending; those without a value come last.

    By ``value`` the best comes first, and trials that completed come before those that did not:
    the value of a pruned trial is only how far it got.

    Raises:
        UsageError: If there is no such column.
    """
    key = _COLUMNS.get(column)
    if key is None:
        names = dict.fromkeys(name for trial in trials for name in trial.hyperparameters)
        if column not in names:
            known = [*_COLUMNS, *names]
            close = nearest(column, known)
            raise UsageError(
                f"--sort: no column {column!r}; there are: {' '.join(known)}",
                hint=f"did you mean {close!r}?" if close else None,
            )

        def key(trial: TrialRow) -> Any:
            return trial.hyperparameters.get(column)

    present = [trial for trial in trials if key(trial) is not None]
    absent = [trial for trial in trials if key(trial) is None]
    present.sort(key=_rank(key), reverse=column == "value" and maximize)
    if column == "value":
        present.sort(key=lambda trial: not (trial.end_reason and trial.end_reason.is_complete))
    return [*present, *absent]


def _rank(key: Callable[[TrialRow], Any]) -> Callable[[TrialRow], Any]:
    """A key that can order numbers and names together, as a choice may mix them."""

    def rank(trial: TrialRow) -> tuple[bool, Any]:
        value = key(trial)
        return isinstance(value, str), value

    return rank
