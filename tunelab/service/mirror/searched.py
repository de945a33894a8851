"""Which hyperparameters are worth a column or an axis: those searched in every trial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tunelab.spec.space import Choice, Dimension, Fixed, FloatRange, IntRange, Space
from tunelab.spec.study import StudySpec

# What usually decides first. The rest follows in the space's own order.
_COLUMNS_FIRST = ("optimizer", "learning_rate", "schedule", "layers", "units", "units_1")
_AXES_FIRST = ("learning_rate", "optimizer", "units", "units_1", "dropout_rate", "l2", "layers")


@dataclass(frozen=True)
class Axis:
    """A searched hyperparameter.

    Attributes:
        name: As in the flat record, and as MLflow's param.
        metric: MLflow's metric with its number, or with its logarithm where it is searched on a
            log scale; None for one whose values are names.
    """

    name: str
    metric: str | None


def searched(spec: StudySpec) -> list[Axis]:
    """The hyperparameters that vary and that every trial has, the weightiest first."""
    return _sorted(spec, _COLUMNS_FIRST)


def main_axes(spec: StudySpec) -> list[Axis]:
    """The same, in an order that suits a picture with few axes."""
    return _sorted(spec, _AXES_FIRST)


def _sorted(spec: StudySpec, first: tuple[str, ...]) -> list[Axis]:
    found = list(_all(spec.search_space))
    order = {name: place for place, name in enumerate(first)}
    return sorted(found, key=lambda axis: order.get(axis.name, len(order)))


def _all(space: Space) -> Iterator[Axis]:
    if len(space.optimizers) > 1:
        yield Axis("optimizer", None)
    rates = [
        dimension
        for own in space.optimizers.values()
        if (dimension := own.get("learning_rate", space.shared.get("learning_rate")))
    ]
    if len(set(rates)) > 1 or not all(isinstance(rate, Fixed) for rate in rates):
        logarithmic = all(_is_logarithmic(rate) for rate in rates)
        yield Axis("learning_rate", f"hp/{'log10_' if logarithmic else ''}learning_rate")
    if len(space.schedules) > 1:
        yield Axis("schedule", None)
    network = dict(space.network)
    if space.units_by_layer:
        network["units_1"] = space.units_by_layer[0]
    for name, dimension in network.items():
        if isinstance(dimension, Fixed):
            continue
        if isinstance(dimension, Choice) and isinstance(dimension.values[0], str):
            yield Axis(name, None)
        else:
            prefix = "log10_" if _is_logarithmic(dimension) else ""
            yield Axis(name, f"hp/{prefix}{name}")


def _is_logarithmic(dimension: Dimension) -> bool:
    """Whether each value has a logarithm to show: "off" is 0."""
    if not isinstance(dimension, FloatRange | IntRange):
        return False
    return dimension.scale == "log" and not dimension.optional
