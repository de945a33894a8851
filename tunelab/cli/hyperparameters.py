"""Hyperparameters in short, for a column, and in full, for a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunelab.cli.formats import clean, exponent, number


def short(flat: Mapping[str, Any]) -> str:
    """The most telling hyperparameters in a few words, the most important first.

    >>> short({"optimizer": "nesterov", "learning_rate": 0.088, "momentum": 0.9,
    ...        "schedule": "step_drop", "schedule.factor": 0.5, "layers": 3, "units": 256,
    ...        "dropout_rate": 0.2, "l2": 1e-5, "batch_size": 32})
    'nesterov 8.8e-2 step_drop 3x256 d.2 m.9 l2:1e-5 b32'
    >>> short({"optimizer": "adam", "layers": 2, "units_1": 64, "units_2": 32, "batch_norm": "on"})
    'adam 64-32 bn'
    """
    words = [clean(str(flat[name])) for name in ("optimizer",) if name in flat]
    if "learning_rate" in flat:
        words.append(exponent(flat["learning_rate"]))
    if "schedule" in flat:
        words.append(clean(str(flat["schedule"])))
    if "layers" in flat and "units" in flat:
        words.append(f"{flat['layers']}x{flat['units']}")
    elif "units_1" in flat:
        words.append("-".join(str(flat[name]) for name in flat if name.startswith("units_")))
    if flat.get("shape") == "funnel":
        words.append("funnel")
    if flat.get("batch_norm") == "on":
        words.append("bn")
    for name, letter, digits in (("dropout_rate", "d", 2), ("momentum", "m", 3)):
        if flat.get(name):
            short = f"{flat[name]:.{digits}g}"
            short = exponent(flat[name]) if "e" in short else short.removeprefix("0")
            words.append(letter + short)
    words += [f"{name}:{exponent(flat[name])}" for name in ("l1", "l2") if flat.get(name)]
    if "batch_size" in flat:
        words.append(f"b{flat['batch_size']}")
    return " ".join(words)


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
