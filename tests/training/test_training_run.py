"""A run as its caller sees it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from tunelab.training.activations import ACTIVATIONS
from tunelab.training.arrays import TrainingData
from tunelab.training.losses import loss_names
from tunelab.training.optimizers import OPTIMIZERS, make_optimizer
from tunelab.training.records import EpochRecord
from tunelab.training.schedules import SCHEDULES, make_schedule


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


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_step_has_the_rate_of_its_schedule_and_the_record_that_of_the_first(
    classification, start, schedule
):
    settings = {"piecewise": {"rates": "1: 0.2, 6: 0.05"}, "inverse_time": {"unit": "step"}}
    planned = make_schedule(schedule, 0.4, 5, settings.get(schedule, {}), steps_per_epoch=4)
    optimizer = make_optimizer("sgd", {})
    rates, step = [], optimizer.step

    def watched_step(params, grads, learning_rate):
        rates.append(learning_rate)
        step(params, grads, learning_rate)

    optimizer.step = watched_step
    run = start(
        classification(n_train=50),
        optimizer=optimizer,
        learning_rate=0.4,
        schedule=schedule,
        schedule_settings=settings.get(schedule, {}),
    )
    records = list(run)
    per_unit = 1 if planned.unit == "step" else 4
    assert rates == [planned(step // per_unit) for step in range(5 * 4)]
    assert [record.learning_rate for record in records] == rates[::4]
    if planned.unit == "step":
        assert len(set(rates)) == len(rates)


@pytest.mark.parametrize("layers", [{}, {"dropout_rate": 0.2}, {"batch_norm": True}], ids=str)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_learns(classification, start, optimizer, layers):
    data = classification(n_train=200)
    rate = {"sgd": 0.2, "momentum": 0.02, "nesterov": 0.02, "adagrad": 0.05, "adadelta": 1.0}.get(
        optimizer, 0.01
    )
    records = list(
        start(
            data,
            optimizer=optimizer,
            learning_rate=rate,
            max_epochs=30,
            score="accuracy",
            **layers,
        )
    )
    assert records[-1].train_loss < 0.7 * records[0].train_loss
    assert records[-1].validation_score > 0.6


def test_the_same_seed_gives_the_same_run_and_another_seed_another(classification, start):
    data = classification()
    once, again, other = (list(start(data, dropout_rate=0.3, seed=seed)) for seed in (1, 1, 2))
    assert without_seconds(once) == without_seconds(again)
    assert without_seconds(once) != without_seconds(other)


@pytest.mark.parametrize("layers", [{"dropout_rate": 0.5}, {"batch_norm": True}], ids=str)
def test_layers_change_neither_initial_weights_nor_the_order_of_batches(
    classification, start, layers
):
    plain, other = (start(classification(), **more) for more in ({}, layers))
    of_other = other.weights()
    for name, array in plain.weights().items():
        if name.endswith("weights"):
            np.testing.assert_array_equal(array, of_other[name])
    next(plain)
    next(other)
    assert plain.state_dict()["generators"]["order"] == other.state_dict()["generators"]["order"]


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


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_losses_are_in_evaluation_mode_without_what_is_for_training_only(
    classification, start, n_classes, batch_norm
):
    """The last record's losses are those of the final weights, computed from predictions."""
    # As many rows for training as for validation, so that the subset is all of them.
    data = classification(n_train=23, n_validation=23, n_classes=n_classes)
    run = start(
        data,
        batch_norm=batch_norm,
        dropout_rate=0.5,
        l1=0.1,
        l2=0.1,
        label_smoothing=0.2,
        class_weight="balanced",
        score="accuracy",
    )
    record = list(run)[-1]
    for x, y, loss, score in (
        (data.x_train, data.y_train, record.train_loss, record.train_score),
        (data.x_validation, data.y_validation, record.validation_loss, record.validation_score),
    ):
        p = run.predict(x)
        assert p.shape == (23, n_classes)
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


def test_gradient_norm_is_that_of_the_last_step_before_clipping(classification, start):
    data = classification()

    def first_step(**changes):
        """One step: moved by rate * gradient."""
        run = start(
            data, optimizer="sgd", batch_size=50, learning_rate=0.25, dtype=np.float64, **changes
        )
        before = run.state_dict()["values"]
        record = next(run)
        moved = run.state_dict()["values"] - before
        return record.gradient_norm, np.linalg.norm(moved) / 0.25

    norm, moved = first_step(l1=0.01, l2=0.1)
    assert norm == pytest.approx(moved, rel=1e-9)
    without_penalties, _ = first_step()
    assert without_penalties != pytest.approx(norm, rel=1e-3)
    clipped_norm, clipped_moved = first_step(l1=0.01, l2=0.1, gradient_clip=norm / 3)
    assert clipped_norm == pytest.approx(norm, rel=1e-9)
    assert clipped_moved == pytest.approx(norm / 3, rel=1e-9)
    assert first_step(l1=0.01, l2=0.1, gradient_clip=2 * norm)[1] == pytest.approx(norm, rel=1e-9)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_weight_decay_covers_weights_alone(classification, start, batch_norm):
    """One step of adamw is adam's, with every weight less by rate * decay of itself."""
    data = classification()

    def one_step(optimizer, **settings):
        run = start(
            data,
            optimizer=optimizer,
            optimizer_settings=settings,
            batch_norm=batch_norm,
            batch_size=50,
            dtype=np.float64,
        )
        before = run.weights()
        next(run)
        return before, run.weights()

    before, plain = one_step("adam")
    _, decayed = one_step("adamw", weight_decay=0.5)
    for name, array in plain.items():
        shrunk = 0.01 * 0.5 * before[name] if name.endswith("weights") else 0.0
        np.testing.assert_allclose(decayed[name], array - shrunk, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"label_smoothing": 0.3}, "label_smoothing"),
        ({"class_weight": "balanced"}, "class_weight"),
        ({"l1": 0.1}, "l1"),
        ({"gradient_clip": 0.01}, "gradient_clip"),
        ({"initializer": "lecun_uniform"}, "initializer"),
    ],
)
def test_every_setting_reaches_the_network(classification, start, changes, name):
    data = classification()
    plain, changed = (list(start(data, **more))[-1] for more in ({}, changes))
    assert plain.validation_loss != changed.validation_loss, name


def test_two_classes_are_learned_with_one_output(classification, start):
    run = start(classification(n_classes=2))
    next(run)
    assert run.weights()["layer_2.weights"].shape == (8, 1)
    assert run.predict(np.zeros((4, 6), np.float32)).shape == (4, 2)


@pytest.mark.parametrize("loss", loss_names("regression"))
def test_a_regression_is_trained_and_measured_with_the_loss_of_that_name(regression, start, loss):
    data = regression()
    run = start(data, loss=loss, optimizer="sgd", learning_rate=0.1, max_epochs=30)
    records = list(run)
    predicted = (run.predict(data.x_validation) - data.target_mean) / data.target_scale
    error = predicted - data.y_validation
    expected = {"squared_error": error**2, "absolute_error": np.abs(error)}[loss].mean()
    assert records[-1].validation_loss == pytest.approx(expected, rel=1e-4)
    assert records[-1].train_loss < 0.8 * records[0].train_loss


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
        "rmse": np.sqrt(squares.mean(axis=0)).mean(),
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
    np.testing.assert_array_equal(run.state_dict()["values"], state["values"])


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


@pytest.mark.parametrize("layers", [{}, {"batch_norm": True}, {"gradient_clip": 1.0}], ids=str)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_diverging_run_goes_on_and_warns_of_nothing(
    classification, regression, start, task, activation, optimizer, layers
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
        l1=0.1,
        l2=0.1,
        **layers,
    )
    records = list(run)
    assert len(records) == 4
    if not layers and optimizer != "adadelta":  # the last divides by what it has seen
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
        ({"score": "rmse"}, "score must be one of accuracy, .* for classification"),
        ({"dtype": np.float16}, "dtype"),
        ({"units": []}, "units"),
        ({"activation": "sine"}, "activation"),
        ({"initializer": "ones"}, "initializer"),
        ({"batch_norm": True, "batch_size": 1}, r"batch_size must be in \[2, 50\]"),
        ({"dropout_rate": 1.0}, "dropout_rate"),
        ({"l1": -0.1}, "l1"),
        ({"l2": -0.1}, "l2"),
        ({"gradient_clip": -0.1}, "gradient_clip"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"class_weight": "all"}, "class_weight"),
        ({"loss": "squared_error"}, "loss must be one of cross_entropy for classification"),
    ],
)
def test_arguments_that_cannot_be_right_are_refused(classification, start, changes, message):
    with pytest.raises(ValueError, match=message):
        start(classification(), n_steps=1, **changes)


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


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_weights_taken_over_by_another_run_are_judged_alike(request, start, kind, batch_norm):
    data = request.getfixturevalue(kind)()
    score = "accuracy" if kind == "classification" else "rmse"
    settings = {"units": (7, 5), "batch_norm": batch_norm, "dropout_rate": 0.3, "score": score}
    trained = start(data, seed=1, max_epochs=3, **settings)
    last = list(trained)[-1]
    other = start(data, seed=2, max_epochs=3, **settings)
    assert other.evaluate() != (last.validation_loss, last.validation_score)
    other.load_weights(trained.weights())
    assert other.evaluate() == (last.validation_loss, last.validation_score)
    for name, array in trained.weights().items():
        np.testing.assert_array_equal(other.weights()[name], array)


def test_weights_of_another_network_are_refused(classification, start):
    small, large = (start(classification(), units=(units,), max_epochs=1) for units in (4, 8))
    with pytest.raises(ValueError, match="the weights must have the shapes"):
        large.load_weights(small.weights())
