"""Preparing: what goes into the arrays, and what must not."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.datasets.tables import contents, numbers, shuffled, taken, words
from tunelab.datasets import load_training_data, open_prepared, preparation, prepare
from tunelab.datasets.cache import load_pool
from tunelab.datasets.preprocess import fit_preprocessing
from tunelab.datasets.rows import read_rows
from tunelab.datasets.split import Split
from tunelab.errors import DataError
from tunelab.spec.study import DataSpec


def meta(prepared):
    return json.loads((prepared.path / "meta.json").read_text())


def array(prepared, name):
    return np.load(prepared.path / name, allow_pickle=False)


def sealed(prepared):
    return read_rows(prepared.path / "sealed" / "test.npz")


def pool_table(prepared):
    return np.stack([column.values for column in load_pool(prepared).columns], axis=1)


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
    raw = pool_table(prepared)
    train, validation = raw[: prepared.n_train], raw[prepared.n_train :]
    assert validation.shape == (prepared.n_validation, 13)
    mean = train.sum(axis=0) / len(train)
    scale = np.sqrt(((train - mean) ** 2).sum(axis=0) / len(train))
    fitted = prepared.preprocessing.transforms
    assert [item.mean for item in fitted] == pytest.approx(mean)
    assert [item.scale for item in fitted] == pytest.approx(scale)
    data = load_training_data(prepared)
    np.testing.assert_allclose(data.x_train, (train - mean) / scale, atol=1e-5)
    np.testing.assert_allclose(data.x_validation, (validation - mean) / scale, atol=1e-5)


def test_digits_keeps_its_constant_pixels_at_zero(describe, tmp_path):
    prepared = prepare(describe("digits"), "classification", tmp_path)
    raw = pool_table(prepared)[: prepared.n_train]
    constant = np.ptp(raw, axis=0) == 0
    assert constant.any()
    assert np.all(load_training_data(prepared).x_train[:, constant] == 0)


def test_regression_targets_are_standardised_and_recovered(describe, tmp_path):
    prepared = prepare(describe("linnerud"), "regression", tmp_path)
    data = load_training_data(prepared)
    assert (data.y_train.shape, data.y_train.dtype) == ((12, 3), np.float32)
    assert data.y_train.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-6)
    assert data.y_train.std(axis=0) == pytest.approx(np.ones(3), abs=1e-6)
    raw = load_pool(prepared).targets
    for values, original in ((data.y_train, raw[:12]), (data.y_validation, raw[12:])):
        np.testing.assert_allclose(
            values * data.target_scale + data.target_mean, original, rtol=1e-6
        )


def test_columns_of_text_become_an_input_for_each_category_of_the_training_rows(
    describe, classes, use_source, tmp_path
):
    raw = classes([30, 30])
    tints = [("red", "green", "blue")[row % 3] for row in range(60)]
    use_source(replace(raw, columns=(words("tint", tints), *raw.columns)))
    prepared = prepare(describe(), "classification", tmp_path)
    assert prepared.feature_names == ("tint=blue", "tint=green", "tint=red", "x0", "x1", "x2")
    assert prepared.n_features == 6
    data = load_training_data(prepared)
    assert (data.x_train[:, :3].sum(axis=1) == 1).all()
    pool = load_pool(prepared)
    marks = data.x_validation[:, :3].argmax(axis=1)
    assert [("blue", "green", "red")[mark] for mark in marks] == (
        pool.columns[0].values[prepared.n_train :].tolist()
    )


def test_another_split_of_the_pool_learns_from_its_own_rows(
    describe, classes, use_source, tmp_path
):
    """What a folder holds of the raw rows is enough to prepare it again, missing values and all."""
    raw = classes([40, 40])
    values = [None if row % 7 == 0 else float(row) for row in range(80)]
    use_source(replace(raw, columns=(numbers("age", values), *raw.columns)))
    spec = describe().model_copy(update={"missing": "impute"})
    prepared = prepare(spec, "classification", tmp_path)
    pool = load_pool(prepared)
    train = np.arange(prepared.n_train)
    again = fit_preprocessing(pool.columns, train, impute=True)
    assert again == prepared.preprocessing
    x = load_training_data(prepared).x_train
    assert again.apply(pool.columns, train).tobytes() == x.tobytes()


def test_missing_values_are_not_imputed_unless_asked(describe, classes, use_source, tmp_path):
    raw = classes([40, 40])
    use_source(replace(raw, columns=(numbers("age", [None] * 10 + [1.0] * 70), *raw.columns)))
    with pytest.raises(DataError, match=r"train rows: column age: \d of 48 rows lack a value"):
        prepare(describe(), "classification", tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["features", "targets"])
def test_a_validation_value_beyond_all_bounds_is_told_before_anything_is_written(
    describe, numbers, use_source, monkeypatch, tmp_path, place
):
    raw = numbers(40)
    split = Split(np.arange(24), np.arange(24, 32), np.arange(32, 40))
    monkeypatch.setattr(preparation, "split_rows", lambda raw, digests, spec: split)
    values = raw.columns[1].values if place == "features" else raw.targets[:, 1]
    values[:24] = np.linspace(0, 1e-9, 24)
    values[30] = 1e30
    use_source(raw)
    name = "x1" if place == "features" else "y1"
    with pytest.raises(DataError, match=rf"validation rows: column {name}: 1e\+30 lies too far"):
        prepare(describe(), "regression", tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []


def test_no_row_is_in_two_parts_and_none_is_lost(describe, classes, use_source, tmp_path):
    raw = classes([50, 31])
    use_source(raw)
    prepared = prepare(describe(), "classification", tmp_path)
    pool, test = load_pool(prepared), sealed(prepared)
    assert pool.n_rows == prepared.n_train + prepared.n_validation
    assert sorted(contents(pool) + contents(test)) == sorted(contents(raw))


def test_the_sources_order_changes_no_byte_of_the_arrays(describe, classes, use_source, tmp_path):
    tints = words("tint", [(None, "red", "blue")[row % 3] for row in range(90)])
    raw = classes([30, 30, 30])
    raw = replace(raw, columns=(tints, *raw.columns))
    raw = taken(raw, [*range(80), *[10] * 10])
    results = []
    for number, data in enumerate((raw, shuffled(raw))):
        use_source(data)
        spec = describe(noise={"share": 0.2, "seed": 4})
        spec = spec.model_copy(update={"missing": "impute"})
        results.append(prepare(spec, "classification", tmp_path / str(number)))
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
    assert (noisy.path / "sealed" / "test.npz").read_bytes() == (
        clean.path / "sealed" / "test.npz"
    ).read_bytes()
    assert noisy.test_digest == clean.test_digest
    # The pool has the same wrong labels, for whoever splits it again.
    labels = [array(noisy, f"y_{part}.npy") for part in ("train", "validation")]
    assert load_pool(noisy).targets.tolist() == np.concatenate(labels).tolist()


def test_label_noise_needs_classes(describe, tmp_path):
    spec = describe("diabetes", noise={"share": 0.1, "seed": 0})
    with pytest.raises(DataError, match=r"data\.label_noise: needs classes"):
        prepare(spec, "regression", tmp_path)


def test_meta_describes_the_data(describe, tmp_path):
    prepared = prepare(describe("iris", seed=3), "classification", tmp_path)
    written = meta(prepared)
    assert written["format"] == 3
    assert written["key"] == prepared.path.name
    assert written["rows"] == {"train": 90, "validation": 30, "test": 30, "dropped": 0}
    assert written["class_counts"]["validation"] == [10, 10, 10]
    assert prepared.class_counts == (30, 30, 30)
    assert written["split"]["method"] == "stratified"
    assert written["split"]["seed"] == 3
    assert written["preprocessing"] == prepared.preprocessing.to_json()
    assert prepared.feature_names[0] == "sepal length (cm)"
    assert open_prepared(prepared.path) == prepared


def test_dropped_rows_and_notes_of_the_source_are_passed_on(
    describe, classes, use_source, tmp_path
):
    use_source(replace(classes([20, 20]), n_dropped=3, notes=("odd — but maybe meant",)))
    prepared = prepare(describe(), "classification", tmp_path)
    assert (prepared.n_dropped, prepared.notes) == (3, ("odd — but maybe meant",))


def test_a_second_preparation_reads_no_source(describe, monkeypatch, tmp_path):
    first = prepare(describe(), "classification", tmp_path)

    def unreachable(data, task):
        raise AssertionError("the source was read again")

    monkeypatch.setattr(preparation, "read_source", unreachable)
    assert prepare(describe(), "classification", tmp_path) == first


def test_a_file_is_known_again_when_its_folder_has_moved(monkeypatch, tmp_path):
    (tmp_path / "here").mkdir()
    lines = [f"{row},{'yes' if row % 3 else 'no'}" for row in range(60)]
    (tmp_path / "here" / "x.csv").write_text("\n".join(["age,answer", *lines]))

    def data(folder):
        path = str(tmp_path / folder / "x.csv")
        return DataSpec.model_validate({"source": "csv", "path": path, "target": "answer"})

    first = prepare(data("here"), "classification", tmp_path / "cache")
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.setattr(preparation, "read_source", None)  # which could not be called
    assert prepare(data("there"), "classification", tmp_path / "cache") == first
    assert str(tmp_path) not in (first.path / "meta.json").read_text()

    monkeypatch.undo()
    (tmp_path / "there" / "x.csv").write_text("\n".join(["age,answer", *reversed(lines)]))
    again = prepare(data("there"), "classification", tmp_path / "cache")
    assert again.path != first.path
    assert again.digest == first.digest


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
