"""What a study file leaves out: the default search space, and the configuration of trial 0."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal

from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.spec.space import Choice, Dimension, Fixed, FloatRange, IntRange, Space, Value
from tunelab.spec.tables import NETWORK, OPTIMIZERS, SCHEDULES, SHARED

_WIDE_RATE = FloatRange(1e-3, 1.0, "log")
_MOMENTUM = FloatRange(0.5, 0.99, "reverse_log")

# A range for each optimizer: one shared range wastes half the trials.
_OPTIMIZERS: dict[str, dict[str, Dimension]] = {
    "sgd": {"learning_rate": _WIDE_RATE},
    "momentum": {"learning_rate": _WIDE_RATE, "momentum": _MOMENTUM},
    "nesterov": {"learning_rate": _WIDE_RATE, "momentum": _MOMENTUM},
    "adam": {"learning_rate": FloatRange(1e-4, 3e-2, "log")},
}
_NETWORK: dict[str, Dimension] = {
    "layers": IntRange(1, 4),
    "units": IntRange(16, 512, "log"),
    "activation": Choice(("relu", "tanh")),
    "dropout_rate": FloatRange(0.0, 0.5),
    "l2": FloatRange(1e-7, 1e-2, "log", optional=True),
}
_BATCH_SIZES = (16, 32, 64, 128, 256)

_TRIAL_0: dict[str, Value] = {
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "momentum": 0.9,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-8,
    "schedule": "cosine",
    "factor": 0.5,
    "every": 10,
    "end": 0.0,
    "layers": 2,
    "units": 128,
    "activation": "relu",
    "dropout_rate": 0.1,
    "l2": 1e-5,
    "batch_size": 32,
}


def complete_space(given: Space, max_epochs: int, n_train: int) -> Space:
    """``given`` with every gap filled from the default space, in the tables' order.

    Args:
        given: A space that may lack anything; what it has is kept.
        max_epochs: The budget of a trial: default periods are shares of it.
        n_train: Training rows: default batches hold at most a tenth of them, where one can.
    """
    schedules = _default_schedules(max_epochs)
    network = {**_NETWORK, "batch_size": _default_batch_size(n_train)}
    return Space(
        optimizers={
            name: _filled(_OPTIMIZERS[name], given.optimizers.get(name, {}), given.shared)
            for name in OPTIMIZERS
            if name in given.optimizers or not given.optimizers
        },
        schedules={
            name: _filled(schedules[name], given.schedules.get(name, {}), {})
            for name in SCHEDULES
            if name in given.schedules or not given.schedules
        },
        shared={key: given.shared[key] for key in SHARED if key in given.shared},
        network={name: given.network.get(name, network[name]) for name in NETWORK},
    )


def default_configuration(space: Space) -> Hyperparameters:
    """The configuration of trial 0: the defaults, each moved to the nearest value of the space.

    >>> trial = default_configuration(complete_space(Space(), max_epochs=100, n_train=1000))
    >>> trial.optimizer, trial.learning_rate, trial.schedule, trial.units, trial.batch_size
    ('adam', 0.001, 'cosine', 128, 32)

    Args:
        space: A complete space.
    """
    return space.configure(default_value)


def default_value(name: str, dimension: Dimension) -> Value:
    """The default of the hyperparameter ``name``, moved to the nearest value of ``dimension``.

    >>> default_value("optimizer.adam.learning_rate", FloatRange(0.01, 1.0, "log"))
    0.01
    """
    return _nearest(dimension, _TRIAL_0[name.rsplit(".", maxsplit=1)[-1]])


def _default_schedules(max_epochs: int) -> dict[str, dict[str, Dimension]]:
    shortest, longest = (max(1, round(share * max_epochs)) for share in (0.05, 0.2))
    drop: dict[str, Dimension] = {
        "factor": Choice((0.1, 0.5)),
        "every": IntRange(shortest, longest),
    }
    return {"constant": {}, "step_drop": drop, "cosine": {}}


def _default_batch_size(n_train: int) -> Dimension:
    sizes = [size for size in _BATCH_SIZES if size <= n_train / 10]
    if len(sizes) > 1:
        return Choice(tuple(sizes))
    return Fixed(min(_BATCH_SIZES[0], n_train))


def _filled(
    defaults: Mapping[str, Dimension],
    own: Mapping[str, Dimension],
    shared: Mapping[str, Dimension],
) -> dict[str, Dimension]:
    missing = {key: value for key, value in defaults.items() if key not in {**own, **shared}}
    return {**missing, **own}


def _nearest(dimension: Dimension, target: Value) -> Value:
    """The dimension's value that is nearest to ``target``; on a range, measured on its scale."""
    if isinstance(dimension, Fixed):
        return dimension.value
    if isinstance(dimension, Choice):
        if isinstance(target, str):
            return target if target in dimension.values else dimension.values[0]
        goal = target
        return min(dimension.values, key=lambda value: abs(float(value) - goal))
    goal = float(target)
    inside = _nearest_in_range(dimension, goal)
    off_is_nearer = dimension.scale == "linear" and goal < abs(goal - inside)
    if dimension.optional and (goal == 0 or off_is_nearer):
        return 0 if isinstance(dimension, IntRange) else 0.0
    return inside


def _nearest_in_range(dimension: FloatRange | IntRange, goal: float) -> int | float:
    clipped = min(max(goal, dimension.low), dimension.high)
    if dimension.step is None:
        return clipped
    # A step such as 0.3333333333333333 does not divide 1 exactly.
    last = math.floor((dimension.high - dimension.low) / dimension.step + 1e-9)
    steps = min(round((clipped - dimension.low) / dimension.step), last)
    if isinstance(dimension, IntRange):
        return dimension.low + steps * dimension.step
    value = Decimal(str(dimension.low)) + steps * Decimal(str(dimension.step))
    return min(float(value), dimension.high)
