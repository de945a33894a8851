"""Preparing: what goes into the arrays, and what must not."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tunelab.datasets import load_training_data, open_prepared, preparation, prepare
from tunelab.datasets.split import Split
from tunelab.errors import DataError


def meta(prepared):
    return json.loads((prepared.path / "meta.json").read_text())


def array(prepared, name):
    return np.load(prepared.path / name, allow_pickle=False)


def sealed(prepared):
    with np.load(prepared.path / "sealed" / "test.npz", allow_pickle=False) as file:
        return file["features"], file["targets"]


def test_iris_as_arrays(describe, tmp_path):
    prepared = prepare(describe("iris"), "classification", tmp_path)
    assert (prepared.n_train, prepared.n_validation, prepared.n_test) == (90, 30, 30)
    assert (prepared.n_features, prepared.n_outputs, prepared.task) == (4, 3, "classification")
    assert prepared.class_names == ("setosa", "versicolor", "virginica")
    data = load_training_data(prepared)
    assert (data.x_train.shape, data.x_train.dtype) == ((90, 4), np.float32)
    assert (data.y_train.shape, data.y_train.dtype) == ((90,), np.int64)
    assert data.x_validation.shape == (30, 4)
    assert np.bincount(data.y_train).tolist() == [30, 30, 30]
    assert data.n_classes == 3
    assert data.target_mean.shape == data.target_scale.shape == (0,)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("iris", "classification"),
        ("wine", "classification"),
        ("breast_cancer", "classification"),
        ("digits", "classification"),
        ("diabetes", "regression"),
        ("linnerud", "regression"),
    ],
)
def test_every_bundled_set_can_be_prepared(describe, tmp_path, name, task):
    prepared = prepare(describe(name), task, tmp_path)
    data = load_training_data(prepared)
    assert data.task == task
    assert data.n_features == prepared.n_features
    assert data.n_outputs == prepared.n_outputs
    for values in (data.x_train, data.x_validation):
        assert np.all(np.isfinite(values))


def test_scaling_is_computed_from_training_rows_by_hand(describe, tmp_path):
    prepared = prepare(describe("wine"), "classification", tmp_path)
    raw = array(prepared, "pool_x.npy")
    train, validation = raw[: prepared.n_train], raw[prepared.n_train :]
    assert validation.shape == (prepared.n_validation, 13)
    mean = train.sum(axis=0) / len(train)
    scale = np.sqrt(((train - mean) ** 2).sum(axis=0) / len(train))
    assert prepared.feature_mean == pytest.approx(mean)
    assert prepared.feature_scale == pytest.approx(scale)
    data = load_training_data(prepared)
    np.testing.assert_allclose(data.x_train, (train - mean) / scale, atol=1e-5)
    np.testing.assert_allclose(data.x_validation, (validation - mean) / scale, atol=1e-5)


def test_digits_keeps_its_constant_pixels_at_zero(describe, tmp_path):
    prepared = prepare(describe("digits"), "classification", tmp_path)
    raw = array(prepared, "pool_x.npy")[: prepared.n_train]
    constant = np.ptp(raw, axis=0) == 0
    assert constant.any()
    assert np.all(load_training_data(prepared).x_train[:, constant] == 0)


def test_regression_targets_are_standardised_and_recovered(describe, tmp_path):
    prepared = prepare(describe("linnerud"), "regression", tmp_path)
    data = load_training_data(prepared)
    assert (data.y_train.shape, data.y_train.dtype) == ((12, 3), np.float32)
    assert data.y_train.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-6)
    assert data.y_train.std(axis=0) == pytest.approx(np.ones(3), abs=1e-6)
    raw = array(prepared, "pool_y.npy")
    for values, original in ((data.y_train, raw[:12]), (data.y_validation, raw[12:])):
        np.testing.assert_allclose(
            values * data.target_scale + data.target_mean, original, rtol=1e-6
        )


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_extreme_values_outside_training_rows_change_nothing_in_training(
    describe, classes, numbers, use_source, monkeypatch, tmp_path, part, task
):
    """The canary: were any statistic taken over all rows, it would move by orders of magnitude."""
    raw = classes([20, 20]) if task == "classification" else numbers(40)
    rows = {
        "train": np.arange(0, 24),
        "validation": np.arange(24, 32),
        "test": np.arange(32, 40),
    }
    split = Split(**rows, n_strata=1)
    monkeypatch.setattr(preparation, "split_rows", lambda data, spec: split)
    poisoned = replace(raw, features=raw.features.copy(), targets=raw.targets.copy())
    poisoned.features[rows[part]] *= 1e12
    if task == "regression":
        poisoned.targets[rows[part]] *= -1e12

    results = []
    for data, folder in ((raw, "clean"), (poisoned, "poisoned")):
        use_source(data)
        prepared = prepare(describe(), task, tmp_path / folder)
        results.append((prepared, load_training_data(prepared)))
    (clean, clean_data), (changed, changed_data) = results
    assert changed.digest != clean.digest
    assert changed.feature_mean == clean.feature_mean
    assert changed.feature_scale == clean.feature_scale
    assert changed.target_mean == clean.target_mean
    assert changed.target_scale == clean.target_scale
    assert changed_data.x_train.tobytes() == clean_data.x_train.tobytes()
    assert changed_data.y_train.tobytes() == clean_data.y_train.tobytes()


def test_no_row_is_in_two_parts_and_none_is_lost(describe, classes, use_source, tmp_path):
    raw = classes([50, 31])
    use_source(raw)
    prepared = prepare(describe(), "classification", tmp_path)
    pool, (test, _) = array(prepared, "pool_x.npy"), sealed(prepared)
    assert len(pool) == prepared.n_train + prepared.n_validation
    stored = np.concatenate([pool, test])
    assert sorted(stored.tolist()) == sorted(raw.features.tolist())


def test_the_sources_order_changes_no_byte_of_the_arrays(describe, classes, use_source, tmp_path):
    raw = classes([30, 30, 30])
    raw.features[10:20] = raw.features[10]
    order = np.random.default_rng(0).permutation(90)
    results = []
    for number, data in enumerate(
        (raw, replace(raw, features=raw.features[order], targets=raw.targets[order]))
    ):
        use_source(data)
        noise = {"share": 0.2, "seed": 4}
        results.append(prepare(describe(noise=noise), "classification", tmp_path / str(number)))
    first, second = results
    assert first.digest == second.digest
    assert first.test_digest == second.test_digest
    for file in sorted(first.path.rglob("*.np?")):
        other = second.path / file.relative_to(first.path)
        assert other.read_bytes() == file.read_bytes(), file.name


def test_the_digest_changes_with_data_split_and_noise(describe, tmp_path):
    def digest(**changes):
        return prepare(describe(**changes), "classification", tmp_path).digest

    digests = [
        digest(),
        digest(name="wine"),
        digest(seed=1),
        digest(validation=0.3),
        digest(noise={"share": 0.1, "seed": 0}),
        digest(noise={"share": 0.1, "seed": 1}),
    ]
    assert len(set(digests)) == len(digests)
    assert all(len(value) == 64 for value in digests)


def test_label_noise_reaches_training_and_validation_rows_only(describe, tmp_path):
    share = 0.15
    clean = prepare(describe("digits"), "classification", tmp_path)
    noisy = prepare(
        describe("digits", noise={"share": share, "seed": 0}), "classification", tmp_path
    )
    for name, n_rows in (("y_train", clean.n_train), ("y_validation", clean.n_validation)):
        wrong = np.count_nonzero(array(noisy, f"{name}.npy") != array(clean, f"{name}.npy"))
        assert wrong == int(n_rows * share + 0.5)
    assert array(noisy, "x_train.npy").tobytes() == array(clean, "x_train.npy").tobytes()
    for noisy_values, clean_values in zip(sealed(noisy), sealed(clean), strict=True):
        assert noisy_values.tobytes() == clean_values.tobytes()
    assert noisy.test_digest == clean.test_digest
    # The pool has the same wrong labels, for whoever splits it again.
    labels = [array(noisy, f"y_{part}.npy") for part in ("train", "validation")]
    assert array(noisy, "pool_y.npy").tolist() == np.concatenate(labels).tolist()


def test_label_noise_needs_classes(describe, tmp_path):
    spec = describe("diabetes", noise={"share": 0.1, "seed": 0})
    with pytest.raises(DataError, match=r"data\.label_noise: needs classes"):
        prepare(spec, "regression", tmp_path)


def test_meta_describes_the_data(describe, tmp_path):
    prepared = prepare(describe("iris", seed=3), "classification", tmp_path)
    written = meta(prepared)
    assert written["format"] == 1
    assert written["key"] == prepared.path.name
    assert written["rows"] == {"train": 90, "validation": 30, "test": 30}
    assert written["class_counts"]["validation"] == [10, 10, 10]
    assert written["split"]["method"] == "stratified"
    assert written["split"]["seed"] == 3
    assert written["features"]["mean"] == list(prepared.feature_mean)
    assert prepared.feature_names[0] == "sepal length (cm)"
    assert open_prepared(prepared.path) == prepared


def test_a_second_preparation_reads_no_source(describe, monkeypatch, tmp_path):
    first = prepare(describe(), "classification", tmp_path)

    def unreachable(data, task):
        raise AssertionError("the source was read again")

    monkeypatch.setattr(preparation, "read_source", unreachable)
    assert prepare(describe(), "classification", tmp_path) == first


def test_another_version_of_the_source_is_another_folder(describe, monkeypatch, tmp_path):
    first = prepare(describe(), "classification", tmp_path)
    monkeypatch.setattr(preparation, "source_fingerprint", lambda data: "scikit-learn 99.0")
    second = prepare(describe(), "classification", tmp_path)
    assert second.path != first.path
    assert second.digest == first.digest


def test_unusable_data_leave_no_cache_behind(describe, tmp_path):
    cache = tmp_path / "state" / "cache"
    with pytest.raises(DataError):
        prepare(describe("iris"), "regression", cache)
    with pytest.raises(DataError):
        prepare(describe("iris", noise={"share": 0.1, "seed": 0}), "regression", cache)
    assert list(tmp_path.iterdir()) == []


_WARM = """
import json, sys
from pathlib import Path
from tunelab.spec.study import DataSpec

opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)

from tunelab.datasets import load_training_data, open_prepared, prepare

spec = DataSpec.model_validate_json(sys.argv[1])
prepared = prepare(spec, "classification", Path(sys.argv[2]))
data = load_training_data(open_prepared(prepared.path))
heavy = sorted({"sklearn", "scipy", "pandas", "optuna"} & set(sys.modules))
print(json.dumps({"opened": opened, "heavy": heavy, "x": data.x_train.shape}))
"""


def test_a_warm_start_imports_no_scikit_learn_and_leaves_test_rows_sealed(describe, tmp_path):
    prepared = prepare(describe("iris"), "classification", tmp_path)
    result = subprocess.run(
        [sys.executable, "-c", _WARM, describe("iris").model_dump_json(), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(result.stdout)
    assert seen["x"] == [90, 4]
    assert seen["heavy"] == []
    assert str(prepared.path / "x_train.npy") in seen["opened"]  # the hook does see
    assert not [path for path in seen["opened"] if "sealed" in path or path.endswith(".npz")]


def test_workers_import_neither_scikit_learn_nor_pandas():
    code = (
        "import sys; from tunelab.datasets.cache import load_training_data, open_prepared; "
        "print(sorted({'sklearn', 'scipy', 'pandas', 'pydantic'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


_RACE = """
import multiprocessing, os, sys
from pathlib import Path
import sklearn.datasets, sklearn.preprocessing
from tunelab.datasets import load_training_data, prepare
from tunelab.spec.study import DataSpec

spec, cache = DataSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2])
context = multiprocessing.get_context("fork")
barrier = context.Barrier(6)

def race():
    barrier.wait()
    prepared = prepare(spec, "classification", cache)
    load_training_data(prepared)
    os.write(1, (prepared.digest + "\\n").encode())

def all_race():
    runners = [context.Process(target=race) for _ in range(6)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
        assert runner.exitcode == 0

all_race()
[folder] = cache.iterdir()
for damage in (
    lambda: (folder / "meta.json").unlink(),
    lambda: os.truncate(folder / "x_train.npy", 500),
    lambda: (folder / "sealed" / "test.npz").unlink(),
):
    damage()
    all_race()
"""


def test_processes_that_prepare_or_repair_at_once_agree(describe, tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", _RACE, describe("iris").model_dump_json(), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    digests = result.stdout.split()
    assert len(digests) == 24
    assert len(set(digests)) == 1
    [folder] = tmp_path.iterdir()  # the losers' folders are gone
    assert open_prepared(folder).digest == digests[0]
