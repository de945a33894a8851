"""What preprocessing does to a row: plain numbers and texts, applied by NumPy.

It goes into JSON and comes back the same to the bit, so that whoever holds a prepared folder, or
an exported model, can treat new rows as the training rows were treated, without scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunelab.datasets import texts
from tunelab.datasets.sources import Column


@dataclass(frozen=True)
class Standardize:
    """Zero mean and unit variance for a numeric column: ``(value - mean) / scale``.

    Attributes:
        name: The column.
        mean: Mean of the training rows.
        scale: Their standard deviation (divisor n); 1 for a column that is constant.
        fill: What stands in for a missing value; None: a missing value is an error.
    """

    name: str
    mean: float
    scale: float
    fill: float | None = None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the inputs that the column becomes."""
        return (self.name,)

    def apply(self, values: npt.NDArray[np.float64], out: npt.NDArray[np.float32]) -> None:
        """Compute in float64, round to float32.

        Args:
            values: Shape (n,), NaN where missing.
            out: Gets the inputs, shape (n, 1).

        Raises:
            ValueError: If a value is missing and there is no ``fill``, or the result is beyond
                float32.
        """
        missing = np.isnan(values)
        if missing.any():
            values = np.where(missing, _known(self.fill, self.name, missing), values)
        with np.errstate(over="ignore"):
            out[:, 0] = (values - self.mean) / self.scale
        if not np.isfinite(out).all():
            worst = values[np.flatnonzero(~np.isfinite(out[:, 0]))[0]]
            raise ValueError(
                f"column {self.name}: {worst:g} lies too far from the training rows, whose mean "
                f"is {self.mean:g} and deviation {self.scale:g}"
            )

    def to_json(self) -> dict[str, Any]:
        """What ``from_json`` reads."""
        return {"name": self.name, "fill": self.fill, "mean": self.mean, "scale": self.scale}


@dataclass(frozen=True)
class OneHot:
    """An input for each category of a column: 1 where a row has it, else 0.

    A category that no training row has becomes zeros in all of them.

    Attributes:
        name: The column.
        categories: Those of the training rows, sorted by code point.
        fill: The category that stands in for a missing value; None: that is an error.
    """

    name: str
    categories: tuple[str, ...]
    fill: str | None = None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the inputs that the column becomes."""
        return tuple(f"{self.name}={category}" for category in self.categories)

    def apply(self, values: npt.NDArray[np.object_], out: npt.NDArray[np.float32]) -> None:
        """Mark the category of each row.

        Args:
            values: Shape (n,), each a str, or None where missing.
            out: Gets the ones, shape (n, n_categories); zeros so far.

        Raises:
            ValueError: If a value is missing and there is no ``fill``.
        """
        codes, known = texts.encode(values)
        missing = codes == texts.MISSING
        if missing.any():
            known.append(_known(self.fill, self.name, missing))
            codes[missing] = len(known) - 1
        places = {category: place for place, category in enumerate(self.categories)}
        table = np.array([places.get(text, -1) for text in known], dtype=np.intp)
        place = table[codes]
        seen = np.flatnonzero(place >= 0)
        out[seen, place[seen]] = 1.0

    def to_json(self) -> dict[str, Any]:
        """What ``from_json`` reads."""
        return {"name": self.name, "fill": self.fill, "categories": list(self.categories)}


Transform = Standardize | OneHot


@dataclass(frozen=True)
class Preprocessing:
    """One transform a column, in the order of the inputs they become."""

    transforms: tuple[Transform, ...]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name an input."""
        return tuple(name for transform in self.transforms for name in transform.feature_names)

    def apply(
        self, columns: Sequence[Column], rows: npt.NDArray[np.intp] | slice = slice(None)
    ) -> npt.NDArray[np.float32]:
        """The inputs of some rows, shape (n_rows, n_features).

        Args:
            columns: Raw columns, found by name in any order; others than those that were
                learned from are ignored.
            rows: Which rows of them.

        Raises:
            ValueError: If a column or a value is missing, or a column is of the wrong kind.
        """
        by_name = {column.name: column for column in columns}
        chosen = [_column(transform, by_name)[rows] for transform in self.transforms]
        widths = [len(transform.feature_names) for transform in self.transforms]
        out = np.zeros((len(chosen[0]), sum(widths)), dtype=np.float32)
        start = 0
        for transform, values, width in zip(self.transforms, chosen, widths, strict=True):
            transform.apply(values, out[:, start : start + width])
            start += width
        return out

    def to_json(self) -> list[dict[str, Any]]:
        """Plain values, one mapping a column."""
        return [transform.to_json() for transform in self.transforms]

    @classmethod
    def from_json(cls, listed: Sequence[Mapping[str, Any]]) -> Preprocessing:
        """What ``to_json`` has written.

        Raises:
            KeyError: If something is missing.
            ValueError: If something is not as ``to_json`` writes it; likewise ``TypeError``.
        """
        return cls(tuple(_transform(entry) for entry in listed))


def _transform(entry: Mapping[str, Any]) -> Transform:
    name, fill = str(entry["name"]), entry["fill"]
    if "categories" in entry:
        return OneHot(name, tuple(str(text) for text in entry["categories"]), fill)
    return Standardize(
        name, float(entry["mean"]), float(entry["scale"]), None if fill is None else float(fill)
    )


def _column(transform: Transform, by_name: Mapping[str, Column]) -> npt.NDArray[Any]:
    column = by_name.get(transform.name)
    if column is None:
        raise ValueError(f"column {transform.name} is missing; there are: {', '.join(by_name)}")
    if column.categorical != isinstance(transform, OneHot):
        expected, given = ("numbers", "text") if column.categorical else ("text", "numbers")
        raise ValueError(f"column {transform.name} must hold {expected}, holds {given}")
    return column.values


def _known(fill: Any, name: str, missing: npt.NDArray[np.bool_]) -> Any:
    if fill is None:
        raise ValueError(
            f"column {name}: {np.count_nonzero(missing)} of {len(missing)} rows lack a value, and "
            "none was learned to stand in for it"
        )
    return fill
