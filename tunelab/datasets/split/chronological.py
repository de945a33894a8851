"""A split that validates and tests on what came later, as a network in use will meet it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tunelab.datasets.digest import Digests
from tunelab.datasets.sources import RawData
from tunelab.datasets.split.base import PART_NAMES, TEST, TRAIN, VALIDATION, Parts, count_of
from tunelab.errors import DataError

if TYPE_CHECKING:  # a worker imports this package and needs no study file
    from tunelab.spec.study import SplitSpec


def chronological(raw: RawData, digests: Digests, spec: SplitSpec) -> Parts:  # noqa: ARG001
    """The latest share of the rows is for test, the latest of the others for validation.

    Rows of equal time stay together: each border lies between two times, where the counts come
    nearest to those asked for; of two such places at the earlier one.

    Raises:
        DataError: If the rows have no times, or fewer distinct ones than there are parts.
    """
    if raw.times is None:
        raise DataError("data.split.time: the data have no column of times")
    times, counts = np.unique(raw.times, return_counts=True)
    if len(times) < len(PART_NAMES):
        raise DataError(
            f"data.split.time: needs at least {len(PART_NAMES)} different times, one for each "
            f"part, got {len(times)} in {count_of(raw.n_rows, 'row')}",
            hint="choose another column, or another data.split.method",
        )
    rows_until = np.cumsum(counts)  # entry k: rows no later than times[k]
    n_test, n_validation = (
        math.floor(raw.n_rows * share + 0.5) for share in (spec.test, spec.validation)
    )
    n_before_test = raw.n_rows - n_test
    n_train = n_before_test - n_validation
    last_validation = 1 + int(np.argmin(np.abs(rows_until[1:-1] - n_before_test)))
    last_train = int(np.argmin(np.abs(rows_until[:last_validation] - n_train)))

    parts = np.full(raw.n_rows, TRAIN, dtype=np.int8)
    parts[raw.times > times[last_train]] = VALIDATION
    parts[raw.times > times[last_validation]] = TEST
    return parts
