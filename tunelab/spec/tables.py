"""Every name a study file may use, and the valid range of every hyperparameter: the one table.

The names equal those of the training engine's registries; they are repeated here so that reading
a study file does not load NumPy. A test compares them.
"""

from __future__ import annotations

from typing import Literal

from tunelab.spec.rules import Name, Number, RateTable, Rule, Switch

_LEARNING_RATE = Number("float", 0, 1000, low_open=True)
_SHARE = Number("float", 0, 1)
_SHARE_KEPT = Number("float", 0, 1, high_open=True)
_EPSILON = Number("float", 1e-30, 1)  # far above what float32 still tells from 0
_EPOCHS = Number("int", 1, 1_000_000)
_EPOCHS_OR_NONE = Number("int", 0, 1_000_000)
_DECAY_RATE = Number("float", 0, 1000)
_PENALTY = Number("float", 0, 1000)

_ADAM: dict[str, Rule] = {
    "learning_rate": _LEARNING_RATE,
    "beta_1": _SHARE_KEPT,
    "beta_2": _SHARE_KEPT,
    "epsilon": _EPSILON,
}

OPTIMIZERS: dict[str, dict[str, Rule]] = {
    "sgd": {"learning_rate": _LEARNING_RATE},
    "momentum": {"learning_rate": _LEARNING_RATE, "momentum": _SHARE_KEPT},
    # Without momentum there is no point to look ahead to.
    "nesterov": {
        "learning_rate": _LEARNING_RATE,
        "momentum": Number("float", 0, 1, low_open=True, high_open=True),
    },
    "adagrad": {"learning_rate": _LEARNING_RATE, "epsilon": _EPSILON},
    "adadelta": {"learning_rate": _LEARNING_RATE, "rho": _SHARE_KEPT, "epsilon": _EPSILON},
    "rmsprop": {"learning_rate": _LEARNING_RATE, "rho": _SHARE_KEPT, "epsilon": _EPSILON},
    "adam": _ADAM,
    "adamw": {**_ADAM, "weight_decay": _PENALTY},
    "nadam": _ADAM,
}
"""Optimizer -> its own hyperparameters and their valid values."""

_WARM_UP: dict[str, Rule] = {"warm_up": _EPOCHS_OR_NONE}

SCHEDULES: dict[str, dict[str, Rule]] = {
    "constant": _WARM_UP,
    "linear": {"end": _SHARE, "tau": _EPOCHS, **_WARM_UP},
    "inverse_time": {
        "decay_rate": _DECAY_RATE,
        "unit": Name("unit", ("epoch", "step")),
        **_WARM_UP,
    },
    "step_drop": {
        "factor": Number("float", 0, 1, low_open=True),
        "every": _EPOCHS,
        "offset": Number("int", 0, 1),
        **_WARM_UP,
    },
    "hold_then_exponential": {"hold": _EPOCHS_OR_NONE, "decay_rate": _DECAY_RATE, **_WARM_UP},
    "piecewise": {"rates": RateTable(_LEARNING_RATE), **_WARM_UP},
    "polynomial": {"power": Number("float", 0, 100, low_open=True), "end": _SHARE, **_WARM_UP},
    "cosine": {"end": _SHARE, **_WARM_UP},
    "one_cycle": {
        "rise": Number("float", 0, 1, low_open=True, high_open=True),
        "start": Number("float", 0, 1, low_open=True),
        "end": _SHARE,
    },
}
"""Schedule -> its own hyperparameters and their valid values."""

NETWORK: dict[str, Rule] = {
    "layers": Number("int", 1, 100),
    "units": Number("int", 1, 65_536),
    "shape": Name("shape", ("constant", "funnel")),
    "activation": Name(
        "activation", ("relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid")
    ),
    "initializer": Name(
        "initializer",
        (
            "matched",
            "he_normal",
            "he_uniform",
            "glorot_normal",
            "glorot_uniform",
            "lecun_normal",
            "lecun_uniform",
        ),
    ),
    "batch_norm": Switch(),
    "dropout_rate": _SHARE_KEPT,
    "l1": _PENALTY,
    "l2": _PENALTY,
    "gradient_clip": Number("float", 0, 1_000_000),
    "label_smoothing": _SHARE_KEPT,
    "class_weight": Name("class weight", ("none", "balanced")),
    "batch_size": Number("int", 1, 1_000_000),
}
"""The network's hyperparameters and their valid values, in the order they are asked for."""

SHARED = ("learning_rate", "momentum")
"""Optimizer hyperparameters that may be given once for all optimizers that have them."""

ENGINE_DEFAULTS = (
    "beta_1",
    "beta_2",
    "epsilon",
    "rho",
    "warm_up",
    "end",
    "unit",
    "offset",
    "power",
    "rise",
    "start",
    "initializer",
    "l1",
    "gradient_clip",
    "label_smoothing",
    "class_weight",
)
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
    "classification": {
        "validation_loss": "minimize",
        "accuracy": "maximize",
        "balanced_accuracy": "maximize",
        "f1_macro": "maximize",
        "roc_auc": "maximize",
        "log_loss": "minimize",
    },
    "regression": {
        "validation_loss": "minimize",
        "rmse": "minimize",
        "mae": "minimize",
        "r2": "maximize",
    },
}
"""Task -> the metrics that may be its objective -> their direction."""

LOSSES: dict[str, tuple[str, ...]] = {
    "classification": ("cross_entropy",),
    "regression": ("squared_error", "absolute_error"),
}
"""Task -> the losses it may train with; the first is the usual one."""

CLASSIFICATION_ONLY = ("label_smoothing", "class_weight")
"""Hyperparameters of the network that need classes."""

GRID, QMC = "grid", "qmc"
SAMPLERS = ("tpe", "random", QMC, GRID)
NO_PRUNER = "none"
PRUNERS = ("median", "percentile", "successive_halving", NO_PRUNER)
PRESETS = ("default", "careful", "eager", "off")
