"""Learning the preprocessing from training rows, with scikit-learn's estimators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tunelab.datasets.preprocess.transforms import (
    OneHot,
    Preprocessing,
    Standardize,
    Transform,
)
from tunelab.datasets.sources import Column
from tunelab.errors import DataError

_TABLE_NUMBERS = 1 << 22
"""Numbers that are standardised at once, 32 MB: all columns of a small table, some of a large."""

Rows = npt.NDArray[np.intp]


def fit_preprocessing(columns: Sequence[Column], rows: Rows, *, impute: bool) -> Preprocessing:
    """Learn from the given rows how each column becomes inputs.

    Numbers are standardised (``StandardScaler``), texts become an input for each category
    (``OneHotEncoder``, of which a category that is met later is none). Missing values are
    replaced before that, by the median or the most frequent text (``SimpleImputer``).

    Args:
        columns: All columns, with all their rows.
        rows: The training rows.
        impute: Whether to learn what stands in for missing values, now and in later rows.

    Raises:
        DataError: If a column has no value in any training row.
    """
    _check_columns(columns, rows)
    fitted: dict[str, Transform] = {}
    numeric = [column for column in columns if not column.categorical]
    for some in _batches(numeric, len(rows)):
        fitted |= {transform.name: transform for transform in _fit_numbers(some, rows, impute)}
    for column in columns:
        if column.categorical:
            fitted[column.name] = _fit_texts(column, rows, impute)
    return Preprocessing(tuple(fitted[column.name] for column in columns))


def _fit_numbers(columns: Sequence[Column], rows: Rows, impute: bool) -> Iterable[Standardize]:
    from sklearn.preprocessing import StandardScaler

    table = np.stack([column.values[rows] for column in columns]).T  # whose columns lie together
    fills: list[float | None] = [None] * len(columns)
    if impute:
        from sklearn.impute import SimpleImputer

        imputer = SimpleImputer(strategy="median")
        table = imputer.fit_transform(table)
        fills = imputer.statistics_.tolist()
    # It tells a constant column from one of small variance where rounding alone makes a variance.
    scaler = StandardScaler().fit(table)
    statistics = zip(scaler.mean_.tolist(), scaler.scale_.tolist(), fills, strict=True)
    return [
        Standardize(column.name, *of_column)
        for column, of_column in zip(columns, statistics, strict=True)
    ]


def _fit_texts(column: Column, rows: Rows, impute: bool) -> OneHot:
    from sklearn.preprocessing import OneHotEncoder

    values = column.values[rows][:, np.newaxis]
    fill = None
    if impute:
        from sklearn.impute import SimpleImputer

        imputer = SimpleImputer(strategy="most_frequent", missing_values=None)
        values = imputer.fit_transform(values)
        fill = str(imputer.statistics_[0])
    encoder = OneHotEncoder(handle_unknown="ignore").fit(values)
    return OneHot(column.name, tuple(str(text) for text in encoder.categories_[0]), fill)


def _batches(columns: Sequence[Column], n_rows: int) -> Iterator[Sequence[Column]]:
    at_once = max(1, _TABLE_NUMBERS // n_rows)
    for start in range(0, len(columns), at_once):
        yield columns[start : start + at_once]


def _check_columns(columns: Sequence[Column], rows: Rows) -> None:
    for column in columns:
        values = column.values[rows]
        if column.categorical:
            empty = all(value is None for value in values.tolist())
        else:
            empty = bool(np.isnan(values).all())
        if empty:
            raise DataError(
                f"column {column.name}: no training row has a value",
                hint="leave the column out under data.drop",
            )
