"""A complete search space as a list: every hyperparameter, its dimension and its default."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tunelab.spec.default_space import default_value
from tunelab.spec.part import Place
from tunelab.spec.space import Choice, Dimension, Fixed, Space, Value, bounds
from tunelab.spec.tables import NETWORK, OPTIMIZERS, SCHEDULES, SHARED


@dataclass(frozen=True)
class Axis:
    """One hyperparameter of a space, searched or fixed.

    Attributes:
        name: As trials have it: ``optimizer.adam.learning_rate``, ``units``, ``units_2``.
        place: Its place in a study file.
        dimension: Where it is searched.
        default: Its value in the default configuration, where it is active there.
    """

    name: str
    place: Place
    dimension: Dimension
    default: Value

    @property
    def searched(self) -> bool:
        """Whether there is more than one value to choose from."""
        return is_searched(self.dimension)


def is_searched(dimension: Dimension) -> bool:
    """Whether a dimension has more than one value.

    >>> from tunelab.spec.space import IntRange
    >>> is_searched(Fixed(3)), is_searched(IntRange(3, 3)), is_searched(IntRange(3, 4))
    (False, False, True)
    """
    if isinstance(dimension, Fixed):
        return False
    if isinstance(dimension, Choice):
        return len(dimension.values) > 1
    return dimension.low < dimension.high or (dimension.optional and dimension.low != 0)


def axes(space: Space) -> list[Axis]:
    """Every hyperparameter of a complete space, in the order in which trials choose."""
    return [
        Axis(name, ("space", *place), dimension, default_value(name, dimension))
        for name, place, dimension in _dimensions(space)
    ]


def count_searched(space: Space) -> tuple[int, int]:
    """How many hyperparameters a configuration searches at most, and how many there are in all.

    >>> from tunelab.spec.space import FloatRange
    >>> rate = FloatRange(0.01, 0.1)
    >>> count_searched(Space(optimizers={"sgd": {"learning_rate": rate},
    ...                                  "momentum": {"learning_rate": rate, "momentum": rate}}))
    (3, 4)
    """
    everywhere = sum(is_searched(dimension) for dimension in space.network.values())
    everywhere += (len(space.optimizers) > 1) + (len(space.schedules) > 1)
    optimizers = [
        _count(own.get(key) or space.shared.get(key) for key in OPTIMIZERS[name])
        for name, own in space.optimizers.items()
    ]
    schedules = [_count(own.values()) for own in space.schedules.values()]
    depth = int(bounds(space.network["layers"])[1]) if space.units_by_layer else 0
    layers = _count(space.units_by_layer[:depth])
    active = everywhere + max(optimizers, default=0) + max(schedules, default=0) + layers
    return active, sum(is_searched(dimension) for _, _, dimension in _dimensions(space))


def _count(dimensions: Iterable[Dimension | None]) -> int:
    return sum(dimension is not None and is_searched(dimension) for dimension in dimensions)


def _dimensions(space: Space) -> Iterator[tuple[str, Place, Dimension]]:
    """Name, place within ``space``, and dimension."""
    yield from _family("optimizer", OPTIMIZERS, space.optimizers)
    for key in SHARED:
        if key in space.shared:
            yield key, (key,), space.shared[key]
    yield from _family("schedule", SCHEDULES, space.schedules)
    for name in NETWORK:
        if name == "units" and space.units_by_layer:
            for number, dimension in enumerate(space.units_by_layer, start=1):
                yield f"units_{number}", ("units",), dimension
        elif name in space.network:
            yield name, (name,), space.network[name]


def _family(
    key: str,
    table: Mapping[str, Iterable[str]],
    members: Mapping[str, Mapping[str, Dimension]],
) -> Iterator[tuple[str, Place, Dimension]]:
    names = tuple(name for name in table if name in members)
    if names:
        yield key, (key,), Choice(names) if len(names) > 1 else Fixed(names[0])
    for name in names:
        for setting in table[name]:
            if setting in members[name]:
                place = (key, name, setting)
                yield ".".join(place), place, members[name][setting]
