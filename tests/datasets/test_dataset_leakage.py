"""Canaries: what stands in validation and test rows alone must not show where training looks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.datasets.tables import labelled, measured, numbers, objects, words
from tunelab.datasets import load_training_data, preparation, prepare
from tunelab.datasets.cache import load_pool
from tunelab.datasets.rows import read_rows
from tunelab.datasets.split import SPLIT_METHODS, Split

ROWS = Split(train=np.arange(24), validation=np.arange(24, 32), test=np.arange(32, 40))
CANARY = "canary"


def mixed(task):
    """Numbers and text of 40 rows, some of them missing."""
    generator = np.random.default_rng(0)
    ages = generator.normal(40, 10, 40)
    ages[::5] = np.nan
    columns = [
        numbers("age", ages),
        words("tint", generator.choice(objects([None, "red", "blue"]), 40).tolist()),
        words("sex", ["f", "m"] * 20),
        numbers("height", generator.normal(170, 5, 40)),
    ]
    if task == "classification":
        return labelled(columns, [0, 1] * 20, ["no", "yes"])
    return measured(columns, generator.normal(1000, 3, (40, 2)))


def poisoned(raw, rows):
    """The same with extreme numbers, unseen texts and new gaps in the given rows."""
    columns = []
    for column in raw.columns:
        values = column.values.copy()
        values[rows] = CANARY if column.categorical else 1e12
        values[rows[0]] = None if column.categorical else np.nan
        columns.append(replace(column, values=values))
    targets = raw.targets.copy()
    if not raw.class_names:
        targets[rows] *= -1e12
    return replace(raw, columns=tuple(columns), targets=targets)


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_canaries_outside_the_training_rows_change_nothing_in_training(
    describe, use_source, monkeypatch, tmp_path, part, task
):
    """Were any statistic taken over all rows, it would move by orders of magnitude."""
    # Membership follows from contents, so the parts have to be held in place.
    monkeypatch.setattr(preparation, "split_rows", lambda raw, digests, spec: ROWS)
    raw = mixed(task)
    spec = describe().model_copy(update={"missing": "impute"})
    results = []
    for data, folder in ((raw, "clean"), (poisoned(raw, getattr(ROWS, part)), "poisoned")):
        use_source(data)
        prepared = prepare(spec, task, tmp_path / folder)
        results.append((prepared, load_training_data(prepared)))
    (clean, clean_data), (changed, changed_data) = results

    assert changed.digest != clean.digest
    assert changed.preprocessing == clean.preprocessing
    assert changed.feature_names == clean.feature_names
    assert changed.target_scaling == clean.target_scaling
    assert changed_data.x_train.tobytes() == clean_data.x_train.tobytes()
    assert changed_data.y_train.tobytes() == clean_data.y_train.tobytes()

    others = ("x_validation.npy", "y_validation.npy", "pool.npz")
    same = set(others) if part == "test" else {"sealed/test.npz"}
    for file in same:
        assert (changed.path / file).read_bytes() == (clean.path / file).read_bytes()
    if part == "validation":
        assert np.ptp(changed_data.x_validation) > 1e9  # the canaries are there
        return
    [file] = (file for file in changed.path.rglob("*.*") if CANARY.encode() in file.read_bytes())
    assert file == changed.path / "sealed" / "test.npz"


@pytest.mark.parametrize("method", SPLIT_METHODS)
def test_the_text_of_a_row_is_where_its_part_belongs_and_nowhere_else(
    describe, use_source, tmp_path, method
):
    """Each row has a word of its own, which can be looked for in every file."""
    own = [f"word-{row:03}-" for row in range(120)]
    raw = labelled(
        [words("word", own), numbers("x", np.arange(120.0))],
        [0, 1] * 60,
        ["a", "b"],
        groups=objects([f"group-{row % 30:02}-" for row in range(120)]),
        times=np.arange(120) % 50.0,
    )
    use_source(raw)
    columns = {"group": "g"} if method == "group" else {"time": "t"} if method == "time" else {}
    prepared = prepare(describe(method=method, **columns), "classification", tmp_path)
    pool, test = load_pool(prepared), read_rows(prepared.path / "sealed" / "test.npz")
    train = set(pool.columns[0].values[: prepared.n_train].tolist())
    validation = set(pool.columns[0].values[prepared.n_train :].tolist())
    sealed = set(test.columns[0].values.tolist())
    assert sorted(train | validation | sealed) == own

    def words_in(file, words=own):
        data = (prepared.path / file).read_bytes()
        return {word for word in words if word.encode() in data}

    assert words_in("meta.json") == train
    assert words_in("pool.npz") == train | validation
    assert words_in("sealed/test.npz") == sealed
    for file in ("x_train.npy", "y_train.npy", "x_validation.npy", "y_validation.npy"):
        assert words_in(file) == set()
    if method == "group":
        groups = set(raw.groups.tolist())
        assert words_in("sealed/test.npz", groups) == set(test.groups.tolist())
        assert words_in("pool.npz", groups) == groups - set(test.groups.tolist())
