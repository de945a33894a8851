"""What every split method gives, and what is checked of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tunelab.datasets.digest import Digests, ordered, row_places
from tunelab.datasets.sources import RawData
from tunelab.errors import DataError

if TYPE_CHECKING:  # a worker imports this package and needs no study file
    from tunelab.spec.study import SplitSpec

Rows = npt.NDArray[np.intp]

Parts = npt.NDArray[np.int8]
"""The part of each row, shape (n,): an index into ``PART_NAMES``."""

PART_NAMES = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)

MOST_MISSED = 0.25
"""How far a part may be from its size, as a share of it, without a note."""

_WHY_MISSED = {
    "group": (
        "whole groups go one way, and column {column} has {n_groups} of them; another "
        "data.split.seed deals them anew"
    ),
    "hash": "a hash decides for each row alone, so that shares come near with many different rows",
    "time": "rows of one time stay together",
}

Method = Callable[[RawData, Digests, "SplitSpec"], Parts]
"""Gives each row its part. It may leave parts empty; raises ``DataError`` if it cannot begin."""


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of each part, in an order that depends on contents and seed only.

    Attributes:
        train: Shape (n_train,).
        validation: Shape (n_validation,).
        test: Shape (n_test,).
    """

    train: Rows
    validation: Rows
    test: Rows

    def items(self) -> list[tuple[str, Rows]]:
        """The parts by name."""
        return [("train", self.train), ("validation", self.validation), ("test", self.test)]


def split_places(digests: Digests, seed: int) -> Digests:
    """The places by which a split ranks rows: those of its parts, and those within a stratum."""
    return row_places(digests, "split", seed)


def complete_split(parts: Parts, raw: RawData, digests: Digests, spec: SplitSpec) -> Split:
    """The rows of each part, mixed by a hash of their contents.

    Raises:
        DataError: If a part is empty, or a class has no training row.
    """
    _check_parts(parts, spec)
    if raw.class_names:
        _check_classes(parts, raw)
    order = ordered(split_places(digests, spec.seed))
    train, validation, test = (order[parts[order] == part] for part in (TRAIN, VALIDATION, TEST))
    return Split(train, validation, test)


def share_notes(raw: RawData, split: Split, spec: SplitSpec) -> list[str]:
    """A note if a part is much smaller or larger than asked for, and why that is.

    The stratified split keeps its shares to within a row of each class, and has none.
    """
    if spec.method not in _WHY_MISSED:
        return []
    shares = {"validation": spec.validation, "test": spec.test}
    shares = {"train": 1.0 - sum(shares.values()), **shares}
    missed = []
    for part, rows in split.items():
        wanted = shares[part] * raw.n_rows
        if abs(len(rows) - wanted) > MOST_MISSED * wanted:
            missed.append(f"{part} has {len(rows)}, asked for {wanted:.0f}")
    if not missed:
        return []
    n_groups = 0 if raw.groups is None else len(set(raw.groups.tolist()))
    why = _WHY_MISSED[spec.method].format(column=spec.group, n_groups=n_groups)
    return [f"of the {count_of(raw.n_rows, 'row')} {'; '.join(missed)}: {why}"]


def part_of(numbers: npt.NDArray[np.float64], spec: SplitSpec) -> Parts:
    """The part of each uniform number u, shape (n,): test below the test share.

    ::

        u < test -> test;   u < test + validation -> validation;   else train

    So another validation share leaves the test rows as they are.
    """
    parts = np.full(numbers.shape, TRAIN, dtype=np.int8)
    parts[numbers < spec.test + spec.validation] = VALIDATION
    parts[numbers < spec.test] = TEST
    return parts


def listed(items: Sequence[str], limit: int = 5) -> str:
    """The items in one line, the first ones if there are many.

    >>> listed(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    shown = ", ".join(items[:limit])
    return f"{shown} and {len(items) - limit} more" if len(items) > limit else shown


def count_of(number: int, thing: str) -> str:
    """A count in words.

    >>> count_of(1, "row"), count_of(2, "row")
    ('1 row', '2 rows')
    """
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _check_parts(parts: Parts, spec: SplitSpec) -> None:
    counts = np.bincount(parts, minlength=len(PART_NAMES))
    # A pool that is split again has no test rows to give.
    shares = (1.0, spec.validation, spec.test)
    empty = [
        name
        for name, count, share in zip(PART_NAMES, counts, shares, strict=True)
        if count == 0 and share > 0
    ]
    if not empty:
        return
    dealt = "whole groups" if spec.method == "group" else "rows"
    raise DataError(
        f"data.split: the method {spec.method} deals out {dealt}, and gives none of the "
        f"{count_of(len(parts), 'row')} to {' and '.join(empty)}",
        hint="add rows, or change the shares or data.split.seed",
    )


def _check_classes(parts: Parts, raw: RawData) -> None:
    """A network cannot learn a class that it is never shown."""
    n_classes = len(raw.class_names)
    in_training = np.bincount(raw.targets[parts == TRAIN], minlength=n_classes)
    counts = np.bincount(raw.targets, minlength=n_classes)
    unseen = [
        f"class {raw.class_names[label]} ({count_of(counts[label], 'row')})"
        for label in np.flatnonzero(in_training == 0)
    ]
    if unseen:
        raise DataError(
            f"data.split: no training row has {listed(unseen)}",
            hint="add rows of that class or remove it, or change data.split",
        )
