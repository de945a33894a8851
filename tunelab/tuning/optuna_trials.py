"""The trials of a study as Optuna's own tools show them: to plot with, and to export."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from tunelab.spec.sections import ObjectiveSpec
from tunelab.storage.states import TrialState
from tunelab.storage.trials import EpochRow, TrialRow
from tunelab.tuning.optuna_study import distribution, optuna_end

Study = optuna.Study

_OPEN = {TrialState.WAITING: OptunaState.WAITING, TrialState.RUNNING: OptunaState.RUNNING}
_ENCODED = (
    "?",
    "/step",
)  # ends of names under which another value than the hyperparameter's stands
_FROM_ONE = "1-"  # and the beginning of one


def optuna_trials(
    rows: Sequence[TrialRow], curves: Mapping[int, Sequence[EpochRow]], objective: ObjectiveSpec
) -> list[FrozenTrial]:
    """The search's trials in Optuna's form, each with its curve.

    Parameters and distributions are those that the sampler chose from, conditional ones only where
    they were active. Hyperparameters that do not stand among them as they are (fixed, on a grid of
    steps, on a reversed scale) are user attributes, like verdict, reason and best epoch.

    Args:
        rows: The trials, in order of their numbers.
        curves: Trial key -> its epochs. Their values are reported under the number of the epoch;
            those that are not finite are left out.
        objective: What the study optimises.
    """
    return [_frozen(row, curves.get(row.id, ()), objective) for row in rows]


def optuna_study(
    name: str, trials: Iterable[FrozenTrial], objective: ObjectiveSpec, attrs: Mapping[str, Any]
) -> Study:
    """A study in memory, on which ``optuna.visualization`` and ``optuna.importance`` work."""
    study = optuna.create_study(study_name=name, direction=objective.direction)
    for key, value in attrs.items():
        study.set_user_attr(key, value)
    study.add_trials(trials)
    return study


def _frozen(row: TrialRow, curve: Iterable[EpochRow], objective: ObjectiveSpec) -> FrozenTrial:
    state, value = (_OPEN[row.state], None) if row.end_reason is None else optuna_end(row)
    saved = row.sampler_state
    frozen = create_trial(
        state=state,
        value=value,
        params=dict(saved["params"]),
        distributions={name: distribution(text) for name, text in saved["distributions"].items()},
        user_attrs=_attributes(row),
        intermediate_values=_values(curve, by_loss=objective.metric == "validation_loss"),
    )
    # It sets the present time. A finished trial was claimed, so it has begun.
    frozen.datetime_start = None if state is OptunaState.WAITING else _local(row.started_at)
    frozen.datetime_complete = _local(row.ended_at) if frozen.state.is_finished() else None
    return frozen


def _attributes(row: TrialRow) -> dict[str, Any]:
    as_they_are = {
        _flat_name(name): value
        for name, value in row.sampler_state["params"].items()
        if not name.startswith(_FROM_ONE) and not name.endswith(_ENCODED)
    }
    others = {
        name: value
        for name, value in row.hyperparameters.items()
        if name not in as_they_are or as_they_are[name] != value
    }
    known = {
        "number": row.number,
        "end_reason": row.end_reason and str(row.end_reason),
        "verdict": row.signal,
        "reason": row.reason,
        "epochs": row.n_epochs,
        "best_epoch": row.best_epoch,
        "gap": row.gap,
        "attempts": row.attempts,
    }
    return {**{name: value for name, value in known.items() if value is not None}, **others}


def _flat_name(name: str) -> str:
    """What a configuration calls a parameter.

    >>> _flat_name("optimizer.adam.learning_rate"), _flat_name("schedule.cosine.end")
    ('learning_rate', 'schedule.end')
    """
    member, _, key = name.rpartition(".")
    return f"schedule.{key}" if member.startswith("schedule.") else key


def _values(curve: Iterable[EpochRow], *, by_loss: bool) -> dict[int, float]:
    values = (
        (row.epoch, row.validation_loss if by_loss else row.validation_score) for row in curve
    )
    return {epoch: value for epoch, value in values if value is not None and math.isfinite(value)}


def _local(timestamp: float | None) -> datetime | None:
    """Optuna's times are local ones without a zone."""
    return None if timestamp is None else datetime.fromtimestamp(timestamp)
