"""The line of column names of a CSV file, and what can be wrong with it."""

from __future__ import annotations

import csv

from tunelab.datasets.sources.cells import is_number
from tunelab.datasets.sources.files import (
    MAX_COLUMNS,
    refuse,
    shown_path,
)
from tunelab.datasets.sources.flaws import (
    Flaw,
    report,
    short,
    shown_text,
)
from tunelab.datasets.sources.records import (
    Records,
    StopReadingError,
    WrongQuotesError,
    field_starts,
    line_and_column,
)

DELIMITERS = (";", "\t", "|", ",", " ")


def read_header(records: Records, path: str, delimiter: str, least: int = 2) -> list[str]:
    """The column names, ``least`` or more of them.

    Raises:
        DataError: If there are none, or they cannot be told apart.
    """
    try:
        fields = next(records, None)
    except WrongQuotesError as stop:
        text = records.text.strip()
        others = [mark for mark in DELIMITERS if mark not in (delimiter, " ")]
        is_other = any(_divides(mark, text) for mark in others)
        wrong = _one_name(text, records.line, delimiter) if is_other else stop.flaw
        raise report(shown_path(path), [wrong]) from None
    except StopReadingError as stop:
        raise report(shown_path(path), [stop.flaw]) from None
    if fields is None:
        refuse(path, "is empty: it has no line of column names")
    names = [field.strip() for field in fields]
    flaw = _no_header(names, records.line, delimiter, least)
    flaws = [flaw] if flaw else _unclear_names(names, records, delimiter)
    if flaws:
        raise report(shown_path(path), flaws)
    return names


def _no_header(names: list[str], line: int, delimiter: str, least: int) -> Flaw | None:
    """Why a line cannot be the column names, if so."""
    if names[0].lower() == "sep=":
        message = f"line {line} must be the column names, got a note for Excel"
        return Flaw(message, "remove the line", line=line)
    if len(names) < least:
        return _one_name(names[0], line, delimiter)
    if len(names) > MAX_COLUMNS:
        message = f"must have at most {MAX_COLUMNS:,} columns, got {len(names):,}"
        return Flaw(message, "drop or combine columns", line=line)
    if _is_data(names):
        message = f"line {line} must be the column names, got numbers: {shown_text(names[0])}"
        return Flaw(message, "put a line of column names above the data", line=line)
    return None


def _one_name(name: str, line: int, delimiter: str) -> Flaw:
    """What to say of a header that is one field: mostly the delimiter is another."""
    message = f"line {line} has 1 column with the delimiter {delimiter!r}: {shown_text(name)}"
    others = [mark for mark in DELIMITERS if mark != delimiter and mark in name]
    if not others:
        return Flaw(message, "a table needs a target and at least one feature", line=line)
    # In a header with quotes, a mark between two names is none of a name.
    best = max(others, key=lambda mark: (mark != " ", _divides(mark, name), name.count(mark)))
    if best == " ":
        return Flaw(message, "put one delimiter between two fields", line=line)
    written = r"\t" if best == "\t" else best
    return Flaw(message, f'set data.delimiter: "{written}"', line=line)


def _divides(delimiter: str, text: str) -> bool:
    """Whether a line with quotes is several fields with this delimiter."""
    try:
        (fields,) = csv.reader([text], delimiter=delimiter, strict=True, skipinitialspace=True)
    except (csv.Error, ValueError):
        return False
    return len(fields) > 1


def _is_data(names: list[str]) -> bool:
    """Whether a header is a row of data.

    Years may name columns, and 0, 1, 2, ... are what pandas calls columns without names.
    """
    numbers = [name for name in names if is_number(name)]
    if len(numbers) == len(names):
        return not any(
            names == [str(number + first) for number in range(len(names))] for first in (0, 1)
        )
    measured = any("." in name or "e" in name.lower() for name in numbers)
    return measured and len(numbers) >= len(names) / 2


def _unclear_names(names: list[str], records: Records, delimiter: str) -> list[Flaw]:
    """Columns without a name, or with that of another."""
    text = records.text
    starts, _ = field_starts(text, delimiter)
    flaws = []
    first: dict[str, int] = {}
    for number, (name, start) in enumerate(zip(names, starts, strict=True), start=1):
        if name and name not in first:
            first[name] = number
            continue
        line, at = line_and_column(text, start, records.line)
        if name:
            fields = f"fields {first[name]} and {number}"
            message = f"line {line}: column {short(name)} stands twice, in {fields}"
            hint = "give each column its own name"
        else:
            message = f"line {line}: field {number} is a column without a name"
            hint = _why_nameless(number, len(names))
        flaws.append(Flaw(message, hint, line=line, at=at))
    return flaws


def _why_nameless(number: int, n_fields: int) -> str:
    if number == 1:
        return "name it; pandas writes its index so, unless to_csv gets index=False"
    if number == n_fields:
        return "name it, or remove the delimiter at the end of every line"
    return "name it"
