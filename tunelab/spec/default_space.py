"""What a study file leaves out: the default search space, and the configuration of trial 0."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.spec.space import (
    Choice,
    Dimension,
    Fixed,
    FloatRange,
    IntRange,
    Space,
    Value,
    bounds,
)
from tunelab.spec.tables import NETWORK, OPTIMIZERS, SCHEDULES, SHARED

_SGD_RATE = FloatRange(1e-3, 1.0, "log")
_ADAM_RATE = FloatRange(1e-4, 3e-2, "log")
_MOMENTUM = FloatRange(0.5, 0.99, "reverse_log")

# A range for each optimizer: one shared range wastes half the trials.
_OPTIMIZERS: dict[str, dict[str, Dimension]] = {
    "sgd": {"learning_rate": _SGD_RATE},
    "momentum": {"learning_rate": _SGD_RATE, "momentum": _MOMENTUM},
    "nesterov": {"learning_rate": _SGD_RATE, "momentum": _MOMENTUM},
    "adagrad": {"learning_rate": FloatRange(1e-3, 0.3, "log")},
    "adadelta": {"learning_rate": FloatRange(0.1, 2.0, "log")},
    "rmsprop": {"learning_rate": _ADAM_RATE},
    "adam": {"learning_rate": _ADAM_RATE},
    "adamw": {"learning_rate": _ADAM_RATE, "weight_decay": FloatRange(1e-4, 0.1, "log")},
    "nadam": {"learning_rate": _ADAM_RATE},
}
_NETWORK: dict[str, Dimension] = {
    "layers": IntRange(1, 4),
    "units": IntRange(16, 512, "log"),
    "shape": Choice(("constant", "funnel")),
    "activation": Choice(("relu", "tanh", "elu", "gelu")),
    "batch_norm": Choice(("off", "on")),
    "dropout_rate": FloatRange(0.0, 0.5),
    "l2": FloatRange(1e-7, 1e-2, "log", optional=True),
}
_BATCH_SIZES = (16, 32, 64, 128, 256)

SEARCHED_OPTIMIZERS: tuple[str, ...] = (
    "sgd",
    "momentum",
    "nesterov",
    "adagrad",
    "adadelta",
    "rmsprop",
    "adam",
)
"""The optimizers of a study that names none."""

SEARCHED_SCHEDULES: tuple[str, ...] = (
    "constant",
    "linear",
    "inverse_time",
    "step_drop",
    "hold_then_exponential",
    "cosine",
)
"""The schedules of a study that names none."""

DEFAULTS: dict[str, Value] = {
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "sgd.learning_rate": 0.1,
    "momentum.learning_rate": 0.01,
    "nesterov.learning_rate": 0.01,
    "adagrad.learning_rate": 0.01,
    "adadelta.learning_rate": 1.0,
    "momentum": 0.9,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-8,
    "adadelta.epsilon": 1e-6,
    "rho": 0.9,
    "adadelta.rho": 0.95,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "end": 0.0,
    "linear.end": 0.01,
    "one_cycle.end": 4e-6,
    "tau": 1_000_000,  # the whole run: moved to the greatest value that a study allows
    "decay_rate": 0.05,
    "hold_then_exponential.decay_rate": 0.1,
    "unit": "epoch",
    "factor": 0.5,
    "every": 10,
    "offset": 0,
    "hold": 10,
    "power": 2.0,
    "rates": "",  # no table suits every study: the first of those given
    "rise": 0.3,
    "start": 0.04,
    "warm_up": 0,
    "layers": 2,
    "units": 128,
    "shape": "constant",
    "activation": "relu",
    "initializer": "matched",
    "batch_norm": "off",
    "dropout_rate": 0.1,
    "l1": 0.0,
    "l2": 1e-5,
    "gradient_clip": 0.0,
    "label_smoothing": 0.0,
    "class_weight": "none",
    "batch_size": 32,
}
"""The default of every hyperparameter, by its name or by ``MEMBER.NAME`` where a member differs."""


def complete_space(given: Space, max_epochs: int, n_train: int, *, fixed: bool = False) -> Space:
    """``given`` with every gap filled from the default space, in the tables' order.

    Args:
        given: A space that may lack anything; what it has is kept.
        max_epochs: The budget of a trial: default periods are shares of it.
        n_train: Training rows: default batches hold at most a tenth of them, where one can.
        fixed: Fill gaps with the default's value instead of its range. A grid needs that: it
            has the axes that a study names, and no others.
    """
    schedules = _default_schedules(max_epochs)
    network = {**_NETWORK, "batch_size": _default_batch_size(n_train)}
    if bounds(given.network.get("batch_size", network["batch_size"]))[0] < 2:
        network["batch_norm"] = Fixed("off")  # one row has no variance
    if given.units_by_layer:
        network = {key: value for key, value in network.items() if key not in ("units", "shape")}
        network["layers"] = Fixed(len(given.units_by_layer))
    searched_optimizers, searched_schedules = SEARCHED_OPTIMIZERS, SEARCHED_SCHEDULES
    if fixed:
        searched_optimizers = (str(DEFAULTS["optimizer"]),)
        searched_schedules = (str(DEFAULTS["schedule"]),)
    optimizers = {
        name: _filled(
            f"optimizer.{name}.", _OPTIMIZERS[name], own, given.shared, OPTIMIZERS[name], fixed
        )
        for name, own in _members(OPTIMIZERS, given.optimizers, searched_optimizers).items()
    }
    filled_schedules = {
        name: _filled(f"schedule.{name}.", schedules[name], own, {}, SCHEDULES[name], fixed)
        for name, own in _members(SCHEDULES, given.schedules, searched_schedules).items()
    }
    return Space(
        optimizers=optimizers,
        schedules=filled_schedules,
        shared={key: given.shared[key] for key in SHARED if key in given.shared},
        network=_filled("", network, given.network, {}, NETWORK, fixed),
        units_by_layer=given.units_by_layer,
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
    *family, key = name.split(".")
    if key.startswith("units_"):
        key = "units"
    of_member = f"{family[-1]}.{key}" if family else key
    return _nearest(dimension, DEFAULTS.get(of_member, DEFAULTS[key]))


def _default_schedules(max_epochs: int) -> dict[str, dict[str, Dimension]]:
    def epochs(shortest: float, longest: float) -> IntRange:
        low, high = (max(1, round(share * max_epochs)) for share in (shortest, longest))
        return IntRange(low, high)

    # Over the whole run the rate falls by a factor of 2 to 20.
    decay_rate = FloatRange(1 / max_epochs, 19 / max_epochs, "log")
    return {
        "constant": {},
        "linear": {"tau": epochs(0.5, 1.0)},
        "inverse_time": {"decay_rate": decay_rate},
        "step_drop": {"factor": Choice((0.1, 0.5)), "every": epochs(0.05, 0.2)},
        "hold_then_exponential": {
            "hold": epochs(0.05, 0.3),
            "decay_rate": FloatRange(0.02, 0.2, "log"),
        },
        "piecewise": {},
        "polynomial": {},
        "cosine": {},
        "one_cycle": {},
    }


def _default_batch_size(n_train: int) -> Dimension:
    sizes = [size for size in _BATCH_SIZES if size <= n_train / 10]
    if len(sizes) > 1:
        return Choice(tuple(sizes))
    return Fixed(min(_BATCH_SIZES[0], n_train))


def _members(
    table: Iterable[str],
    given: Mapping[str, Mapping[str, Dimension]],
    searched: Collection[str],
) -> dict[str, Mapping[str, Dimension]]:
    """The members that the study names, or those of the default space, in the table's order."""
    return {name: given.get(name, {}) for name in table if name in (given if given else searched)}


def _filled(
    prefix: str,
    defaults: Mapping[str, Dimension],
    own: Mapping[str, Dimension],
    shared: Mapping[str, Dimension],
    order: Iterable[str],
    fixed: bool,
) -> dict[str, Dimension]:
    """``own`` and the defaults of what neither it nor ``shared`` has."""
    missing = {key: value for key, value in defaults.items() if key not in {**own, **shared}}
    if fixed:
        missing = {key: Fixed(default_value(prefix + key, value)) for key, value in missing.items()}
    merged = {**missing, **own}
    return {key: merged[key] for key in order if key in merged}


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
    steps = min(round((clipped - dimension.low) / dimension.step), dimension.n_steps)
    return dimension.at(steps)
