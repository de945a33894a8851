"""CSV files: what is read, and the exact sentence for everything that cannot be."""

from __future__ import annotations

import codecs

import numpy as np
import pytest

from tests.datasets.reading import (
    HEADER,
    ROWS,
    columns_of,
    read,
    refused,
    told,
    told_of_many,
    write,
)
from tunelab.datasets.sources import delimited, files, header, records
from tunelab.datasets.sources.base import Column
from tunelab.datasets.sources.cells import MISSING_WORDS

TEXT = HEADER + ROWS


@pytest.fixture
def file(tmp_path):
    return tmp_path / "people.csv"


@pytest.fixture(params=[1 << 20, 30], ids=["large blocks", "small blocks"])
def block_bytes(request, monkeypatch):
    """Whole files fit into a large block; with small ones pyarrow splits most lines."""
    monkeypatch.setattr(records, "BLOCK_BYTES", request.param)


@pytest.mark.parametrize(
    ("name", "content", "keys"),
    [
        ("plain", TEXT, {}),
        ("no line end at the end", TEXT.rstrip("\n"), {}),
        ("byte order mark", codecs.BOM_UTF8 + TEXT.encode(), {}),
        ("CRLF", TEXT.replace("\n", "\r\n"), {}),
        ("CR", TEXT.replace("\n", "\r"), {}),
        ("blank lines", "\n \n" + TEXT.replace("no\n", "no\n\n  \n") + "\n\n", {}),
        ("white space", TEXT.replace(",", " , ").replace("\n", "  \n"), {}),
        ("semicolons", TEXT.replace(",", ";"), {"delimiter": ";"}),
        ("tabs", TEXT.replace(",", "\t"), {"delimiter": "\t"}),
        ("spaces", TEXT.replace(",", " "), {"delimiter": " "}),
        ("a delimiter beyond ASCII", TEXT.replace(",", "¦"), {"delimiter": "¦"}),
        ("all quoted", '"' + TEXT[:-1].replace(",", '","').replace("\n", '"\n"') + '"', {}),
        ("quotes after a space", '"age", "income", "label"\n' + ROWS.replace("no", '"no"'), {}),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)
def test_every_way_to_write_a_table_gives_the_same_rows(file, block_bytes, name, content, keys):
    raw = read(write(file, content), **keys)
    assert columns_of(raw) == {
        "age": [20.0 + 7 * k % 40 for k in range(12)],
        "income": [3 * k % 11 + 0.5 for k in range(12)],
    }
    assert [column.values.dtype for column in raw.columns] == [np.float64, np.float64]
    assert raw.class_names == ("no", "yes")
    assert raw.targets.tolist() == [1 if k % 3 else 0 for k in range(12)]
    assert raw.targets.dtype == np.int64
    assert (raw.target_names, raw.n_rows, raw.n_dropped) == (("label",), 12, 0)


def test_a_quoted_field_may_hold_anything(file):
    fields = ["a,b", 'he said ""yes""', "two\nlines", "crlf\r\nhere", "", "ü"]
    lines = [f'{k},"{fields[k % 6]}",{k % 2}' for k in range(24)]
    raw = read(write(file, "x,words,label\n" + "\n".join(lines)), missing="impute")
    expected = ["a,b", 'he said "yes"', "two\nlines", "crlf\r\nhere", None, "ü"]
    assert columns_of(raw)["words"] == expected * 4


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("+5", 5.0), ("-0", 0.0), (".5", 0.5), ("5.", 5.0), ("1e-3", 0.001), ("1E+05", 1e5),
        ("007", 7.0), (" 12\t", 12.0), ("\u00a012", 12.0), ("1e-400", 0.0), ("3.4e38", 3.4e38),
        ("0.1000000000000000055511151231257827", 0.1), ("9007199254740993", 9007199254740992.0),
    ],
)  # fmt: skip
def test_numbers_may_be_written_in_many_ways(file, cell, value):
    raw = read(write(file, TEXT + f"{cell},1,no\n"))
    assert raw.columns[0].values[-1] == value


@pytest.mark.parametrize("word", [" ", *MISSING_WORDS])
def test_words_for_missing_values(file, word):
    text = "x,colour,label\n" + "".join(f"{k % 5},{'rg'[k % 2]},{k % 2}\n" for k in range(12))
    raw = read(write(file, f"{text}{word},{word},1\n"), missing="impute")
    assert np.isnan(raw.columns[0].values).tolist() == [False] * 12 + [True]
    assert raw.columns[1].values.tolist() == ["r", "g"] * 6 + [None]


# What stands in the file after TEXT -> what is said, and the hint.
CELLS = {
    "abc,2.5,no": ("14:1: line 14, column age: 'abc' is no number", "correct it, or list the co"),
    "1,x y,no": ("14:3: line 14, column income: 'x y' is no number", "data.categorical"),
    '"1,5",2,no': (
        "14:1: line 14, column age: '1,5' is no number: it has a decimal comma",
        "write 0.5 for 0,5",
    ),
    '"1,234,567.5",2,no': (
        "14:1: line 14, column age: '1,234,567.5' is no number: it has commas",
        "write 1234567.8 for 1,234,567.8",
    ),
    '1,"1.234,5",no': (
        "14:3: line 14, column income: '1.234,5' is no number: it has a decimal comma",
        "write 1234.5 for 1.234,5",
    ),
    "1 000,2,no": ("14:1: line 14, column age: '1 000' is no number: it has separators", "1000"),
    "1'000,2,no": ('14:1: line 14, column age: "1\'000" is no number: it has separators', "1000"),
    "1_000,2,no": ("14:1: line 14, column age: '1_000' is no number: it has separators", "1000"),
    "1_0,2,no": ("14:1: line 14, column age: '1_0' is no number: it has underscores", "1000"),
    "12 %,2,no": ("14:1: line 14, column age: '12 %' is no number: it has a percent sign", "12"),
    "$5,2,no": ("14:1: line 14, column age: '$5' is no number: it has a currency", "write 5"),
    "5 €,2,no": ("14:1: line 14, column age: '5 €' is no number: it has a currency", "write 5"),
    "<5,2,no": ("14:1: line 14, column age: '<5' is no number: it has a comparison", "alone"),
    "0x1F,2,no": ("14:1: line 14, column age: '0x1F' is no number: it has another base", "31"),
    "١٢,2,no": (
        "14:1: line 14, column age: '١٢' is no number: it has digits of another script",
        "write 0 to 9",
    ),
    "?,2,no": ("14:1: line 14, column age: '?' is no number", "leave the cell empty"),
    "1e,2,no": ("14:1: line 14, column age: '1e' is no number", "correct it"),
    "nan(ind),2,no": ("14:1: line 14, column age: 'nan(ind)' is no number", "correct it"),
    "True,2,no": ("14:1: line 14, column age: 'True' is no number", "correct it"),
    "2024-01-31,2,no": ("14:1: line 14, column age: '2024-01-31' is no number", "correct it"),
    "\x1b[31m1,2,no": ("14:1: line 14, column age: '\\x1b[31m1' is no number", "correct it"),
    # Numbers that are none for a network, and missing ones.
    ",2,no": ("14:1: line 14, column age: the only missing value", "set data.missing to impute"),
    "1,NA,no\n1,,no": ("14:3: line 14, column income: the first of 2 missing values", "or drop"),
    "1,2,": ("14:5: line 14, column label: the only missing value", "set data.missing to drop"),
    "inf,2,no": ("14:1: line 14, column age: inf, the only infinite value", "correct the data"),
    "1,-Infinity,no\n1,inf,no": (
        "14:3: line 14, column income: -inf, the first of 2 infinite values",
        "or set data.missing to impute or drop",
    ),
    "1e300,2,no": (
        "14:1: line 14, column age: 1e+300, the only value too large for float32",
        "correct the data, or set data.missing to impute or drop",
    ),
    "1,2,maybe": ("14:5: line 14, column label: the only row of class maybe", "misspelled"),
    # Lines that are no rows.
    "1,2": ("14: line 14 has 2 fields, expected 3", "complete the line"),
    "1": ("14: line 14 has 1 field, expected 3", "complete the line"),
    "1,2,no,": ("14: line 14 has 4 fields, expected 3", "the line ends with a delimiter"),
    "1,5,2,no": ("14: line 14 has 4 fields, expected 3", "as a decimal comma does, in quotes"),
    '1,"2,no': ("14:3: line 14: a quote opens here and never closes", "twice"),
    '1,2,"no\n1,2,no\n"3",2,no': (
        "14:5: line 14: a quote opens here and closes in line 16 before '3\",2,no'",
        "a quote inside a quoted field twice",
    ),
    '1,"2"x,no': (
        "14:3: line 14: a quote opens here and closes before 'x,no'",
        "the delimiter after a closing one",
    ),
    '1,"2" ,no': ("14:3: line 14: a quote opens here and closes before ' ,no'", "delimiter after"),
    "1,2\0,no": ("14:4: line 14 has a NUL character", "write it again as UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("lines", CELLS, ids=lambda lines: lines.replace("\0", "NUL"))
def test_a_wrong_line_gets_its_sentence_with_line_and_column(file, block_bytes, lines):
    message, hint = CELLS[lines]
    (problem,) = refused(write(file, TEXT + lines))
    assert str(problem) == f"{file}:{message}"
    assert hint in problem.hint


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_an_editor_does(file, block_bytes, end):
    """A quoted field may have line ends, blank lines count, and a column is one of characters."""
    rows = [f'{k},"two\nlin\u00e9s, {k % 2}",no\n' for k in range(11)]  # lines 2 to 23
    text = "age,note,label\n" + "".join(rows) + '\n1,"x\n\n", yes\n"ü\n",x, yes\n'
    assert told(write(file, text.replace("\n", end))) == [
        f"people.csv:28:1: line 28, column age: {'ü'!r} is no number",
    ]


def test_a_field_stands_where_its_text_begins(file):
    text = TEXT + '"1", "2", "no"\n 1,  x, no\n'
    assert told(write(file, text)) == ["people.csv:15:6: line 15, column income: 'x' is no number"]


def test_everything_that_is_wrong_is_told_in_the_order_of_the_lines(file, block_bytes):
    wrong = "1,2\nx,2,no\n1,2,3,4\n1,y,no\n,2,no\n,2,yes\n"
    assert told(write(file, TEXT + wrong)) == [
        "people.csv:14: line 14 has 2 fields, expected 3",
        "people.csv:15:1: line 15, column age: 'x' is no number",
        "people.csv:16: line 16 has 4 fields, expected 3",
        "people.csv:17:3: line 17, column income: 'y' is no number",
        "people.csv:18:1: line 18, column age: the first of 2 missing values",
    ]


def test_of_very_many_problems_the_first_are_told_and_the_rest_counted(file, block_bytes):
    lines = told_of_many(write(file, TEXT + "1,2\n" * 1000))
    assert lines[:2] == [
        "people.csv:14: line 14 has 2 fields, expected 3",
        "people.csv:15: line 15 has 2 fields, expected 3",
    ]
    assert len(lines) == 11
    assert lines[-1] == "990 more are not shown"


def test_of_one_column_three_texts_are_told(file):
    text = TEXT + "".join(f"v{k},2,no\n" for k in range(8)) + "1,w,no\nv1,2,no\n"
    assert told_of_many(write(file, text)) == [
        "people.csv:14:1: line 14, column age: 'v0' is no number",
        "people.csv:15:1: line 15, column age: 'v1' is no number, the first of 2 such values",
        "people.csv:16:1: line 16, column age: 'v2' is no number",
        "people.csv:22:3: line 22, column income: 'w' is no number",
        "5 more are not shown",
    ]


def test_a_column_of_decimal_commas_is_numbers_written_wrong(file):
    text = TEXT.replace(",", ";").replace(".", ",")
    problems = refused(write(file, text), delimiter=";")
    assert problems[0].message == (
        "line 2, column income: '0,5' is no number: it has a decimal comma, the first of 12 "
        "such values"
    )
    assert problems[0].hint == "write 0.5 for 0,5"


# A whole header -> what is said, and the hint.
HEADERS = {
    "age;income;label": (
        "1: line 1 has 1 column with the delimiter ',': 'age;income;label'",
        'set data.delimiter: ";"',
    ),
    "age\tincome\tlabel": (
        "1: line 1 has 1 column with the delimiter ',': 'age\\tincome\\tlabel'",
        'set data.delimiter: "\\t"',
    ),
    "age|income|label": (
        "1: line 1 has 1 column with the delimiter ',': 'age|income|label'",
        'set data.delimiter: "|"',
    ),
    '"age";"income";"label"': (
        '1: line 1 has 1 column with the delimiter \',\': \'"age";"income";"label"\'',
        'set data.delimiter: ";"',
    ),
    '"a|ge"\t"in, |come"\t"label"': (
        '1: line 1 has 1 column with the delimiter \',\': \'"a|ge"\\t"in, |come"\\t"label"\'',
        'set data.delimiter: "\\t"',
    ),
    '"age"x,"income",label': (
        "1:1: line 1: a quote opens here and closes before 'x,\"income'",
        "write a quote inside a quoted field twice, and the delimiter after a closing one",
    ),
    "age  income  label": (
        "1: line 1 has 1 column with the delimiter ',': 'age  income  label'",
        "put one delimiter between two fields",
    ),
    "label": (
        "1: line 1 has 1 column with the delimiter ',': 'label'",
        "a table needs a target and at least one feature",
    ),
    "sep=,": ("1: line 1 must be the column names, got a note for Excel", "remove the line"),
    "1,2.5,3": ("1: line 1 must be the column names, got numbers: '1'", "put a line of column n"),
    "5.1,3.5,yes": ("1: line 1 must be the column names, got numbers: '5.1'", "put a line of co"),
    ",income,label": (
        "1:1: line 1: field 1 is a column without a name",
        "name it; pandas writes its index so, unless to_csv gets index=False",
    ),
    "age, ,label": ("1:6: line 1: field 2 is a column without a name", "name it"),
    "age,income,label,": (
        "1:18: line 1: field 4 is a column without a name",
        "name it, or remove the delimiter at the end of every line",
    ),
    "age,age,label": (
        "1:5: line 1: column age stands twice, in fields 1 and 2",
        "give each column its own name",
    ),
    'age,"in\ncome",age,label': (
        "2:7: line 2: column age stands twice, in fields 1 and 3",
        "give each column its own name",
    ),
    'age,"income,label': ("1:5: line 1: a quote opens here and never closes", "twice"),
    "age\0,income,label": ("1:4: line 1 has a NUL character", "write it again as UTF-8"),
}


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header.replace("\0", "NUL"))
def test_a_wrong_header_gets_its_sentence(file, header):
    message, hint = HEADERS[header]
    problem = refused(write(file, f"{header}\n{ROWS}"))[0]
    assert str(problem) == f"{file}:{message}"
    assert hint in problem.hint


@pytest.mark.parametrize("names", [("0", "1", "2"), ("1", "2", "3"), ("1990", "2000", "label")])
def test_numbers_may_name_columns_where_they_count_or_are_years(file, names):
    raw = read(write(file, ",".join(names) + "\n" + ROWS), target=names[2])
    assert [column.name for column in raw.columns] == list(names[:2])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n \n\r\n", "is empty: it has no line of column names"),
        (HEADER, "needs at least 10 rows, has none"),
        (HEADER + "1,2,no\n", "needs at least 10 rows, has 1 row"),
        (HEADER + "1,2,no\n" * 9, "needs at least 10 rows, has 9 rows"),
    ],
    ids=["empty", "blank", "header only", "one row", "few rows"],
)
def test_there_must_be_rows(file, content, message):
    (line,) = told(write(file, content))
    assert line.startswith(f"people.csv: {message}")


@pytest.mark.parametrize(
    ("before", "line"), [("", 1), (TEXT, 14), (TEXT.replace("\n", "\r\n"), 14)]
)
def test_text_that_is_not_utf_8_gets_the_place_of_its_first_byte(file, block_bytes, before, line):
    content = before.encode() + "1,ü,ca".encode() + b"f\xe9,no\n"
    (problem,) = refused(write(file, content))
    message = f"{line}:8: line {line}: must be UTF-8 text, got the byte 0xe9"
    assert str(problem) == f"{file}:{message}"
    assert problem.hint == "save it as UTF-8: iconv -f WINDOWS-1252 -t UTF-8"


def test_a_long_quoted_field_has_a_limit(file, block_bytes):
    text = TEXT + '1,"' + "x" * 200_000 + '",no\n'
    assert told(write(file, text)) == [
        "people.csv:14:3: line 14: a quoted field must have at most 131,072 characters"
    ]


def test_a_line_has_a_limit(file, monkeypatch):
    monkeypatch.setattr(records, "MAX_LINE", 1000)
    monkeypatch.setattr(records, "BLOCK_BYTES", 100)
    text = TEXT + "1,2," + "x" * 2000 + "\n"
    assert told(write(file, text)) == [
        "people.csv:14: a line must have at most 1,000 bytes, got more"
    ]


def test_a_table_has_limits(file, monkeypatch):
    monkeypatch.setattr(delimited, "MAX_VALUES", 30)
    assert told(write(file, TEXT)) == ["people.csv: must have at most 30 values, got more"]
    monkeypatch.setattr(header, "MAX_COLUMNS", 2)
    assert told(write(file, TEXT)) == ["people.csv:1: must have at most 2 columns, got 3"]
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    (problem,) = refused(write(file, TEXT))
    assert problem.message.startswith("must have at most 0.0 GB, got 0.0 GB")


def test_ten_thousand_columns_are_read(file):
    names = [f"x{k}" for k in range(10_000)]
    rows = [",".join(str((row * k) % 7) for k in range(10_000)) for row in range(12)]
    lines = [",".join([*names, "label"]), *(f"{text},{k % 2}" for k, text in enumerate(rows))]
    raw = read(write(file, "\n".join(lines)))
    assert len(raw.columns) == 10_000
    assert raw.columns[9_999].values.tolist() == [(row * 9_999) % 7 for row in range(12)]


def test_unused_columns_may_hold_anything(file):
    text = "junk,age,label\n" + "".join(f"{'?' * k},{k * k},{k % 2}\n" for k in range(12))
    for keys in ({"drop": "junk"}, {"keep": "age"}):
        raw = read(write(file, text), **keys)
        assert columns_of(raw) == {"age": [float(k * k) for k in range(12)]}


def test_columns_keep_the_files_order_whatever_the_order_of_keep(file):
    text = "c,b,a,label\n" + "".join(f"{k % 5},{k % 3},{k * k},{k % 2}\n" for k in range(12))
    raw = read(write(file, text), keep=["a", "c"])
    assert [column.name for column in raw.columns] == ["c", "a"]
    assert all(isinstance(column, Column) for column in raw.columns)
