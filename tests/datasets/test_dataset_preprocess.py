"""Preprocessing is learned from training rows alone, equals scikit-learn's, and travels as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.datasets.tables import labelled, numbers, numeric_columns, objects, taken, words
from tunelab.datasets.preprocess import (
    OneHot,
    Preprocessing,
    Standardize,
    fit_preprocessing,
)
from tunelab.errors import DataError

TINTS = (None, "red", "Grün", "", "b\0lue", "-1", "r e d")


def mixed(n_rows, seed=0, missing=0.15):
    """Columns of numbers and text with missing values; most of the text is rare."""
    generator = np.random.default_rng(seed)
    tints = objects(TINTS if missing else TINTS[1:])

    def values():
        drawn = generator.normal(generator.uniform(-1e3, 1e3), generator.uniform(0.01, 50), n_rows)
        drawn[generator.random(n_rows) < missing] = np.nan
        return drawn

    return (
        numbers("age", values()),
        words("tint", generator.choice(tints, n_rows).tolist()),
        numbers("height", values()),
        numbers("constant", [0.1] * n_rows),
        words("sex", generator.choice(tints[-2:], n_rows).tolist()),
    )


def table(columns, rows):
    """The rows as scikit-learn takes them: one array of objects."""
    return np.stack([column.values[rows].astype(object) for column in columns], axis=1)


def sklearn_pipeline(columns):
    """What the documentation of scikit-learn advises for mixed columns."""
    steps = []
    for place, column in enumerate(columns):
        if column.categorical:
            step = make_pipeline(
                SimpleImputer(strategy="most_frequent", missing_values=None),
                OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            )
        else:
            step = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
        steps.append((column.name, step, [place]))
    return ColumnTransformer(steps)


def rows_of(n_rows, seed):
    order = np.random.default_rng(seed).permutation(n_rows)
    return order[: n_rows // 2], order[n_rows // 2 :]


@pytest.mark.parametrize("seed", range(5))
def test_inputs_equal_those_of_scikit_learns_own_pipeline(seed):
    columns = mixed(200, seed)
    train, others = rows_of(200, seed)
    preprocessing = fit_preprocessing(columns, train, impute=True)
    reference = sklearn_pipeline(columns).fit(table(columns, train))
    for rows in (train, others):
        expected = reference.transform(table(columns, rows)).astype(np.float64)
        got = preprocessing.apply(columns, rows)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)
        texts = [name for name in preprocessing.feature_names if "=" in name]
        marks = [name in texts for name in preprocessing.feature_names]
        np.testing.assert_array_equal(got[:, marks], expected[:, marks])


def test_statistics_equal_scikit_learns_to_the_last_digits():
    columns = mixed(301, 3)
    train, _ = rows_of(301, 3)
    fitted = {item.name: item for item in fit_preprocessing(columns, train, impute=True).transforms}
    for column in columns:
        values = column.values[train][:, None]
        strategy = "most_frequent" if column.categorical else "median"
        missing = None if column.categorical else np.nan
        imputer = SimpleImputer(strategy=strategy, missing_values=missing).fit(values)
        assert fitted[column.name].fill == imputer.statistics_[0]
        if not column.categorical:
            scaler = StandardScaler().fit(imputer.transform(values))
            assert fitted[column.name].mean == pytest.approx(scaler.mean_[0], rel=1e-14)
            assert fitted[column.name].scale == pytest.approx(scaler.scale_[0], rel=1e-12)


def test_columns_that_are_fitted_in_batches_come_back_in_their_order(monkeypatch):
    columns = mixed(60, 1)
    whole = fit_preprocessing(columns, np.arange(60), impute=True)
    monkeypatch.setattr("tunelab.datasets.preprocess.fitting._TABLE_NUMBERS", 60)
    batched = fit_preprocessing(columns, np.arange(60), impute=True)
    assert batched.feature_names == whole.feature_names
    np.testing.assert_allclose(batched.apply(columns), whole.apply(columns), atol=1e-6)


def test_a_column_becomes_inputs_by_hand():
    columns = [
        numbers("age", [10, None, 30, 999]),
        words("tint", ["red", "blue", "red", "pink"]),
        words("size", [None, "L", "L", "S"]),
    ]
    fitted = fit_preprocessing(columns, np.array([0, 1, 2]), impute=True)
    assert fitted.feature_names == ("age", "tint=blue", "tint=red", "size=L")
    age, tint, size = fitted.transforms
    # ages 10, 20 (the median of 10 and 30), 30: variance 200 / 3
    assert age == Standardize("age", 20.0, pytest.approx((200 / 3) ** 0.5), fill=20.0)
    assert tint == OneHot("tint", ("blue", "red"), fill="red")
    assert size == OneHot("size", ("L",), fill="L")
    inputs = fitted.apply(columns)
    assert inputs[:3, 0] == pytest.approx([-(1.5**0.5), 0, 1.5**0.5])
    assert inputs[:, 1:].tolist() == [[0, 1, 1], [1, 0, 1], [0, 1, 1], [0, 0, 0]]


def test_of_equally_frequent_texts_the_first_by_code_point_fills():
    columns = [words("tint", ["b", "a", "b", "a", None])]
    [tint] = fit_preprocessing(columns, np.arange(5), impute=True).transforms
    assert tint.fill == "a"


def test_numbers_alone_need_no_fill_unless_asked():
    columns = numeric_columns(np.array([[1.0, 10.0], [3.0, 10.0], [5.0, 40.0]]))
    fitted = fit_preprocessing(columns, np.arange(3), impute=False)
    assert [item.fill for item in fitted.transforms] == [None, None]
    with pytest.raises(ValueError, match="column x1: 1 of 2 rows lack a value"):
        fitted.apply([numbers("x0", [1, 2]), numbers("x1", [None, 2])])
    tint = fit_preprocessing([words("tint", ["a", "b"])], np.arange(2), impute=False)
    with pytest.raises(ValueError, match="column tint: 2 of 2 rows lack a value"):
        tint.apply([words("tint", [None, None])])


texts = st.text(max_size=5) | st.sampled_from(["\ud800", "\0", "a=b", '"', "\\", "\u2028"])
floats = st.floats(allow_nan=False, allow_infinity=False)
transforms = st.builds(
    Standardize, st.just("n"), mean=floats, scale=st.floats(1e-300, 1e300), fill=st.none() | floats
) | st.builds(
    OneHot,
    st.just("t"),
    categories=st.lists(texts, min_size=1, unique=True).map(tuple),
    fill=st.none() | texts,
)


@given(st.lists(transforms, min_size=1, max_size=6))
def test_json_brings_everything_back_to_the_bit(listed):
    fitted = Preprocessing(tuple(listed))
    text = json.dumps(fitted.to_json(), allow_nan=False)
    again = Preprocessing.from_json(json.loads(text))
    assert repr(again) == repr(fitted)  # which tells 0.0 from -0.0
    assert json.dumps(again.to_json()) == text


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_new_rows_are_treated_alike_after_a_journey_through_json(seed):
    old, new = mixed(80, seed), mixed(30, seed + 1)
    fitted = fit_preprocessing(old, np.arange(40), impute=True)
    again = Preprocessing.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again.apply(new).tobytes() == fitted.apply(new).tobytes()


def test_new_rows_may_come_one_by_one_with_columns_in_any_order_and_more_of_them():
    columns = mixed(50)
    fitted = fit_preprocessing(columns, np.arange(30), impute=True)
    whole = fitted.apply(columns)
    raw = labelled([words("other", ["?"] * 50), *reversed(columns)], [0] * 50, ["a"])
    one_by_one = [fitted.apply(taken(raw, [row]).columns) for row in range(50)]
    assert np.concatenate(one_by_one).tobytes() == whole.tobytes()
    assert fitted.apply(raw.columns, slice(7, 9)).tobytes() == whole[7:9].tobytes()


def test_a_column_that_new_rows_lack_or_hold_otherwise_is_named():
    columns = [numbers("age", [1, 2]), words("tint", ["a", "b"])]
    fitted = fit_preprocessing(columns, np.arange(2), impute=False)
    with pytest.raises(ValueError, match="column tint is missing; there are: age, tnt"):
        fitted.apply([columns[0], words("tnt", ["a"])])
    with pytest.raises(ValueError, match="column age must hold numbers, holds text"):
        fitted.apply([words("age", ["1", "2"]), columns[1]])
    with pytest.raises(ValueError, match="column tint must hold text, holds numbers"):
        fitted.apply([columns[0], numbers("tint", [1, 2])])


def test_a_value_beyond_all_bounds_is_named():
    columns = [numbers("age", [1.0, 1.0 + 1e-9, 1e31])]
    fitted = fit_preprocessing(columns, np.arange(2), impute=False)
    with pytest.raises(ValueError, match=r"column age: 1e\+31 lies too far from the training rows"):
        fitted.apply(columns)


@pytest.mark.parametrize(
    "column", [numbers("age", [None] * 3 + [1]), words("age", [None] * 3 + ["a"])]
)
def test_a_column_without_a_value_in_any_training_row_is_refused(column):
    with pytest.raises(DataError, match=r"column age: no training row has a value") as caught:
        fit_preprocessing([numbers("x", [1, 2, 3, 4]), column], np.arange(3), impute=True)
    assert "data.drop" in caught.value.hint


def test_scaling_is_mean_and_deviation_by_hand():
    columns = numeric_columns(np.array([[1.0, 10.0], [3.0, 10.0], [5.0, 40.0]]))
    fitted = fit_preprocessing(columns, np.arange(3), impute=False)
    # means 3 and 20; deviations sqrt((4 + 0 + 4) / 3) and sqrt((100 + 100 + 400) / 3)
    assert [item.mean for item in fitted.transforms] == pytest.approx([3.0, 20.0])
    assert [item.scale for item in fitted.transforms] == pytest.approx([(8 / 3) ** 0.5, 200**0.5])
    scaled = fitted.apply(numeric_columns(np.array([[3.0, 20.0 + 200**0.5]])))
    assert scaled.dtype == np.float32
    assert scaled[0] == pytest.approx([0.0, 1.0])


@pytest.mark.parametrize("value", [0.0, 7.0, 0.1, 1e8 + 0.1])
def test_a_constant_column_becomes_zero(value):
    """Also where rounding gives the mean of equal numbers a tiny variance."""
    columns = [numbers("x", [value] * 33)]
    fitted = fit_preprocessing(columns, np.arange(33), impute=False)
    assert fitted.transforms[0].scale == 1.0
    assert fitted.apply(columns) == pytest.approx(np.zeros((33, 1)), abs=1e-6)
