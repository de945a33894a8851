"""Random tables: what Python's csv module writes is read back, and damage is always told."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from tests.datasets.reading import columns_of, described
from tunelab.datasets.sources import RawData, read_source, records
from tunelab.datasets.sources.cells import MISSING_WORDS
from tunelab.datasets.sources.records import Records, StopReadingError, field_starts
from tunelab.errors import DataError

unhurried = settings(
    deadline=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

WRITABLE = st.characters(exclude_categories=("Cs", "Cc"), include_characters="\t\n\r")
NUMBERS = st.one_of(
    st.floats(-1e38, 1e38, allow_nan=False).map(repr),
    st.integers(-(10**18), 10**18).map(str),
    st.sampled_from(["+1.", ".5", "1E5", " 7 ", "-0.0", "1e-400"]),
)
GAPS = st.sampled_from(MISSING_WORDS)


def is_word(text):
    """Whether a text is neither a number, nor something like one, nor missing."""
    stripped = text.strip()
    return stripped not in MISSING_WORDS and not any(c.isdigit() or c in "∞" for c in stripped)


WORDS = (
    st.text(WRITABLE, min_size=1, max_size=8)
    .filter(is_word)
    .filter(lambda text: text.strip().lower().lstrip("+-") not in {"inf", "infinity"})
)


@st.composite
def tables(draw):
    """Columns of cells as they are written: their names, and whether they are categories."""
    n_rows = draw(st.integers(12, 30))
    names = draw(
        st.lists(WORDS.map(str.strip).filter(is_word), min_size=2, max_size=5, unique=True)
    )
    kinds = draw(st.lists(st.booleans(), min_size=len(names) - 1, max_size=len(names) - 1))
    columns = []
    for categorical in kinds:
        # Few texts, so that none of them looks like an identifier.
        pool = draw(st.lists(WORDS, min_size=1, max_size=4)) if categorical else None
        cell = st.sampled_from(pool) if pool else NUMBERS
        cells = draw(st.lists(st.one_of(cell, cell, cell, GAPS), min_size=n_rows, max_size=n_rows))
        cells[0] = draw(cell)  # of nothing but gaps would be an empty column
        columns.append(cells)
    return names, kinds, columns


def written(names, columns, **form):
    """The table as the csv module writes it, with the label no and yes in turn at its end."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, **form)
    labels = ["no" if row % 2 else "yes" for row in range(len(columns[0]))]
    writer.writerow(names)
    writer.writerows(zip(*columns, labels, strict=True))
    return stream.getvalue()


def expected(cells, categorical):
    stripped = [cell.strip() for cell in cells]
    values = [None if cell in MISSING_WORDS else cell for cell in stripped]
    return values if categorical else [math.nan if v is None else float(v) for v in values]


def varies(columns, kinds):
    """Whether any column has two values; a table where none has is refused."""
    return any(
        len({str(value) for value in expected(cells, kind)}) > 1
        for cells, kind in zip(columns, kinds, strict=True)
    )


def outcome(data, block_bytes):
    """The rows of a file that is read in such blocks, or what is said about it."""
    whole, records.BLOCK_BYTES = records.BLOCK_BYTES, block_bytes
    try:
        return read_source(data, "classification")
    except DataError as error:
        return str(error)
    finally:
        records.BLOCK_BYTES = whole


@unhurried
@given(
    tables(),
    st.sampled_from([",", ";", "\t", "|", ":", "¦"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig"]),
    st.sampled_from([7, 100, 1 << 20]),
)
def test_what_the_csv_module_writes_is_read_back_the_same(
    tmp_path, table, delimiter, quoting, end, encoding, block_bytes
):
    names, kinds, columns = table
    # With the fewest quotes, Python's writer leaves out those around the other line ends.
    cells = "".join([*names, *(cell for cells in columns for cell in cells)])
    assume(quoting != csv.QUOTE_MINIMAL or not {"\n", "\r"} & set(cells))
    text = written(names, columns, delimiter=delimiter, quoting=quoting, lineterminator=end)
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(encoding))
    data = described(path, target=names[-1], delimiter=delimiter, missing="impute")
    raw = outcome(data, block_bytes)
    if not varies(columns, kinds):
        assert "no feature varies" in raw
        return
    assert isinstance(raw, RawData), raw
    assert [column.name for column in raw.columns] == names[:-1]
    for column, cells, categorical in zip(raw.columns, columns, kinds, strict=True):
        assert column.categorical == categorical
        wanted = expected(cells, categorical)
        if categorical:
            assert column.values.tolist() == wanted
        else:
            np.testing.assert_array_equal(column.values, wanted)
    labels = [raw.class_names[label] for label in raw.targets]
    assert labels == ["no" if row % 2 else "yes" for row in range(len(columns[0]))]


CLEAN = "age,income,label\n" + "".join(
    f'{k},"{k % 3}.5",{"ab"[k % 2]}\n' if k % 4 else f"{k},{k % 3},a\n" for k in range(24)
)


@unhurried
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(CLEAN)),
            st.sampled_from(['"', ",", "\n", "\r", "\0", "x", " ", ";", "é", "\xff", "1", ".", ""]),
            st.integers(0, 3),
        ),
        min_size=1,
        max_size=4,
    )
)
@example([(0, '"', 0)])
@example([(len(CLEAN), '"', 0)])
def test_a_damaged_file_is_read_or_refused_the_same_way_whatever_the_blocks(tmp_path, damage):
    """The quick ways through a block and the exact one agree, and nothing else is raised."""
    text = CLEAN
    for place, inserted, removed in damage:
        text = text[:place] + inserted + text[place + removed :]
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode("latin-1") if "\xff" in text else text.encode())
    outcomes = [outcome(described(path), size) for size in (5, 64, 1 << 20)]
    told = {str(columns_of(seen)) if isinstance(seen, RawData) else seen for seen in outcomes}
    assert len(told) == 1


@unhurried
@given(st.binary(max_size=300), st.sampled_from(["csv", "parquet", "npz"]))
def test_no_bytes_raise_anything_but_a_sentence(tmp_path, content, source):
    path = tmp_path / f"file.{source}"
    for head in (b"", b"PAR1", b"PK\x03\x04", b"a,b,label\n"):
        path.write_bytes(head + content)
        assert isinstance(outcome(described(path), 64), str)


@unhurried
@given(
    st.lists(st.text("ab,\"' \n\r;", max_size=6), min_size=1, max_size=6),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from([",", ";", " "]),
)
def test_fields_begin_where_python_reads_them(tmp_path, fields, quoting, delimiter):
    stream = io.StringIO(newline="")
    csv.writer(stream, quoting=quoting, delimiter=delimiter).writerow(fields)
    text = stream.getvalue()
    starts, closed = field_starts(text, delimiter)
    assert closed
    assert len(starts) == len(fields)
    for start, field in zip(starts, fields, strict=True):
        quoted = '"' + field.replace('"', '""') + '"'
        lead = field if delimiter == " " else field.lstrip(" ")
        assert text.startswith(quoted, start) or text.startswith(lead, start)


@unhurried
@given(st.text('ab,"\n\r ', max_size=40))
def test_records_equal_those_of_the_csv_module(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode())
    try:
        wanted = [
            fields
            for fields in csv.reader(
                io.StringIO(text, newline=""), strict=True, skipinitialspace=True
            )
            if len(fields) > 1 or "".join(fields).strip()
        ]
    except csv.Error:
        wanted = None
    with path.open("rb") as file:
        try:
            given_records = [[field.lstrip(" ") for field in r] for r in Records(file, ",")]
        except StopReadingError:
            assert wanted is None
            return
    assert given_records == [[field.lstrip(" ") for field in fields] for fields in wanted]
