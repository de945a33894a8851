"""Which hyperparameters decided whether a trial was among the best: PED-ANOVA.

Watanabe, Bansal and Hutter (2023), "PED-ANOVA", compare where the best trials lie with where all
trials lie, one hyperparameter at a time; Optuna's evaluator also weighs those that only some
trials have. It looks at complete trials alone, which after pruning are a choice of good ones. So
every trial takes part with its rank: complete ones by value, behind them the pruned and diverged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState, create_trial

from tunelab.storage.states import EndReason
from tunelab.storage.trials import TrialRow
from tunelab.tuning.optuna_study import distribution

LEAST = 20
"""Trials below which nothing is said."""

_BEST = 0.1  # share of the trials that count as the best, and ...
_LEAST_BEST = 5  # ... how many there must be: Optuna's advice for a stable answer
_HALVES = 20


@dataclass(frozen=True)
class Importance:
    """How much a hyperparameter decided.

    Attributes:
        name: As trials have it: ``learning_rate``, of whichever optimizer.
        share: Of all that was decided, in [0, 1]; the shares sum to 1.
        spread: Standard error of the share.
    """

    name: str
    share: float
    spread: float


def importances(rows: Sequence[TrialRow], *, maximize: bool) -> tuple[Importance, ...]:
    """The importance of each searched hyperparameter, the greatest first.

    The spread is the standard deviation of the shares over random halves of the trials, which is
    the standard error of the whole (a jackknife that deletes half).

    Args:
        rows: Trials of a search; those that failed or have not ended do not count.
        maximize: Whether greater values of the objective are better.

    Returns:
        Nothing where there are fewer than `LEAST` trials, or only one value of everything.
    """
    ranked = [_frozen(row, rank) for rank, row in enumerate(_best_first(rows, maximize=maximize))]
    if len(ranked) < LEAST:
        return ()
    whole = _shares(ranked)
    names = sorted(whole, key=lambda name: (-whole[name], name))
    generator = np.random.default_rng(len(ranked))  # the same trials, the same answer
    n = len(ranked) // 2
    halves = [
        _shares([ranked[i] for i in sorted(generator.permutation(len(ranked))[:n])])
        for _ in range(_HALVES)
    ]
    return tuple(
        Importance(name, whole[name], float(np.std([half.get(name, 0.0) for half in halves])))
        for name in names
    )


def _best_first(rows: Sequence[TrialRow], *, maximize: bool) -> list[TrialRow]:
    sign = -1.0 if maximize else 1.0

    def place(row: TrialRow) -> tuple[bool, bool, float, int]:
        complete = row.end_reason is not None and row.end_reason.is_complete
        worth = 0.0 if row.value is None else sign * row.value
        return not complete, row.value is None, worth, row.number

    ended = (row for row in rows if row.end_reason not in (None, EndReason.FAILED))
    return sorted((row for row in ended if row.sampler_state.get("distributions")), key=place)


def _frozen(row: TrialRow, rank: int) -> FrozenTrial:
    saved: Mapping[str, Mapping[str, str]] = row.sampler_state
    return create_trial(
        state=TrialState.COMPLETE,
        value=float(rank),
        params=dict(saved["params"]),
        distributions={name: distribution(text) for name, text in saved["distributions"].items()},
    )


def _shares(ranked: Sequence[FrozenTrial]) -> dict[str, float]:
    """The shares by hyperparameter; empty if nothing was decided."""
    study = optuna.create_study()
    study.add_trials(ranked)
    best = max(_BEST, min(_LEAST_BEST / len(ranked), 0.5))
    found = PedAnovaImportanceEvaluator(target_quantile=best).evaluate(study)
    total = sum(found.values())
    shares: dict[str, float] = {}
    for name, value in found.items():
        own = bare_name(name)
        shares[own] = shares.get(own, 0.0) + (value / total if total else 0.0)
    return shares if total else {}


def bare_name(parameter: str) -> str:
    """The hyperparameter that one of Optuna's parameters stands for: see `tunelab.tuning.suggest`.

    >>> bare_name("optimizer.adam.learning_rate"), bare_name("schedule.step_drop.every")
    ('learning_rate', 'schedule.every')
    >>> bare_name("1-momentum"), bare_name("l2?"), bare_name("dropout_rate/step")
    ('momentum', 'l2', 'dropout_rate')
    """
    name = parameter.removeprefix("1-").removesuffix("?").removesuffix("/step")
    family, _, rest = name.partition(".")
    if not rest:
        return name
    key = rest.rpartition(".")[2]
    return key if family == "optimizer" else f"{family}.{key}"
