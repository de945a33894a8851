"""What every source gives: named columns, targets, and what a split may need besides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # a worker imports this package and needs no study file
    from tunelab.spec.study import DataSpec

Targets = npt.NDArray[Any]
"""int64 labels 0..n_classes-1, shape (n,); or float64 in original units, (n, n_outputs)."""


@dataclass(frozen=True, eq=False)
class Column:
    """One feature, as its source gives it.

    Attributes:
        name: Its name, which no other column has.
        values: Shape (n,). Numeric: float64, NaN where the value is missing. Categorical: objects,
            each a str, or None where the value is missing.
        categorical: Which of the two.
    """

    name: str
    values: npt.NDArray[Any]
    categorical: bool


@dataclass(frozen=True, eq=False)
class RawData:
    """Rows as their source gives them, before any split or scaling.

    Attributes:
        columns: The features, in the source's order; at least one.
        targets: int64 labels, shape (n,); or float64 in original units, shape (n, n_outputs). None
            is missing.
        class_names: One name a label, sorted: numbers by value, text by code point. Empty for
            regression.
        target_names: One name a target column; for classification the label's, alone.
        groups: The value of the split's group column in each row, str objects of shape (n,).
        times: The value of the split's time column in each row, float64 of shape (n,).
        n_dropped: Rows that were left out because something in them is missing.
        notes: What is odd about the data and may be meant, a sentence each.
    """

    columns: tuple[Column, ...]
    targets: Targets
    class_names: tuple[str, ...]
    target_names: tuple[str, ...]
    groups: npt.NDArray[Any] | None = None
    times: npt.NDArray[np.float64] | None = None
    n_dropped: int = 0
    notes: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """``classification`` or ``regression``."""
        return "classification" if self.class_names else "regression"

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.targets)


@dataclass(frozen=True)
class Source:
    """One kind of source.

    Attributes:
        read: Reads the rows for a task. Raises ``DataError`` if the description does not fit the
            source, or the source the task.
        fingerprint: A string that changes whenever the rows may have changed. Cheap: it neither
            reads the rows nor imports the library that can.
    """

    read: Callable[[DataSpec, str], RawData]
    fingerprint: Callable[[DataSpec], str]
