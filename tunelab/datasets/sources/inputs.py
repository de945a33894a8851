"""A CSV file of rows that a model is to predict: its columns alone, and no target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunelab.datasets.sources.assembly import LARGEST, Table
from tunelab.datasets.sources.cells import input_cells, objects
from tunelab.datasets.sources.delimited import csv_columns, likely_delimiter
from tunelab.datasets.sources.files import refuse, shown_path, source_of
from tunelab.datasets.sources.flaws import Flaw, which_of
from tunelab.errors import NotFoundError

_OTHERS = {"parquet": "a Parquet file", "npz": "an NPZ archive"}


def read_inputs(
    path: str, inputs: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, npt.NDArray[Any]], int]:
    """Read the columns that a model wants; others are ignored.

    Args:
        path: The file.
        inputs: The model's columns, as its document lists them.

    Returns:
        The columns by name, and how many rows there are. Numbers are float64 with NaN where a
        value is missing, texts are str objects or None.

    Raises:
        NotFoundError: If there is no such file.
        DataError: With everything that is wrong in it, by line and column.
    """
    if not Path(path).exists():
        raise NotFoundError(f"there is no file {shown_path(path)!r}")
    source = source_of(path)
    if source in _OTHERS:
        refuse(path, f"must be a CSV file, got {_OTHERS[source]}", "convert it to CSV")
    wanted = [str(entry["name"]) for entry in inputs]
    with csv_columns(path, likely_delimiter(path), wanted) as table:
        columns = {entry["name"]: _column(table, entry) for entry in inputs}
        table.stop_if_flawed()
        return columns, table.n_rows


def _column(table: Table, entry: Mapping[str, Any]) -> npt.NDArray[Any]:
    """A column; what the model cannot take becomes flaws of the table."""
    name, texts, has_fill = entry["name"], table.read(entry["name"]), entry["fill"] is not None
    if "categories" in entry:
        values: npt.NDArray[Any] = objects(texts)
        missing = np.array([value is None for value in values.tolist()], dtype=bool)
    else:
        values = table.take(name, input_cells(texts, name))
        beyond = np.abs(values) > LARGEST
        if has_fill:  # as in training: such a value is as useless as a missing one
            values = np.where(beyond, np.nan, values)
        elif beyond.any():
            row = int(np.argmax(beyond))
            what = f"{values[row]:g} is too large{which_of(int(beyond.sum()))}"
            table.refuse(name, Flaw(what, "correct the data", row=row, column=name))
        missing = np.isnan(values)
    if missing.any() and not has_fill:
        row = int(np.argmax(missing))
        what = f"the value is missing{which_of(int(missing.sum()))}"
        hint = "complete the data: no training row lacked it, so nothing can stand in for it"
        table.refuse(name, Flaw(what, hint, row=row, column=name))
    return values
