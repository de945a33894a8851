"""scikit-learn's own data sets give raw rows, and a fingerprint without reading them."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import pytest

from tunelab.datasets.sources import read_source, source_fingerprint
from tunelab.errors import DataError


def features(raw):
    return np.stack([column.values for column in raw.columns], axis=1)


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("iris", (150, 4), ("setosa", "versicolor", "virginica")),
        ("wine", (178, 13), ("class_0", "class_1", "class_2")),
        ("breast_cancer", (569, 30), ("malignant", "benign")),
        ("digits", (1797, 64), tuple("0123456789")),
    ],
)
def test_classification_sets_have_labels_and_class_names(describe, name, shape, classes):
    raw = read_source(describe(name), "classification")
    assert features(raw).shape == shape
    assert features(raw).dtype == np.float64
    assert not any(column.categorical for column in raw.columns)
    assert raw.targets.dtype == np.int64
    assert sorted(set(raw.targets.tolist())) == list(range(len(classes)))
    assert (raw.class_names, raw.task, raw.n_rows) == (classes, "classification", shape[0])


@pytest.mark.parametrize(
    ("name", "shape", "targets"),
    [
        ("diabetes", (442, 10), ("disease_progression",)),
        ("linnerud", (20, 3), ("Weight", "Waist", "Pulse")),
    ],
)
def test_regression_sets_have_one_column_a_target(describe, name, shape, targets):
    raw = read_source(describe(name), "regression")
    assert features(raw).shape == shape
    assert raw.targets.shape == (shape[0], len(targets))
    assert raw.targets.dtype == np.float64
    assert (raw.target_names, raw.class_names, raw.task) == (targets, (), "regression")


@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_the_rows_are_those_of_scikit_learn(describe, name):
    from sklearn import datasets

    raw = read_source(describe(name), "regression" if name == "diabetes" else "classification")
    bunch = datasets.load_iris() if name == "iris" else datasets.load_diabetes(scaled=False)
    np.testing.assert_array_equal(features(raw), bunch.data)
    np.testing.assert_array_equal(raw.targets.reshape(-1), bunch.target)
    assert [column.name for column in raw.columns] == list(bunch.feature_names)


def test_diabetes_comes_unscaled(describe):
    """scikit-learn's default is scaled by the statistics of all rows, test rows included."""
    from sklearn.datasets import load_diabetes

    raw = read_source(describe("diabetes"), "regression")
    (age,) = [column.values for column in raw.columns if column.name == "age"]
    assert 18 <= age.min() < age.max() < 90
    assert np.abs(load_diabetes().data).max() < 1  # what it would have been


def test_a_feature_may_decide_the_split(describe):
    plain = read_source(describe("diabetes"), "regression")
    by_time = read_source(describe("diabetes", method="time", time="age"), "regression")
    by_group = read_source(describe("diabetes", method="group", group="sex"), "regression")
    assert len(by_time.columns) == len(by_group.columns) == len(plain.columns) - 1
    assert by_time.times.tolist() == plain.columns[0].values.tolist()
    assert set(by_group.groups) == {"1", "2"}


def test_a_column_that_a_set_does_not_have_is_refused(describe):
    with pytest.raises(DataError) as caught:
        read_source(describe("iris", method="group", group="sepal"), "classification")
    (problem,) = caught.value.problems
    assert (problem.file, problem.key) == ("data set iris", "data.split.group")
    assert problem.message.startswith("there is no column 'sepal'; the columns are: sepal length")


def test_a_data_set_for_the_other_task_is_refused(describe):
    with pytest.raises(DataError, match="diabetes is a regression data set") as caught:
        read_source(describe("diabetes"), "classification")
    assert "task: regression" in str(caught.value.hint)


def test_an_unknown_data_set_is_refused_with_the_nearest_name(describe):
    spec = describe("iris").model_copy(update={"name": "digit"})
    with pytest.raises(DataError, match=r"data\.name: .*got digit") as caught:
        read_source(spec, "classification")
    assert caught.value.hint == "did you mean digits?"


def test_an_unknown_source_is_refused(describe):
    spec = describe("iris").model_copy(update={"source": "excel"})
    with pytest.raises(DataError, match=r"data\.source: .*got excel"):
        source_fingerprint(spec)


def test_the_fingerprint_is_the_installed_version(describe):
    assert source_fingerprint(describe("iris")) == f"scikit-learn {version('scikit-learn')}"
