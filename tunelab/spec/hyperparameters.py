"""One configuration of hyperparameters, as a record and as the flat mapping that is stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

_SCHEDULE_PREFIX = "schedule."
_LAYER_UNITS = re.compile(r"units_[0-9]+")


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Everything that one trial trains with.

    The flat form is the one that Optuna, the study database and MLflow see: the optimizer's own
    settings stand under their bare names (``momentum``, ``beta_1``), the schedule's under
    ``schedule.``, units of single layers as ``units_1``, ``units_2``, ...; what is not active in
    this configuration, or left to the engine's default, is not there.

    >>> trial = Hyperparameters(
    ...     optimizer="adam", learning_rate=0.001, schedule="step_drop",
    ...     schedule_settings={"factor": 0.5, "every": 10},
    ...     layers=2, units=128, activation="relu", batch_size=32,
    ... )
    >>> list(trial.to_flat())[:4]
    ['optimizer', 'learning_rate', 'schedule', 'schedule.factor']
    >>> Hyperparameters.from_flat(trial.to_flat()) == trial
    True

    Attributes:
        optimizer: Name of the optimizer.
        learning_rate: The initial rate, which the schedule changes.
        optimizer_settings: The optimizer's own settings, without the rate.
        schedule: Name of the schedule.
        schedule_settings: The schedule's own settings.
        layers: Hidden layers.
        units: Units of the first hidden layer; or of each one, a tuple.
        shape: How the other layers follow from the first; None where each has its own units.
        activation: Activation of the hidden layers.
        initializer: Of the hidden layers' weights; None is the one that suits the activation.
        batch_norm: Whether hidden layers are normalised over the batch.
        dropout_rate: Share of the hidden units zeroed in training, in [0, 1).
        l1: Weight of the absolute penalty; None and 0.0 are off.
        l2: Weight of the squared penalty; 0.0 is off.
        gradient_clip: Greatest norm of the gradient; None and 0.0 are off.
        label_smoothing: Share of the label spread over all classes; None and 0.0 are off.
        class_weight: How classes are weighted in training; None is not at all.
        batch_size: Rows per step.
    """

    optimizer: str
    learning_rate: float
    optimizer_settings: Mapping[str, float] = field(default_factory=dict)
    schedule: str
    schedule_settings: Mapping[str, str | int | float] = field(default_factory=dict)
    layers: int
    units: int | tuple[int, ...]
    shape: str | None = "constant"
    activation: str
    initializer: str | None = None
    batch_norm: bool = False
    dropout_rate: float = 0.0
    l1: float | None = None
    l2: float = 0.0
    gradient_clip: float | None = None
    label_smoothing: float | None = None
    class_weight: str | None = None
    batch_size: int

    def __post_init__(self) -> None:
        if isinstance(self.units, tuple):
            if len(self.units) != self.layers:
                raise ValueError(f"{self.layers} layers need as many units, got {self.units}")
            object.__setattr__(self, "shape", None)

    def widths(self, n_outputs: int) -> tuple[int, ...]:
        """Units of each hidden layer.

        A ``funnel`` narrows evenly towards the outputs, as in Auto-PyTorch (Zimmer et al. 2021):
        layer i of n, counted from 0, has ``units + (n_outputs - units) * i / n`` units, rounded.
        Where the outputs are more than the units, it stays constant.

        >>> funnel = Hyperparameters(
        ...     optimizer="sgd", learning_rate=0.1, schedule="constant",
        ...     layers=3, units=100, shape="funnel", activation="relu", batch_size=32,
        ... )
        >>> funnel.widths(10)
        (100, 70, 40)
        """
        if isinstance(self.units, tuple):
            return self.units
        fall = max(self.units - n_outputs, 0) if self.shape == "funnel" else 0
        return tuple(round(self.units - fall * i / self.layers) for i in range(self.layers))

    def to_flat(self) -> dict[str, str | int | float]:
        """The configuration as one flat mapping, in a fixed order."""
        flat: dict[str, str | int | float] = {}
        for name in _NAMES:
            value = getattr(self, name)
            if name == "optimizer_settings":
                flat.update(value)
            elif name == "schedule_settings":
                flat.update({_SCHEDULE_PREFIX + key: item for key, item in value.items()})
            elif isinstance(value, tuple):
                flat.update({f"units_{i}": units for i, units in enumerate(value, start=1)})
            elif isinstance(value, bool):
                flat[name] = "on" if value else "off"
            elif value is not None:
                flat[name] = value
        return flat

    @classmethod
    def from_flat(cls, flat: Mapping[str, str | int | float]) -> Hyperparameters:
        """The exact inverse of `to_flat`.

        Raises:
            ValueError: If a hyperparameter that every configuration has is missing.
        """
        values: dict[str, Any] = {"optimizer_settings": {}, "schedule_settings": {}}
        by_layer = []
        for name, value in flat.items():
            if name in _NAMES:
                values[name] = value == "on" if name == "batch_norm" else value
            elif name.startswith(_SCHEDULE_PREFIX):
                values["schedule_settings"][name.removeprefix(_SCHEDULE_PREFIX)] = value
            elif _LAYER_UNITS.fullmatch(name):
                by_layer.append(value)
            else:
                values["optimizer_settings"][name] = value
        if by_layer:
            values["units"] = tuple(by_layer)
        missing = [name for name in _REQUIRED if name not in values]
        if missing:
            raise ValueError(f"a configuration needs {' '.join(missing)}; got {' '.join(flat)}")
        return cls(**values)


_NAMES = tuple(item.name for item in fields(Hyperparameters))
_REQUIRED = (
    "optimizer",
    "learning_rate",
    "schedule",
    "layers",
    "units",
    "activation",
    "dropout_rate",
    "l2",
    "batch_size",
)
