"""What becomes of a table's columns: kinds, targets, missing values, and what is odd about them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.datasets.reading import HEADER, ROWS, columns_of, read, refused, told, write
from tunelab.datasets.sources import oddities

N = 24


def table(tmp_path, **columns):
    """A CSV file whose cells are functions of the row's number."""
    rows = [",".join(str(cell(k)) for cell in columns.values()) for k in range(N)]
    return write(tmp_path / "table.csv", "\n".join([",".join(columns), *rows]) + "\n")


def label(k):
    return "ab"[k % 2]


# Kinds


def test_a_column_is_numbers_if_every_value_is_one_and_text_otherwise(tmp_path):
    file = table(
        tmp_path,
        number=lambda k: k * k / 8,
        gaps=lambda k: "" if k % 3 else k,
        text=lambda k: "xyz"[k % 3],
        half=lambda k: k % 5 if k % 2 else "none",
        truth=lambda k: k % 3 == 0,
        label=label,
    )
    raw = read(file, missing="impute")
    assert {column.name: column.categorical for column in raw.columns} == {
        "number": False,
        "gaps": False,
        "text": True,
        "half": True,
        "truth": True,
    }
    assert columns_of(raw)["truth"][:4] == ["True", "False", "False", "True"]


def test_more_than_half_numbers_make_the_others_mistakes(tmp_path):
    file = table(tmp_path, x=lambda k: "bad" if k in (3, 5) else k * k, label=label)
    assert told(file) == [
        "table.csv:5:1: line 5, column x: 'bad' is no number, the first of 2 such values",
    ]
    (first,) = refused(file)
    assert first.hint == "correct it, or list the column under data.categorical"


def test_categories_may_look_like_numbers_where_they_are_listed(tmp_path):
    file = table(tmp_path, code=lambda k: f"0{k % 3}", x=lambda k: k * k, label=label)
    assert columns_of(read(file))["code"][:3] == [0.0, 1.0, 2.0]
    assert columns_of(read(file, categorical="code"))["code"][:3] == ["00", "01", "02"]


def test_each_reason_is_told_once_a_column_with_the_first_such_value(tmp_path):
    texts = ['"1,5"', '"219.735,89"', "12 %", "$5", "3", "?"]
    file = table(tmp_path, x=lambda k: texts[k % 6], y=lambda k: texts[k % 2], label=label)
    comma = "'1,5' is no number: it has a decimal comma, the first of"
    four = ", the first of 4 such values"
    assert told(file) == [
        f"table.csv:2:1: line 2, column x: {comma} 8 such values",
        f"table.csv:2:7: line 2, column y: {comma} 24 such values",
        f"table.csv:4:1: line 4, column x: '12 %' is no number: it has a percent sign{four}",
        f"table.csv:5:1: line 5, column x: '$5' is no number: it has a currency{four}",
        f"table.csv:7:1: line 7, column x: '?' is no number{four}",
    ]
    # What is almost a number is no category.
    *almost, unknown = refused(file)
    assert not any("categorical" in problem.hint for problem in almost)
    assert unknown.hint == (
        "leave the cell empty if the value is missing; NA, N/A, #N/A, NaN, null and None count as "
        "missing too, or list the column under data.categorical"
    )


@pytest.mark.parametrize(
    ("other", "what"),
    [("1,2", "a decimal comma"), ("12", "commas"), ("1,000,000", "commas")],
)
def test_a_comma_is_what_the_other_values_say(tmp_path, other, what):
    file = table(tmp_path, x=lambda k: f'"{other}"' if k % 2 else '"230,341"', label=label)
    first = refused(file)[0].message
    assert first.startswith(f"line 2, column x: '230,341' is no number: it has {what}, the first ")


@pytest.mark.parametrize("text", ["<5", "0x1F", "1_2"])
def test_what_may_be_a_name_after_all_can_be_listed(tmp_path, text):
    file = table(tmp_path, x=lambda k: text, label=label)
    assert refused(file)[0].hint.endswith(", or list the column under data.categorical")


# Targets


def test_classes_are_numbers_where_all_of_them_are(tmp_path):
    file = table(tmp_path, x=lambda k: k * k, label=lambda k: ["10", "9", "9.0", "-1"][k % 4])
    raw = read(file)
    assert raw.class_names == ("-1", "9", "10")
    assert raw.targets[:4].tolist() == [2, 1, 1, 0]


def test_classes_are_texts_by_code_point_where_one_is_no_number(tmp_path):
    file = table(tmp_path, x=lambda k: k * k, label=lambda k: ["10", "9", "é", "Z"][k % 4])
    raw = read(file)
    assert raw.class_names == ("10", "9", "Z", "é")
    assert raw.targets[:4].tolist() == [0, 1, 3, 2]


def test_classes_do_not_depend_on_which_row_comes_first(tmp_path):
    forward = read(table(tmp_path, x=lambda k: k * k, label=lambda k: "ba"[k % 2]))
    assert forward.class_names == ("a", "b")


def test_regression_may_have_several_targets_in_the_order_asked_for(tmp_path):
    file = table(tmp_path, a=lambda k: k / 2, x=lambda k: k * k, b=lambda k: -k)
    raw = read(file, "regression", target=["b", "a"])
    assert (raw.target_names, raw.class_names) == (("b", "a"), ())
    assert raw.targets.dtype == np.float64
    assert raw.targets.tolist() == [[-k, k / 2] for k in range(N)]
    assert [column.name for column in raw.columns] == ["x"]


def test_one_target_of_regression_is_a_column(tmp_path):
    raw = read(table(tmp_path, x=lambda k: k * k, label=lambda k: k / 2), "regression")
    assert raw.targets.shape == (N, 1)


@pytest.mark.parametrize(
    ("task", "keys", "message", "hint"),
    [
        (
            "classification",
            {"target": "lable", "drop": "X", "categorical": ["x", "y z"]},
            [
                "data.target: there is no column 'lable'; the columns are: x, label",
                "data.drop: there is no column 'X'; the columns are: x, label",
                "data.categorical: there is no column 'y z'; the columns are: x, label",
            ],
            "did you mean 'label'?",
        ),
        (
            "classification",
            {"keep": ["x", "z"], "split": {"method": "group", "group": "g"}},
            [
                "data.keep: there is no column 'z'; the columns are: x, label",
                "data.split.group: there is no column 'g'; the columns are: x, label",
            ],
            None,
        ),
        (
            "classification",
            {"target": ["x", "label"]},
            ["data.target: must be one column for classification, got 2"],
            "name one column, or set task: regression",
        ),
        (
            "classification",
            {"drop": "x"},
            ["no feature is left; the columns are: x, label"],
            "a feature is a column besides the target",
        ),
        (
            "regression",
            {},
            ["data.target: column label has texts such as 'a', but regression predicts numbers"],
            "name a column of numbers, or set task: classification",
        ),
    ],
)
def test_keys_that_do_not_go_with_the_columns(tmp_path, task, keys, message, hint):
    file = table(tmp_path, x=lambda k: k * k, label=label)
    assert told(file, task, **keys) == [f"table.csv: {line}" for line in message]
    assert refused(file, task, **keys)[0].hint == hint


def test_a_number_that_regression_cannot_predict_gets_its_place(tmp_path):
    cells = {3: "high", 5: "inf", 7: ""}
    file = table(tmp_path, x=lambda k: k * k, label=lambda k: cells.get(k, k))
    assert told(file, "regression") == [
        "table.csv:5:3: line 5, column label: 'high' is no number",
        "table.csv:7:4: line 7, column label: inf, the only infinite value",
        "table.csv:9:4: line 9, column label: the only missing value",
    ]


@pytest.mark.parametrize(
    ("cell", "what", "advice"),
    [
        ("219.735,89", "a decimal comma", "write 1234.5 for 1.234,5"),
        ("1,5", "a decimal comma", "write 0.5 for 0,5"),
        ("230,341", "commas", "write 1234567.8 for 1,234,567.8"),
        ("12 %", "a percent sign", "write 12 for 12%"),
        ("$5", "a currency", "write 5 for $5"),
        ("1.234,50 €", "a currency", "write 5 for $5"),
    ],
)
def test_a_target_of_numbers_in_a_foreign_form_is_explained(tmp_path, cell, what, advice):
    file = table(tmp_path, x=lambda k: k * k, label=lambda k: f'"{cell}"')
    (problem,) = refused(file, "regression")
    assert problem.message == (
        f"line 2, column label: {cell!r} is no number: it has {what}, the first of 24 such values"
    )
    assert problem.hint == advice


@pytest.mark.parametrize(
    ("task", "cell", "message", "hint"),
    [
        (
            "classification",
            lambda k: "a",
            "needs two classes or more; every row of column label is a",
            None,
        ),
        (
            "classification",
            lambda k: k / 4,
            "column label has 24 different numbers in 24 rows",
            "set task: regression to predict numbers",
        ),
        (
            "classification",
            lambda k: f"t{k}",
            "column label has 24 classes in 24 rows",
            "name a column of classes",
        ),
        (
            "regression",
            lambda k: 2.5,
            "every row has the same value of the target label, 2.5",
            None,
        ),
    ],
)
def test_targets_that_cannot_be_meant(tmp_path, task, cell, message, hint):
    file = table(tmp_path, x=lambda k: k * k, label=cell)
    (problem,) = refused(file, task)
    assert (problem.key, problem.message, problem.hint) == ("data.target", message, hint)


def test_many_whole_numbers_are_classes_where_each_has_rows(tmp_path):
    rows = "".join(f"{k * k},{k % 30}\n" for k in range(300))
    raw = read(write(tmp_path / "table.csv", "x,label\n" + rows))
    assert len(raw.class_names) == 30


def test_a_class_with_one_row_is_shown_where_it_stands(tmp_path):
    file = table(tmp_path, x=lambda k: k * k, label=lambda k: "seto5a" if k == 4 else label(k))
    (problem,) = refused(file)
    assert str(problem) == f"{file}:6:4: line 6, column label: the only row of class seto5a"
    assert problem.hint == (
        "correct the class if it is misspelled, else add rows of it or remove this one"
    )


# Missing values


GAPPED = HEADER + ROWS + ",1,no\n2,,yes\n3,3,\n4,1e39,no\n5,-inf,yes\n"


def test_by_default_missing_values_are_mistakes(tmp_path):
    assert told(write(tmp_path / "table.csv", GAPPED)) == [
        "table.csv:14:1: line 14, column age: the only missing value",
        "table.csv:15:3: line 15, column income: the only missing value",
        "table.csv:16:5: line 16, column label: the only missing value",
        "table.csv:17:3: line 17, column income: 1e+39, the only value too large for float32",
        "table.csv:18:3: line 18, column income: -inf, the only infinite value",
    ]


def test_rows_with_something_missing_can_be_dropped(tmp_path):
    raw = read(write(tmp_path / "table.csv", GAPPED), missing="drop")
    assert (raw.n_rows, raw.n_dropped) == (12, 5)
    whole = read(write(tmp_path / "table.csv", HEADER + ROWS))
    assert columns_of(raw) == columns_of(whole)
    assert raw.targets.tolist() == whole.targets.tolist()


def test_a_class_that_stands_in_dropped_rows_alone_is_none(tmp_path):
    text = HEADER + ROWS + ",1,maybe\n,2,maybe\n"
    raw = read(write(tmp_path / "table.csv", text), missing="drop")
    assert raw.class_names == ("no", "yes")


def test_features_to_be_imputed_come_as_missing_and_targets_must_be_there(tmp_path):
    text = GAPPED.replace("3,3,\n", "")
    raw = read(write(tmp_path / "table.csv", text), missing="impute")
    assert raw.n_dropped == 0
    age, income = (column.values for column in raw.columns)
    assert np.isnan(age).tolist() == [False] * 12 + [True, False, False, False]
    assert np.isnan(income).tolist() == [False] * 13 + [True, True, True]
    (problem,) = refused(write(tmp_path / "table.csv", GAPPED), missing="impute")
    assert problem.message == "line 16, column label: the only missing value"
    assert problem.hint == "complete the data, or set data.missing to drop"


def test_dropping_must_leave_rows(tmp_path):
    text = HEADER + "".join(f"{k if k < 8 else ''},{k or ''},{label(k)}\n" for k in range(20))
    (problem,) = refused(write(tmp_path / "table.csv", text), missing="drop")
    assert problem.message == (
        "needs at least 10 rows, has 7 rows after 13 with missing values were dropped"
    )
    assert problem.hint == (
        "column age alone lacks 12 values: list it under data.drop, or set data.missing: impute"
    )


@pytest.mark.parametrize("missing", ["error", "impute", "drop"])
def test_a_column_without_one_usable_number_is_said_to_be_so(tmp_path, missing):
    file = table(tmp_path, x=lambda k: k * k, y=lambda k: ["", "inf"][k % 2], label=label)
    (problem,) = refused(file, missing=missing)
    assert problem.message == "column y has no value that fits into float32"


@pytest.mark.parametrize("missing", ["error", "impute", "drop"])
def test_an_empty_column_is_said_to_be_empty(tmp_path, missing):
    file = table(tmp_path, x=lambda k: k * k, empty=lambda k: "NA", label=label)
    (problem,) = refused(file, missing=missing)
    assert problem.message == "column empty is empty"
    assert problem.hint == "list it under data.drop"


# The split's columns


@pytest.mark.parametrize(
    ("cell", "times"),
    [
        (lambda k: k / 2, [0.0, 0.5, 1.0]),
        (lambda k: f"1970-01-0{k % 9 + 1}", [0.0, 86400.0, 172800.0]),
        (lambda k: f"1970-01-01T00:00:0{k % 9}.5", [0.5, 1.5, 2.5]),
        (lambda k: f"1970-01-01 01:00:0{k % 9}+01:00", [0.0, 1.0, 2.0]),
        (lambda k: f"1969-12-31T23:59:5{k % 9}Z", [-10.0, -9.0, -8.0]),
    ],
)
def test_times_are_numbers_or_iso_dates_and_no_feature(tmp_path, cell, times):
    file = table(tmp_path, when=cell, x=lambda k: k * k, label=label)
    raw = read(file, split={"method": "time", "time": "when"})
    assert [column.name for column in raw.columns] == ["x"]
    assert raw.times.dtype == np.float64
    assert raw.times[:3].tolist() == times
    assert raw.groups is None


def test_a_time_that_is_none_gets_its_place(tmp_path):
    cells = {2: "31/01/2024", 4: ""}
    file = table(
        tmp_path, when=lambda k: cells.get(k, "2024-01-31"), x=lambda k: k * k, label=label
    )
    keys = {"split": {"method": "time", "time": "when"}}
    assert told(file, **keys) == [
        "table.csv:4:1: line 4, column when: '31/01/2024' is no date",
        "table.csv:6:1: line 6, column when: the only missing value",
    ]
    assert refused(file, **keys)[0].hint == "write dates as 2030-01-31 or 2030-01-31T12:30:00"


def test_groups_are_texts_and_no_feature(tmp_path):
    file = table(tmp_path, who=lambda k: f" {k % 5} ", x=lambda k: k * k, label=label)
    raw = read(file, split={"method": "group", "group": "who"}, drop="who")
    assert [column.name for column in raw.columns] == ["x"]
    assert raw.groups[:6].tolist() == ["0", "1", "2", "3", "4", "0"]
    assert raw.times is None


def test_a_row_without_its_group_is_dropped_or_refused(tmp_path):
    file = table(tmp_path, who=lambda k: "" if k == 3 else k % 5, x=lambda k: k * k, label=label)
    keys = {"split": {"method": "group", "group": "who"}}
    assert told(file, **keys) == ["table.csv:5:1: line 5, column who: the only missing value"]
    assert read(file, missing="drop", **keys).n_dropped == 1


# Oddities


def test_a_text_that_differs_in_every_row_is_no_category(tmp_path):
    file = table(tmp_path, who=lambda k: f"person {k:02}", x=lambda k: k * k, label=label)
    (problem,) = refused(file)
    assert problem.message == "column who has 24 different texts in 24 rows: 'person 00'"
    assert problem.hint == (
        "list it under data.drop if it identifies rows, else under data.categorical"
    )
    assert [column.name for column in read(file, drop="who").columns] == ["x"]
    assert read(file, categorical="who").columns[0].categorical


def test_dates_are_no_categories(tmp_path):
    file = table(tmp_path, day=lambda k: f"2024-01-{k + 1:02}", x=lambda k: k * k, label=label)
    (problem,) = refused(file)
    assert problem.hint == (
        "list it under data.drop, or write dates as numbers, such as days since a day"
    )


def test_categories_have_a_limit_whatever_is_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(oddities, "MAX_CATEGORIES", 5)
    file = table(tmp_path, x=lambda k: "abcdef"[k % 6], label=label)
    for keys in ({}, {"categorical": "x"}):
        (problem,) = refused(file, **keys)
        assert problem.message == "column x has 6 different texts in 24 rows: 'a'"
        assert problem.hint == "list it under data.drop; a category column has at most 5"


def test_some_feature_must_vary(tmp_path):
    file = table(tmp_path, x=lambda k: 1, y=lambda k: "same", label=label)
    assert told(file) == ["table.csv: no feature varies: every row is the same in columns x, y"]


def test_what_may_be_meant_is_a_note(tmp_path):
    file = table(
        tmp_path,
        id=lambda k: k + 1,
        x=lambda k: k * k,
        same=lambda k: 3,
        again=label,
        also=lambda k: "same",
        label=label,
    )
    assert read(file).notes == (
        "columns same, also: the same value in every row, so they have no effect",
        "column id counts the rows; list it under data.drop unless it means more",
        "column again equals the target label; list it under data.drop",
    )
    assert read(file, keep="x").notes == ()


def test_spellings_that_differ_in_case_or_blanks_are_noted(tmp_path):
    file = table(
        tmp_path,
        town=lambda k: ["New York", "new  york", "Ulm", "Bonn"][k % 4],
        kind=lambda k: [" a", "b ", "c"][k % 3],  # blanks around a cell do not count
        x=lambda k: k * k,
        label=lambda k: ["yes", "Yes", "YES", "no", "No", "other"][k % 6],
    )
    remedy = "correct them if they mean the same"
    assert read(file).notes == (
        f"column town: 'New York', 'new  york' differ only in case or blanks; {remedy}",
        "column label: 'No', 'no' and 'YES', 'Yes', 'yes' differ only in case; " + remedy,
    )


def test_the_only_row_of_a_class_may_be_another_spelling(tmp_path):
    file = table(tmp_path, x=lambda k: k * k, label=lambda k: "A" if k == 4 else label(k))
    (problem,) = refused(file)
    assert problem.hint.startswith("did you mean 'a'? correct the class if it is misspelled, ")


def test_a_column_that_becomes_very_many_inputs_is_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(oddities, "_MANY_INPUTS", 5)
    file = table(
        tmp_path, x=lambda k: 100 + k % 6, y=lambda k: k % 5, z=lambda k: k * k, label=label
    )
    assert read(file, categorical=["x", "y"]).notes == (
        "column x has 6 different texts in 24 rows, and each becomes an input",
    )


def test_what_is_wrong_with_columns_is_told_in_one_round(tmp_path):
    """A column with flaws of its own is not judged further: nobody knows what it will be."""
    file = table(
        tmp_path,
        price=lambda k: '"1,5"',
        who=lambda k: f"person {k:02}",
        day=lambda k: f"2024-01-{k + 1:02}",
        broken=lambda k: "" if k == 3 else f"id {k}",
        gaps=lambda k: "" if k == 5 else k * k,
        label=lambda k: "seto5a" if k == 4 else label(k),
    )
    assert told(file) == [
        "table.csv: column who has 24 different texts in 24 rows: 'person 00'",
        "table.csv: column day has 24 different texts in 24 rows: '2024-01-01'",
        (
            "table.csv:2:1: line 2, column price: '1,5' is no number: it has a decimal comma, the "
            "first of 24 such values"
        ),
        "table.csv:5:28: line 5, column broken: the only missing value",
        "table.csv:6:36: line 6, column label: the only row of class seto5a",
        "table.csv:7:33: line 7, column gaps: the only missing value",
    ]


def test_where_lines_are_no_rows_a_class_is_not_said_to_have_one(tmp_path):
    text = HEADER + ROWS + "1,2,maybe\n1,2,maybe,3\n"
    assert told(write(tmp_path / "table.csv", text)) == [
        "table.csv:15: line 15 has 4 fields, expected 3"
    ]


def test_numbers_that_begin_with_a_zero_are_noted_unless_they_are_listed(tmp_path):
    file = table(
        tmp_path,
        area=lambda k: f"{k * 7 % 50:03}",
        count=lambda k: k % 4,  # 0 alone is a number like any other
        share=lambda k: f"0.{k}",
        label=label,
    )
    (note,) = read(file).notes
    assert note == (
        "column area is read as numbers, and some begin with a zero, such as '000'; "
        "list it under data.categorical if they are names"
    )
    assert read(file, categorical="area").notes == ()


def test_names_are_cut_where_they_are_told(tmp_path):
    name = "n" * 200
    file = table(tmp_path, **{name: lambda k: "?" if k == 1 else k, "label": label})
    (problem,) = refused(file)
    assert problem.message == f"line 3, column {'n' * 57}...: '?' is no number"


def test_a_name_that_steers_a_terminal_is_told_as_text(tmp_path):
    text = '"in\ncome\x1b[2J",label\n' + "".join(f"{k or '?'},{k % 2}\n" for k in range(12))
    (problem,) = refused(write(tmp_path / "table.csv", text))
    assert problem.message == "line 3, column in\\ncome\\x1b[2J: '?' is no number"
