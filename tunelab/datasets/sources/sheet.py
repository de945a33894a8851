"""A file's columns before a study file says what they are for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tunelab.datasets.sources.assembly import Read


@dataclass(frozen=True)
class Sheet:
    """A table of which nothing is known but its file.

    Attributes:
        file: The file as it is shown.
        names: Its columns.
        n_rows: Its rows.
        read: Gives a column once, as for `Table`; dates as seconds since 1970.
        dates: Columns whose type is a date or a moment; they can decide a split, and nothing else.
        unreadable: Column -> why its type cannot be read at all.
    """

    file: str
    names: tuple[str, ...]
    n_rows: int
    read: Read
    dates: frozenset[str] = frozenset()
    unreadable: Mapping[str, str] = field(default_factory=dict)
