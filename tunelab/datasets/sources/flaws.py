"""What is wrong with data, said all at once, each thing with its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tunelab.errors import DataFileError, Problem

MAX_SHOWN = 10
"""Flaws that are told; of the others only their number is."""

_LONGEST_SHOWN = 60
_MOST_NAMES = 20


@dataclass(frozen=True)
class Flaw:
    """One thing that is wrong with a file of data.

    Attributes:
        message: What must hold and what was given.
        hint: What to do, or None.
        key: The key of the study file that does not go with the data, ``data.target``.
        line: Line in the file, from 1, where it is known.
        at: Column in that line, from 1.
        row: Row of the table, from 0, where its line is not known.
        column: Name of the table's column.
    """

    message: str
    hint: str | None = None
    key: str = ""
    line: int | None = None
    at: int | None = None
    row: int | None = None
    column: str | None = None


@dataclass(frozen=True)
class Place:
    """Where a row, or one of its fields, stands.

    Attributes:
        words: ``line 3`` or ``row 3``.
        line: The line, where the source has lines.
        at: The column in that line, from 1.
    """

    words: str
    line: int | None = None
    at: int | None = None


Cell = tuple[int, str | None]
"""A row, from 0, and the name of a column, or None for the whole row."""

Locate = Callable[[Sequence[Cell]], Mapping[Cell, Place]]


def by_row(cells: Sequence[Cell]) -> dict[Cell, Place]:
    """The places in a source that has no lines: ``row 1`` is the first."""
    return {cell: Place(f"row {cell[0] + 1}") for cell in cells}


def report(
    file: str, flaws: Sequence[Flaw], locate: Locate = by_row, n_more: int = 0
) -> DataFileError:
    """The error that tells ``flaws``: those of the study file first, then by their place.

    Args:
        file: The file as it is shown.
        flaws: At least one.
        locate: Finds the places of rows.
        n_more: Flaws that were counted and not kept.
    """
    places = locate([(flaw.row, flaw.column) for flaw in flaws if flaw.row is not None])
    placed = [_placed(flaw, places) for flaw in flaws]
    placed.sort(key=lambda flaw: (not flaw.key, flaw.line or flaw.row or 0, flaw.at or 0))
    problems = [
        Problem(file, flaw.line, flaw.at, flaw.key, flaw.message, flaw.hint)
        for flaw in placed[:MAX_SHOWN]
    ]
    return DataFileError(problems, n_more + len(flaws) - len(problems))


def _placed(flaw: Flaw, places: Mapping[Cell, Place]) -> Flaw:
    """The flaw with its place, which its message begins with."""
    if flaw.row is None:
        return flaw
    place = places[flaw.row, flaw.column]
    where = place.words if flaw.column is None else f"{place.words}, column {short(flaw.column)}"
    return replace(flaw, line=place.line, at=place.at, message=f"{where}: {flaw.message}")


def which_of(n_values: int) -> str:
    """What goes after the first of several values that are wrong for one reason.

    >>> which_of(1), which_of(2000)
    ('', ', the first of 2,000 such values')
    """
    return "" if n_values == 1 else f", the first of {n_values:,} such values"


def shown_text(text: str) -> str:
    """A text of the data in quotes, cut to a readable length.

    >>> shown_text("abc"), shown_text("x" * 100)[-6:]
    ("'abc'", "xx...'")
    """
    return repr(_cut(text))


def short(name: str) -> str:
    r"""A name of the data, cut to a readable length and with nothing that steers a terminal.

    >>> short("age"), short("in\ncome")
    ('age', 'in\\ncome')
    """
    name = _cut(name)
    return name if name.isprintable() else repr(name)[1:-1]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."


def counted(number: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "row"), counted(20000, "row"), counted(2, "class")
    ('1 row', '20,000 rows', '2 classes')
    """
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def listed(names: Sequence[str]) -> str:
    """Names one after the other; of very many, the first.

    >>> listed(["a", "b"]), listed([])
    ('a, b', 'none')
    """
    shown = ", ".join(short(name) for name in names[:_MOST_NAMES])
    if len(names) > _MOST_NAMES:
        return f"{shown} and {len(names) - _MOST_NAMES:,} more"
    return shown or "none"
