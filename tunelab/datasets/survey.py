"""What can be said of a column before anybody says what it is for.

Everything is counted in all rows; a column is looked at alone, or beside a target, and then let go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from tunelab.datasets import texts
from tunelab.datasets.sources.assembly import LARGEST
from tunelab.datasets.sources.cells import feature_cells, label_cells, number_texts
from tunelab.datasets.sources.delimited import csv_sheet, likely_delimiter
from tunelab.datasets.sources.files import refuse, source_of
from tunelab.datasets.sources.parquet import parquet_sheet
from tunelab.datasets.sources.sheet import Sheet

MISSING = -1
"""The code of a missing value."""

_ALMOST_ONE = 0.9999
"""A correlation that no two measurements have by chance."""

_ROWS_A_VALUE = 5
"""With fewer rows a value, values foretell a target by chance."""

_FEW_ROWS = 30
_SAMPLE = 2000
_EXAMPLES_TRIED = 100


@dataclass(frozen=True)
class Facts:
    """A column in numbers.

    Attributes:
        name: The column.
        kind: ``numbers``, ``texts``, ``dates`` (each value is one, in ISO 8601), ``odd dates`` (in
            another form), ``almost numbers`` (texts most of which are meant as numbers) or
            ``unreadable``.
        n_rows: Rows of the table.
        n_missing: Rows without a value, or with one beyond float32.
        n_distinct: Different values.
        whole: Whether all are whole numbers.
        ordered: Whether the numbers, none of which is missing, rise or fall from row to row.
        consecutive: Whether the whole numbers, in any order, leave out none and repeat none.
        zeros: Whether some whole number is written with a leading zero.
        gaps: Where a value is missing, shape (n_rows,); None where none is.
        why_unreadable: Why its type cannot be read.
    """

    name: str
    kind: str
    n_rows: int
    n_missing: int = 0
    n_distinct: int = 0
    whole: bool = False
    ordered: bool = False
    consecutive: bool = False
    zeros: bool = False
    gaps: npt.NDArray[np.bool_] | None = None
    why_unreadable: str = ""

    @property
    def n_present(self) -> int:
        """Rows that have a value."""
        return self.n_rows - self.n_missing


@dataclass(frozen=True, eq=False)
class Target:
    """A column that is to be predicted.

    Attributes:
        facts: The column.
        codes: One a row, equal where the values are, ``MISSING`` where there is none.
        values: The numbers, NaN where missing; None for texts.
        counts: Rows of each different value, in ascending order of the value.
        labels: These values as texts.
    """

    facts: Facts
    codes: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64] | None
    counts: npt.NDArray[np.int64]
    labels: Sequence[str]


def open_sheet(path: str) -> tuple[Sheet, str, str]:
    """The columns of a CSV or Parquet file, its source, and what divides its fields.

    Raises:
        MissingDataFileError: If there is no such file.
        DataError: If it is neither, or cannot be read.
    """
    source = source_of(path)
    if source == "npz":
        hint = "write the study file by hand: an archive needs source: npz and path alone"
        refuse(path, "must be a CSV or Parquet file, got an archive of NumPy arrays", hint)
    if source == "parquet":
        return parquet_sheet(path), source, ","
    delimiter = likely_delimiter(path)
    return csv_sheet(path, delimiter), source, delimiter


def look_at_target(sheet: Sheet, name: str) -> Target:
    """Read a column as one that is to be predicted."""
    given = sheet.read(name)
    almost = False
    if not isinstance(given, np.ndarray):
        almost = bool(feature_cells(given, name, categorical=False).flaws)
        given = label_cells(given).values
    codes, distinct = _coded(given)
    counts = np.bincount(codes[codes >= 0], minlength=len(distinct))
    is_text = given.dtype.kind == "O"
    facts = _facts(name, given, codes, len(distinct))
    if almost:
        facts = Facts(name, "almost numbers", facts.n_rows, facts.n_missing, facts.n_distinct)
    labels = [str(value) for value in (distinct if is_text else number_texts(distinct))]
    return Target(facts, codes, None if is_text else given, counts, labels)


def look_at(
    sheet: Sheet, name: str, targets: Sequence[Target], task: str
) -> tuple[Facts, list[tuple[str, str]]]:
    """Read a column as a feature: its facts, and what it gives away of which target.

    The latter as in ``("determines", "price")``.
    """
    if name in sheet.unreadable:
        why = sheet.unreadable[name]
        return Facts(name, "unreadable", sheet.n_rows, why_unreadable=why), []
    given = sheet.read(name)
    zeros = False
    if not isinstance(given, np.ndarray):
        cells = feature_cells(given, name, categorical=False)
        if cells.flaws:
            return Facts(name, "almost numbers", sheet.n_rows), []
        given, zeros = cells.values, cells.note is not None
    codes, distinct = _coded(given)
    facts = _facts(name, given, codes, len(distinct), zeros=zeros, dates=name in sheet.dates)
    if facts.kind == "texts":
        facts = _dated(facts, distinct)
    given_away = [
        (how, target.facts.name)
        for target in targets
        if (how := _gives_away(given, codes, facts, target, task))
    ]
    return facts, given_away


def _coded(values: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], Any]:
    """The code of each value, and the values in ascending order; codes index them."""
    if values.dtype.kind == "O":
        places, known = texts.encode(values)
        order = sorted(range(len(known)), key=known.__getitem__)
        rank: npt.NDArray[np.int64] = np.empty(len(known) + 1, dtype=np.int64)
        rank[order] = np.arange(len(known))
        rank[-1] = MISSING  # which code -1 finds
        return rank[places], [known[place] for place in order]
    usable: npt.NDArray[np.bool_] = np.abs(values) <= LARGEST
    codes: npt.NDArray[np.int64] = np.full(len(values), MISSING, dtype=np.int64)
    distinct, of_usable = np.unique(values[usable], return_inverse=True)
    codes[usable] = of_usable
    return codes, distinct


def _facts(
    name: str,
    values: npt.NDArray[Any],
    codes: npt.NDArray[np.int64],
    n_distinct: int,
    *,
    zeros: bool = False,
    dates: bool = False,
) -> Facts:
    gaps = codes == MISSING
    n_missing = int(gaps.sum())
    numbers = values.dtype.kind == "f"
    present = values[~gaps]
    whole = numbers and len(present) > 0 and bool(np.all(present == np.floor(present)))
    unique = numbers and len(present) > 1 and n_distinct == len(present)
    steps = np.diff(codes)
    kind = "texts"
    if numbers:
        kind = "dates" if dates else "numbers"
    return Facts(
        name,
        kind,
        len(values),
        n_missing,
        n_distinct,
        whole=whole,
        ordered=unique and not n_missing and bool(np.all(steps > 0) or np.all(steps < 0)),
        consecutive=whole and unique and bool(np.ptp(present) == len(present) - 1),
        zeros=zeros,
        gaps=gaps if n_missing else None,
    )


def _dated(facts: Facts, distinct: Sequence[str]) -> Facts:
    """The facts with their kind set right where the texts are dates."""
    if not distinct:
        return facts
    tried = distinct[:: max(1, len(distinct) // _EXAMPLES_TRIED)]
    kind = facts.kind
    if all(map(_is_moment, tried)):
        kind = "dates" if all(map(_is_moment, distinct)) else "odd dates"
    elif all(map(_resembles_a_date, tried)):
        kind = "odd dates"
    return Facts(**{**vars(facts), "kind": kind})


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _resembles_a_date(text: str) -> bool:
    """Whether a text is two or three numbers with one mark between them: 31.12.2030."""
    day = text.split()[0] if text.split() else ""
    marks = {character for character in day if not character.isdigit()}
    parts = day.split(next(iter(marks))) if len(marks) == 1 and marks <= set("./-") else []
    return len(parts) == 3 and all(parts) and any(len(part) == 4 for part in parts)


def _gives_away(
    values: npt.NDArray[Any],
    codes: npt.NDArray[np.int64],
    facts: Facts,
    target: Target,
    task: str,
) -> str:
    """How a column alone tells the target; empty if it does not, or may by chance."""
    known = (codes >= 0) & (target.codes >= 0)
    n_known = int(known.sum())
    if n_known < 2 or facts.n_distinct < 2 or len(target.counts) < 2:
        return ""
    ours, theirs = codes[known], target.codes[known]
    n_ours, n_theirs = (int(np.count_nonzero(np.bincount(each))) for each in (ours, theirs))
    if n_theirs < 2:
        return ""
    if n_ours <= n_known / 2:
        pairs = len(np.unique(ours * (int(theirs.max()) + 1) + theirs))
        if pairs == n_ours == n_theirs:
            return "says the same as"
        if pairs == n_ours and n_ours <= n_known / _ROWS_A_VALUE:
            return "determines"
    if values.dtype.kind != "f" or n_known < _FEW_ROWS:
        return ""
    if task == "classification":
        return "alone separates all classes of" if _separates(ours, theirs) else ""
    assert target.values is not None  # noqa: S101 - a target of a regression is numbers
    return _correlation(values[known], target.values[known])


def _separates(ours: npt.NDArray[np.int64], theirs: npt.NDArray[np.int64]) -> bool:
    """Whether each class has a range of the column to itself.

    What some rows refute needs no look at all of them.
    """
    if len(ours) > 2 * _SAMPLE and not _separates(ours[:_SAMPLE], theirs[:_SAMPLE]):
        return False
    order = np.lexsort((theirs, ours))
    ours, theirs = ours[order], theirs[order]
    changes = theirs[1:] != theirs[:-1]
    pure = not np.any(changes & (ours[1:] == ours[:-1]))
    return pure and int(changes.sum()) == len(np.unique(theirs)) - 1


def _correlation(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> str:
    if np.array_equal(ours, theirs):
        return "equals"
    # Of values near float32's smallest and largest, products would leave float64's range.
    ours, theirs = (values / max(float(np.abs(values).max()), 1e-300) for values in (ours, theirs))
    a, b = ours - ours.mean(), theirs - theirs.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    if scale <= 0.0:
        return ""
    return "is a multiple of" if abs(float(a @ b)) / scale >= _ALMOST_ONE else ""
