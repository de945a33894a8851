"""The stratified split: every class, or every range of the target, keeps its shares."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datasets.tables import contents, labelled, numbers, numeric_columns, shuffled, taken
from tunelab.datasets.digest import row_digests
from tunelab.datasets.split import split_rows
from tunelab.datasets.split.stratified import bin_count, part_sizes, quantile_bins
from tunelab.errors import DataError


def split_of(raw, spec):
    return split_rows(raw, row_digests(raw), spec)


def parts(raw, spec):
    return [contents(raw, rows) for _, rows in split_of(raw, spec).items()]


def test_ties_across_the_borders_of_bins_do_not_depend_on_the_sources_order(describe, numbers):
    raw, spec = numbers(101), describe().split
    raw.targets[:60] = 7.0
    assert parts(shuffled(raw), spec) == parts(raw, spec)


def test_each_class_keeps_its_shares(describe, classes):
    raw = classes([100, 40, 10])
    split = split_of(raw, describe(validation=0.2, test=0.1).split)
    for part, expected in ((split.train, [70, 28, 7]), (split.validation, [20, 8, 2])):
        assert np.bincount(raw.targets[part]).tolist() == expected
    assert np.bincount(raw.targets[split.test]).tolist() == [10, 4, 1]


def test_rare_classes_stand_in_every_part(describe, classes):
    raw = classes([97, 3])
    split = split_of(raw, describe(validation=0.1, test=0.1).split)
    for part in (split.train, split.validation, split.test):
        assert np.count_nonzero(raw.targets[part] == 1) == 1


def test_too_small_classes_are_named_with_their_counts(describe, classes):
    with pytest.raises(DataError, match=r"class b has 2 rows, class d has 1 row$") as caught:
        split_of(classes([20, 2, 20, 1]), describe().split)
    assert "validation 0.2 and test 0.2" in str(caught.value)
    assert caught.value.hint is not None


def test_copies_of_a_row_are_shared_out_like_other_rows(describe, classes):
    raw = classes([60, 40])
    copies = replace(raw, columns=numeric_columns(np.ones((100, 3))))
    split = split_of(copies, describe().split)
    assert (len(split.train), len(split.validation), len(split.test)) == (60, 20, 20)
    again = split_of(copies, describe().split)
    assert again.test.tolist() == split.test.tolist()


def test_minus_zero_is_zero(describe, classes):
    raw = classes([30, 30])
    zeros = numbers("zero", [0.0] * 60)
    positive, negative = (
        replace(raw, columns=(replace(zeros, values=zeros.values * sign), *raw.columns))
        for sign in (1, -1)
    )
    first, second = (split_of(data, describe().split).test for data in (positive, negative))
    assert first.tolist() == second.tolist()


def test_regression_parts_cover_the_range_of_the_target(describe, numbers):
    raw = numbers(500, n_outputs=1)
    split = split_of(raw, describe().split)
    assert (len(split.validation), len(split.test)) == (100, 100)
    deciles = np.quantile(raw.targets[:, 0], np.linspace(0.1, 0.9, 9))
    for part in (split.validation, split.test):
        # 50 rows a decile at shares of 0.2: exactly 10 in each
        assert np.bincount(np.searchsorted(deciles, raw.targets[part, 0])).tolist() == [10] * 10


def test_the_unit_of_a_target_does_not_matter(numbers):
    """Stratifying adds ranks, so centimetres or metres give bins of the same rows."""
    raw = numbers(90)
    expected = quantile_bins(raw.targets, np.arange(90), 6)
    assert np.bincount(expected).tolist() == [15] * 6
    rescaled = raw.targets * np.array([0.01, 250.0])
    assert quantile_bins(rescaled, np.arange(90), 6).tolist() == expected.tolist()


def test_few_regression_rows_get_fewer_bins(describe, numbers):
    assert bin_count(20, describe().split) == 4
    split = split_of(numbers(20), describe().split)
    assert (len(split.train), len(split.validation), len(split.test)) == (12, 4, 4)


def test_regression_needs_a_row_for_each_part(describe, numbers):
    with pytest.raises(DataError, match="quantile bin 1 of the target has 2 rows"):
        split_of(numbers(2), describe().split)


def test_training_keeps_a_row_when_both_shares_round_up():
    # 4 * 0.45 = 1.8 rounds to 2 and 2, which is all; the first gives one back
    assert part_sizes(4, validation=0.45, test=0.45) == (1, 1, 2)


shares = st.floats(0.01, 0.6)


@given(n_rows=st.integers(0, 400), validation=shares, test=shares | st.just(0.0))
def test_sizes_are_within_one_row_of_the_shares_or_none(n_rows, validation, test):
    sizes = part_sizes(n_rows, validation=validation, test=test)
    if sizes is None:
        # Only where training would go without a row.
        assert n_rows * (1 - validation - test) < 2
        return
    assert sum(sizes) == n_rows
    assert sizes[0] >= 1
    assert abs(sizes[1] - n_rows * validation) <= 1
    assert abs(sizes[2] - n_rows * test) <= 1
    assert sizes[1] >= 1
    assert (sizes[2] >= 1) == (test > 0)


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 2), min_size=12, max_size=60),
    seed=st.integers(0, 2**32 - 1),
    order=st.randoms(use_true_random=False),
    validation=st.sampled_from([0.1, 0.2, 0.35]),
    test=st.sampled_from([0.1, 0.25]),
    n_values=st.integers(1, 5),
)
def test_a_split_is_a_stable_stratified_partition(labels, seed, order, validation, test, n_values):
    labels = np.array([0, 1, 2] * 3 + labels, dtype=np.int64)
    # few values, so that most rows have copies
    raw = labelled([numbers("x", np.arange(len(labels)) * 7 % n_values)], labels, "abc")
    spec = SimpleNamespace(method="stratified", validation=validation, test=test, seed=seed)
    split = split_of(raw, spec)
    for part, share in ((split.validation, validation), (split.test, test)):
        in_part = np.bincount(labels[part], minlength=3)
        assert np.all(np.abs(in_part - share * np.bincount(labels)) <= 1)

    positions = list(range(len(labels)))
    order.shuffle(positions)
    assert parts(taken(raw, positions), spec) == parts(raw, spec)
