"""The split by time: nobody is tested on what happened before."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datasets.tables import measured, numbers
from tunelab.datasets.digest import row_digests
from tunelab.datasets.split import split_rows
from tunelab.errors import DataError


def at_times(times):
    times = np.asarray(times, dtype=np.float64)
    targets = np.arange(float(len(times)))[:, None]
    return measured([numbers("x", np.arange(len(times)))], targets, times=times)


def times_of_parts(times, *, validation=0.2, test=0.2):
    raw = at_times(times)
    spec = SimpleNamespace(method="time", validation=validation, test=test, seed=0)
    split = split_rows(raw, row_digests(raw), spec)
    return [sorted(raw.times[rows].tolist()) for _, rows in split.items()]


def test_the_last_share_is_for_test_and_the_one_before_for_validation():
    shuffled = np.random.default_rng(0).permutation(100)
    train, validation, test = times_of_parts(shuffled, validation=0.25, test=0.15)
    assert train == list(range(60))
    assert validation == list(range(60, 85))
    assert test == list(range(85, 100))


def test_equal_times_stay_together_at_the_nearest_border():
    # borders after 5, 7 and 8 of 10 rows; 8 before test and 6 for training are asked for
    assert times_of_parts([1] * 5 + [2] * 2 + [3] * 1 + [4] * 2) == [[1] * 5, [2, 2, 3], [4, 4]]


def test_most_rows_at_one_time_leave_each_part_a_time_of_its_own():
    assert times_of_parts([1] + [2] * 98 + [3]) == [[1], [2] * 98, [3]]
    assert times_of_parts([1, 2] + [3] * 98) == [[1], [2], [3] * 98]
    assert times_of_parts([1] * 98 + [2, 3]) == [[1] * 98, [2], [3]]


@settings(deadline=None)
@given(
    times=st.lists(st.integers(-20, 20) | st.floats(-1e12, 1e12), min_size=3, max_size=80),
    validation=st.sampled_from([0.05, 0.2, 0.45]),
    test=st.sampled_from([0.05, 0.2, 0.45]),
)
def test_parts_follow_each_other_in_time_and_are_as_near_to_their_shares_as_can_be(
    times, validation, test
):
    distinct = sorted(set(map(float, times)))
    if len(distinct) < 3:
        with pytest.raises(DataError, match=f"got {len(distinct)} in {len(times)} rows"):
            times_of_parts(times, validation=validation, test=test)
        return
    train, between, last = times_of_parts(times, validation=validation, test=test)
    assert train + between + last == sorted(map(float, times))
    assert max(train) < min(between)
    assert max(between) < min(last)
    for border in distinct[2:]:
        others = sum(time >= border for time in times)
        # within the half row by which a share rounds to a count
        assert abs(len(last) - test * len(times)) <= abs(others - test * len(times)) + 1


def test_rows_without_times_are_refused(classes):
    raw = classes([10, 10])
    spec = SimpleNamespace(method="time", validation=0.2, test=0.2, seed=0)
    with pytest.raises(DataError, match=r"data\.split\.time"):
        split_rows(raw, row_digests(raw), spec)
