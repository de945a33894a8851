"""One Sobol sequence over a whole conditional space.

Optuna has a quasi-Monte Carlo sampler, but it takes its dimensions from the study's first trial
and draws all others at random: here that would be every setting of every optimizer and schedule
but the default one's. It also counts its points in a study that we hold in memory alone. So the
sequence is ours, and a point is found by the trial's number: a study that is started again, or
has many workers, gives no point twice and leaves none out.

A point has one coordinate for each hyperparameter, whichever optimizer or schedule it belongs to:
no configuration has two learning rates, so all optimizers share that axis, each with its own
range. Fewer axes cover better, and every configuration uses the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

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
from tunelab.spec.tables import OPTIMIZERS, SCHEDULES, SHARED
from tunelab.tuning.suggest import Suggester


class SobolSequence:
    """Points of the unit cube that fill it evenly, scrambled (Owen 1998) by the seed.

    Any ``2^k`` points that begin at a multiple of ``2^k`` are in balance: each half of each axis
    holds half of them.

    Args:
        n_axes: Dimensions of the cube, at least 1.
        seed: Of the scrambling.
    """

    def __init__(self, n_axes: int, seed: int) -> None:
        self._n_axes = n_axes
        self._seed = seed
        self._engine: Any = None
        self._next = 0  # the point that the engine gives next

    def point(self, index: int) -> npt.NDArray[np.float64]:
        """The point number ``index``, from 0; shape (n_axes,), each in [0, 1)."""
        if self._engine is None or index < self._next:
            from scipy.stats.qmc import Sobol  # most studies do without, and it takes long to load

            self._engine = Sobol(self._n_axes, scramble=True, rng=np.random.default_rng(self._seed))
            self._next = 0
        if index > self._next:
            self._engine.fast_forward(index - self._next)
        self._next = index + 1
        point: npt.NDArray[np.float64] = self._engine.random(1)[0]
        return point


class SobolPlan:
    """A configuration for each point of a Sobol sequence.

    Args:
        space: A complete space.
        seed: Of the sequence.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self.axes = axes(space)
        self._sequence = SobolSequence(max(len(self.axes), 1), seed)

    def choose(self, index: int) -> Suggester:
        """Answers for the dimensions that are active at point ``index``, from 0."""
        point = self._sequence.point(index)

        def suggest(name: str, dimension: Dimension) -> Value:
            axis = self.axes.get(_axis(name))
            return value_at(dimension, 0.0 if axis is None else float(point[axis]))

        return suggest


def axes(space: Space) -> dict[str, int]:
    """The axes of a space, numbered from 0: what there is more than one value of.

    >>> from tunelab.spec.default_space import complete_space
    >>> given = Space(
    ...     optimizers={"sgd": {}, "adam": {"learning_rate": Fixed(0.01)}},
    ...     schedules={"constant": {}, "step_drop": {"factor": Fixed(0.5)}},
    ...     network={"layers": Fixed(1), "units": IntRange(16, 64)},
    ... )
    >>> list(axes(complete_space(given, max_epochs=100, n_train=40)))[:5]
    ['optimizer', 'optimizer.learning_rate', 'units', 'shape', 'activation']
    """
    numbers: dict[str, int] = {}
    for name, dimension in sorted(_asked(space), key=lambda item: _rank(item[0])):
        if value_at(dimension, 0.0) != value_at(dimension, math.nextafter(1.0, 0.0)):
            numbers.setdefault(_axis(name), len(numbers))
    return numbers


def value_at(dimension: Dimension, share: float) -> Value:
    """The value below which ``share`` of a dimension lies.

    Args:
        dimension: The dimension; of an optional one "off" is the lower half.
        share: In [0, 1).

    >>> value_at(Choice(("relu", "tanh")), 0.5), value_at(FloatRange(1.0, 4.0, "log"), 0.5)
    ('tanh', 2.0)
    >>> value_at(IntRange(1, 4), 0.99), value_at(FloatRange(0.1, 0.3, optional=True), 0.75)
    (4, 0.2)
    """
    if isinstance(dimension, Fixed):
        return dimension.value
    if isinstance(dimension, Choice):
        return dimension.values[int(share * len(dimension.values))]
    if dimension.optional:
        if share < 0.5:
            return 0 if isinstance(dimension, IntRange) else 0.0
        share = 2 * share - 1
    if isinstance(dimension, IntRange):
        return _whole(dimension, share)
    return _real(dimension, share)


def _whole(dimension: IntRange, share: float) -> int:
    if dimension.scale == "linear":
        return dimension.at(int(share * (dimension.n_steps + 1)))
    # Half a unit more at both ends, so that these are as likely as their neighbours.
    exact = _between(math.log(dimension.low - 0.5), math.log(dimension.high + 0.5), share)
    return min(max(round(math.exp(exact)), dimension.low), dimension.high)


def _real(dimension: FloatRange, share: float) -> float:
    low, high = dimension.low, dimension.high
    if dimension.step is not None:
        return dimension.at(int(share * (dimension.n_steps + 1)))
    if dimension.scale == "linear":
        value = _between(low, high, share)
    elif dimension.scale == "log":
        value = math.exp(_between(math.log(low), math.log(high), share))
    else:
        value = 1 - math.exp(_between(math.log(1 - low), math.log(1 - high), share))
    return min(max(value, low), high)


def _between(low: float, high: float, share: float) -> float:
    return low + share * (high - low)


def _axis(name: str) -> str:
    """The axis of a dimension: ``optimizer.learning_rate`` for ``optimizer.adam.learning_rate``."""
    if name in SHARED:
        return f"optimizer.{name}"
    family, _, setting = name.partition(".")
    return f"{family}.{setting.partition('.')[2]}" if setting else family


def _rank(name: str) -> int:
    """Optimizers, the network, schedules: a sequence is at its best on its first axes."""
    return {"optimizer": 0, "schedule": 2}.get(_axis(name).partition(".")[0], 1)


def _asked(space: Space) -> Iterator[tuple[str, Dimension]]:
    """All that some configuration is asked for, in a fixed order; most of it more than once."""
    optimizers = [name for name in OPTIMIZERS if name in space.optimizers]
    schedules = [name for name in SCHEDULES if name in space.schedules]
    for optimizer in optimizers:
        yield from _asked_of(space, optimizer, schedules[0])
    for schedule in schedules:
        yield from _asked_of(space, optimizers[0], schedule)


def _asked_of(space: Space, optimizer: str, schedule: str) -> list[tuple[str, Dimension]]:
    asked: list[tuple[str, Dimension]] = []

    def choose(name: str, dimension: Dimension) -> Value:
        asked.append((name, dimension))
        if name == "optimizer":
            return optimizer
        if name == "schedule":
            return schedule
        if name == "layers":
            return int(bounds(dimension)[1])  # so that every layer's units are asked for
        return value_at(dimension, 0.0)

    space.configure(choose)
    return asked
