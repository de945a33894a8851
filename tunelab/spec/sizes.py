"""Amounts of memory as people write them."""

from __future__ import annotations

import re

from tunelab.spec.rules import RefusedError, shown

_UNITS = {f"{letter}B": 1000**n for n, letter in enumerate("KMGT", 1)}
_UNITS |= {f"{letter}iB": 1024**n for n, letter in enumerate("KMGT", 1)}
_PATTERN = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([KMGT]i?B)")
_LEAST, _GREATEST = 10**6, 10**15


def n_bytes(given: object) -> int:
    """A size in bytes, from a number of bytes or a text such as ``512MB``.

    >>> n_bytes("2GB"), n_bytes("512MB"), n_bytes("1.5GiB"), n_bytes(3_000_000)
    (2000000000, 512000000, 1610612736, 3000000)

    Raises:
        RefusedError: If it is neither, or not from 1 MB to 1000 TB.
    """
    size = given
    if isinstance(given, str):
        match = _PATTERN.fullmatch(given)
        size = float(match[1]) * _UNITS[match[2]] if match else None
    if isinstance(size, bool) or not isinstance(size, int | float):
        raise RefusedError(f"must be a size such as 2GB or 512MB, got {shown(given)}")
    if not _LEAST <= size <= _GREATEST:
        raise RefusedError(f"must be from 1MB to 1000TB, got {shown(given)}")
    return int(size)


def shown_size(size: float) -> str:
    """A size for people, in the unit that suits it.

    >>> shown_size(512_000_000), shown_size(2_500_000_000)
    ('512 MB', '2.5 GB')
    """
    unit, factor = ("GB", 1e9) if size >= 1e9 else ("MB", 1e6)
    return f"{size / factor:.4g} {unit}"
