"""Numbers and lists in the words of findings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

_MOST_NAMED = 8


def number(value: Any) -> str:
    """At most four significant digits; names as they are.

    >>> number(0.081623), number(128), number("adam"), number(12345)
    ('0.08162', '128', 'adam', '12345')
    """
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}"
    return f"{value:g}" if isinstance(value, float) and abs(value) >= 1e6 else _plain(value)


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) else str(value)


def count(n: int, noun: str) -> str:
    """A number of things.

    >>> count(1, "trial"), count(60, "trial")
    ('1 trial', '60 trials')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def share(n: float, of: float) -> str:
    """A share in percent; under 10 % with a place more where it has one.

    >>> share(14, 60), share(1, 60), share(0, 60), share(60, 60)
    ('23 %', '1.7 %', '0 %', '100 %')
    """
    percent = 100 * n / of if of else 0.0
    return f"{percent:.2g} %" if 0 < percent < 9.5 else f"{percent:.0f} %"


def trials_named(numbers: Sequence[int]) -> str:
    """The trials by their numbers, the first ones if they are many.

    >>> trials_named([3]), trials_named([3, 5]), trials_named(range(10))
    ('trial 3', 'trials 3, 5', 'trials 0, 1, 2, 3, 4, 5, 6, 7 and 2 more')
    """
    named = ", ".join(map(str, numbers[:_MOST_NAMED]))
    more = len(numbers) - _MOST_NAMED
    rest = f" and {more} more" if more > 0 else ""
    return f"trial{'s' if len(numbers) != 1 else ''} {named}{rest}"


def between(low: float, high: float) -> float:
    """The number with the fewest digits in (low, high]: a threshold that people can read.

    >>> between(187, 263), between(0.0912, 0.1034), between(3, 4)
    (200.0, 0.1, 4.0)
    """
    middle = math.sqrt(low * high) if low > 0 else (low + high) / 2
    for digits in range(1, 17):
        for guess in (high, middle):
            rounded = float(f"{guess:.{digits - 1}e}")
            if low < rounded <= high:
                return rounded
    return high
