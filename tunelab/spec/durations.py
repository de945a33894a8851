"""Durations as people write them."""

from __future__ import annotations

import re

from tunelab.spec.rules import Number, RefusedError

_PATTERN = re.compile(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?")
_YEAR = Number("float", 0, 366 * 24 * 3600, low_open=True)


def seconds(given: object) -> float:
    """A duration in seconds, from a number of seconds or a text such as ``1h30m``.

    >>> seconds("10m"), seconds("1h30m"), seconds("45s"), seconds(2.5)
    (600.0, 5400.0, 45.0, 2.5)

    Raises:
        RefusedError: If it is neither, not above 0, or above 366 days.
    """
    if not isinstance(given, str):
        return float(_YEAR.check(given))
    match = _PATTERN.fullmatch(given)
    if not match or not given:
        raise RefusedError(
            f"must be seconds or a duration such as 10m, 1h30m or 45s, got {given[:60]!r}"
        )
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return float(_YEAR.check(3600 * hours + 60 * minutes + rest))
