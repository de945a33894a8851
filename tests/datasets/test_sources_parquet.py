"""Parquet files: every type that is read or refused, and files that are not what they say."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.datasets.reading import columns_of, read, refused, told, write
from tunelab.datasets.sources import parquet
from tunelab.errors import DataError

N = 24
LABELS = ["a", "b"] * (N // 2)
SQUARES = [k * k for k in range(N)]


@pytest.fixture
def save(tmp_path):
    """Write columns, beside a label, to a file."""

    def write_table(**columns):
        path = tmp_path / "people.parquet"
        pq.write_table(pa.table({**columns, "label": LABELS}), path)
        return path

    return write_table


NUMBERS = {
    "int8": pa.array(range(N), pa.int8()),
    "uint64": pa.array(range(N), pa.uint64()),
    "float16": pa.array(np.arange(N, dtype=np.float16)),
    "float32": pa.array(np.arange(N, dtype=np.float32)),
    "decimal": pa.array([Decimal(k) for k in range(N)], pa.decimal128(10, 2)),
    "dictionary": pa.array(range(N)).dictionary_encode(),
    "text": pa.array([f" {k}" for k in range(N)]),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_every_width_are_numbers(save, kind):
    (column,) = read(save(x=NUMBERS[kind])).columns
    assert column.values.dtype == np.float64
    assert column.values.tolist() == list(range(N))


WORDS = ["yes", "no", "never"] * (N // 3)
TEXTS = {
    "string": pa.array(WORDS),
    "large string": pa.array(WORDS, pa.large_string()),
    "string view": pa.array(WORDS, pa.string_view()),
    "dictionary": pa.array(WORDS).dictionary_encode(),
    "white space": pa.array([f" {word}\t" for word in WORDS]),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_texts_of_every_kind_are_categories(save, kind):
    (column,) = read(save(x=TEXTS[kind])).columns
    assert column.categorical
    assert column.values.tolist() == WORDS


def test_truth_values_are_categories_as_in_a_csv_file(save):
    raw = read(save(x=[k % 3 == 0 for k in range(N)]))
    assert columns_of(raw)["x"][:3] == ["True", "False", "False"]


def test_a_target_of_truth_values_has_two_classes(tmp_path):
    path = tmp_path / "people.parquet"
    pq.write_table(pa.table({"x": SQUARES, "label": [k % 2 == 0 for k in range(N)]}), path)
    raw = read(path)
    assert (raw.class_names, raw.targets[:2].tolist()) == (("False", "True"), [1, 0])


def test_whole_numbers_listed_as_categorical_are_texts(save):
    assert columns_of(read(save(x=[7, 8] * 12), categorical="x"))["x"][:2] == ["7", "8"]


def test_missing_values_of_every_kind(save):
    path = save(
        number=[None, *range(N - 1)],
        whole=pa.array([None, *range(N - 1)], pa.int32()),
        text=[None, "NA", *["u", "v"] * 11],
        truth=[None, *[True, False] * 11, True],
    )
    assert told(path) == [
        "people.parquet: row 1, column number: the only missing value",
        "people.parquet: row 1, column whole: the only missing value",
        "people.parquet: row 1, column text: the first of 2 missing values",
        "people.parquet: row 1, column truth: the only missing value",
    ]
    columns = columns_of(read(path, missing="impute"))
    assert np.isnan(columns["number"][0])
    assert columns["text"][:3] == [None, None, "u"]
    assert columns["truth"][:2] == [None, "True"]
    assert read(path, missing="drop").n_dropped == 2


def test_the_same_table_is_the_same_as_a_csv_file(save, tmp_path):
    path = save(x=[k / 7 for k in range(N)], words=WORDS, number=[None, *range(N - 1)])
    as_csv = tmp_path / "people.csv"
    pyarrow.csv.write_csv(pq.read_table(path), as_csv)
    first, second = (read(file, missing="impute") for file in (path, as_csv))
    assert str(columns_of(first)) == str(columns_of(second))
    assert first.targets.tolist() == second.targets.tolist()
    assert (first.class_names, first.notes) == (second.class_names, second.notes)


def test_a_text_among_numbers_gets_its_row(save):
    path = save(x=["?" if k == 5 else str(k) for k in range(N)])
    assert told(path) == ["people.parquet: row 6, column x: '?' is no number"]


def test_columns_of_dates_and_wrong_texts_are_told_in_one_round(save):
    path = save(
        day=[dt.date(1970, 1, 1)] * N,
        x=["1,5"] * N,
        who=[f"person {k}" for k in range(N)],
        fine=[k / 7 for k in range(N)],
    )
    assert told(path) == [
        "people.parquet: column day must be numbers or text, got dates (date32[day])",
        (
            "people.parquet: row 1, column x: '1,5' is no number: it has a decimal comma, "
            f"the first of {N} such values"
        ),
        f"people.parquet: column who has {N} different texts in {N} rows: 'person 0'",
    ]


DAYS = [dt.datetime(1970, 1, 1) + dt.timedelta(days=k) for k in range(N)]
UNREADABLE = {
    "list": ([[1, 2]] * N, "nested values of type list<element: int64>"),
    "struct": ([{"a": 1}] * N, "nested values of type struct<a: int64>"),
    "binary": ([b"ab"] * N, "values of type binary"),
    "duration": ([dt.timedelta(1)] * N, "values of type duration[us]"),
    "timestamp": (DAYS, "dates (timestamp[us])"),
    "date": ([day.date() for day in DAYS], "dates (date32[day])"),
}


def test_types_that_are_no_values_of_a_network_are_named_all_at_once(save):
    path = save(x=SQUARES, **{kind: values for kind, (values, _) in UNREADABLE.items()})
    assert told(path) == [
        f"people.parquet: column {kind} must be numbers or text, got {what}"
        for kind, (_, what) in UNREADABLE.items()
    ]
    assert "days since a day" in refused(path)[-1].hint
    assert columns_of(read(path, drop=list(UNREADABLE))) == {"x": SQUARES}


@pytest.mark.parametrize(
    "times",
    [
        pa.array(DAYS, pa.timestamp("s")),
        pa.array(DAYS, pa.timestamp("ns")),
        pa.array(DAYS, pa.timestamp("us", "America/New_York")),
        pa.array([day.date() for day in DAYS]),
        pa.array([f"{day:%Y-%m-%d}" for day in DAYS]),
        pa.array([86400 * k for k in range(N)]),
    ],
    ids=lambda times: str(times.type),
)
def test_dates_may_decide_a_split_by_time(save, times):
    raw = read(save(x=SQUARES, when=times), split={"method": "time", "time": "when"})
    assert raw.times.tolist() == [86400.0 * k for k in range(N)]
    assert columns_of(raw) == {"x": SQUARES}


def test_numbers_may_be_groups(save):
    raw = read(save(x=SQUARES, who=[1, 2] * 12), split={"method": "group", "group": "who"})
    assert raw.groups.tolist() == ["1", "2"] * 12


def test_names_with_dots_are_names(save):
    raw = read(save(**{"a.b": SQUARES, "a": WORDS, "a.b.c": list(range(N))}), drop="a.b.c")
    assert columns_of(raw) == {"a.b": SQUARES, "a": WORDS}


def test_the_index_of_pandas_is_left_out(tmp_path):
    path = tmp_path / "people.parquet"
    table = pa.table(
        {"x": SQUARES, "label": LABELS, "__index_level_0__": [f"r{k}" for k in SQUARES]}
    )
    pq.write_table(table, path)
    assert columns_of(read(path)) == {"x": SQUARES}


def test_names_must_be_there_and_differ(tmp_path):
    path = tmp_path / "people.parquet"
    table = pa.table([SQUARES, SQUARES, SQUARES, LABELS], names=["x", "x", "", "label"])
    pq.write_table(table, path)
    assert told(path) == [
        "people.parquet: column x stands 2 times",
        "people.parquet: a column has no name",
    ]


def test_columns_are_read_in_parts(save, monkeypatch):
    monkeypatch.setattr(parquet, "_READ_AT_ONCE", 2)
    names = [f"x{k}" for k in range(7)]
    raw = read(save(**{name: [k + row * row for row in range(N)] for k, name in enumerate(names)}))
    assert [column.values[0] for column in raw.columns] == list(range(7))


def test_several_row_groups_are_one_table(tmp_path):
    path = tmp_path / "people.parquet"
    table = pa.table({"x": SQUARES, "words": WORDS, "label": LABELS})
    pq.write_table(table, path, row_group_size=5)
    assert columns_of(read(path)) == {"x": SQUARES, "words": WORDS}


def test_what_is_declared_is_checked_before_it_is_read(tmp_path, save, monkeypatch):
    path = tmp_path / "people.parquet"
    zeros = pa.array(np.zeros(60_000_000, dtype=np.int8))
    pq.write_table(pa.table({"x": zeros, "label": zeros}), path)
    assert path.stat().st_size < 1_000_000
    assert told(path) == [
        "people.parquet: must have at most 100,000,000 values, declares 120,000,000"
    ]
    monkeypatch.setattr(parquet, "MAX_BYTES", 100)
    (problem,) = refused(save(x=SQUARES))
    assert problem.message.startswith("must have at most 100 bytes unpacked, declares ")


def test_a_text_that_stands_for_many_rows_is_not_unpacked(tmp_path, monkeypatch):
    """4 MB of text in a file of some kilobytes."""
    table = pa.table({"x": ["x" * 100_000] * 40, "z": range(40), "label": ["a", "b"] * 20})
    pq.write_table(table, tmp_path / "table.parquet", compression="zstd")
    monkeypatch.setattr(parquet, "MAX_BYTES", 3_000_000)
    assert told(tmp_path / "table.parquet") == [
        "table.parquet: must have at most 3,000,000 bytes of text unpacked, has 4,000,040"
    ]


def test_no_rows_are_too_few(tmp_path):
    path = tmp_path / "people.parquet"
    pq.write_table(
        pa.table({"x": pa.array([], pa.int64()), "label": pa.array([], pa.string())}), path
    )
    assert told(path) == ["people.parquet: needs at least 10 rows, has none"]


@pytest.mark.parametrize("cut", [4, 100, -20, -1])
def test_a_file_that_is_cut_off_is_damaged(save, cut):
    path = save(x=SQUARES)
    assert told(write(path, path.read_bytes()[:cut])) == [
        "people.parquet: is damaged, or not a Parquet file"
    ]


def test_damage_anywhere_raises_nothing_but_a_sentence(save):
    path = save(x=SQUARES, words=WORDS, dictionary=TEXTS["dictionary"])
    whole = path.read_bytes()
    generator = random.Random(0)
    refusals = 0
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            content[generator.randrange(len(content))] = generator.randrange(256)
        write(path, bytes(content))
        try:
            read(path)
        except DataError:
            refusals += 1
    assert refusals > 100
