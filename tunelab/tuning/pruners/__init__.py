"""Pruning without a round trip: a rule for what a trial must have reached at each rung.

A rung is an epoch at which trials are compared. Compared is the *best value so far*. The decisions
are those of Optuna's own pruners; a contract test shows it on random histories.

======================  ====================================================
``median``              `PercentilePruner` at 50 %, rungs 10, 20, 40 ...
``percentile``          `PercentilePruner`
``successive_halving``  `SuccessiveHalvingPruner`, rungs 10, 30, 90 ...
``none``                `NoPruner`
======================  ====================================================
"""

from __future__ import annotations

from collections.abc import Callable

from tunelab.spec.study import PrunerSpec
from tunelab.tuning.pruners.base import EndedTrial, NoPruner, Pruner, rungs
from tunelab.tuning.pruners.percentile import PercentilePruner
from tunelab.tuning.pruners.successive_halving import SuccessiveHalvingPruner

__all__ = [
    "PRUNERS",
    "EndedTrial",
    "NoPruner",
    "PercentilePruner",
    "Pruner",
    "SuccessiveHalvingPruner",
    "make_pruner",
    "rungs",
]


def _none(_spec: PrunerSpec, _max_epochs: int, _maximize: bool) -> Pruner:
    return NoPruner()


def _median(spec: PrunerSpec, max_epochs: int, maximize: bool) -> Pruner:
    return _percentile(spec.model_copy(update={"percentile": 50.0}), max_epochs, maximize)


def _percentile(spec: PrunerSpec, max_epochs: int, maximize: bool) -> Pruner:
    return PercentilePruner(
        rungs(spec.warm_up_epochs, max_epochs),
        percentile=spec.percentile,
        startup_trials=spec.startup_trials,
        min_trials=spec.min_trials,
        maximize=maximize,
    )


def _successive_halving(spec: PrunerSpec, max_epochs: int, maximize: bool) -> Pruner:
    factor = spec.reduction_factor
    first = spec.min_resource * factor**spec.min_early_stopping_rate
    return SuccessiveHalvingPruner(
        rungs(first, max_epochs, factor), reduction_factor=factor, maximize=maximize
    )


PRUNERS: dict[str, Callable[[PrunerSpec, int, bool], Pruner]] = {
    "median": _median,
    "percentile": _percentile,
    "successive_halving": _successive_halving,
    "none": _none,
}


def make_pruner(spec: PrunerSpec, max_epochs: int, *, maximize: bool) -> Pruner:
    """The pruner that a study file names.

    Args:
        spec: The pruner and its settings.
        max_epochs: Budget of a trial; rungs lie before its end.
        maximize: Whether greater values of the objective are better.
    """
    return PRUNERS[spec.name](spec, max_epochs, maximize)
