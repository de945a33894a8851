"""What may stand at one place of a study file: a number within its range, or a known name."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tunelab.errors import nearest

_LONGEST_SHOWN = 60
_GREATEST = 10**300  # a greater integer may be too large for a float
_RATES_EXAMPLE = "for example {10: 0.01, 20: 0.001}"


class RefusedError(ValueError):
    """A value that cannot be used.

    Args:
        message: What must hold and what was given.
        hint: What to do, or None.
        at_key: Whether the key is wrong, rather than the value beside it.
    """

    def __init__(self, message: str, hint: str | None = None, *, at_key: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.at_key = at_key


def shown(value: object) -> str:
    """A given value in the words of a study file, cut to a readable length.

    >>> shown(None), shown(True), shown("ten"), shown([1]), shown({}), shown(1.5)
    ('nothing', 'true', "'ten'", 'a list', 'a mapping', '1.5')
    """
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(_shortened(value))
    if isinstance(value, int) and value.bit_length() > 200:
        # Python refuses to print integers of some thousand digits.
        return "a huge number"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Sequence):
        return "a list"
    return "a mapping"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."


def did_you_mean(name: object, known: Sequence[str]) -> str | None:
    """A hint with the nearest known name.

    >>> did_you_mean("adamm", ["sgd", "adam"])
    "did you mean 'adam'?"
    """
    match = nearest(name, known) if isinstance(name, str) and len(name) <= 100 else None
    return None if match is None else f"did you mean {match!r}?"


def unknown(what: str, name: object, known: Sequence[str], *, at_key: bool = False) -> RefusedError:
    """The refusal of a name that is none of the known ones."""
    return RefusedError(
        f"unknown {what} {shown(name)}; known: {' '.join(known)}",
        did_you_mean(name, known),
        at_key=at_key,
    )


@dataclass(frozen=True)
class Number:
    """The numbers that are valid at one place.

    >>> share = Number("float", 0, 1, high_open=True)
    >>> share.check(0)
    0.0
    >>> share.check(1.2)
    Traceback (most recent call last):
    ...
    tunelab.spec.rules.RefusedError: must be in [0, 1), got 1.2

    Attributes:
        kind: ``int`` takes whole numbers only (3.0 counts as 3), ``float`` takes both.
        low: Least valid number, or the open end below it.
        high: Greatest valid number, or the open end above it.
        low_open: Whether ``low`` itself is invalid.
        high_open: Whether ``high`` itself is invalid.
    """

    kind: Literal["int", "float"]
    low: float
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def check(self, value: object) -> int | float:
        """``value`` as an int or a float, as the kind says.

        Raises:
            RefusedError: If it is no number, not finite, not whole as it must be, or out of range.
        """
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RefusedError(
                f"must be {self._noun} {self._range}, got {shown(value)}", _unquote(value)
            )
        if isinstance(value, int) and abs(value) > _GREATEST:
            raise RefusedError(f"must be {self._range}, got {shown(value)}")
        if not self._holds(value):
            if isinstance(value, float) and not math.isfinite(value):
                raise RefusedError(f"must be a finite number {self._range}, got {value}")
            raise RefusedError(f"must be {self._range}, got {shown(value)}")
        if self.kind == "float":
            return float(value)
        if value != int(value):
            raise RefusedError(f"must be {self._noun} {self._range}, got {shown(value)}")
        return int(value)

    @property
    def off(self) -> bool:
        """Whether 0 is valid, and so can stand for "switched off"."""
        return self.low == 0 and not self.low_open

    def _holds(self, value: int | float) -> bool:
        # Compared before any conversion: an integer may be too large for a float.
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below and value not in (math.inf, -math.inf)

    @property
    def _noun(self) -> str:
        return "a whole number" if self.kind == "int" else "a number"

    @property
    def _range(self) -> str:
        low, high = (f"{end:.0f}" if end % 1 == 0 else f"{end:g}" for end in (self.low, self.high))
        if self.high == math.inf:
            return f"greater than {low}" if self.low_open else f"at least {low}"
        if self.kind == "int":
            return f"from {low} to {high}"
        left, right = "(" if self.low_open else "[", ")" if self.high_open else "]"
        return f"in {left}{low}, {high}{right}"


@dataclass(frozen=True)
class Name:
    """The names that are valid at one place.

    >>> Name("activation", ("relu", "tanh")).check("than")
    Traceback (most recent call last):
    ...
    tunelab.spec.rules.RefusedError: unknown activation 'than'; known: relu tanh

    Attributes:
        what: What is named, in one word or two.
        known: The valid names.
    """

    what: str
    known: tuple[str, ...]

    def check(self, value: object) -> str:
        """``value``, which is one of the known names.

        Raises:
            RefusedError: If it is not.
        """
        if not isinstance(value, str):
            message = f"must be one of {' '.join(self.known)}, got {shown(value)}"
            raise RefusedError(message)
        if value not in self.known:
            raise unknown(self.what, value, self.known)
        return value


@dataclass(frozen=True)
class Switch:
    """``on`` or ``off``; true and false say the same.

    >>> Switch().check(True), Switch().check("off")
    ('on', 'off')
    """

    known: tuple[str, ...] = ("off", "on")

    def check(self, value: object) -> str:
        """``value`` as ``on`` or ``off``.

        Raises:
            RefusedError: If it is neither.
        """
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(value, str) and value in self.known:
            return value
        raise RefusedError(f"must be on or off, got {shown(value)}")


@dataclass(frozen=True)
class RateTable:
    """Learning rates by epoch: a mapping, kept as text so that it is one value.

    >>> rule = RateTable(Number("float", 0, low_open=True))
    >>> rule.check({"10": 0.01, "20": 1e-3})
    '10: 0.01, 20: 0.001'
    >>> rule.check("10:.01, 20:1e-3")
    '10: 0.01, 20: 0.001'

    Attributes:
        rate: The valid rates.
    """

    rate: Number

    def check(self, value: object) -> str:
        """The one text for all ways to write the same rates.

        Raises:
            RefusedError: If it is no such mapping, or holds anything else.
        """
        # Few studies need it, and every command loads this module.
        from tunelab.training.schedules import canonical_rates, parse_rates

        if isinstance(value, Mapping):
            rows = {_whole(key): rate for key, rate in value.items()}
            if len(rows) < len(value):
                raise RefusedError("must list every epoch once, got one twice", _RATES_EXAMPLE)
            value = rows
        if not isinstance(value, str | Mapping):
            message = f"must be a mapping from epochs done to rates, got {shown(value)}"
            raise RefusedError(message, _RATES_EXAMPLE)
        try:
            rates = parse_rates(value)
        except ValueError as error:
            raise RefusedError(str(error), _RATES_EXAMPLE) from None
        for rate in rates.values():
            self.rate.check(rate)
        return canonical_rates(rates)


Rule = Number | Name | Switch | RateTable


def _whole(key: object) -> object:
    """A key of a study file as a number: keys are read as text."""
    return int(key) if isinstance(key, str) and re.fullmatch(r"[0-9]{1,9}", key) else key


def _unquote(value: object) -> str | None:
    """A hint for a number that was written as text."""
    if isinstance(value, str) and re.fullmatch(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?", value):
        return "write the number without quotes"
    return None
