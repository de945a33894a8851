"""The search space as Optuna sees it: each dimension is one or two of Optuna's parameters.

=====================================  ========================================================
dimension                              Optuna's parameters
=====================================  ========================================================
a fixed value                          none
a choice                               a categorical
a linear or log range                  a float or an int
a float range with a step              ``NAME/step``, an int: the number of steps above ``low``
``reverse_log`` on [low, high]         ``1-NAME``, a log float on [1 - high, 1 - low]
an optional range                      ``NAME?``, ``on`` or ``off``; the range's own where ``on``
=====================================  ========================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optuna.trial import FixedTrial, Trial

from tunelab.spec.grid import Cell
from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.spec.space import Choice, Dimension, Fixed, FloatRange, IntRange, Space, Value

Suggester = Callable[[str, Dimension], Value]
"""Answers for one dimension: see :meth:`tunelab.spec.space.Space.configure`."""


def suggest_from(trial: Trial | FixedTrial) -> Suggester:
    """A suggester that asks Optuna's ``trial``."""

    def suggest(name: str, dimension: Dimension) -> Value:
        if isinstance(dimension, Fixed):
            return dimension.value
        if isinstance(dimension, Choice):
            return trial.suggest_categorical(name, dimension.values)  # type: ignore[return-value]
        if dimension.optional and trial.suggest_categorical(f"{name}?", ("on", "off")) == "off":
            return 0 if isinstance(dimension, IntRange) else 0.0
        return _in_range(trial, name, dimension)

    return suggest


def _in_range(trial: Trial | FixedTrial, name: str, dimension: FloatRange | IntRange) -> Value:
    low, high, log = dimension.low, dimension.high, dimension.scale == "log"
    if isinstance(dimension, IntRange):
        return trial.suggest_int(name, int(low), int(high), step=dimension.step, log=log)
    if dimension.scale == "reverse_log":
        distance = trial.suggest_float(f"1-{name}", 1 - high, 1 - low, log=True)
        # 1 - (1 - x) is not exactly x: the range's own ends are kept.
        return min(max(1 - distance, low), high)
    if dimension.step is not None:
        # Optuna's own steps would lose the end of a range that they reach only up to rounding.
        return dimension.at(trial.suggest_int(f"{name}/step", 0, dimension.n_steps))
    return trial.suggest_float(name, low, high, log=log)


def from_cell(cell: Cell) -> Suggester:
    """A suggester that answers as a grid's cell says."""
    return lambda name, dimension: cell[name]  # noqa: ARG005


def preset_trial(space: Space, choose: Suggester) -> tuple[Hyperparameters, FixedTrial]:
    """A configuration that is chosen without a sampler, and Optuna's view of it.

    Args:
        space: A complete space.
        choose: Answers for each active dimension.

    Returns:
        The configuration, and a trial that has its parameters and distributions.
    """
    params: dict[str, Any] = {}

    def noted(name: str, dimension: Dimension) -> Value:
        value = choose(name, dimension)
        params.update(_encoded(name, dimension, value))
        return value

    space.configure(noted)
    trial = FixedTrial(params)
    return space.configure(suggest_from(trial)), trial


def _encoded(name: str, dimension: Dimension, value: Value) -> dict[str, Any]:
    """The parameters from which :func:`suggest_from` gives ``value`` back."""
    if isinstance(dimension, Fixed):
        return {}
    if isinstance(dimension, Choice):
        return {name: value}
    params: dict[str, Any] = {}
    if dimension.optional:
        params[f"{name}?"] = "off" if value == 0 else "on"
        if value == 0:
            return params
    if dimension.scale == "reverse_log":
        params[f"1-{name}"] = 1 - float(value)
    elif isinstance(dimension, FloatRange) and dimension.step is not None:
        params[f"{name}/step"] = round((float(value) - dimension.low) / dimension.step)
    else:
        params[name] = value
    return params
