"""Sources give raw rows, and a fingerprint without reading them."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import pytest

from tunelab.datasets.sources import read_source, source_fingerprint
from tunelab.errors import DataError


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
    assert raw.features.shape == shape
    assert raw.features.dtype == np.float64
    assert raw.targets.dtype == np.int64
    assert sorted(set(raw.targets.tolist())) == list(range(len(classes)))
    assert raw.class_names == classes
    assert len(raw.feature_names) == shape[1]


@pytest.mark.parametrize(
    ("name", "shape", "targets"),
    [
        ("diabetes", (442, 10), ("disease_progression",)),
        ("linnerud", (20, 3), ("Weight", "Waist", "Pulse")),
    ],
)
def test_regression_sets_have_one_column_a_target(describe, name, shape, targets):
    raw = read_source(describe(name), "regression")
    assert raw.features.shape == shape
    assert raw.targets.shape == (shape[0], len(targets))
    assert raw.targets.dtype == np.float64
    assert raw.target_names == targets
    assert raw.class_names == ()


def test_diabetes_comes_unscaled():
    """scikit-learn's default is scaled by the statistics of all rows, test rows included."""
    from sklearn.datasets import load_diabetes

    from tunelab.spec.study import DataSpec

    spec = DataSpec.model_validate(
        {"source": "sklearn", "name": "diabetes", "split": {"validation": 0.2, "test": 0.2}}
    )
    raw = read_source(spec, "regression")
    age = raw.features[:, raw.feature_names.index("age")]
    assert 18 <= age.min() < age.max() < 90
    assert np.abs(load_diabetes().data).max() < 1  # what it would have been


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
