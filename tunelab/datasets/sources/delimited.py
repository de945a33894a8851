"""CSV files: their header, their columns, and the place of everything that is wrong.

A large file is split a block of lines at a time, by pyarrow where the block has no quotes. At the
first doubt the block is split again record by record, so that the doubt gets its exact place.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from tunelab.datasets.sources.assembly import Table, assemble
from tunelab.datasets.sources.base import RawData
from tunelab.datasets.sources.cells import Texts
from tunelab.datasets.sources.files import (
    MAX_VALUES,
    opened,
    shown_path,
)
from tunelab.datasets.sources.flaws import (
    MAX_SHOWN,
    Cell,
    Flaw,
    Place,
    counted,
    listed,
    report,
    short,
)
from tunelab.datasets.sources.header import read_header
from tunelab.datasets.sources.records import (
    Records,
    StopReadingError,
    count_lines,
    field_starts,
    is_blank,
    line_and_column,
)
from tunelab.datasets.sources.roles import assign
from tunelab.datasets.sources.sheet import Sheet
from tunelab.errors import nearest

if TYPE_CHECKING:  # a worker imports this package and needs no study file
    from tunelab.spec.study import DataSpec


_BATCH_FIELDS = 20_000
"""Fields that are Python's strings at a time; with so few they stay in the processor's cache."""

_LIKELY = (";", "\t", "|")
_HEAD_BYTES, _HEAD_RECORDS = 1 << 16, 20


def read_csv(data: DataSpec, task: str) -> RawData:
    """Read a CSV file: a line of column names, then a row a line.

    White space around a field does not count. A field in double quotes may hold delimiters and
    line ends, and a quote written twice. Lines end with LF, CRLF or CR, and blank ones are
    skipped. The text is UTF-8, with or without a byte order mark.

    Raises:
        NotFoundError: If there is no such file.
        DataError: With everything that is wrong in it.
    """
    path, delimiter = str(data.path), data.delimiter or ","
    with opened(path, "csv") as file:
        records = Records(file, delimiter)
        names = read_header(records, path, delimiter)
        roles, flaws = assign(names, data, task, data.target or ())
        if flaws:
            raise report(shown_path(path), flaws)
        columns = _read_columns(records, roles.used, names, path, delimiter)
        table = _table(file, columns, names, path, delimiter)
        return assemble(table, roles, data, task)


@contextmanager
def csv_columns(path: str, delimiter: str, wanted: Sequence[str]) -> Iterator[Table]:
    """Some columns of a CSV file, in any order; others are left unread.

    Yields:
        A table of these columns. It finds the places of its rows within the block alone.

    Raises:
        DataError: If there is no such column, or the lines are no rows.
    """
    with opened(path, "csv") as file:
        records = Records(file, delimiter)
        names = read_header(records, path, delimiter, least=min(len(wanted), 2))
        flaws = [_no_column(name, names) for name in wanted if name not in names]
        if flaws:
            raise report(shown_path(path), flaws)
        columns = _read_columns(records, wanted, names, path, delimiter)
        yield _table(file, columns, names, path, delimiter)


def _no_column(name: str, names: Sequence[str]) -> Flaw:
    match = nearest(name, names)
    message = f"there is no column {short(name)}; the columns are: {listed(names)}"
    return Flaw(message, f"is {short(match)} meant? rename it" if match else None)


def _table(
    file: IO[bytes], columns: _Columns, names: list[str], path: str, delimiter: str
) -> Table:
    """The columns as a table that knows its places.

    Raises:
        DataError: If very many lines are no rows.
    """
    table = Table(
        file=shown_path(path),
        n_rows=columns.n_rows,
        read=columns.take,
        locate=lambda cells: _places(file, delimiter, names, cells),
        flaws=columns.ragged,
        n_more=columns.n_more,
        has_all_rows=not columns.ragged,
    )
    if columns.n_more:  # so many lines are wrong that the others tell little
        table.stop_if_flawed()
    return table


def csv_sheet(path: str, delimiter: str) -> Sheet:
    """All columns of a CSV file as they are, before any of them has a part to play.

    Raises:
        DataError: If its lines are no rows.
    """
    with opened(path, "csv") as file:
        records = Records(file, delimiter)
        names = read_header(records, path, delimiter)
        columns = _read_columns(records, names, names, path, delimiter)
    if columns.ragged:
        raise report(shown_path(path), columns.ragged, n_more=columns.n_more)
    return Sheet(shown_path(path), tuple(names), columns.n_rows, columns.take)


def likely_delimiter(path: str) -> str:
    """What divides the fields of the first lines into equally many, the most of them.

    Where nothing does, it is the comma, by which errors are told.

    Raises:
        DataError: If there is no text in the file.
    """
    with opened(path, "csv") as file:
        head = file.read(_HEAD_BYTES)
        if file.read(1):  # the last line is cut off
            head = head[: max(head.rfind(b"\n"), head.rfind(b"\r")) + 1] or head
    counts = {mark: _field_counts(head, mark) for mark in (",", *_LIKELY)}
    even = {mark: given[0] for mark, given in counts.items() if len(set(given)) == 1}
    divided = {mark: n_fields for mark, n_fields in even.items() if n_fields > 1} or {
        mark: given[0] for mark, given in counts.items() if given
    }
    return max(divided, key=divided.__getitem__, default=",")


def _field_counts(head: bytes, delimiter: str) -> list[int]:
    """The number of fields of each of the first records."""
    counts = []
    try:
        for fields in itertools.islice(Records(io.BytesIO(head), delimiter), _HEAD_RECORDS):
            counts.append(len(fields))  # noqa: PERF401 - those before an unreadable one count
    except StopReadingError:
        pass
    return counts


def _read_columns(
    records: Records, used: Sequence[str], names: Sequence[str], path: str, delimiter: str
) -> _Columns:
    """The used fields of all records.

    Raises:
        DataError: If a record cannot be read.
    """
    records.block_bytes *= max(1, len(names) // 250)  # or a block would have few rows
    columns = _Columns(used, names, delimiter)
    try:
        columns.read(records)
    except StopReadingError as stop:
        flaws = [*columns.ragged, stop.flaw]
        raise report(shown_path(path), flaws, n_more=columns.n_more) from None
    return columns


class _Columns:
    """The used fields of all records, as pyarrow's arrays of a few thousand rows each.

    Attributes:
        n_rows: Records read.
        ragged: Records with too few or too many fields, the first ``MAX_SHOWN``.
        n_more: How many more of these there are.
    """

    def __init__(self, used: Sequence[str], names: Sequence[str], delimiter: str) -> None:
        self.n_rows = 0
        self.ragged: list[Flaw] = []
        self.n_more = 0
        numbers = {name: number for number, name in enumerate(names)}
        self._used = [numbers[name] for name in used]
        self._n_fields = n_fields = len(names)
        self._delimiter = delimiter
        self._batch: list[list[str]] = []
        self._batch_rows = max(50, _BATCH_FIELDS // n_fields)
        self._arrays: dict[str, list[Any]] = {name: [] for name in used}

    def read(self, records: Records) -> None:
        """Read all records.

        Raises:
            StopReadingError: At one that cannot be read.
        """
        while True:
            if self._add_block(records):
                continue
            fields = next(records, None)
            if fields is None:
                break
            if len(fields) != self._n_fields:
                self._refuse(fields, records.line)
                continue
            self._batch.append(fields)
            if len(self._batch) == self._batch_rows:
                self._flush()
        self._flush()

    def take(self, name: str) -> Texts:
        """The texts of a used column, which are then forgotten."""
        import pyarrow as pa

        arrays = self._arrays.pop(name)
        return pa.concat_arrays(arrays) if arrays else pa.array([], pa.string())

    def _add_block(self, records: Records) -> bool:
        """Read a whole block of lines, if there is one and nothing about it is doubtful."""
        block = records.look_ahead()
        if not block or b"\0" in block:
            return False
        try:
            text = block.decode()
        except UnicodeDecodeError:
            return False
        quoted = '"' in text or not self._delimiter.isascii()
        split = self._split_quoted(text, records) if quoted else self._split_plain(block)
        if split is None:
            return False
        self._flush()
        arrays, n_lines = split
        self._append(arrays)
        records.skip_block(n_lines)
        return True

    def _split_plain(self, block: bytes) -> tuple[list[Any], int] | None:
        """The used fields of a block without quotes and its lines; None if a line is no row."""
        import pyarrow as pa
        import pyarrow.csv as pa_csv

        names = [str(number) for number in range(self._n_fields)]
        used = [str(number) for number in self._used]
        try:
            table = pa_csv.read_csv(
                pa.BufferReader(block),
                pa_csv.ReadOptions(
                    use_threads=False, column_names=names, block_size=len(block) + 1
                ),
                pa_csv.ParseOptions(
                    delimiter=self._delimiter,
                    quote_char=False,
                    double_quote=False,
                ),
                pa_csv.ConvertOptions(
                    include_columns=used,
                    column_types=dict.fromkeys(used, pa.string()),
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid:
            return None
        return [column.combine_chunks() for column in table.columns], count_lines(block)

    def _split_quoted(self, text: str, records: Records) -> tuple[list[Any], int] | None:
        """The same for a block with quotes, unless a record goes on after it."""
        reader = records.reader(io.StringIO(text, newline=""))
        try:
            rows = [fields for fields in reader if not is_blank(fields)]
        except csv.Error:
            return None
        if any(len(fields) != self._n_fields for fields in rows):
            return None
        return self._arrays_of(rows), reader.line_num

    def _flush(self) -> None:
        self._append(self._arrays_of(self._batch))
        self._batch.clear()

    def _arrays_of(self, rows: list[list[str]]) -> list[Any]:
        import pyarrow as pa

        by_column = list(zip(*rows, strict=True)) or [()] * self._n_fields
        return [pa.array(by_column[field], pa.string()) for field in self._used]

    def _append(self, arrays: list[Any]) -> None:
        self.n_rows += len(arrays[0])
        if self.n_rows * len(self._used) > MAX_VALUES:
            message = f"must have at most {MAX_VALUES:,} values, got more"
            raise StopReadingError(Flaw(message, "drop columns, or give fewer rows"))
        for column, array in zip(self._arrays.values(), arrays, strict=True):
            column.append(array)

    def _refuse(self, fields: list[str], line: int) -> None:
        if len(self.ragged) == MAX_SHOWN:
            self.n_more += 1
            return
        if len(fields) == self._n_fields + 1 and not fields[-1].strip():
            hint = "the line ends with a delimiter: remove it"
        elif len(fields) > self._n_fields:
            hint = "put a field that holds the delimiter, as a decimal comma does, in quotes"
        else:
            hint = "complete the line; is the file cut off, or does a quote never close?"
        message = f"line {line} has {counted(len(fields), 'field')}, expected {self._n_fields}"
        self.ragged.append(Flaw(message, hint, line=line))


def _places(
    file: IO[bytes], delimiter: str, names: list[str], cells: Sequence[Cell]
) -> dict[Cell, Place]:
    """Where rows and fields stand, found by reading the file once more."""
    wanted: dict[int, list[str | None]] = {}
    for row, name in cells:
        wanted.setdefault(row, []).append(name)
    numbers = {name: number for number, name in enumerate(names)}
    places: dict[Cell, Place] = {}
    records = Records(file, delimiter)
    rows = (fields for fields in records if len(fields) == len(names))
    next(rows)  # the header
    for row, _ in enumerate(rows):
        if row in wanted:
            text = records.text
            starts, _ = field_starts(text, delimiter)
            for name in wanted.pop(row):
                start = 0 if name is None else starts[numbers[name]]
                line, at = line_and_column(text, start, records.line)
                places[row, name] = Place(f"line {line}", line, at)
        if not wanted:
            break
    return places
