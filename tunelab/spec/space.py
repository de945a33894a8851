"""The search space: dimensions, and the order in which a configuration is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.spec.tables import ENGINE_DEFAULTS, NETWORK, OPTIMIZERS, SCHEDULES, SHARED

Value = str | int | float


@dataclass(frozen=True)
class Fixed:
    """A hyperparameter that is not searched."""

    value: Value


@dataclass(frozen=True)
class Choice:
    """One of some values: all names, all whole numbers or all floats."""

    values: tuple[Value, ...]


@dataclass(frozen=True)
class FloatRange:
    """A real number in [low, high].

    Attributes:
        low: Least value.
        high: Greatest value; with a step it lies on the step's grid.
        scale: ``linear``; ``log``: uniform in ln(x); ``reverse_log``: uniform in ln(1 - x), for
            shares in [0, 1) whose distance from 1 matters, such as momentum.
        step: Distance of neighbouring values, counted from ``low``; linear scale only.
        optional: Whether 0.0, "off", is one more value.
    """

    low: float
    high: float
    scale: Literal["linear", "log", "reverse_log"] = "linear"
    step: float | None = None
    optional: bool = False

    @property
    def n_steps(self) -> int:
        """Steps from ``low`` to ``high``; 0 where there is no step."""
        if self.step is None:
            return 0
        # A step such as 0.3333333333333333 does not divide 1 exactly.
        return math.floor((self.high - self.low) / self.step + 1e-9)

    def at(self, steps: int) -> float:
        """``low + steps * step``, counted in decimal digits: three steps of 0.1 are 0.3."""
        if self.step is None or steps == 0:
            return self.low
        return min(float(Decimal(str(self.low)) + steps * Decimal(str(self.step))), self.high)


@dataclass(frozen=True)
class IntRange:
    """A whole number in [low, high]; the attributes mean what `FloatRange`'s do."""

    low: int
    high: int
    scale: Literal["linear", "log"] = "linear"
    step: int = 1
    optional: bool = False

    @property
    def n_steps(self) -> int:
        """Steps from ``low`` to ``high``."""
        return (self.high - self.low) // self.step

    def at(self, steps: int) -> int:
        """``low + steps * step``."""
        return self.low + steps * self.step


Dimension = Fixed | Choice | FloatRange | IntRange


def bounds(dimension: Dimension) -> tuple[float, float]:
    """Least and greatest number of a dimension, "off" not counted.

    >>> bounds(Choice((64, 16))), bounds(FloatRange(0.1, 0.5, optional=True))
    ((16.0, 64.0), (0.1, 0.5))
    """
    if isinstance(dimension, FloatRange | IntRange):
        return float(dimension.low), float(dimension.high)
    values = (dimension.value,) if isinstance(dimension, Fixed) else dimension.values
    numbers = [float(value) for value in values]
    return min(numbers), max(numbers)


@dataclass(frozen=True)
class Space:
    """The conditional search space of a study.

    A space as given in a study file may lack anything; `tunelab.spec.default_space.complete_space`
    fills the gaps. Only a complete space can be configured.

    Attributes:
        optimizers: Optimizer -> its own dimensions; an own one goes before a shared one.
        schedules: Schedule -> its own dimensions.
        shared: ``learning_rate``, ``momentum``: one dimension for every optimizer that has it.
        network: layers, units, activation, dropout_rate, l2, batch_size and the like.
        units_by_layer: Units of the first hidden layer, of the second, ...; in the place of
            ``units`` and ``shape``.
    """

    optimizers: Mapping[str, Mapping[str, Dimension]] = field(default_factory=dict)
    schedules: Mapping[str, Mapping[str, Dimension]] = field(default_factory=dict)
    shared: Mapping[str, Dimension] = field(default_factory=dict)
    network: Mapping[str, Dimension] = field(default_factory=dict)
    units_by_layer: tuple[Dimension, ...] = ()

    @property
    def asked(self) -> tuple[str, ...]:
        """The network's hyperparameters that every configuration has, in their order."""
        by_layer = ("units", "shape") if self.units_by_layer else ()
        return tuple(name for name in NETWORK if name not in (*by_layer, *ENGINE_DEFAULTS))

    @property
    def complete(self) -> bool:
        """Whether nothing is missing that a configuration needs."""
        optimizers_full = all(
            key in own or key in self.shared or key in ENGINE_DEFAULTS
            for name, own in self.optimizers.items()
            for key in OPTIMIZERS[name]
        )
        schedules_full = all(
            key in own or key in ENGINE_DEFAULTS
            for name, own in self.schedules.items()
            for key in SCHEDULES[name]
        )
        network_full = all(key in self.network for key in self.asked)
        present = bool(self.optimizers) and bool(self.schedules)
        return present and optimizers_full and schedules_full and network_full

    def configure(self, suggest: Callable[[str, Dimension], Value]) -> Hyperparameters:
        """Ask for each active dimension, in a fixed order, and return the configuration.

        Args:
            suggest: Gets a name (``optimizer``, ``optimizer.adam.learning_rate``, or
                ``learning_rate`` where shared, ``schedule.step_drop.factor``, ``units``) and its
                dimension, fixed ones included; returns one of the dimension's values.

        Raises:
            ValueError: If the space is not complete.
        """
        if not self.complete:
            raise ValueError("this search space has gaps; complete_space fills them")
        optimizer = str(suggest("optimizer", _one_of(OPTIMIZERS, self.optimizers)))
        settings = self._optimizer_settings(optimizer, suggest)
        schedule = str(suggest("schedule", _one_of(SCHEDULES, self.schedules)))
        steps = {
            key: suggest(f"schedule.{schedule}.{key}", self.schedules[schedule][key])
            for key in SCHEDULES[schedule]
            if key in self.schedules[schedule]
        }
        network: dict[str, Any] = {}
        for name in NETWORK:
            if name == "units" and self.units_by_layer:
                network[name] = tuple(
                    suggest(f"units_{number}", self.units_by_layer[number - 1])
                    for number in range(1, network["layers"] + 1)
                )
            elif name in self.network:
                network[name] = suggest(name, self.network[name])
        network["batch_norm"] = network["batch_norm"] == "on"
        return Hyperparameters(
            optimizer=optimizer,
            learning_rate=settings.pop("learning_rate"),
            optimizer_settings=settings,
            schedule=schedule,
            schedule_settings=steps,
            **network,
        )

    def _optimizer_settings(
        self, optimizer: str, suggest: Callable[[str, Dimension], Value]
    ) -> dict[str, float]:
        own = self.optimizers[optimizer]
        settings = {}
        for key in OPTIMIZERS[optimizer]:
            if key in own:
                settings[key] = float(suggest(f"optimizer.{optimizer}.{key}", own[key]))
            elif key in self.shared:
                settings[key] = float(suggest(key, self.shared[key]))
        return settings

    def to_mapping(self) -> dict[str, Any]:
        """The space in the syntax of a study file, its keys in a fixed order."""
        mapping: dict[str, Any] = {}
        if self.optimizers:
            mapping["optimizer"] = _family(OPTIMIZERS, self.optimizers)
        if self.schedules:
            mapping["schedule"] = _family(SCHEDULES, self.schedules)
        mapping.update(_written(SHARED, self.shared))
        for name in NETWORK:
            if name == "units" and self.units_by_layer:
                # A list in the list is what tells a layer's own units from a choice.
                mapping[name] = [_as_list(_syntax(units)) for units in self.units_by_layer]
            elif name in self.network:
                mapping[name] = _syntax(self.network[name])
        return mapping


def _one_of(table: Iterable[str], members: Mapping[str, object]) -> Fixed | Choice:
    # In the table's order, so that a mapping that lost its order (JSON) asks the same question.
    names = tuple(name for name in table if name in members)
    return Fixed(names[0]) if len(names) == 1 else Choice(names)


def _family(
    table: Mapping[str, Iterable[str]], members: Mapping[str, Mapping[str, Dimension]]
) -> dict[str, Any]:
    return {name: _written(table[name], members[name]) for name in table if name in members}


def _written(order: Iterable[str], dimensions: Mapping[str, Dimension]) -> dict[str, Any]:
    return {key: _syntax(dimensions[key]) for key in order if key in dimensions}


def _as_list(syntax: Any) -> Any:
    return syntax if isinstance(syntax, list | dict) else [syntax]


def _syntax(dimension: Dimension) -> Any:
    if isinstance(dimension, Fixed):
        return dimension.value
    if isinstance(dimension, Choice):
        return list(dimension.values)
    mapping: dict[str, Any] = {"low": dimension.low, "high": dimension.high}
    if dimension.scale != "linear":
        mapping["scale"] = dimension.scale
    if dimension.step != type(dimension).step:
        mapping["step"] = dimension.step
    if dimension.optional:
        mapping["optional"] = True
    return mapping
