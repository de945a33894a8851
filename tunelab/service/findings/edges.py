"""Best values that lie at the edge of their range, and the range to try next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tunelab.errors import StudyFileError
from tunelab.service.findings.evidence import Evidence
from tunelab.service.findings.wording import number
from tunelab.service.resolved_space import Axis, axes
from tunelab.spec.rules import Number
from tunelab.spec.space import Choice, Dimension, FloatRange, IntRange, Space, bounds
from tunelab.spec.tables import NETWORK, OPTIMIZERS, SCHEDULES
from tunelab.spec.yaml_writer import to_yaml
from tunelab.storage.trials import TrialRow
from tunelab.tuning.importances import bare_name

LEAST = 10
"""Complete trials below which nothing is said."""

_NEAR = 0.1  # of a range's width, on its scale, counts as its edge
_BEST = 0.1  # share of the complete trials that are looked at, and ...
_LEAST_BEST = 4  # ... how many at least
_WIDER = 10.0  # a range on a logarithmic scale gets at most this factor


@dataclass(frozen=True)
class Edge:
    """A hyperparameter whose best values lie at one end of its range.

    Attributes:
        name: As trials have it.
        value: Of the best trial.
        side: Which end.
        bound: The end.
        support: How many of the best trials that have it lie at this end.
        of: How many those are.
        suggested: The part of a study file with a wider range; None where the range ends at what
            is possible at all.
    """

    name: str
    value: float
    side: Literal["lower", "upper"]
    bound: float
    support: int
    of: int
    suggested: str | None

    @property
    def sentence(self) -> str:
        """The finding in words."""
        where = f"{self.name}: best {number(self.value)} lies at its {self.side} bound"
        said = f"{where} {number(self.bound)} ({self.support} of the {self.of} best trials do)"
        if self.suggested is None:
            return f"{said}, and no value beyond it is possible"
        return f"{said}; try a wider range"


def find_edges(evidence: Evidence) -> tuple[Edge, ...]:
    """The edges of ranges that hold the best trial and at least half of the best ones.

    Where fresh seeds have named a pick, it or one that is tied with it lies there too.
    """
    complete = evidence.complete
    if len(complete) < LEAST:
        return ()
    best = complete[: max(_LEAST_BEST, math.ceil(_BEST * len(complete)))]
    found = (_edge(evidence, axis, best) for axis in axes(evidence.space) if axis.searched)
    return tuple(edge for edge in found if edge is not None)


def _edge(evidence: Evidence, axis: Axis, best: Sequence[TrialRow]) -> Edge | None:
    dimension = axis.dimension
    if isinstance(dimension, Choice):
        numbers = [v for v in dimension.values if isinstance(v, int | float)]
        if len(numbers) < len(dimension.values) or len(numbers) < 3:
            return None
    elif not isinstance(dimension, IntRange | FloatRange):
        return None
    own = [value for row in best if (value := value_of(row, axis)) is not None]
    if value_of(best[0], axis) is None:
        return None
    low, high = bounds(dimension)
    ends: tuple[tuple[Literal["lower", "upper"], float], ...] = (("lower", low), ("upper", high))
    for side, bound in ends:
        support = sum(_is_at(dimension, value, bound) for value in own)
        if not _is_at(dimension, own[0], bound) or not _confirmed_at(evidence, axis, bound):
            continue
        if len(own) > 2 and 2 * support >= len(own):
            wider = _wider(dimension, axis, side)
            text = None if wider is None else _as_yaml(evidence, axis, wider)
            return Edge(bare_name(axis.name), own[0], side, bound, support, len(own), text)
    return None


def _confirmed_at(evidence: Evidence, axis: Axis, bound: float) -> bool:
    """Whether the confirmed pick, or one tied with it, lies there too; True without a pick."""
    found = evidence.summary.confirmation
    if found is None or found.pick is None:
        return True
    firsts = (found.pick, *found.tied)
    values = [value_of(row, axis) for row in evidence.trials if row.number in firsts]
    return any(value is not None and _is_at(axis.dimension, value, bound) for value in values)


def value_of(row: TrialRow, axis: Axis) -> float | None:
    """The trial's number on this axis; None where it is not active, or off."""
    family, _, rest = axis.name.partition(".")
    conditional = bool(rest) and family in ("optimizer", "schedule")
    if conditional and row.hyperparameters.get(family) != rest.partition(".")[0]:
        return None
    value = row.hyperparameters.get(bare_name(axis.name))
    if value is None or isinstance(value, str):
        return None
    off = getattr(axis.dimension, "optional", False) and value == 0
    return None if off else float(value)


def _is_at(dimension: Dimension, value: float, bound: float) -> bool:
    if isinstance(dimension, Choice) or (isinstance(dimension, IntRange) and dimension.high < 20):
        return value == bound
    low, high = bounds(dimension)
    scale = getattr(dimension, "scale", "linear")
    width = _on(scale, high) - _on(scale, low)
    return width != 0 and abs((_on(scale, value) - _on(scale, bound)) / width) <= _NEAR


def _on(scale: str, value: float) -> float:
    if scale == "log":
        return math.log(value)
    return -math.log(1 - value) if scale == "reverse_log" else value


def _wider(dimension: Dimension, axis: Axis, side: str) -> Dimension | None:
    """The dimension with its end moved outwards; None if the end is what is possible at all."""
    low, high = bounds(dimension)
    new = _outwards(dimension, low, high, side)
    rule = _rule(axis)
    if isinstance(rule, Number):
        if side == "lower" and (new < rule.low or (rule.low_open and new <= rule.low)):
            new = low if rule.low_open else rule.low
        if side == "upper" and (new > rule.high or (rule.high_open and new >= rule.high)):
            new = high if rule.high_open else rule.high
    if new in (low, high):
        return None
    if isinstance(dimension, Choice):
        whole = all(isinstance(v, int) for v in dimension.values)
        value = int(new) if whole else new
        return Choice((value, *dimension.values) if side == "lower" else (*dimension.values, value))
    end: Any = int(new) if isinstance(dimension, IntRange) else new
    if isinstance(dimension, IntRange | FloatRange):
        return replace(dimension, **{"low" if side == "lower" else "high": end})
    return None


def _outwards(dimension: Dimension, low: float, high: float, side: str) -> float:
    """Half the width further, on the dimension's own scale, at a number that people can read."""
    scale = getattr(dimension, "scale", "linear")
    step = getattr(dimension, "step", None)
    if isinstance(dimension, Choice):
        numbers = sorted(float(v) for v in dimension.values)
        geometric = numbers[0] > 0 and numbers[-1] / numbers[-2] == numbers[1] / numbers[0] != 1
        if side == "lower":
            return numbers[0] ** 2 / numbers[1] if geometric else 2 * numbers[0] - numbers[1]
        return numbers[-1] ** 2 / numbers[-2] if geometric else 2 * numbers[-1] - numbers[-2]
    if scale == "log":
        factor = min(max(math.sqrt(high / low), 2.0), _WIDER)
        new = low / factor if side == "lower" else high * factor
        return _readable(max(new, 1.0) if isinstance(dimension, IntRange) else new)
    if scale == "reverse_log":
        factor = min(max(math.sqrt((1 - low) / (1 - high)), 2.0), _WIDER)
        return 1 - min(_readable((1 - low) * factor if side == "lower" else (1 - high) / factor), 1)
    width = (high - low) / 2
    if step:
        width = max(1, round(width / step)) * step
    new = low - width if side == "lower" else high + width
    if isinstance(dimension, IntRange):
        return math.floor(new) if side == "lower" else math.ceil(new)
    return new if step else float(f"{new:.2g}")


def _readable(value: float) -> float:
    """The nearest of 1, 2, 5 times a power of ten, on a logarithmic scale.

    >>> _readable(0.00316), _readable(0.0866), _readable(7.0)
    (0.002, 0.1, 5.0)
    """
    power = math.floor(math.log10(value))
    candidates = [float(f"{digit}e{power + up}") for up in (0, 1) for digit in (1, 2, 5)]
    return min(candidates, key=lambda guess: abs(math.log(guess / value)))


def _rule(axis: Axis) -> object:
    parts = axis.name.split(".")
    if parts[0] == "optimizer" and len(parts) == 3:
        return OPTIMIZERS[parts[1]][parts[2]]
    if parts[0] == "schedule" and len(parts) == 3:
        return SCHEDULES[parts[1]][parts[2]]
    if axis.name.startswith("units_"):
        return NETWORK["units"]
    if axis.name in NETWORK:
        return NETWORK[axis.name]
    return next(rules[axis.name] for rules in OPTIMIZERS.values() if axis.name in rules)


def _as_yaml(evidence: Evidence, axis: Axis, wider: Dimension) -> str | None:
    """The part of a study file that says so; None if the study would be refused with it."""
    space = _with(Space(), axis, wider, evidence.space)
    whole = _with(evidence.space, axis, wider, evidence.space)
    mapping = evidence.summary.spec.to_mapping()
    try:
        type(evidence.summary.spec).from_mapping({**mapping, "space": whole.to_mapping()})
    except StudyFileError:
        return None
    return to_yaml({"space": space.to_mapping()})


def _with(space: Space, axis: Axis, wider: Dimension, whole: Space) -> Space:
    """``space`` with this dimension in the place of its own."""
    parts = axis.name.split(".")
    if parts[0] == "optimizer" and len(parts) == 3:
        return replace(space, optimizers=_put(space.optimizers, parts[1], parts[2], wider))
    if parts[0] == "schedule" and len(parts) == 3:
        return replace(space, schedules=_put(space.schedules, parts[1], parts[2], wider))
    if axis.name.startswith("units_"):
        units = list(whole.units_by_layer)
        units[int(axis.name.removeprefix("units_")) - 1] = wider
        return replace(space, units_by_layer=tuple(units))
    if axis.name in NETWORK:
        return replace(space, network={**space.network, axis.name: wider})
    return replace(space, shared={**space.shared, axis.name: wider})


def _put(
    members: Mapping[str, Mapping[str, Dimension]], member: str, key: str, wider: Dimension
) -> dict[str, Mapping[str, Dimension]]:
    return {**members, member: {**members.get(member, {}), key: wider}}
