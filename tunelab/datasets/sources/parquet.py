"""Parquet files: a column at a time, each type as the CSV file of the same table would give it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tunelab.datasets.sources.assembly import Table, assemble
from tunelab.datasets.sources.base import RawData
from tunelab.datasets.sources.files import MAX_BYTES, MAX_VALUES, damage, opened, refuse, shown_path
from tunelab.datasets.sources.flaws import Flaw, report, short
from tunelab.datasets.sources.roles import assign
from tunelab.datasets.sources.sheet import Sheet

if TYPE_CHECKING:  # a worker imports this package and needs no study file
    from tunelab.spec.study import DataSpec

_READ_AT_ONCE = 256
_INDEX = "__index_level_"


def read_parquet(data: DataSpec, task: str) -> RawData:
    """Read a Parquet file.

    Numbers of every width, decimals and dictionaries are read; texts are numbers or categories by
    the rule for CSV files; truth values are the categories False and True. Dates decide a split by
    time and are no features. The index that pandas stores is left out.

    Raises:
        NotFoundError: If there is no such file.
        DataError: With everything that is wrong in it.
    """
    path = str(data.path)
    with opened(path, "parquet") as file:
        return _read(file, path, data, task)


def _read(file: IO[bytes], path: str, data: DataSpec, task: str) -> RawData:
    schema, names = _header(file, path)
    roles, flaws = assign(names, data, task, data.target or ())
    if flaws:
        raise report(shown_path(path), flaws)
    unreadable = {
        name: flaw for name in roles.used if (flaw := _unreadable(schema, name, roles.time))
    }
    features = tuple(name for name in roles.features if name not in unreadable)
    roles = replace(roles, features=features)
    if unreadable.keys() & {*roles.used} or not features:
        raise report(shown_path(path), [*unreadable.values()])

    columns = _loaded(file, path, schema, roles.used)
    n_rows = len(columns[roles.used[0]])
    table = Table(shown_path(path), n_rows, lambda name: _values(columns.pop(name)))
    for name, flaw in unreadable.items():
        table.refuse(name, flaw)
    return assemble(table, roles, data, task)


def parquet_sheet(path: str) -> Sheet:
    """All columns of a Parquet file as they are, before any of them has a part to play.

    Raises:
        DataError: If they cannot be told apart, or are too large.
    """
    with opened(path, "parquet") as file:
        schema, names = _header(file, path)
        flaws = {name: flaw for name in names if (flaw := _unreadable(schema, name, name))}
        dates = frozenset(name for name in names if _unreadable(schema, name, None))
        columns = _loaded(file, path, schema, [name for name in names if name not in flaws])
    return Sheet(
        shown_path(path),
        tuple(names),
        max((len(column) for column in columns.values()), default=0),
        lambda name: _values(columns.pop(name)),
        dates=dates - flaws.keys(),
        unreadable={name: flaw.message for name, flaw in flaws.items()},
    )


def _header(file: IO[bytes], path: str) -> tuple[Any, list[str]]:
    """The schema and the column names.

    Raises:
        DataError: If columns cannot be told apart, or the table is too large.
    """
    with damage():
        import pyarrow.parquet as pq

        parquet = pq.ParquetFile(file)
        schema, metadata = parquet.schema_arrow, parquet.metadata
    names = [name for name in schema.names if not name.startswith(_INDEX)]
    _check_size(path, metadata, len(names))
    flaws = [
        Flaw("a column has no name" if not name else f"column {short(name)} stands {times} times")
        for name, times in Counter(names).items()
        if times > 1 or not name
    ]
    if flaws:
        raise report(shown_path(path), flaws)
    return schema, names


def _loaded(file: IO[bytes], path: str, schema: Any, names: Sequence[str]) -> dict[str, Any]:
    """Some columns, their texts not yet unpacked: see `_columns`.

    Raises:
        DataError: If unpacked they would be too large.
    """
    # A text that is written once may stand for millions of rows: it is unpacked when its length
    # has been seen.
    texts = [name for name in names if _is_text(_value_type(schema.field(name).type))]
    with damage():
        import pyarrow.parquet as pq

        parquet = pq.ParquetFile(file, read_dictionary=texts)
        columns = _columns(parquet, names)
    n_bytes = sum(_unpacked_bytes(columns[name]) for name in texts)
    if n_bytes > MAX_BYTES:
        message = f"must have at most {MAX_BYTES:,} bytes of text unpacked, has {n_bytes:,}"
        refuse(path, message, "give fewer rows or columns")
    return columns


def _check_size(path: str, metadata: Any, n_columns: int) -> None:
    """Refuse what would not fit into memory: some kilobytes may stand for millions of rows."""
    n_values = metadata.num_rows * n_columns
    if n_values > MAX_VALUES:
        message = f"must have at most {MAX_VALUES:,} values, declares {n_values:,}"
        refuse(path, message, "give fewer rows or columns")
    n_bytes = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if n_bytes > MAX_BYTES:
        message = f"must have at most {MAX_BYTES:,} bytes unpacked, declares {n_bytes:,}"
        refuse(path, message, "give fewer rows or columns")


def _unreadable(schema: Any, name: str, time: str | None) -> Flaw | None:
    """Why a column's type cannot be used, if so; ``time`` may be of dates."""
    import pyarrow.types as types

    kind = _value_type(schema.field(name).type)
    if _is_number(kind) or _is_text(kind) or types.is_boolean(kind) or types.is_null(kind):
        return None
    if types.is_timestamp(kind) or types.is_date(kind):
        if name == time:
            return None
        message = f"column {short(name)} must be numbers or text, got dates ({kind})"
        hint = "list it under data.drop, or write dates as numbers, such as days since a day"
        return Flaw(message, hint)
    what = "nested values" if types.is_nested(kind) else "values"
    message = f"column {short(name)} must be numbers or text, got {what} of type {short(str(kind))}"
    return Flaw(message, "list it under data.drop, or split it into columns of numbers")


def _columns(parquet: Any, names: Sequence[str]) -> dict[str, Any]:
    """The columns by name, as pyarrow's contiguous arrays.

    Reading all at once would hold everything twice, and one by one costs milliseconds a column.
    """
    columns = {}
    for start in range(0, len(names), _READ_AT_ONCE):
        part = parquet.read(columns=list(names[start : start + _READ_AT_ONCE]))
        part.validate(full=True)
        for name in names[start : start + _READ_AT_ONCE]:
            columns[name] = part.column(name)
    return columns


def _unpacked_bytes(column: Any) -> int:
    """Bytes of a column's texts when each row has its own."""
    import pyarrow.compute as pc
    import pyarrow.types as types

    if not types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = (
        pc.binary_length(chunk.dictionary).cast("int64").take(chunk.indices)
        for chunk in column.chunks
    )
    return sum(pc.sum(each).as_py() or 0 for each in lengths)


def _values(column: Any) -> Any:
    """A column as texts, or as float64 with NaN where the value is missing."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    kind = _value_type(column.type)
    if _is_text(kind) and kind != column.type:
        column = column.cast(pa.large_string())  # more than 2 GB would overflow a string
    elif kind != column.type:
        column = column.cast(kind)
    if types.is_null(kind):
        return np.full(len(column), np.nan)
    if types.is_boolean(kind):
        column = pc.if_else(column, "True", "False")
    elif types.is_timestamp(kind) or types.is_date(kind):
        micros = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        return _floats(micros) / 1e6
    elif not _is_text(kind):
        return _floats(column)
    texts = column.cast(pa.large_string())
    return pa.concat_arrays(texts.chunks) if texts.num_chunks else pa.array([], pa.large_string())


def _floats(column: Any) -> npt.NDArray[np.float64]:
    import pyarrow as pa

    return np.array(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def _value_type(kind: Any) -> Any:
    import pyarrow.types as types

    return kind.value_type if types.is_dictionary(kind) else kind


def _is_number(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))
