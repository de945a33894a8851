"""A run as its caller sees it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from tunelab.training.arrays import TrainingData
from tunelab.training.records import EpochRecord


def without_seconds(records):
    return [dataclasses.replace(record, seconds=0.0) for record in records]


def test_it_yields_a_record_per_epoch_counted_from_1_with_the_rate_of_that_epoch(
    classification, start
):
    run = start(
        classification(),
        max_epochs=5,
        learning_rate=0.4,
        schedule="step_drop",
        schedule_settings={"every": 2},
    )
    records = list(run)
    assert [record.epoch for record in records] == [1, 2, 3, 4, 5]
    assert [record.learning_rate for record in records] == [0.4, 0.4, 0.2, 0.2, 0.1]
    assert all(type(value) is float for value in dataclasses.astuple(records[0])[1:6])
    assert records[0].seconds > 0.0
    assert records[0].train_score is None
    assert not run.interrupted
    with pytest.raises(StopIteration):
        next(run)


@pytest.mark.parametrize("dropout_rate", [0.0, 0.2])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam"])
def test_it_learns(classification, start, optimizer, dropout_rate):
    data = classification(n_train=200)
    rate = {"sgd": 0.2, "adam": 0.01}.get(optimizer, 0.02)
    records = list(
        start(
            data,
            optimizer=optimizer,
            learning_rate=rate,
            max_epochs=30,
            dropout_rate=dropout_rate,
            score="accuracy",
        )
    )
    assert records[-1].train_loss < 0.7 * records[0].train_loss
    assert records[-1].validation_score > 0.6


def test_the_same_seed_gives_the_same_run_and_another_seed_another(classification, start):
    data = classification()
    once, again, other = (list(start(data, dropout_rate=0.3, seed=seed)) for seed in (1, 1, 2))
    assert without_seconds(once) == without_seconds(again)
    assert without_seconds(once) != without_seconds(other)


def test_dropout_does_not_change_initial_weights_or_the_order_of_batches(classification, start):
    plain, dropped = (start(classification(), dropout_rate=rate) for rate in (0.0, 0.5))
    for name, array in plain.weights().items():
        np.testing.assert_array_equal(array, dropped.weights()[name])
    next(plain)
    next(dropped)
    assert plain.state_dict()["generators"]["order"] == dropped.state_dict()["generators"]["order"]


def test_float32_and_float64_start_from_the_same_weights_and_stay_close(classification, start):
    single, double = (start(classification(), dtype=dtype) for dtype in (np.float32, np.float64))
    for name, array in double.weights().items():
        np.testing.assert_array_equal(array.astype(np.float32), single.weights()[name])
    assert {array.dtype for array in single.weights().values()} == {np.dtype(np.float32)}
    assert {array.dtype for array in double.weights().values()} == {np.dtype(np.float64)}
    for left, right in zip(single, double, strict=True):
        assert left.validation_loss == pytest.approx(right.validation_loss, rel=1e-3)


@pytest.mark.parametrize(("batch_size", "steps"), [(1, 50), (16, 4), (25, 2), (49, 2), (50, 1)])
def test_an_epoch_takes_every_row_once_the_last_batch_with_what_is_left(
    classification, start, batch_size, steps
):
    calls = []
    run = start(classification(), batch_size=batch_size, should_stop=lambda: bool(calls.append(1)))
    next(run)
    assert len(calls) == steps
    assert run.state_dict()["counters"]["t"] == steps


def test_losses_are_in_evaluation_mode_without_penalty(classification, start):
    """The last record's losses are those of the final weights, computed from predictions."""
    data = classification(n_train=23, n_validation=23)  # so the subset is all training rows
    run = start(data, dropout_rate=0.5, l2=0.1, score="accuracy")
    record = list(run)[-1]
    for x, y, loss, score in (
        (data.x_train, data.y_train, record.train_loss, record.train_score),
        (data.x_validation, data.y_validation, record.validation_loss, record.validation_score),
    ):
        p = run.predict(x)
        assert p.shape == (23, 3)
        assert p.sum(axis=1) == pytest.approx(1.0)
        assert loss == pytest.approx(-np.log(p[np.arange(23), y]).mean(), rel=1e-5)
        assert score == (p.argmax(axis=1) == y).mean()


def test_train_loss_is_taken_on_a_fixed_subset_of_the_validation_splits_size(classification, start):
    data = classification(n_train=50, n_validation=23)
    stream = np.random.SeedSequence(9).spawn(4)[3]
    rows = np.random.Generator(np.random.PCG64DXSM(stream)).permutation(50)[:23]
    run = start(data, seed=9)
    for record in run:
        p = run.predict(data.x_train[rows])
        expected = -np.log(p[np.arange(23), data.y_train[rows]]).mean()
        assert record.train_loss == pytest.approx(expected, rel=1e-5)


def test_gradient_norm_is_that_of_the_last_step(classification, start):
    data = classification()
    run = start(data, optimizer="sgd", batch_size=50, learning_rate=0.25, dtype=np.float64)
    before = run.state_dict()["params"]
    record = next(run)  # one step: moved by rate * gradient
    moved = np.linalg.norm(run.state_dict()["params"] - before)
    assert record.gradient_norm == pytest.approx(moved / 0.25, rel=1e-9)


@pytest.mark.parametrize("score", ["rmse", "mae", "r2"])
def test_regression_scores_and_predictions_are_in_original_units(regression, start, score):
    data = regression()
    run = start(data, score=score, max_epochs=30)
    record = list(run)[-1]
    predictions = run.predict(data.x_validation)
    targets = data.y_validation * data.target_scale + data.target_mean
    assert targets.mean() == pytest.approx(40, abs=5)  # the data's own units
    squares = (predictions - targets) ** 2
    expected = {
        "rmse": math.sqrt(squares.mean()),
        "mae": np.abs(predictions - targets).mean(),
        "r2": (
            1 - squares.sum(axis=0) / ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
        ).mean(),
    }
    assert record.validation_score == pytest.approx(expected[score], rel=1e-5)
    standardised = squares / data.target_scale**2
    assert record.validation_loss == pytest.approx(standardised.mean(), rel=1e-4)


def test_restore_best_brings_back_the_weights_that_were_kept(classification, start):
    run = start(classification(), learning_rate=0.1)
    next(run)
    run.keep_best()
    kept = run.weights()
    after_best = [next(run), next(run)]
    state = run.state_dict()
    assert any((run.weights()[name] != array).any() for name, array in kept.items())
    run.restore_best()
    for name, array in run.weights().items():
        np.testing.assert_array_equal(array, kept[name])
    assert after_best[-1].epoch == 3
    np.testing.assert_array_equal(run.state_dict()["params"], state["params"])


def test_restore_best_without_a_best_changes_nothing(classification, start):
    run = start(classification())
    next(run)
    before = run.weights()
    run.restore_best()
    for name, array in run.weights().items():
        np.testing.assert_array_equal(array, before[name])


def test_an_interrupted_epoch_leaves_no_trace_in_the_weights(classification, start):
    answers = iter([False] * 6 + [True])
    run = start(classification(), should_stop=lambda: next(answers))
    first = next(run)
    weights = run.weights()
    assert list(run) == []
    assert run.interrupted
    assert run.epoch == first.epoch == 1
    for name, array in run.weights().items():
        np.testing.assert_array_equal(array, weights[name])


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_diverging_run_yields_non_finite_records_and_warns_of_nothing(
    classification, regression, start, task, activation, optimizer
):
    data, score = (
        (classification(), "accuracy") if task == "classification" else (regression(), "rmse")
    )
    run = start(
        data,
        units=[8, 8],
        activation=activation,
        optimizer=optimizer,
        learning_rate=1e38,
        score=score,
        max_epochs=4,
        dropout_rate=0.2,
        l2=0.1,
    )
    records = list(run)
    assert len(records) == 4
    assert not math.isfinite(records[-1].validation_loss)
    assert not math.isfinite(records[-1].train_loss)
    assert isinstance(records[-1].validation_score, float)
    run.predict(data.x_validation)
    run.state_dict()


def test_a_rate_of_1e9_diverges(regression, start):
    records = list(start(regression(), optimizer="sgd", learning_rate=1e9))
    assert [record.epoch for record in records] == [1, 2, 3, 4, 5]
    assert not any(math.isfinite(record.train_loss) for record in records[1:])


def test_read_only_memory_maps_are_accepted_and_give_the_same_run(classification, start, tmp_path):
    data = classification()
    mapped = {}
    for name in ("x_train", "y_train", "x_validation", "y_validation"):
        np.save(tmp_path / f"{name}.npy", getattr(data, name))
        mapped[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    read_only = dataclasses.replace(data, **mapped)
    assert isinstance(read_only.x_train, np.memmap)
    from_disk, from_memory = (list(start(d, score="accuracy")) for d in (read_only, data))
    assert without_seconds(from_disk) == without_seconds(from_memory)


def test_two_classes_and_more_validation_than_training_rows_are_fine(classification, start):
    data = classification(n_classes=2, n_train=17, n_validation=40)
    run = start(data, score="accuracy")
    assert len(list(run)) == 5
    assert run.predict(data.x_validation).shape == (40, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 51}, r"batch_size must be in \[1, 50\]"),
        ({"max_epochs": 0}, "max_epochs"),
        ({"score": "rmse"}, "score must be one of accuracy for classification"),
        ({"dtype": np.float16}, "dtype"),
        ({"units": []}, "units"),
        ({"activation": "sine"}, "activation"),
    ],
)
def test_arguments_that_cannot_be_right_are_refused(classification, start, changes, message):
    with pytest.raises(ValueError, match=message):
        start(classification(), **changes)


def test_predict_refuses_another_number_of_features(classification, start):
    with pytest.raises(ValueError, match=r"shape \(rows, 6\)"):
        start(classification()).predict(np.zeros((3, 5), np.float32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": np.array([0, 1, 3] * 10)}, r"labels in \[0, 2\], got 0 to 3"),
        ({"y_train": np.array([0, 1, -1] * 10)}, "labels"),
        ({"y_train": np.zeros(30)}, "integer labels"),
        ({"y_train": np.zeros(29, int)}, "30 rows"),
        ({"y_train": np.zeros((30, 1), int)}, "1 dimension"),
        ({"x_validation": np.zeros((23, 7), np.float32)}, "columns"),
        ({"x_train": np.zeros(30, np.float32)}, "x_train"),
        ({"n_classes": 1}, "n_classes"),
        ({"target_mean": np.zeros(2)}, "target_mean"),
    ],
)
def test_data_that_cannot_be_right_is_refused(classification, changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(classification(n_train=30), **changes)


def test_data_knows_its_shape(classification, regression):
    labels, targets = classification(), regression()
    assert (labels.n_features, labels.n_outputs, labels.task) == (6, 3, "classification")
    assert (targets.n_features, targets.n_outputs, targets.task) == (6, 2, "regression")
    with pytest.raises(ValueError, match="same number of columns"):
        dataclasses.replace(targets, y_validation=targets.y_validation[:, :1])


def test_a_record_cannot_be_changed():
    record = EpochRecord(1, 0.5, 0.6, 0.1, 1.0, 0.01)
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.epoch = 2
    assert TrainingData.__dataclass_params__.frozen
