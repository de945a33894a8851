"""Hyperparameters in short, for a column, and in full, for a line."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tunelab.cli.formats import clean, exponent, number
from tunelab.spec.space import Dimension, Fixed, Space

_LETTERS = {"dropout_rate": "d", "momentum": "m", "batch_size": "b"}
_TELLING = ("weight_decay", "rho", "beta_1", "beta_2", "epsilon")  # beside the learning rate


def short(flat: Mapping[str, Any], constant: Collection[str] = ()) -> str:
    """The hyperparameters in a few words, the most telling first, those that are off left out.

    >>> short({"optimizer": "nesterov", "learning_rate": 0.088, "momentum": 0.9,
    ...        "schedule": "step_drop", "schedule.factor": 0.5, "layers": 3, "units": 256,
    ...        "dropout_rate": 0.2, "l2": 1e-5, "batch_size": 32})
    'nesterov 8.8e-2 m.9 step_drop factor:.5 3x256 d.2 l2:1e-5 b32'
    >>> short({"optimizer": "adam", "layers": 2, "units_1": 64, "units_2": 32, "batch_norm": "on"},
    ...       constant={"optimizer"})
    '64-32 bn'

    Args:
        flat: The configuration.
        constant: Names that all configurations around it have in common: left out.
    """
    words: dict[str, str] = {}
    left = {name: value for name, value in flat.items() if name not in constant}
    for name in ("optimizer", "learning_rate", "momentum", *_TELLING, "schedule"):
        if name in left:
            words[name] = _word(name, left[name])
    for name in left:
        if name.startswith("schedule."):
            words[name] = _word(name.removeprefix("schedule."), left[name])
    if "units" in flat and {"layers", "units"} & left.keys():
        words["units"] = f"{flat['layers']}x{flat['units']}"
    elif "units_1" in flat and any(name.startswith("units_") for name in left):
        words["units"] = "-".join(str(flat[name]) for name in flat if name.startswith("units_"))
    shown = {*words, "layers", *(name for name in left if name.startswith("units_"))}
    words.update({name: _word(name, value) for name, value in left.items() if name not in shown})
    return " ".join(word for word in words.values() if word)


def constant_names(space: Space) -> frozenset[str]:
    """The hyperparameters that have one value in every configuration of ``space``.

    >>> space = Space(optimizers={"sgd": {"learning_rate": Fixed(0.1)}}, network={"l2": Fixed(0.0)})
    >>> sorted(constant_names(space))
    ['l2', 'learning_rate', 'optimizer']
    """
    found: dict[str, set[Dimension]] = {}
    for own in (*space.optimizers.values(), space.shared, space.network):
        for name, dimension in own.items():
            found.setdefault(name, set()).add(dimension)
    for own in space.schedules.values():
        for name, dimension in own.items():
            found.setdefault(f"schedule.{name}", set()).add(dimension)
    for layer, dimension in enumerate(space.units_by_layer, start=1):
        found.setdefault(f"units_{layer}", set()).add(dimension)
    constant = {
        name
        for name, dimensions in found.items()
        if len(dimensions) == 1 and all(isinstance(item, Fixed) for item in dimensions)
    }
    families = {"optimizer": space.optimizers, "schedule": space.schedules}
    return frozenset(constant | {name for name, own in families.items() if len(own) == 1})


def _word(name: str, value: Any) -> str:
    """One hyperparameter; nothing where it is off."""
    if name in ("optimizer", "schedule"):
        return clean(str(value))
    if name == "learning_rate":
        return exponent(value)
    if name == "batch_norm":
        return "bn" if value == "on" else ""
    if name == "shape":
        return "funnel" if value == "funnel" else ""
    if isinstance(value, str):
        return clean(value) if name == "activation" else f"{name}:{clean(value)}"
    if value == 0:
        return ""
    figure = str(value) if isinstance(value, int) else f"{value:.3g}"
    figure = exponent(value) if "e" in figure else figure.removeprefix("0")
    return _LETTERS[name] + figure if name in _LETTERS else f"{name}:{figure}"


def assignments(flat: Mapping[str, Any]) -> str:
    """All hyperparameters as ``name=value``.

    >>> assignments({"optimizer": "adam", "learning_rate": 0.00291234, "units": 128})
    'optimizer=adam learning_rate=0.002912 units=128'
    """
    return " ".join(f"{clean(name)}={plain(value)}" for name, value in flat.items())


def plain(value: object) -> str:
    """One hyperparameter's value.

    >>> plain(0.00291234), plain(128), plain("adam")
    ('0.002912', '128', 'adam')
    """
    return number(value) if isinstance(value, float) else clean(str(value))
