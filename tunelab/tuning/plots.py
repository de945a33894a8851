"""Optuna's own plots of a study, as documents that plotly.js draws."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from tunelab.storage.trials import TrialRow

_LOG_RATIO = 30.0  # of a hyperparameter's values that are shown on a logarithmic scale
_CONTOURS = 3  # a contour plot of n hyperparameters has n * n pictures
_AXES = 6
_MOST = 1000  # trials that are shown, the best
_MOST_CONTOUR = 80  # and in a contour, whose size grows with their square
_HEIGHTS = {"history": 420, "parallel": 420, "slice": 420, "contour": 720}  # pixels


def interactive_plots(
    rows: Sequence[TrialRow], names: Sequence[str], *, maximize: bool, metric: str
) -> dict[str, dict[str, Any]]:
    """Name of a plot -> title, height, and the data and layout that plotly.js takes.

    Args:
        rows: All trials of a search, in order of numbers; complete ones are shown.
        names: Hyperparameters to show, the most important first; all trials need not have them.
        maximize: Whether greater values are better.
        metric: What the values are.

    Returns:
        Nothing where fewer than two trials are complete.
    """
    sign = -1.0 if maximize else 1.0
    best = sorted(
        (row for row in rows if _is_complete(row)), key=lambda row: sign * (row.value or 0.0)
    )[:_MOST]
    if len(best) < 2:
        return {}
    study = _study(rows, best, names, maximize=maximize)
    few = _study(rows, best[:_MOST_CONTOUR], names, maximize=maximize)
    draw = optuna.visualization
    everywhere = [name for name in names if all(name in row.hyperparameters for row in best)]
    history = draw.plot_optimization_history(study, target_name=metric)
    plots = {"history": ("Best value over the search", history)}
    if len(everywhere) > 1:
        plots["parallel"] = (
            "Parallel coordinates",
            draw.plot_parallel_coordinate(study, params=everywhere[:_AXES], target_name=metric),
        )
        plots["contour"] = (
            "Pairs of hyperparameters",
            draw.plot_contour(few, params=everywhere[:_CONTOURS], target_name=metric),
        )
    if everywhere:
        plots["slice"] = (
            "Slices",
            draw.plot_slice(study, params=everywhere[:_AXES], target_name=metric),
        )
    return {
        name: {"title": title, "height": _HEIGHTS[name], **_document(figure)}
        for name, (title, figure) in plots.items()
    }


def _study(
    rows: Sequence[TrialRow], shown: Sequence[TrialRow], names: Sequence[str], *, maximize: bool
) -> optuna.Study:
    """Optuna numbers trials as they come: those that are not shown keep their places, as failed."""
    study = optuna.create_study(direction="maximize" if maximize else "minimize")
    given = [name for name in names if any(name in row.hyperparameters for row in shown)]
    distributions = {name: _distribution(shown, name) for name in given}
    numbers = {row.number for row in shown}
    study.add_trials(
        [
            _frozen(row, distributions)
            if row.number in numbers
            else create_trial(state=TrialState.FAIL)
            for row in rows
        ]
    )
    return study


def _is_complete(row: TrialRow) -> bool:
    return row.end_reason is not None and row.end_reason.is_complete and row.value is not None


def _document(figure: Any) -> dict[str, Any]:
    document = json.loads(figure.to_json())
    document["layout"].pop("template", None)  # the page has its own looks
    return {"data": document["data"], "layout": document["layout"]}


def _frozen(row: TrialRow, distributions: Mapping[str, BaseDistribution]) -> FrozenTrial:
    flat = {
        name: row.hyperparameters[name] for name in distributions if name in row.hyperparameters
    }
    return create_trial(
        value=row.value,
        params=flat,
        distributions={name: distributions[name] for name in flat},
    )


def _distribution(rows: Sequence[TrialRow], name: str) -> BaseDistribution:
    """One distribution for all trials: those of the search may differ between optimizers."""
    values = [row.hyperparameters[name] for row in rows if name in row.hyperparameters]
    if any(isinstance(value, str) for value in values):
        return CategoricalDistribution(sorted({str(value) for value in values}))
    low, high = min(values), max(values)
    log = low > 0 and high / low >= _LOG_RATIO
    if all(isinstance(value, int) for value in values):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)
