"""A dimension of a search space in a few words."""

from __future__ import annotations

from tunelab.cli.formats import NOTHING, number
from tunelab.cli.hyperparameters import plain
from tunelab.spec.space import Choice, Dimension, Fixed


def searched(dimension: Dimension | None) -> str:
    """Where a setting is looked for, in a few words; a dash where it is not.

    >>> from tunelab.spec.space import FloatRange, IntRange
    >>> searched(FloatRange(1e-4, 0.03, "log")), searched(IntRange(5, 20))
    ('0.0001 to 0.03, log', '5 to 20')
    >>> searched(Choice((0.1, 0.5))), searched(None)
    ('0.1, 0.5', '-')
    """
    if dimension is None:
        return NOTHING
    if isinstance(dimension, Fixed):
        return plain(dimension.value)
    if isinstance(dimension, Choice):
        return ", ".join(plain(value) for value in dimension.values)
    parts = [f"{number(dimension.low)} to {number(dimension.high)}"]
    if dimension.scale != "linear":
        parts.append(dimension.scale.replace("_", " "))
    if dimension.step not in (None, 1):
        parts.append(f"step {number(dimension.step)}")
    if dimension.optional:
        parts.append("or off")
    return ", ".join(parts)
