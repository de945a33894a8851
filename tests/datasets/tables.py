"""Small tables of raw rows, and what a test compares of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tunelab.datasets.sources import Column, RawData


def numbers(name: str, values: Any) -> Column:
    """A numeric column; None is a missing value."""
    listed = [np.nan if value is None else value for value in values]
    return Column(name, np.array(listed, dtype=np.float64), categorical=False)


def words(name: str, values: Sequence[str | None]) -> Column:
    """A column of text; None is a missing value."""
    return Column(name, objects(values), categorical=True)


def objects(values: Sequence[Any]) -> npt.NDArray[np.object_]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def numeric_columns(table: npt.NDArray[np.float64]) -> tuple[Column, ...]:
    """The columns x0, x1, ... of a table, shape (n, n_columns)."""
    return tuple(numbers(f"x{place}", values) for place, values in enumerate(table.T))


def labelled(columns: Sequence[Column], labels: Any, names: Sequence[str], **more: Any) -> RawData:
    """Rows for classification."""
    targets = np.array(labels, dtype=np.int64)
    return RawData(tuple(columns), targets, tuple(names), ("class",), **more)


def measured(columns: Sequence[Column], targets: npt.NDArray[np.float64], **more: Any) -> RawData:
    """Rows for regression, with targets of shape (n, n_outputs)."""
    names = tuple(f"y{output}" for output in range(targets.shape[1]))
    return RawData(tuple(columns), targets, (), names, **more)


def taken(raw: RawData, rows: Any) -> RawData:
    """Some rows, or the same rows in another order, or rows more than once."""
    rows = np.asarray(rows, dtype=np.intp)
    return replace(
        raw,
        columns=tuple(replace(column, values=column.values[rows]) for column in raw.columns),
        targets=raw.targets[rows],
        groups=None if raw.groups is None else raw.groups[rows],
        times=None if raw.times is None else raw.times[rows],
    )


def joined(first: RawData, second: RawData) -> RawData:
    """The rows of both, which have the same columns."""
    columns = tuple(
        replace(column, values=np.concatenate([column.values, other.values]))
        for column, other in zip(first.columns, second.columns, strict=True)
    )
    return replace(
        first,
        columns=columns,
        targets=np.concatenate([first.targets, second.targets]),
        groups=None if first.groups is None else np.concatenate([first.groups, second.groups]),
        times=None if first.times is None else np.concatenate([first.times, second.times]),
    )


def shuffled(raw: RawData, seed: int = 1) -> RawData:
    """The same rows in another order."""
    return taken(raw, np.random.default_rng(seed).permutation(raw.n_rows))


def contents(raw: RawData, rows: Any = slice(None)) -> list[tuple[Any, ...]]:
    """What stands in some rows, as values that can be compared; None where one is missing."""
    columns = [column.values[rows].tolist() for column in raw.columns]
    targets = raw.targets[rows].reshape(-1, raw.targets[0].size).tolist()
    return [
        tuple(None if value != value else value for value in (*features, *target))
        for *features, target in zip(*columns, targets, strict=True)
    ]
