"""A model in two files predicts what the trained network predicts, or says that it is damaged."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunelab.datasets.bundle import DamagedModelError, make_bundle, portable, read, write_bundle
from tunelab.datasets.bundle.probes import probe_rows
from tunelab.datasets.cache import PreparedData
from tunelab.datasets.preprocess import OneHot, Preprocessing, Standardize
from tunelab.datasets.sources import Column
from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.training.activations import ACTIVATIONS
from tunelab.training.arrays import TrainingData
from tunelab.training.loop import TrainingRun
from tunelab.training.optimizers import make_optimizer
from tunelab.training.schedules import make_schedule

COLUMNS = Preprocessing(
    (
        Standardize("age", 40.0, 12.5, fill=38.0),
        OneHot("city", ("Graz", "Wien", "=cmd()"), fill="Wien"),
        Standardize("income", -3.25, 1e-3),
    )
)


def prepared(n_classes, tmp_path="."):
    targets = ("y",) if n_classes else ("y", "z")
    names = tuple(f"class {number}" for number in range(n_classes))
    scaling = () if n_classes else (Standardize("y", 152.0, 77.0), Standardize("z", -1e4, 0.25))
    return PreparedData(
        path=tmp_path, key="", digest="", test_digest="", n_train=64, n_validation=32, n_test=0,
        n_dropped=0, n_features=5, n_outputs=n_classes or 2,
        task="classification" if n_classes else "regression", class_names=names, class_counts=(),
        feature_names=COLUMNS.feature_names, target_names=targets, preprocessing=COLUMNS, notes=(),
        target_scaling=Preprocessing(scaling),
    )  # fmt: skip


def data(n_classes):
    generator = np.random.default_rng(3)
    x = generator.normal(size=(96, 5)).astype(np.float32)
    if n_classes:
        y = generator.integers(n_classes, size=96)
        mean = scale = np.zeros(0)
    else:
        y = generator.normal(size=(96, 2)).astype(np.float32)
        mean, scale = np.array([152.0, -1e4]), np.array([77.0, 0.25])
    return TrainingData(x[:64], y[:64], x[64:], y[64:], n_classes or None, mean, scale)


@cache
def trained(activation, batch_norm, n_classes, layers=2):
    """A network after some epochs, and its bundle."""
    flat = Hyperparameters(
        optimizer="adam", learning_rate=0.01, schedule="constant", layers=layers, units=24,
        shape="constant" if layers > 1 else None, activation=activation, batch_size=16,
        batch_norm=batch_norm, dropout_rate=0.2,
    )  # fmt: skip
    rows = data(n_classes)
    run = TrainingRun(
        rows, units=flat.widths(rows.n_outputs), activation=activation, batch_norm=batch_norm,
        dropout_rate=0.2, optimizer=make_optimizer("adam", {}),
        schedule=make_schedule("constant", 0.01, 4, {}, steps_per_epoch=4), batch_size=16,
        max_epochs=4, seed=5,
    )  # fmt: skip
    list(run)
    return run, make_bundle(prepared(n_classes), flat, run.weights(), {"study": "s"})


@pytest.mark.parametrize("n_classes", [0, 2, 3])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_bundle_predicts_what_the_network_predicts(activation, batch_norm, n_classes):
    run, bundle = trained(activation, batch_norm, n_classes)
    x = np.random.default_rng(1).normal(size=(5000, 5)).astype(np.float32) * 2
    expected = run.predict(x)
    given_back = bundle.open().scores(x)
    assert given_back.shape == expected.shape
    unit = np.array([77.0, 0.25]) if n_classes == 0 else 1.0
    assert np.abs(given_back / unit - expected / unit).max() < 1e-6 * max(
        1.0, np.abs(expected / unit).max()
    )
    assert not (given_back == 0).all()


numbers = st.one_of(st.none(), st.floats(-1e4, 1e4), st.integers(-1000, 1000))
cities = st.one_of(st.none(), st.sampled_from(["Graz", "Wien", "=cmd()", "Linz", ""]))


@given(st.lists(st.tuples(numbers, cities, st.floats(-100, 100)), min_size=1, max_size=9))
def test_raw_rows_become_the_inputs_that_training_rows_became(rows):
    _, bundle = trained("relu", False, 2)
    ages, texts, incomes = zip(*rows, strict=True)
    columns = [
        Column("income", np.array(incomes, dtype=np.float64), categorical=False),
        Column("unused", np.zeros(len(rows)), categorical=False),
        Column("city", np.array([*texts, None], dtype=object)[:-1], categorical=True),
        Column("age", np.array([np.nan if a is None else a for a in ages], float), False),
    ]
    model = bundle.open()
    inputs = model.inputs({"city": texts, "age": ages, "more": [], "income": incomes})
    np.testing.assert_array_equal(inputs, COLUMNS.apply(columns))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"age": [1], "city": ["Graz"]}, "column income is missing; the columns are: age, city"),
        ({"age": ["x"], "city": ["Graz"], "income": [1]}, "column age, row 1: 'x' is no number"),
        (
            {"age": [1, 2], "city": ["Graz"] * 2, "income": [1, None]},
            "column income, row 2: the value is missing, and none was learned to stand in for it",
        ),
        ({"age": [1], "city": ["Graz"], "income": [1e300]}, "column income, row 1: 1e\\+300 lies"),
        ({"age": [1, 2], "city": ["Graz"], "income": [1]}, "equally many rows, got"),
    ],
)
def test_what_cannot_be_used_is_named(columns, message):
    with pytest.raises(ValueError, match=message):
        trained("relu", False, 2)[1].open().predict(columns)


def test_an_empty_text_is_a_missing_number():
    model = trained("relu", False, 2)[1].open()
    rest = {"city": ["Graz"], "income": [1.0]}
    np.testing.assert_array_equal(
        model.inputs({"age": [" "], **rest}), model.inputs({"age": [None], **rest})
    )


def test_codes_that_lost_their_zeros_are_refused():
    entry = {"name": "code", "fill": None, "categories": ["0893", "6914"]}
    np.testing.assert_array_equal(portable._one_hot(entry, [6914.0, "0893"]), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(portable._one_hot(entry, ["new"]), [[0, 0]])
    with pytest.raises(ValueError, match="column code, row 2: 893 is a number, and the codes"):
        portable._one_hot(entry, ["6914", 893])


def test_predictions_are_columns_by_name():
    predicted = (
        trained("relu", False, 3)[1]
        .open()
        .predict({"age": [1, 2, 3], "city": [None, "Graz", "?"], "income": [1.0, -3.0, -3.2]})
    )
    assert list(predicted) == ["label"] + [f"probability_class {c}" for c in range(3)]
    best = np.stack([predicted[f"probability_class {c}"] for c in range(3)]).argmax(axis=0)
    assert predicted["label"].tolist() == [f"class {c}" for c in best]
    numbers = trained("relu", False, 0)[1].open().predict({"age": [], "city": [], "income": []})
    assert {name: len(values) for name, values in numbers.items()} == {"y": 0, "z": 0}


@settings(max_examples=150)
@given(st.booleans(), st.integers(0, 10**9), st.integers(1, 255))
def test_a_changed_byte_is_found_or_changes_nothing(in_document, place, change):
    """A zip archive has bytes that say nothing, such as its dates."""
    _, bundle = trained("relu", False, 2, 1)
    parts = [bundle.document, bundle.arrays]
    damaged = bytearray(parts[not in_document])
    damaged[place % len(damaged)] ^= change
    parts[not in_document] = bytes(damaged)
    x = np.ones((1, 5), np.float32)
    try:
        model = read(*parts)
    except DamagedModelError:
        return
    np.testing.assert_array_equal(model.scores(x), bundle.open().scores(x))
    assert model.document == bundle.open().document


def test_files_cut_off_swapped_or_of_another_format_are_refused():
    _, bundle = trained("relu", False, 2)
    _, other = trained("tanh", False, 2)
    for parts in (
        (bundle.document[:-1], bundle.arrays),
        (bundle.document, bundle.arrays[: len(bundle.arrays) // 2]),
        (bundle.document, other.arrays),
        (bundle.document.replace(b'"format": 1', b'"format": 2'), bundle.arrays),
        (b"[]", bundle.arrays),
    ):
        with pytest.raises(DamagedModelError):
            read(*parts)


def test_the_file_beside_a_model_needs_numpy_alone(tmp_path):
    _, bundle = trained("silu", True, 3)
    write_bundle(bundle, tmp_path)
    rows = probe_rows(bundle.open().document)
    script = (
        "import json, sys; import tunelab_model as code\n"
        "model = code.load('.')\n"
        "print(json.dumps([model.predict(json.loads(sys.argv[1]))['label'].tolist(),"
        " sorted({name.partition('.')[0] for name in sys.modules} & {'tunelab', 'pandas',"
        " 'mlflow', 'sklearn', 'pickle5', 'pyarrow'})]))"
    )
    import json

    answer = subprocess.run(
        [sys.executable, "-c", script, json.dumps(rows)],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    labels, loaded = json.loads(answer.stdout)
    assert loaded == []
    assert labels == bundle.open().predict(rows)["label"].tolist()
    with np.load(tmp_path / "weights.npz", allow_pickle=False) as arrays:
        assert arrays["layer_1.weights"].shape == (5, 24)
    assert importlib.util.find_spec("tunelab_model") is None
