"""Tables: aligned columns on a terminal, TAB-separated text in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from tunelab.cli.formats import clean

_SPACE = "  "
_ELLIPSIS = "…"


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        title: Its head.
        cells: One text a row.
        right: Whether it is aligned to the right, as numbers are.
        drop: On a narrow terminal, columns with the greatest number go first; 0: never.
        least: For running text, the fewest characters it may be cut to, at a space; 0: never cut.
        styles: One style a row, for terminals with colours.
    """

    title: str
    cells: Sequence[str]
    right: bool = False
    drop: int = 0
    least: int = 0
    styles: Sequence[str] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", [clean(cell) for cell in self.cells])

    @property
    def width(self) -> int:
        """Characters that it takes uncut."""
        return max(map(cell_len, (self.title, *self.cells)))

    def row(self, index: int, width: int) -> tuple[str, str]:
        """The text of a row, filled up to ``width``, and its style."""
        text = cut(self.cells[index], width)
        return _filled(text, width, right=self.right), self.styles[index] if self.styles else ""


def table(columns: Sequence[Column], width: int) -> list[Text]:
    """Head and rows, each at most ``width`` characters: columns are left out until they fit.

    >>> columns = [Column("TRIAL", ["7"], right=True), Column("PARAMS", ["adam 1e-3"], drop=1)]
    >>> [line.plain for line in table(columns, 20)]
    ['TRIAL  PARAMS', '    7  adam 1e-3']
    >>> [line.plain for line in table(columns, 15)]
    ['TRIAL', '    7']
    """
    columns, widths = _fitted(list(columns), width)
    head = Text(style="bold")
    for index, (column, space) in enumerate(zip(columns, widths, strict=True)):
        head.append(_SPACE if index else "")
        head.append(_filled(cut(column.title, space), space, right=column.right))
    lines = [head]
    for row in range(len(columns[0].cells)):
        line = Text()
        for index, (column, space) in enumerate(zip(columns, widths, strict=True)):
            text, style = column.row(row, space)
            line.append(_SPACE if index else "")
            line.append(text, style)
        lines.append(line)
    for line in lines:
        line.rstrip()
    return lines


def tab_separated(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterable[str]:
    r"""Lines for other programs: full numbers, empty for no value, no control characters.

    >>> list(tab_separated(["number", "value"], [[3, 0.1 + 0.2], [4, None]]))
    ['number\tvalue', '3\t0.30000000000000004', '4\t']
    """
    yield "\t".join(head)
    for row in rows:
        yield "\t".join("" if cell is None else clean(str(cell)) for cell in row)


def cut(text: str, width: int) -> str:
    """Running text, cut behind a word so that it fits; a number never loses its end.

    >>> cut("adam 3.1e-3 cosine", 13), cut("adam", 4)
    ('adam 3.1e-3 …', 'adam')
    """
    if cell_len(text) <= width:
        return text
    kept = ""
    for word in text.split(" "):
        longer = f"{kept}{word} "
        if cell_len(longer) + 1 > width:
            break
        kept = longer
    return kept + _ELLIPSIS if width else ""


def _fitted(columns: list[Column], width: int) -> tuple[list[Column], list[int]]:
    """The columns that have a place, and how wide each may be."""
    while True:
        least = [min(c.width, max(c.least, len(c.title))) if c.least else c.width for c in columns]
        missing = sum(least) + len(_SPACE) * (len(columns) - 1) - width
        droppable = [column for column in columns if column.drop]
        if missing <= 0 or not droppable:
            break
        columns.remove(max(droppable, key=lambda column: column.drop))
    if missing > 0:
        return columns, _with_shorter_titles(columns, missing)
    spare = -missing
    widths = []
    for column, space in zip(columns, least, strict=True):
        more = min(column.width - space, spare)
        spare -= more
        widths.append(space + more)
    return columns, widths


def _with_shorter_titles(columns: list[Column], missing: int) -> list[int]:
    """The columns' widths where they do not fit: rather half a title than a broken line."""
    widths = [column.width for column in columns]
    spare = [c.width - max([cell_len(cell) for cell in c.cells], default=1) for c in columns]
    for index in sorted(range(len(columns)), key=lambda index: -spare[index]):
        less = min(spare[index], missing)
        widths[index] -= less
        missing -= less
    return widths


def _filled(text: str, width: int, *, right: bool) -> str:
    padding = " " * (width - cell_len(text))
    return padding + text if right else text + padding
