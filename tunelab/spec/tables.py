"""Every name a study file may use, and the valid range of every hyperparameter: the one table.

The names equal those of the training engine's registries; they are repeated here so that reading
a study file does not load NumPy. A test compares them.
"""

from __future__ import annotations

from typing import Literal

from tunelab.spec.rules import Name, Number, Rule

_LEARNING_RATE = Number("float", 0, 1000, low_open=True)
_SHARE_KEPT = Number("float", 0, 1, high_open=True)

OPTIMIZERS: dict[str, dict[str, Number]] = {
    "sgd": {"learning_rate": _LEARNING_RATE},
    "momentum": {"learning_rate": _LEARNING_RATE, "momentum": _SHARE_KEPT},
    # Without momentum there is no point to look ahead to.
    "nesterov": {
        "learning_rate": _LEARNING_RATE,
        "momentum": Number("float", 0, 1, low_open=True, high_open=True),
    },
    "adam": {
        "learning_rate": _LEARNING_RATE,
        "beta_1": _SHARE_KEPT,
        "beta_2": _SHARE_KEPT,
        "epsilon": Number("float", 0, 1, low_open=True),
    },
}
"""Optimizer -> its own hyperparameters and their valid ranges."""

SCHEDULES: dict[str, dict[str, Number]] = {
    "constant": {},
    "step_drop": {
        "factor": Number("float", 0, 1, low_open=True),
        "every": Number("int", 1, 1_000_000),
    },
    "cosine": {"end": Number("float", 0, 1)},
}
"""Schedule -> its own hyperparameters and their valid ranges."""

NETWORK: dict[str, Rule] = {
    "layers": Number("int", 1, 100),
    "units": Number("int", 1, 65_536),
    "activation": Name("activation", ("relu", "tanh")),
    "dropout_rate": _SHARE_KEPT,
    "l2": Number("float", 0, 1000),
    "batch_size": Number("int", 1, 1_000_000),
}
"""The network's hyperparameters and their valid ranges, in the order they are asked for."""

SHARED = ("learning_rate", "momentum")
"""Optimizer hyperparameters that may be given once for all optimizers that have them."""

ENGINE_DEFAULTS = ("beta_1", "beta_2", "epsilon", "end")
"""Settings that stay at the engine's default, out of every record, unless a study gives them."""

DATASETS: dict[str, str] = {
    "iris": "classification",
    "wine": "classification",
    "breast_cancer": "classification",
    "digits": "classification",
    "diabetes": "regression",
    "linnerud": "regression",
}
"""Data set of scikit-learn -> the task it is made for."""

Direction = Literal["minimize", "maximize"]

METRICS: dict[str, dict[str, Direction]] = {
    "classification": {"validation_loss": "minimize", "accuracy": "maximize"},
    "regression": {
        "validation_loss": "minimize",
        "rmse": "minimize",
        "mae": "minimize",
        "r2": "maximize",
    },
}
"""Task -> the metrics that may be its objective -> their direction."""

SAMPLERS = ("tpe", "random")
PRUNERS = ("median", "none")
PRESETS = ("default", "careful", "eager", "off")
