"""Membership in a part depends on a row's contents and the seed, and on nothing else."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunelab.datasets.sources import RawData
from tunelab.datasets.split import part_sizes, split_rows
from tunelab.errors import DataError


def shuffled(raw, seed=1):
    order = np.random.default_rng(seed).permutation(len(raw.features))
    return replace(raw, features=raw.features[order], targets=raw.targets[order])


def contents(raw, rows):
    """The rows of a part as comparable values, in the part's order."""
    targets = raw.targets.reshape(len(raw.targets), -1)
    return [(*raw.features[row].tolist(), *targets[row].tolist()) for row in rows]


def parts(raw, spec):
    split = split_rows(raw, spec)
    return [contents(raw, part) for part in (split.train, split.validation, split.test)]


def assert_partition(split, n_rows):
    everything = np.concatenate([split.train, split.validation, split.test])
    assert sorted(everything.tolist()) == list(range(n_rows))


def test_the_sources_order_changes_neither_the_parts_nor_their_order(describe, classes):
    raw, spec = classes([40, 25, 35]), describe().split
    assert parts(shuffled(raw), spec) == parts(raw, spec)


def test_the_sources_order_changes_no_regression_split_either(describe, numbers):
    raw, spec = numbers(101), describe().split
    raw.targets[:60] = 7.0  # ties across the borders of bins
    assert parts(shuffled(raw), spec) == parts(raw, spec)


def test_another_seed_gives_another_split(describe, classes):
    raw = classes([50, 50])
    first, second = (parts(raw, describe(seed=seed).split)[2] for seed in (0, 1))
    # 20 of 100 rows twice: about 4 in common, never nearly all
    assert len(set(first) & set(second)) < 12


def test_another_validation_share_keeps_the_test_rows(describe, classes):
    raw = classes([50, 50])
    assert (
        parts(raw, describe(validation=0.1).split)[2]
        == parts(raw, describe(validation=0.4).split)[2]
    )


def test_each_class_keeps_its_shares(describe, classes):
    raw = classes([100, 40, 10])
    split = split_rows(raw, describe(validation=0.2, test=0.1).split)
    for part, expected in ((split.train, [70, 28, 7]), (split.validation, [20, 8, 2])):
        assert np.bincount(raw.targets[part]).tolist() == expected
    assert np.bincount(raw.targets[split.test]).tolist() == [10, 4, 1]
    assert split.n_strata == 3
    assert_partition(split, 150)


def test_classes_are_mixed_within_a_part(describe, classes):
    """No part comes class by class, whoever reads only its beginning."""
    raw = classes([50, 50])
    labels = raw.targets[split_rows(raw, describe().split).train]
    assert 5 <= np.count_nonzero(labels[:30]) <= 25  # 15 expected, deviation below 3


def test_rare_classes_stand_in_every_part(describe, classes):
    raw = classes([97, 3])
    split = split_rows(raw, describe(validation=0.1, test=0.1).split)
    for part in (split.train, split.validation, split.test):
        assert np.count_nonzero(raw.targets[part] == 1) == 1


def test_too_small_classes_are_named_with_their_counts(describe, classes):
    with pytest.raises(DataError, match=r"class b has 2 rows, class d has 1 row$") as caught:
        split_rows(classes([20, 2, 20, 1]), describe().split)
    assert "validation 0.2 and test 0.2" in str(caught.value)
    assert caught.value.hint is not None


def test_copies_of_a_row_are_shared_out_like_other_rows(describe, classes):
    raw = classes([60, 40])
    copies = replace(
        raw,
        features=np.tile(raw.features[:1], (100, 1)),
    )
    split = split_rows(copies, describe().split)
    assert (len(split.train), len(split.validation), len(split.test)) == (60, 20, 20)
    assert_partition(split, 100)
    again = split_rows(copies, describe().split)
    assert again.test.tolist() == split.test.tolist()


def test_a_few_copies_do_not_depend_on_the_sources_order(describe, classes):
    raw = classes([60, 40])
    raw.features[10:25] = raw.features[10]
    raw.features[70:72] = raw.features[70]
    assert parts(shuffled(raw, seed=5), describe().split) == parts(raw, describe().split)


def test_minus_zero_is_zero(describe, classes):
    raw = classes([30, 30])
    raw.features[:, 0] = 0.0
    negative = replace(raw, features=np.where(raw.features == 0.0, -0.0, raw.features))
    first, second = (split_rows(data, describe().split).test for data in (raw, negative))
    assert first.tolist() == second.tolist()


def test_regression_parts_cover_the_range_of_the_target(describe, numbers):
    raw = numbers(500, n_outputs=1)
    split = split_rows(raw, describe().split)
    assert (len(split.validation), len(split.test)) == (100, 100)
    deciles = np.quantile(raw.targets[:, 0], np.linspace(0.1, 0.9, 9))
    for part in (split.validation, split.test):
        # 50 rows a decile at shares of 0.2: exactly 10 in each
        assert np.bincount(np.searchsorted(deciles, raw.targets[part, 0])).tolist() == [10] * 10


def test_the_unit_of_a_target_does_not_matter(describe, numbers):
    """Stratifying adds ranks, so centimetres or metres give bins of the same rows."""
    from tunelab.datasets.split import quantile_bins

    raw = numbers(90)
    places = [bytes([row]) for row in range(90)]
    expected = [bin_.tolist() for bin_ in quantile_bins(raw.targets, places, 6)]
    rescaled = raw.targets * np.array([0.01, 250.0])
    assert [bin_.tolist() for bin_ in quantile_bins(rescaled, places, 6)] == expected


def test_few_regression_rows_get_fewer_bins(describe, numbers):
    split = split_rows(numbers(20), describe().split)
    assert split.n_strata == 4
    assert (len(split.train), len(split.validation), len(split.test)) == (12, 4, 4)


def test_regression_needs_a_row_for_each_part(describe, numbers):
    with pytest.raises(DataError, match="quantile bin 1 of the target has 2 rows"):
        split_rows(numbers(2), describe().split)


def test_an_unknown_method_is_refused(classes):
    spec = SimpleNamespace(method="alphabetical", validation=0.2, test=0.2, seed=0)
    with pytest.raises(DataError, match=r"data\.split\.method: .*got alphabetical"):
        split_rows(classes([10, 10]), spec)


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
    seed=st.integers(0, 2**40),
    order=st.randoms(use_true_random=False),
    validation=st.sampled_from([0.1, 0.2, 0.35]),
    test=st.sampled_from([0.0, 0.1, 0.25]),
    n_values=st.integers(1, 5),
)
def test_a_split_is_a_stable_stratified_partition(labels, seed, order, validation, test, n_values):
    labels = np.array([0, 1, 2] * 3 + labels, dtype=np.int64)
    raw = RawData(
        # few values, so that most rows have copies
        features=(np.arange(len(labels)) * 7 % n_values).astype(np.float64)[:, None],
        targets=labels,
        feature_names=("x",),
        class_names=("a", "b", "c"),
        target_names=("class",),
    )
    spec = SimpleNamespace(method="stratified", validation=validation, test=test, seed=seed)
    split = split_rows(raw, spec)
    assert_partition(split, len(labels))
    for part, share in ((split.validation, validation), (split.test, test)):
        in_part = np.bincount(labels[part], minlength=3)
        assert np.all(np.abs(in_part - share * np.bincount(labels)) <= 1)

    positions = list(range(len(labels)))
    order.shuffle(positions)
    moved = replace(raw, features=raw.features[positions], targets=labels[positions])
    assert parts(moved, spec) == parts(raw, spec)
