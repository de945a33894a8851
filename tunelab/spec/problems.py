"""Complaints of the checks -> `Problem`s with file, line, column and dotted key."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import ValidationError

from tunelab.errors import Problem
from tunelab.spec.part import Complaint, Place, complaints_of

_LONGEST_KEY = 100

Locate = Callable[[Place, bool], tuple[int | None, int | None]]
"""Place and whether its key is meant -> line and column, from 1."""


def problems_of(
    error: ValidationError,
    file: str,
    locate: Locate | None = None,
    covered: Sequence[Place] = (),
) -> list[Problem]:
    """Everything that pydantic found, in our words.

    Args:
        error: What it found.
        file: The file as the user named it.
        locate: Finds line and column, where there is a file.
        covered: Places about which everything has been said.
    """
    return [
        _problem(item, file, locate)
        for item in complaints_of(error)
        if not any(item.place[: len(place)] == place for place in covered)
    ]


def _problem(complaint: Complaint, file: str, locate: Locate | None) -> Problem:
    refused = complaint.refused
    line, column = (None, None) if locate is None else locate(complaint.place, refused.at_key)
    return Problem(file, line, column, dotted(complaint.place), refused.message, refused.hint)


def dotted(place: Place) -> str:
    """``space.units`` for a place in it; list indices are left to line and column.

    >>> dotted(("space", "units", 2))
    'space.units'
    """
    return ".".join(_printable(key) for key in place if isinstance(key, str))


def _printable(key: str) -> str:
    """A key as it is shown: no escape sequence of a file reaches a terminal, no line is endless."""
    if len(key) > _LONGEST_KEY:
        key = key[: _LONGEST_KEY - 3] + "..."
    return key if key.isprintable() else repr(key)[1:-1]
