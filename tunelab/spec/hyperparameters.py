"""One configuration of hyperparameters, as a record and as the flat mapping that is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_NETWORK = ("layers", "units", "activation", "dropout_rate", "l2", "batch_size")
_ALWAYS = ("optimizer", "learning_rate", "schedule", *_NETWORK)
_SCHEDULE_PREFIX = "schedule."


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Everything that one trial trains with.

    The flat form is the one that Optuna, the study database and MLflow see: the optimizer's own
    settings stand under their bare names (``momentum``, ``beta_1``), the schedule's under
    ``schedule.``; what is not active in this configuration is not there.

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
        units: Units of each hidden layer.
        activation: Activation of the hidden layers.
        dropout_rate: Share of the hidden units zeroed in training, in [0, 1).
        l2: Weight of the squared penalty; 0.0 is off.
        batch_size: Rows per step.
    """

    optimizer: str
    learning_rate: float
    optimizer_settings: Mapping[str, float] = field(default_factory=dict)
    schedule: str
    schedule_settings: Mapping[str, float | int] = field(default_factory=dict)
    layers: int
    units: int
    activation: str
    dropout_rate: float = 0.0
    l2: float = 0.0
    batch_size: int

    def to_flat(self) -> dict[str, str | int | float]:
        """The configuration as one flat mapping, in a fixed order."""
        flat: dict[str, str | int | float] = {
            "optimizer": self.optimizer,
            "learning_rate": self.learning_rate,
        }
        flat.update(self.optimizer_settings)
        flat["schedule"] = self.schedule
        for name, value in self.schedule_settings.items():
            flat[_SCHEDULE_PREFIX + name] = value
        for name in _NETWORK:
            flat[name] = getattr(self, name)
        return flat

    @classmethod
    def from_flat(cls, flat: Mapping[str, str | int | float]) -> Hyperparameters:
        """The exact inverse of `to_flat`.

        Raises:
            ValueError: If a hyperparameter that every configuration has is missing.
        """
        missing = [name for name in _ALWAYS if name not in flat]
        if missing:
            raise ValueError(f"a configuration needs {' '.join(missing)}; got {' '.join(flat)}")
        own = {name: value for name, value in flat.items() if name not in _ALWAYS}
        return cls(
            optimizer=str(flat["optimizer"]),
            learning_rate=float(flat["learning_rate"]),
            optimizer_settings={
                name: float(value)
                for name, value in own.items()
                if not name.startswith(_SCHEDULE_PREFIX)
            },
            schedule=str(flat["schedule"]),
            schedule_settings={
                name.removeprefix(_SCHEDULE_PREFIX): _number(value)
                for name, value in own.items()
                if name.startswith(_SCHEDULE_PREFIX)
            },
            layers=int(flat["layers"]),
            units=int(flat["units"]),
            activation=str(flat["activation"]),
            dropout_rate=float(flat["dropout_rate"]),
            l2=float(flat["l2"]),
            batch_size=int(flat["batch_size"]),
        )


def _number(value: str | int | float) -> int | float:
    """A schedule's setting as it is: epochs are whole numbers, factors are not."""
    return float(value) if isinstance(value, str) else value
