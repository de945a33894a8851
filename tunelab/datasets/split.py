"""Which rows are trained on, validated on and sealed away.

Membership follows from the contents of a row and the split's seed, never from its place in the
source: a file that is sorted differently gives the same split, row for row and in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tunelab.datasets.digest import row_digests, row_places
from tunelab.datasets.sources import RawData, Targets
from tunelab.errors import DataError

if TYPE_CHECKING:  # a worker imports this package and needs no study file
    from tunelab.spec.study import SplitSpec

Rows = npt.NDArray[np.intp]

MAX_BINS = 10
"""Quantile bins of a regression target: deciles, or fewer where rows are few."""


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of each part, in an order that depends on contents and seed only.

    Attributes:
        train: Shape (n_train,).
        validation: Shape (n_validation,).
        test: Shape (n_test,).
        n_strata: Number of classes or quantile bins whose shares were kept.
    """

    train: Rows
    validation: Rows
    test: Rows
    n_strata: int


def split_rows(raw: RawData, spec: SplitSpec) -> Split:
    """Split ``raw`` as ``spec`` says.

    Raises:
        DataError: If the method is unknown, or a class has too few rows for its parts.
    """
    if spec.method not in SPLIT_METHODS:
        known = ", ".join(SPLIT_METHODS)
        raise DataError(f"data.split.method: must be one of {known}, got {spec.method}")
    return SPLIT_METHODS[spec.method](raw, spec)


def stratified(raw: RawData, spec: SplitSpec) -> Split:
    """Keep the shares of each class; for regression, of each quantile bin of the target.

    Within a stratum rows are ranked by a hash of their contents and the seed. The first ones are
    test rows, the next validation rows, the rest training rows.

    Raises:
        DataError: If a stratum cannot give each part its share to within one row, and at least
            one row. All such classes are named, with their counts.
    """
    places = row_places(row_digests(raw.features, raw.targets), "split", spec.seed)
    if raw.class_names:
        labels = raw.targets
        strata = [np.flatnonzero(labels == label) for label in range(len(raw.class_names))]
        names = [f"class {name}" for name in raw.class_names]
    else:
        strata = quantile_bins(raw.targets, places, _bin_count(len(places), spec))
        names = [f"quantile bin {number} of the target" for number in range(1, len(strata) + 1)]

    train: list[int] = []
    validation: list[int] = []
    test: list[int] = []
    too_few = []
    for name, stratum in zip(names, strata, strict=True):
        sizes = part_sizes(len(stratum), validation=spec.validation, test=spec.test)
        if sizes is None:
            too_few.append(f"{name} has {len(stratum)} row{'' if len(stratum) == 1 else 's'}")
            continue
        _, n_validation, n_test = sizes
        ranked = sorted((int(row) for row in stratum), key=places.__getitem__)
        test.extend(ranked[:n_test])
        validation.extend(ranked[n_test : n_test + n_validation])
        train.extend(ranked[n_test + n_validation :])
    if too_few:
        raise DataError(
            f"data.split: rows do not suffice for validation {spec.validation:g} and "
            f"test {spec.test:g}: {_listed(too_few)}",
            hint="each class must give rows to every part: add rows, or change the shares",
        )

    def in_order(part: list[int]) -> Rows:
        return np.array(sorted(part, key=places.__getitem__), dtype=np.intp)

    return Split(in_order(train), in_order(validation), in_order(test), n_strata=len(strata))


def part_sizes(n_rows: int, *, validation: float, test: float) -> tuple[int, int, int] | None:
    """Rows for training, validation and test out of ``n_rows``.

    Validation and test get their share to within one row, and at least one row if their share is
    above 0; training gets the rest. None if that cannot be, or leaves training without a row.

    >>> part_sizes(50, validation=0.2, test=0.2)
    (30, 10, 10)
    >>> part_sizes(3, validation=0.1, test=0.1)
    (1, 1, 1)
    >>> part_sizes(2, validation=0.1, test=0.1) is None
    True
    """
    shares = (validation, test)
    sizes = [max(1, math.floor(n_rows * share + 0.5)) if share > 0 else 0 for share in shares]
    if sum(sizes) == n_rows:  # both rounded up: the one that gained more gives a row to training
        gains = [size - n_rows * share for size, share in zip(sizes, shares, strict=True)]
        givers = [part for part in (0, 1) if sizes[part] > 1 and gains[part] >= 0]
        if givers:
            sizes[max(givers, key=gains.__getitem__)] -= 1
    n_train = n_rows - sum(sizes)
    return (n_train, sizes[0], sizes[1]) if n_train >= 1 else None


def quantile_bins(targets: Targets, places: Sequence[bytes], n_bins: int) -> list[Rows]:
    """Row numbers in ``n_bins`` bins of almost equal size, by the rank of their target.

    With several outputs the ranks of a row are added, which no change of an output's unit alters.
    Rows of equal rank are told apart by their place, so the source's order stays out of it.

    Args:
        targets: Shape (n, n_outputs).
        places: One key a row, from ``row_places``.
        n_bins: At most n.
    """
    ranks = np.zeros(len(targets), dtype=np.int64)
    for output in targets.T:
        ranks += np.searchsorted(np.sort(output), output)
    ordered = sorted(range(len(targets)), key=lambda row: (ranks[row], places[row]))
    return np.array_split(np.array(ordered, dtype=np.intp), n_bins)


def _bin_count(n_rows: int, spec: SplitSpec) -> int:
    """As many bins as leave each part about one row in each, at most ``MAX_BINS``."""
    shares = (spec.validation, spec.test, 1.0 - spec.validation - spec.test)
    smallest = min((share for share in shares if share > 0), default=1.0)
    return max(1, min(MAX_BINS, int(n_rows * smallest + 1e-9)))


def _listed(items: Sequence[str], limit: int = 5) -> str:
    shown = ", ".join(items[:limit])
    return f"{shown} and {len(items) - limit} more" if len(items) > limit else shown


SPLIT_METHODS: dict[str, Callable[[RawData, SplitSpec], Split]] = {"stratified": stratified}
