"""The cells of a grid: every configuration of a conditional space, in a fixed order.

A space is a decision tree: the optimizer decides which settings are asked for next, the number of
layers how many widths. The cells are the tree's leaves, walked depth first, so a conditional
dimension multiplies only the branches that have it. Optuna's own grid knows no conditions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tunelab.spec.default_space import default_value
from tunelab.spec.space import Choice, Dimension, Fixed, FloatRange, IntRange, Space, Value

MAX_CELLS = 100_000

Cell = Mapping[str, Value]
"""Name of each dimension that is active in a configuration -> its value there."""


def cells(space: Space) -> Iterator[Cell]:
    """All cells of a complete space: the default configuration's first, then in order.

    >>> from tunelab.spec.default_space import complete_space
    >>> given = Space(
    ...     optimizers={"sgd": {"learning_rate": Choice((0.01, 0.1))}, "adam": {}},
    ...     network={"units": Choice((16, 128))},
    ... )
    >>> space = complete_space(given, max_epochs=100, n_train=1000, fixed=True)
    >>> for cell in cells(space):
    ...     print(cell["optimizer"], cell["units"])
    adam 128
    sgd 16
    sgd 128
    sgd 16
    sgd 128
    adam 16

    Raises:
        ValueError: If a dimension has no end of values: a float range without a step.
    """
    default = _Walk()
    space.configure(default.first_default)
    yield default.cell
    walk: _Walk | None = _Walk()
    while walk is not None:
        space.configure(walk.next_value)
        if walk.cell != default.cell:
            yield walk.cell
        walk = walk.successor()


def count_cells(space: Space) -> int | None:
    """The number of cells; None if there are more than `MAX_CELLS`."""
    for number, _ in enumerate(cells(space), start=1):
        if number > MAX_CELLS:
            return None
    return number


def endless(dimension: Dimension) -> bool:
    """Whether a dimension has too many values for a grid.

    >>> endless(FloatRange(0.0, 0.5)), endless(FloatRange(0.0, 0.5, step=0.25))
    (True, False)
    """
    if not isinstance(dimension, FloatRange) or dimension.step is not None:
        return False
    return dimension.low < dimension.high


class _Walk:
    """One path from the root of the decision tree to a leaf.

    Args:
        turns: Which value to take at each dimension on the way; beyond, the first.
    """

    def __init__(self, turns: tuple[int, ...] = ()) -> None:
        self.cell: dict[str, Value] = {}
        self._turns = list(turns)
        self._sizes: list[int] = []

    def next_value(self, name: str, dimension: Dimension) -> Value:
        depth = len(self._sizes)
        if depth == len(self._turns):
            self._turns.append(0)
        self._sizes.append(_size(dimension))
        self.cell[name] = _value(dimension, self._turns[depth])
        return self.cell[name]

    def first_default(self, name: str, dimension: Dimension) -> Value:
        self.cell[name] = default_value(name, dimension)
        return self.cell[name]

    def successor(self) -> _Walk | None:
        """The next path, or None after the last."""
        for depth in reversed(range(len(self._sizes))):
            if self._turns[depth] + 1 < self._sizes[depth]:
                return _Walk((*self._turns[:depth], self._turns[depth] + 1))
        return None


def _size(dimension: Dimension) -> int:
    if isinstance(dimension, Fixed):
        return 1
    if isinstance(dimension, Choice):
        return len(dimension.values)
    if endless(dimension):
        raise ValueError(f"a grid needs a list or a step, got {dimension}")
    return dimension.n_steps + 1 + _has_off(dimension)


def _value(dimension: Dimension, index: int) -> Value:
    if isinstance(dimension, Fixed):
        return dimension.value
    if isinstance(dimension, Choice):
        return dimension.values[index]
    if not _has_off(dimension):
        return dimension.at(index)
    off = 0 if isinstance(dimension, IntRange) else 0.0
    return off if index == 0 else dimension.at(index - 1)


def _has_off(dimension: FloatRange | IntRange) -> bool:
    """Whether "off" is a value beside those of the range, which may begin with 0 itself."""
    return dimension.optional and dimension.low != 0
