"""Study-file syntax -> one `Dimension`, checked against the hyperparameter's rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

from tunelab.spec.part import Complaint
from tunelab.spec.rules import Name, Number, RateTable, RefusedError, Rule, Switch, shown, unknown
from tunelab.spec.space import Choice, Dimension, Fixed, FloatRange, IntRange, Value

_ROUNDING = 1e-9  # of a step: a step such as 0.3333333333333333 does not divide 1 exactly
_MOST_STEPS = 1_000_000
_RANGE_KEYS = ("low", "high", "scale", "step", "optional")


def read_dimension(given: object, rule: Rule) -> tuple[Dimension | None, list[Complaint]]:
    """The dimension that ``given`` describes, or None and what is wrong with it.

    >>> from tunelab.spec.rules import Number
    >>> read_dimension({"low": 16, "high": 512, "scale": "log"}, Number("int", 1))[0]
    IntRange(low=16, high=512, scale='log', step=1, optional=False)
    """
    complaints: list[Complaint] = []
    dimension: Dimension | None
    if isinstance(given, Mapping) and not isinstance(rule, RateTable):
        dimension = _range(given, rule, complaints)
    elif isinstance(given, Sequence) and not isinstance(given, str):
        dimension = _choice(given, rule, complaints)
    else:
        value = _checked(given, rule, complaints)
        dimension = None if value is None else Fixed(value)
    return (None if complaints else dimension), complaints


def _checked(
    given: object, rule: Rule, complaints: list[Complaint], *place: str | int
) -> Value | None:
    try:
        return rule.check(given)
    except RefusedError as refused:
        complaints.append(Complaint(place, refused))
        return None


def _choice(given: Sequence[Any], rule: Rule, complaints: list[Complaint]) -> Dimension:
    if not given:
        complaints.append(Complaint((), RefusedError("needs at least one value to choose from")))
    seen: list[Value] = []
    for index, item in enumerate(given):
        value = _checked(item, rule, complaints, index)
        if value is None:
            continue
        if value in seen:
            complaints.append(Complaint((index,), RefusedError(f"{shown(item)} is listed twice")))
        seen.append(value)
    return Fixed(seen[0]) if len(seen) == 1 else Choice(tuple(seen))


def _range(
    given: Mapping[Any, Any], rule: Number | Name | Switch, complaints: list[Complaint]
) -> FloatRange | IntRange | None:
    if not isinstance(rule, Number):
        message = f"must be one or more of {' '.join(rule.known)}, got a mapping"
        complaints.append(Complaint((), RefusedError(message)))
        return None
    complaints += [
        Complaint((key,), unknown("range key", key, _RANGE_KEYS, at_key=True))
        for key in given
        if key not in _RANGE_KEYS
    ]
    missing = RefusedError("is missing; a range needs low and high", at_key=True)
    complaints += [Complaint((key,), missing) for key in ("low", "high") if key not in given]
    low, high = (
        _checked(given[key], rule, complaints, key) if key in given else None
        for key in ("low", "high")
    )
    scale = _scale(given, rule, complaints)
    optional = _optional(given, rule, complaints)
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return None
    if low > high:
        message = f"low must not be above high, got low {low} and high {high}"
        complaints.append(Complaint(("low",), RefusedError(message)))
        return None
    if scale == "log" and low <= 0:
        hint = "'optional: true' adds 0 beside the range" if rule.off else None
        complaints.append(
            Complaint(("low",), RefusedError(f"a log scale needs low > 0, got {low}", hint))
        )
    if scale == "reverse_log" and high >= 1:
        message = f"a reverse_log scale needs low and high in [0, 1), got {high}"
        complaints.append(Complaint(("high",), RefusedError(message)))
    step = _step(given, rule, scale, high - low, complaints)
    if complaints:
        return None
    if step is not None:
        high = _on_grid(low, high, step)
    if rule.kind == "int":
        whole = 1 if step is None else int(step)
        return IntRange(int(low), int(high), cast("Any", scale), whole, optional)
    return FloatRange(float(low), float(high), cast("Any", scale), step, optional)


def _scale(given: Mapping[Any, Any], rule: Number, complaints: list[Complaint]) -> str:
    scales = ("linear", "log") if rule.kind == "int" else ("linear", "log", "reverse_log")
    value = _checked(given.get("scale", "linear"), Name("scale", scales), complaints, "scale")
    return "linear" if value is None else str(value)


def _optional(given: Mapping[Any, Any], rule: Number, complaints: list[Complaint]) -> bool:
    value = given.get("optional", False)
    if not isinstance(value, bool):
        message = f"must be true or false, got {shown(value)}"
        complaints.append(Complaint(("optional",), RefusedError(message)))
    elif value and not rule.off:
        message = "must be false: 0, which stands for off, is no valid value here"
        complaints.append(Complaint(("optional",), RefusedError(message)))
    return value is True


def _step(
    given: Mapping[Any, Any],
    rule: Number,
    scale: str,
    width: int | float,
    complaints: list[Complaint],
) -> int | float | None:
    if "step" not in given:
        return None
    least = Number("int", 1) if rule.kind == "int" else Number("float", 0, low_open=True)
    step = _checked(given["step"], least, complaints, "step")
    if step is None:
        return None
    if scale != "linear":
        message = f"must not stand together with scale {scale}"
        complaints.append(Complaint(("step",), RefusedError(message, "remove one of them")))
    elif rule.kind == "float" and width / cast("float", step) > _MOST_STEPS:
        least_step = f"{width / _MOST_STEPS:g}"
        message = f"must be at least {least_step}: a range has at most {_MOST_STEPS} steps"
        complaints.append(Complaint(("step",), RefusedError(f"{message}, got {shown(step)}")))
    elif cast("float", step) > width * (1 + _ROUNDING):
        message = f"must be at most high - low = {width:g}, got {shown(step)}"
        complaints.append(Complaint(("step",), RefusedError(message)))
    return cast("int | float", step)


def _on_grid(low: int | float, high: int | float, step: int | float) -> int | float:
    """The greatest low + k * step that is not above high, counted in decimal digits as written."""
    first, distance = Decimal(str(low)), Decimal(str(step))
    steps = (Decimal(str(high)) - first) / distance
    if abs(steps - round(steps)) < _ROUNDING:
        return high
    reached = first + int(steps) * distance
    return int(reached) if isinstance(high, int) else float(reached)
