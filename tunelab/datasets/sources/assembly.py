"""From the columns of a table to rows that can be split: missing values, targets, oddities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tunelab.datasets.sources import oddities
from tunelab.datasets.sources.base import Column, RawData, Targets
from tunelab.datasets.sources.cells import (
    Cells,
    Objects,
    Texts,
    feature_cells,
    label_cells,
    number_cells,
    number_text,
    number_texts,
    objects,
    time_cells,
)
from tunelab.datasets.sources.flaws import Flaw, Locate, by_row, counted, report, short
from tunelab.datasets.sources.roles import Roles

if TYPE_CHECKING:  # a worker imports this package and needs no study file
    from tunelab.spec.study import DataSpec

MIN_ROWS = 10
"""Fewer rows cannot be split into three parts that say anything."""

LARGEST = float(np.finfo(np.float32).max)

Read = Callable[[str], "Texts | npt.NDArray[Any]"]
"""Gives a column once: texts, float64 with NaN for missing, or `Objects`."""


@dataclass
class Table:
    """A table whose columns are read one after the other.

    Attributes:
        file: The file as it is shown.
        n_rows: Its rows.
        read: Gives a column.
        locate: Finds the places of rows.
        flaws: What is wrong with it so far.
        n_more: Further flaws that were only counted.
        notes: What is odd about it and may be meant.
        flawed: The columns that have flaws.
        has_all_rows: Whether no row of the file was left out, so that a class may have only one.
    """

    file: str
    n_rows: int
    read: Read
    locate: Locate = by_row
    flaws: list[Flaw] = field(default_factory=list)
    n_more: int = 0
    notes: list[str] = field(default_factory=list)
    flawed: set[str] = field(default_factory=set)
    has_all_rows: bool = True

    def stop_if_flawed(self) -> None:
        """Raise what is wrong so far.

        Raises:
            DataError: If anything is.
        """
        if self.flaws:
            raise report(self.file, self.flaws, self.locate, self.n_more)

    def take(self, name: str, cells: Cells) -> npt.NDArray[Any]:
        """The values of a column, whose flaws and note become the table's."""
        if cells.note is not None:
            self.notes.append(cells.note)
        self.refuse(name, *cells.flaws)
        self.n_more += cells.n_more
        return cells.values

    def refuse(self, name: str, *flaws: Flaw) -> None:
        """Add flaws of a column."""
        self.flaws += flaws
        if flaws:
            self.flawed.add(name)


def assemble(table: Table, roles: Roles, data: DataSpec, task: str) -> RawData:
    """Read the columns that ``roles`` names and check them.

    Raises:
        DataError: With everything that is wrong.
    """
    features = {name: _feature(table, name, roles) for name in roles.features}
    targets = {name: _target(table, name, task) for name in roles.targets}
    group = None if roles.group is None else _group(table, roles.group)
    times = None if roles.time is None else _times(table, roles.time)
    others = dict(targets)
    if group is not None and roles.group is not None:
        others[roles.group] = group
    if times is not None and roles.time is not None:
        others[roles.time] = times

    gaps = _gaps(table, features, others, data.missing or "error")
    if table.n_rows < MIN_ROWS:
        table.flaws.append(_too_few(table.n_rows))
        table.stop_if_flawed()

    dropped = np.zeros(table.n_rows, dtype=bool)
    for of_column in gaps.values():
        dropped |= of_column
    kept = np.flatnonzero(~dropped)
    n_dropped = table.n_rows - len(kept)
    if len(kept) < MIN_ROWS:
        table.flaws.append(_too_few(len(kept), n_dropped, gaps))
        table.stop_if_flawed()
    if n_dropped:
        features = {name: values[kept] for name, values in features.items()}
        targets = {name: values[kept] for name, values in targets.items()}
        group, times = (None if part is None else part[kept] for part in (group, times))

    # A column with flaws of its own is not judged further, and all others are in the same round.
    whole = {name: values for name, values in features.items() if name not in table.flawed}
    are_targets = not targets.keys() & table.flawed
    labels, class_names = _encoded(targets, task) if are_targets else (np.empty(0), ())
    if are_targets and table.has_all_rows:
        table.flaws += oddities.of_targets(targets, labels, class_names, kept)
    table.flaws += oddities.of_categories(whole, roles.categorical)
    if not table.flawed:
        table.flaws += oddities.of_constants(features)
    table.stop_if_flawed()
    return RawData(
        columns=tuple(
            Column(name, values, categorical=_is_text(values)) for name, values in features.items()
        ),
        targets=labels,
        class_names=class_names,
        target_names=roles.targets,
        groups=group,
        times=times,
        n_dropped=n_dropped,
        notes=(*table.notes, *oddities.notes(features, targets)),
    )


def _feature(table: Table, name: str, roles: Roles) -> npt.NDArray[Any]:
    values = table.read(name)
    categorical = name in roles.categorical
    if not isinstance(values, np.ndarray):
        return table.take(name, feature_cells(values, name, categorical=categorical))
    return number_texts(values) if categorical and not _is_text(values) else values


def _target(table: Table, name: str, task: str) -> npt.NDArray[Any]:
    values = table.read(name)
    if isinstance(values, np.ndarray):
        return values
    is_label = task == "classification"
    return table.take(name, label_cells(values) if is_label else number_cells(values, name))


def _group(table: Table, name: str) -> Objects:
    values = table.read(name)
    if not isinstance(values, np.ndarray):
        return objects(values)
    return values if _is_text(values) else number_texts(values)


def _times(table: Table, name: str) -> npt.NDArray[Any]:
    values = table.read(name)
    return values if isinstance(values, np.ndarray) else table.take(name, time_cells(values, name))


def _gaps(
    table: Table,
    features: dict[str, npt.NDArray[Any]],
    others: Mapping[str, npt.NDArray[Any]],
    policy: str,
) -> dict[str, npt.NDArray[np.bool_]]:
    """The rows to drop for each column, shape (n,); what the policy does not cover is a flaw.

    Values beyond float32 are as useless to a network as missing ones, and treated alike. Where
    features are imputed they are replaced by NaN.
    """
    to_drop = {}
    for name, values in (*features.items(), *others.items()):
        missing = _missing(values)
        beyond = np.zeros_like(missing) if _is_text(values) else np.abs(values) > LARGEST
        gaps = missing | beyond
        if not gaps.any():
            continue
        is_feature = name in features
        if gaps.all():
            nothing = "is empty" if missing.all() else "has no value that fits into float32"
            hint = "list it under data.drop" if is_feature else None
            table.refuse(name, Flaw(f"column {short(name)} {nothing}", hint))
        elif policy == "drop":
            to_drop[name] = gaps
        elif policy == "impute" and is_feature:
            features[name] = np.where(beyond, np.nan, values) if beyond.any() else values
        else:
            table.refuse(name, *_flaws_of_gaps(name, values, missing, beyond, is_feature))
    return to_drop


def _missing(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    missing = values == None if _is_text(values) else np.isnan(values)  # noqa: E711 - of each
    return np.asarray(missing, dtype=bool)


def _flaws_of_gaps(
    name: str,
    values: npt.NDArray[Any],
    missing: npt.NDArray[np.bool_],
    beyond: npt.NDArray[np.bool_],
    is_feature: bool,
) -> list[Flaw]:
    """A flaw for each way in which values of a column cannot be used: the first, and how many."""
    infinite = np.isinf(values) if beyond.any() else beyond
    policies = "impute or drop" if is_feature else "drop"
    flaws = []
    for where, what, remedy in (
        (missing, "missing value", "complete the data"),
        (infinite, "infinite value", "correct the data"),
        (beyond & ~infinite, "value too large for float32", "correct the data"),
    ):
        rows = np.flatnonzero(where)
        if len(rows):
            given = "" if where is missing else f"{values[rows[0]]:g}, "
            which = "the only" if len(rows) == 1 else f"the first of {len(rows):,}"
            noun = what if len(rows) == 1 else what.replace("value", "values", 1)
            flaws.append(
                Flaw(
                    f"{given}{which} {noun}",
                    f"{remedy}, or set data.missing to {policies}",
                    row=int(rows[0]),
                    column=name,
                )
            )
    return flaws


def _too_few(
    n_rows: int, n_dropped: int = 0, gaps: Mapping[str, npt.NDArray[np.bool_]] | None = None
) -> Flaw:
    has = counted(n_rows, "row") if n_rows else "none"
    dropped = f" after {n_dropped:,} with missing values were dropped" if n_dropped else ""
    hint = None
    if gaps:
        worst = max(gaps, key=lambda name: int(gaps[name].sum()))
        hint = (
            f"column {short(worst)} alone lacks {gaps[worst].sum():,} values: "
            "list it under data.drop, or set data.missing: impute"
        )
    return Flaw(f"needs at least {MIN_ROWS} rows, has {has}{dropped}", hint)


def _encoded(targets: Mapping[str, npt.NDArray[Any]], task: str) -> tuple[Targets, tuple[str, ...]]:
    """Labels and the names of the classes; for regression the numbers side by side."""
    if task == "regression":
        return np.column_stack(list(targets.values())).astype(np.float64, copy=False), ()
    (values,) = targets.values()
    distinct, labels = np.unique(values, return_inverse=True)
    names = (name if isinstance(name, str) else number_text(name) for name in distinct.tolist())
    return labels.astype(np.int64), tuple(str(name) for name in names)


def _is_text(values: npt.NDArray[Any]) -> bool:
    return values.dtype.kind == "O"
