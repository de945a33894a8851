"""Splits that keep the shares of each class, or of each range of a numeric target."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tunelab.datasets.digest import Digests, ordered
from tunelab.datasets.sources import RawData, Targets
from tunelab.datasets.split.base import (
    TEST,
    TRAIN,
    VALIDATION,
    Parts,
    Rows,
    count_of,
    listed,
    split_places,
)
from tunelab.errors import DataError

if TYPE_CHECKING:  # a worker imports this package and needs no study file
    from tunelab.spec.study import SplitSpec

MAX_BINS = 10
"""Quantile bins of a regression target: deciles, or fewer where rows are few."""


def stratified(raw: RawData, digests: Digests, spec: SplitSpec) -> Parts:
    """Keep the shares of each class; for regression, of each quantile bin of the target.

    Within a stratum rows are ranked by a hash of their contents and the seed. The first ones are
    test rows, the next validation rows, the rest training rows. Copies of a row are ranked, and
    so dealt out, one by one.

    Raises:
        DataError: If a stratum cannot give each part its share to within one row, and at least
            one row. All such classes are named, with their counts.
    """
    order = ordered(split_places(digests, spec.seed))
    if raw.class_names:
        strata = raw.targets
        names = [f"class {name}" for name in raw.class_names]
    else:
        n_bins = bin_count(raw.n_rows, spec)
        strata = quantile_bins(raw.targets, order, n_bins)
        names = [f"quantile bin {number} of the target" for number in range(1, n_bins + 1)]

    parts = np.full(raw.n_rows, TRAIN, dtype=np.int8)
    too_few = []
    ranked = order[np.argsort(strata[order], kind="stable")]
    counts = np.bincount(strata, minlength=len(names))
    for name, rows in zip(names, np.split(ranked, np.cumsum(counts)[:-1]), strict=True):
        sizes = part_sizes(len(rows), validation=spec.validation, test=spec.test)
        if sizes is None:
            too_few.append(f"{name} has {count_of(len(rows), 'row')}")
            continue
        _, n_validation, n_test = sizes
        parts[rows[:n_test]] = TEST
        parts[rows[n_test : n_test + n_validation]] = VALIDATION
    if too_few:
        raise DataError(
            f"data.split: rows do not suffice for validation {spec.validation:g} and "
            f"test {spec.test:g}: {listed(too_few)}",
            hint="each class must give rows to every part: add rows, or change the shares",
        )
    return parts


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


def quantile_bins(targets: Targets, order: Rows, n_bins: int) -> npt.NDArray[np.intp]:
    """The bin of each row, from 0: ``n_bins`` of almost equal size, by the rank of the target.

    With several outputs the ranks of a row are added, which no change of an output's unit alters.
    Rows of equal rank are told apart by ``order``, so the source's order stays out of it.

    Args:
        targets: Shape (n, n_outputs).
        order: Each row number once.
        n_bins: At most n.
    """
    ranks = np.zeros(len(targets), dtype=np.int64)
    for output in targets.T:
        ranks += np.searchsorted(np.sort(output), output)
    bins = np.empty(len(targets), dtype=np.intp)
    by_rank = order[np.argsort(ranks[order], kind="stable")]
    for number, rows in enumerate(np.array_split(by_rank, n_bins)):
        bins[rows] = number
    return bins


def bin_count(n_rows: int, spec: SplitSpec) -> int:
    """As many bins as leave each part about one row in each, at most ``MAX_BINS``."""
    shares = (spec.validation, spec.test, 1.0 - spec.validation - spec.test)
    smallest = min((share for share in shares if share > 0), default=1.0)
    return max(1, min(MAX_BINS, int(n_rows * smallest + 1e-9)))
