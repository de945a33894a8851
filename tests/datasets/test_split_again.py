"""A pool of training and validation rows is split again, and nothing else is looked at."""

from __future__ import annotations

import numpy as np
import pytest

from tests.datasets.tables import contents
from tunelab.datasets import load_training_data, prepare, split_again
from tunelab.datasets.cache import (
    POOL_FILE,
    SEALED_FILE,
    has_pool,
    has_sealed,
    load_pool,
    open_sealed,
)
from tunelab.datasets.cache import (
    test_data as judged_on_test_rows,
)
from tunelab.errors import DataError


def rows_of(data):
    """The training and validation rows as networks see them, targets included, without order."""
    return sorted(map(tuple, np.column_stack([data.x_train, data.y_train]).tolist())), sorted(
        map(tuple, np.column_stack([data.x_validation, data.y_validation]).tolist())
    )


def test_shares_stay_and_the_rows_are_dealt_out_anew(describe, tmp_path):
    data = describe("iris")
    whole = prepare(data, "classification", tmp_path)
    other = split_again(whole, data, seed=7)
    assert (other.n_train, other.n_validation, other.n_test) == (90, 30, 0)
    first, second = load_training_data(whole), load_training_data(other)
    # As many of each class as before, and not the same rows.
    assert np.bincount(second.y_validation).tolist() == [10, 10, 10]
    assert rows_of(first) != rows_of(second)
    assert len({whole.digest, other.digest, split_again(whole, data, seed=8).digest}) == 3
    assert split_again(whole, data, seed=7) == other


def test_the_preprocessing_is_learnt_from_the_new_training_rows(describe, tmp_path):
    data = describe("wine")
    whole = prepare(data, "classification", tmp_path)
    other = load_training_data(split_again(whole, data, seed=3))
    np.testing.assert_allclose(other.x_train.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(other.x_train.std(axis=0), 1.0, atol=1e-4)
    assert np.abs(other.x_validation.mean(axis=0)).max() > 1e-3


def test_the_test_rows_are_neither_read_nor_copied(describe, tmp_path, monkeypatch):
    data = describe("wine")
    whole = prepare(data, "classification", tmp_path)
    (whole.path / SEALED_FILE).write_bytes(b"nothing that could be read"[:10])
    other = split_again(whole, data, seed=3)
    assert not has_sealed(other)
    assert not has_pool(other)
    assert other.test_digest == whole.test_digest
    assert has_sealed(whole)
    assert (whole.path / POOL_FILE).is_file()


def test_wrong_labels_stay_as_they_are(describe, tmp_path):
    data = describe("iris", noise={"share": 0.2, "seed": 1})
    whole = prepare(data, "classification", tmp_path)
    pool = load_pool(whole)
    other = load_training_data(split_again(whole, data, seed=5))
    labels = np.concatenate([other.y_train, other.y_validation])
    assert np.bincount(labels).tolist() == np.bincount(pool.targets).tolist()


def test_groups_stay_together(describe, classes, use_source, tmp_path):
    raw = classes([60, 60])
    groups = np.array([f"g{row % 12}" for row in range(120)], dtype=object)
    object.__setattr__(raw, "groups", groups)
    for place, column in enumerate(raw.columns):
        if place == 0:
            column.values[:] = [float(row % 12) for row in range(120)]  # tells the group
    use_source(raw)
    data = describe("iris", method="group", group="g")
    whole = prepare(data, "classification", tmp_path)
    parts = set()
    for seed in range(40):
        try:
            other = split_again(whole, data, seed=seed)
        except DataError:
            continue  # few groups: some seeds give a part none
        arrays = load_training_data(other)
        train, validation = (set(x[:, 0].tolist()) for x in (arrays.x_train, arrays.x_validation))
        assert not train & validation
        parts.add(len(validation))
    assert parts


def test_without_the_pool_there_is_nothing_to_split(describe, tmp_path):
    data = describe("iris")
    whole = prepare(data, "classification", tmp_path)
    (whole.path / POOL_FILE).unlink()
    with pytest.raises(DataError, match="the file is missing"):
        split_again(whole, data, seed=1)


def test_test_rows_are_judged_with_the_preprocessing_of_the_split(
    describe, numbers, use_source, tmp_path
):
    raw = numbers(200)
    use_source(raw)
    data = describe("diabetes", method="hash")
    whole = prepare(data, "regression", tmp_path)
    other = split_again(whole, data, seed=2)
    sealed = open_sealed(whole)
    judged = judged_on_test_rows(other, sealed)
    assert len(judged.x_validation) == whole.n_test
    back = judged.y_validation * judged.target_scale + judged.target_mean
    np.testing.assert_allclose(back, sealed.targets, rtol=1e-4)
    (first,) = other.preprocessing.transforms[:1]
    expected = (sealed.columns[0].values - first.mean) / first.scale
    np.testing.assert_allclose(judged.x_validation[:, 0], expected, atol=1e-5)
    assert not {row[0] for row in contents(sealed)} & {row[0] for row in contents(load_pool(whole))}
