"""Stopping and continuing equals never stopping, bit for bit."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


configurations = st.fixed_dictionaries(
    {
        "optimizer": st.sampled_from(["sgd", "momentum", "nesterov", "adam"]),
        "dropout_rate": st.sampled_from([0.0, 0.3]),
        "schedule": st.sampled_from(["constant", "step_drop", "cosine"]),
        "seed": st.integers(0, 2**64),
    }
)


@settings(max_examples=60, deadline=None)
@given(
    configuration=configurations,
    stop_epoch=st.integers(0, EPOCHS),
    steps_into_next=st.one_of(st.none(), st.integers(0, STEPS - 1)),
    best_epoch=st.integers(0, EPOCHS),
    task=st.sampled_from(["classification", "regression"]),
)
def test_stopping_and_continuing_equals_never_stopping(
    classification, regression, start, configuration, stop_epoch, steps_into_next, best_epoch, task
):
    data = classification() if task == "classification" else regression()

    def new_run(**more):
        return start(data, max_epochs=EPOCHS, score="accuracy" if data.n_classes else "rmse",
                     l2=1e-3, **configuration, **more)  # fmt: skip

    def advance(run, until):
        records = []
        while run.epoch < until:
            records.append(next(run))
            if run.epoch == best_epoch:
                run.keep_best()
        return records

    never_stopped = new_run()
    expected = advance(never_stopped, EPOCHS)

    in_mid_epoch = steps_into_next is not None and stop_epoch < EPOCHS
    limit = stop_epoch * STEPS + steps_into_next if in_mid_epoch else 10**9
    stopped = new_run(should_stop=StopAfter(limit))
    records = advance(stopped, stop_epoch)
    if in_mid_epoch:
        with pytest.raises(StopIteration):
            next(stopped)
        assert stopped.interrupted
    continued = new_run()
    continued.load_state_dict(through_storage(stopped.state_dict()))
    assert continued.epoch == stop_epoch
    for name, array in stopped.weights().items():
        np.testing.assert_array_equal(continued.weights()[name], array)
    records += advance(continued, EPOCHS)

    assert without_seconds(records) == without_seconds(expected)
    assert_states_equal(continued.state_dict(), never_stopped.state_dict())
    continued.restore_best()
    never_stopped.restore_best()
    np.testing.assert_array_equal(
        continued.predict(data.x_validation), never_stopped.predict(data.x_validation)
    )


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


@pytest.mark.parametrize("changes", [{"units": [9]}, {"optimizer": "sgd"}, {"dtype": np.float64}])
def test_a_state_of_another_network_or_optimizer_is_refused(classification, start, changes):
    state = start(classification()).state_dict()
    with pytest.raises(ValueError, match="must be float"):
        start(classification(), **changes).load_state_dict(state)
