"""The splits by hash: what was a test row stays one, whatever happens to the other rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datasets.tables import (
    contents,
    joined,
    labelled,
    measured,
    numbers,
    objects,
    taken,
    words,
)
from tunelab.datasets.digest import row_digests
from tunelab.datasets.split import share_notes, split_rows
from tunelab.errors import DataError

TINTS = (None, "", "red", "Grün", "b\0lue")


def spec(method="hash", *, validation=0.2, test=0.2, seed=0):
    return SimpleNamespace(method=method, validation=validation, test=test, seed=seed, group="who")


def people(n_rows, seed, classes=("no", "yes"), n_groups=None):
    """Rows of numbers and text; two seeds have hardly a row in common."""
    generator = np.random.default_rng(seed)
    groups = None
    if n_groups is not None:
        groups = objects([f"g{number}" for number in generator.integers(0, n_groups, n_rows)])
    return labelled(
        [
            numbers("age", np.round(generator.normal(40, 15, n_rows), 3)),
            words("tint", generator.choice(objects(TINTS), n_rows).tolist()),
        ],
        generator.integers(0, len(classes), n_rows),
        classes,
        groups=groups,
    )


def membership(raw, given_spec):
    """The part of each row: contents -> part. Fails if equal rows are in different parts."""
    split = split_rows(raw, row_digests(raw), given_spec)
    found = {}
    for part, rows in split.items():
        for features, label in zip(contents(raw, rows), raw.targets[rows], strict=True):
            row = (*features[:-1], raw.class_names[label])
            assert found.setdefault(row, part) == part
    return found


seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds,
    data_seed=st.integers(0, 10_000),
    n_rows=st.integers(150, 400),
    n_new=st.integers(1, 40),
    n_copies=st.integers(0, 60),
    order=st.randoms(use_true_random=False),
)
def test_new_rows_copies_and_another_order_move_no_old_row(
    seed, data_seed, n_rows, n_new, n_copies, order
):
    old = people(n_rows, data_seed)
    before = membership(old, spec(seed=seed))
    # a tenth of new rows, among them a class that sorts before the others
    new = people(n_new, data_seed + 1, classes=("maybe", "no", "yes"))
    relabelled = labelled(old.columns, old.targets + 1, new.class_names)
    # the new class needs a training row: enough of its rows that one is bound to be there
    sure = people(80, data_seed + 2, classes=new.class_names)
    sure.targets[:] = 0
    grown = joined(joined(relabelled, new), sure)
    positions = [*range(grown.n_rows), *(order.randrange(n_rows) for _ in range(n_copies))]
    order.shuffle(positions)
    after = membership(taken(grown, positions), spec(seed=seed))
    assert {row: after[row] for row in before} == before


@settings(max_examples=25, deadline=None)
@given(seed=seeds, validation=st.sampled_from([0.1, 0.2, 0.3]), test=st.sampled_from([0.1, 0.25]))
def test_shares_hold_within_sampling_error(seed, validation, test):
    raw = people(4000, seed % 1000)
    split = split_rows(raw, row_digests(raw), spec(validation=validation, test=test, seed=seed))
    for rows, share in ((split.validation, validation), (split.test, test)):
        # 5 deviations of a binomial count: once in 1.7 million
        deviation = (4000 * share * (1 - share)) ** 0.5
        assert abs(len(rows) - 4000 * share) < 5 * deviation


def test_the_part_has_nothing_to_do_with_the_class_or_the_values():
    raw = people(20_000, 1)
    test = split_rows(raw, row_digests(raw), spec()).test
    ages = raw.columns[0].values
    assert abs(np.mean(raw.targets[test]) - 0.5) < 5 * 0.5 / len(test) ** 0.5
    assert abs(np.mean(ages[test]) - np.mean(ages)) < 5 * 15 / len(test) ** 0.5


def test_copies_of_a_row_stay_together():
    raw = taken(people(60, 3), np.repeat(np.arange(60), 7))
    found = membership(raw, spec())  # which fails if they do not
    assert Counter(found.values()).keys() == {"train", "validation", "test"}


def test_rows_that_differ_in_one_value_are_dealt_out_one_by_one():
    raw = measured([numbers("x", [1.0] * 1000)], np.arange(1000.0)[:, None])
    split = split_rows(raw, row_digests(raw), spec())
    assert 140 < len(split.test) < 260


def test_a_group_is_never_torn_apart():
    raw = people(500, 5, n_groups=30)
    split = split_rows(raw, row_digests(raw), spec("group"))
    groups = [set(raw.groups[rows].tolist()) for _, rows in split.items()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 30


def test_the_part_of_a_group_follows_from_its_name_alone():
    raw = people(500, 5, n_groups=30)
    split = split_rows(raw, row_digests(raw), spec("group", seed=9))
    for part, rows in split.items():
        for group in set(raw.groups[rows].tolist()):
            name = hashlib.sha256(group.encode()).digest()
            u = int.from_bytes(hashlib.sha256(b"group 9 " + name).digest()[:8], "big") / 2**64
            assert part == ("test" if u < 0.2 else "validation" if u < 0.4 else "train")


def test_new_groups_move_no_old_group():
    old = people(500, 5, n_groups=30)
    new = people(400, 6, n_groups=80)
    before, after = (
        split_rows(raw, row_digests(raw), spec("group")) for raw in (old, joined(new, old))
    )
    for (_, was), (_, is_now) in zip(before.items(), after.items(), strict=True):
        assert set((was + 400).tolist()) == {row for row in is_now.tolist() if row >= 400}


@pytest.mark.parametrize("n_groups", [1, 2])
def test_fewer_groups_than_parts_are_refused_whatever_the_seed(n_groups):
    raw = people(40, 2, n_groups=n_groups)
    with pytest.raises(DataError) as caught:
        split_rows(raw, row_digests(raw), spec("group"))
    groups = "1 group" if n_groups == 1 else "2 groups"
    assert caught.value.message == (
        f"data.split.group: column who has {groups}, and three parts need at least 3"
    )


def test_a_part_that_is_far_from_its_share_is_noted():
    """With the seed 0, u is below 0.2 for test and below 0.4 for validation."""

    def part(group):
        name = hashlib.sha256(group.encode()).digest()
        u = int.from_bytes(hashlib.sha256(b"group 0 " + name).digest()[:8], "big") / 2**64
        return "test" if u < 0.2 else "validation" if u < 0.4 else "train"

    named = [f"store {number}" for number in range(100)]
    by_part = {
        name: [g for g in named if part(g) == name] for name in ("train", "validation", "test")
    }
    # 100 rows: 50 instead of 60 is within a quarter, 10 and 40 instead of 20 are not
    sizes = {"train": 5, "validation": 1, "test": 4}
    groups = [group for name, n in sizes.items() for group in by_part[name][:n] for _ in range(10)]
    raw = replace(people(100, 5), groups=objects(groups))
    given_spec = spec("group")
    split = split_rows(raw, row_digests(raw), given_spec)
    (note,) = share_notes(raw, split, given_spec)
    assert note == (
        "of the 100 rows validation has 10, asked for 20; test has 40, asked for 20: whole groups "
        "go one way, and column who has 10 of them; another data.split.seed deals them anew"
    )
    enough = people(4000, 5)
    even = split_rows(enough, row_digests(enough), spec())
    assert share_notes(enough, even, spec()) == []


@pytest.mark.parametrize("method", ["hash", "group"])
def test_a_part_that_stays_empty_is_named(method):
    raw = taken(people(40, 2, n_groups=1), [0] * 40)
    if method == "group":  # three groups that all go to training
        raw = replace(raw, groups=objects([f"store {k % 3}" for k in range(40)]))
    with pytest.raises(DataError, match=rf"method {method} deals out .* none of the 40 rows to"):
        split_rows(raw, row_digests(raw), spec(method))


def test_a_group_split_of_rows_without_groups_is_refused(classes):
    raw = classes([10, 10])
    with pytest.raises(DataError, match=r"data\.split\.group"):
        split_rows(raw, row_digests(raw), spec("group"))
