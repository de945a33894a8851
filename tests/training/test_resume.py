"""Stopping and continuing equals never stopping, bit for bit."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunelab.training.optimizers import OPTIMIZERS
from tunelab.training.schedules import SCHEDULES

EPOCHS = 4
STEPS = 4  # 50 rows in batches of 16: three full ones and two rows


def without_seconds(records):
    return [dataclasses.replace(record, seconds=0.0) for record in records]


def flatten(state, prefix=""):
    for key, value in state.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def assert_states_equal(left, right):
    left, right = dict(flatten(left)), dict(flatten(right))
    assert left.keys() == right.keys()
    for name, value in left.items():
        if isinstance(value, np.ndarray):
            assert value.dtype == right[name].dtype
            np.testing.assert_array_equal(value, right[name], err_msg=name)
        else:
            assert value == right[name], name


def through_storage(state):
    """What a checkpoint does: arrays as bytes, everything else as JSON."""
    if isinstance(state, dict):
        return {key: through_storage(value) for key, value in state.items()}
    if isinstance(state, np.ndarray):
        loaded = np.frombuffer(state.tobytes(), state.dtype).reshape(state.shape)
        assert not loaded.flags.writeable
        return loaded
    return json.loads(json.dumps(state))


class StopAfter:
    """Answers False ``calls`` times, then True."""

    def __init__(self, calls):
        self.calls = calls

    def __call__(self):
        self.calls -= 1
        return self.calls < 0


LAYERS = {
    "plain": {},
    "dropout": {"dropout_rate": 0.3},
    "batch norm": {"batch_norm": True},
    "both": {"dropout_rate": 0.3, "batch_norm": True},
}
SCHEDULE_SETTINGS = {  # so that each changes the rate within a few epochs
    "inverse_time": {"decay_rate": 0.1, "unit": "step"},
    "step_drop": {"every": 1},
    "hold_then_exponential": {"hold": 1},
    "piecewise": {"rates": "1: 0.02, 3: 0.005"},
    "cosine": {"warm_up": 2},
}


def advance(run, until, best_epoch):
    """Train to the end of epoch ``until``."""
    records = []
    while run.epoch < until:
        records.append(next(run))
        if run.epoch == best_epoch:
            run.keep_best()
    return records


def assert_continues(new_run, x, *, stop_epoch, steps_into_next, best_epoch):
    """Stop a run after so many epochs and steps; continued, it must equal one never stopped."""
    never_stopped = new_run()
    expected = advance(never_stopped, EPOCHS, best_epoch)
    expected_state = never_stopped.state_dict()
    never_stopped.restore_best()

    stopped = new_run(should_stop=StopAfter(stop_epoch * STEPS + steps_into_next))
    records = advance(stopped, stop_epoch, best_epoch)
    with pytest.raises(StopIteration):
        next(stopped)
    assert stopped.interrupted
    continued = new_run()
    continued.load_state_dict(through_storage(stopped.state_dict()))
    assert continued.epoch == stop_epoch
    for name, array in stopped.weights().items():
        np.testing.assert_array_equal(continued.weights()[name], array)
    records += advance(continued, EPOCHS, best_epoch)

    assert without_seconds(records) == without_seconds(expected)
    assert_states_equal(continued.state_dict(), expected_state)
    continued.restore_best()
    np.testing.assert_array_equal(continued.predict(x), never_stopped.predict(x))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_stopping_at_any_epoch_and_continuing_equals_never_stopping(
    classification, start, optimizer, layers, schedule
):
    data = classification()

    def new_run(**more):
        return start(
            data,
            optimizer=optimizer,
            schedule=schedule,
            schedule_settings=SCHEDULE_SETTINGS.get(schedule, {}),
            max_epochs=EPOCHS,
            **LAYERS[layers],
            **more,
        )

    for stop_epoch in range(EPOCHS):
        assert_continues(
            new_run,
            data.x_validation,
            stop_epoch=stop_epoch,
            steps_into_next=stop_epoch % STEPS,  # 0 is between two epochs
            best_epoch=1,
        )


@settings(max_examples=60, deadline=None)
@given(
    configuration=st.fixed_dictionaries(
        {
            "optimizer": st.sampled_from(sorted(OPTIMIZERS)),
            "schedule": st.sampled_from(["constant", "cosine", "one_cycle"]),
            "batch_norm": st.booleans(),
            "dropout_rate": st.sampled_from([0.0, 0.3]),
            "l1": st.sampled_from([0.0, 1e-3]),
            "l2": st.sampled_from([0.0, 1e-3]),
            "gradient_clip": st.sampled_from([0.0, 0.1]),
            "seed": st.integers(0, 2**64),
        }
    ),
    stop_epoch=st.integers(0, EPOCHS - 1),
    steps_into_next=st.integers(0, STEPS - 1),
    best_epoch=st.integers(0, EPOCHS),
    task=st.sampled_from(["classification", "regression"]),
)
def test_so_it_does_whatever_else_is_set(
    classification, regression, start, configuration, stop_epoch, steps_into_next, best_epoch, task
):
    if task == "classification":
        data, of_task = classification(), {"score": "accuracy", "label_smoothing": 0.1}
    else:
        data, of_task = regression(), {"score": "rmse"}

    def new_run(**more):
        return start(data, max_epochs=EPOCHS, **of_task, **configuration, **more)

    assert_continues(
        new_run,
        data.x_validation,
        stop_epoch=stop_epoch,
        steps_into_next=steps_into_next,
        best_epoch=best_epoch,
    )


def test_a_run_that_has_ended_can_be_loaded_and_ends(classification, start):
    run = start(classification())
    list(run)
    loaded = start(classification())
    loaded.load_state_dict(through_storage(run.state_dict()))
    assert list(loaded) == []
    assert_states_equal(loaded.state_dict(), run.state_dict())


def test_an_interrupted_run_continues_by_itself_after_its_state_is_loaded(classification, start):
    data = classification()
    expected = without_seconds(start(data))
    stop = StopAfter(6)
    run = start(data, should_stop=stop)
    records = list(run)
    assert run.interrupted
    assert list(run) == []
    stop.calls = 10**9
    run.load_state_dict(run.state_dict())
    assert not run.interrupted
    assert without_seconds(records + list(run)) == expected


def test_the_state_never_shows_half_an_epoch(classification, start):
    """Even when it is asked for from within a step."""
    seen = []
    run = start(classification(), should_stop=lambda: bool(seen.append(run.state_dict())))
    next(run)
    after_first = run.state_dict()
    next(run)
    assert len(seen) == 2 * STEPS
    for state in seen[STEPS:]:
        assert_states_equal(state, after_first)


def test_the_state_is_a_copy(classification, start):
    run = start(classification())
    next(run)
    run.keep_best()
    state = run.state_dict()
    before = {name: np.copy(value) for name, value in flatten(state)}
    next(run)
    run.keep_best()
    for name, value in flatten(state):
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    "changes",
    [
        {"units": [9]},
        {"optimizer": "sgd"},
        {"optimizer": "adagrad"},
        {"dtype": np.float64},
        {"batch_norm": True},
        {"dropout_rate": 0.2},
    ],
    ids=str,
)
def test_a_state_of_another_run_is_refused_and_nothing_is_taken_from_it(
    classification, start, changes
):
    state = start(classification(), seed=1).state_dict()
    run = start(classification(), **changes)
    before = run.state_dict()
    with pytest.raises(ValueError, match="must be"):
        run.load_state_dict(state)
    assert_states_equal(run.state_dict(), before)


@pytest.mark.parametrize("damage", [{"epoch": 99}, {"epoch": -1}, {"extra": 1}])
def test_a_state_that_cannot_be_is_refused(classification, start, damage):
    run = start(classification())
    with pytest.raises(ValueError, match="must"):
        run.load_state_dict({**run.state_dict(), **damage})
