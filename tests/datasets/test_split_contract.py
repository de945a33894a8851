"""What every split method keeps: each row in one part, whatever order the source has them in."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from tests.datasets.tables import contents, labelled, numbers, objects, shuffled, taken, words
from tunelab.datasets.digest import row_digests
from tunelab.datasets.split import SPLIT_METHODS, split_rows
from tunelab.errors import DataError

every_method = pytest.mark.parametrize("method", SPLIT_METHODS)


def spec(method, *, validation=0.2, test=0.2, seed=0):
    return SimpleNamespace(method=method, validation=validation, test=test, seed=seed)


def rows(n_rows=400, seed=0):
    """Numbers and text, with copies, missing values, 40 groups and times that occur repeatedly."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=n_rows)
    values[generator.random(n_rows) < 0.1] = np.nan
    tints = generator.choice(objects([None, "red", "green", "b\0lue"]), n_rows)
    raw = labelled(
        [numbers("x", values), words("tint", tints.tolist())],
        generator.integers(0, 3, n_rows),
        ["a", "b", "c"],
        groups=objects([f"group {number}" for number in generator.integers(0, 40, n_rows)]),
        times=generator.integers(0, 50, n_rows).astype(np.float64),
    )
    copied = generator.integers(0, n_rows, n_rows // 4)
    return taken(raw, np.concatenate([np.arange(n_rows - len(copied)), copied]))


def split_of(raw, given_spec):
    return split_rows(raw, row_digests(raw), given_spec)


def parts(raw, given_spec):
    return {part: contents(raw, at) for part, at in split_of(raw, given_spec).items()}


@every_method
def test_each_row_is_in_one_part(method):
    split = split_of(rows(), spec(method))
    everything = np.concatenate([split.train, split.validation, split.test])
    assert sorted(everything.tolist()) == list(range(400))
    assert min(len(split.train), len(split.validation), len(split.test)) > 20


@every_method
def test_the_sources_order_changes_neither_the_parts_nor_their_order(method):
    raw = rows()
    assert parts(shuffled(raw), spec(method)) == parts(raw, spec(method))


@every_method
def test_classes_and_times_are_mixed_within_a_part(method):
    """No part comes sorted, whoever reads only its beginning."""
    raw = rows()
    raw = taken(raw, np.lexsort((raw.times, raw.targets)))
    train = split_of(raw, spec(method)).train
    assert len(set(raw.targets[train[:20]].tolist())) == 3
    steps = np.diff(raw.times[train[:40]])
    assert np.count_nonzero(steps > 0) > 5 < np.count_nonzero(steps < 0)


@every_method
def test_another_validation_share_keeps_the_test_rows(method):
    raw = rows()
    little, much = (parts(raw, spec(method, validation=share))["test"] for share in (0.1, 0.4))
    assert sorted(little, key=repr) == sorted(much, key=repr)


@pytest.mark.parametrize("method", ["stratified", "hash", "group"])
def test_another_seed_gives_another_split(method):
    raw = rows()
    first, second = (set(split_of(raw, spec(method, seed=seed)).test.tolist()) for seed in (0, 1))
    assert len(first & second) < 0.6 * len(first)


@every_method
def test_a_class_that_no_training_row_has_is_named(method):
    """A network would have an output that nothing has taught."""
    raw = rows()
    raw.times[-1] = 1e9
    raw.groups[-1] = "a group of its own"
    lonely = labelled(
        raw.columns, [0] * 399 + [1], ["common", "rare"], groups=raw.groups, times=raw.times
    )
    taught, refused = 0, 0
    for seed in range(20):
        try:
            taught += 399 in split_of(lonely, spec(method, seed=seed)).train
        except DataError as error:
            assert re.search(r"class rare \(1 row\)|class rare has 1 row", str(error))  # noqa: PT017
            assert error.hint is not None  # noqa: PT017
            refused += 1
    assert taught + refused == 20
    # 12 of 20 expected where a hash decides, deviation 2.2
    assert taught == 0 if method in ("stratified", "time") else 4 <= taught <= 19


def test_an_unknown_method_is_refused():
    with pytest.raises(DataError, match=r"data\.split\.method: .*got alphabetical"):
        split_of(rows(), spec("alphabetical"))
