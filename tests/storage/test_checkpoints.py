"""Checkpoints come back as they were written, or not at all."""

from __future__ import annotations

import io
import json
import pickle
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sqlalchemy import select, update

from tests.storage.conftest import ELSEWHERE, HERE, Bench, completed
from tunelab.storage.checkpoints import (
    KEPT_BEST,
    DamagedCheckpointError,
    pack,
    read_best_weights,
    read_state,
    unpack,
    write_state,
)
from tunelab.storage.recorder import Outcome, Recorder
from tunelab.storage.states import EndReason
from tunelab.storage.tables import checkpoints, trials

arrays = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_, "<u8", ">f4"]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
json_values = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
states = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.recursive(
        arrays | json_values,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab$c"), inner),
        max_leaves=12,
    ),
    max_size=5,
)


def same(left, right):
    if isinstance(left, np.ndarray):
        return (
            isinstance(right, np.ndarray)
            and (left.dtype, left.shape) == (right.dtype, right.shape)
            and left.tobytes() == right.tobytes()
        )
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


@settings(deadline=None, max_examples=100)
@given(states)
def test_every_state_comes_back_to_the_bit(state):
    assert same(state, unpack(pack(state)))


def test_what_training_stores_comes_back():
    generator = np.random.default_rng(5)
    state = {
        "generator": generator.bit_generator.state,
        "scalar": np.array(3.5),
        "none": np.empty((0, 4), np.float32),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "view": np.arange(10)[::3],
        "losses": [float("inf"), float("-inf")],
        "pair": (1, np.arange(2)),
    }
    restored = unpack(pack(state))
    twin = np.random.default_rng()
    twin.bit_generator.state = restored["generator"]
    assert twin.integers(2**60, size=5).tolist() == generator.integers(2**60, size=5).tolist()
    for key in ("scalar", "none", "columns", "view"):
        np.testing.assert_array_equal(restored[key], state[key])
        assert restored[key].dtype == state[key].dtype
    assert restored["losses"] == [float("inf"), float("-inf")]
    assert restored["pair"][0] == 1  # a tuple comes back as a list


@pytest.mark.parametrize(
    "leaf", [object(), {1, 2}, b"bytes", np.array([object()]), np.array([{}, None], dtype=object)]
)
def test_what_is_neither_an_array_of_numbers_nor_json_is_not_written(leaf):
    with pytest.raises(TypeError):
        pack({"run": [leaf]})


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_pickled_objects_are_never_loaded():
    buffer = io.BytesIO()
    tree = np.frombuffer(json.dumps({"run": {"$array": "array0"}}).encode(), np.uint8)
    bomb = np.array([Bomb()], dtype=object)
    np.savez(buffer, **{"tree.json": tree, "array0": bomb})
    with pytest.raises(ValueError, match="allow_pickle=False"):
        unpack(buffer.getvalue())
    with pytest.raises(ValueError, match="pickle"):
        unpack(pickle.dumps({"run": 1}))


def stored(connection):
    query = select(checkpoints.c.epoch).where(checkpoints.c.kind == "state")
    return [epoch for (epoch,) in connection.execute(query.order_by(checkpoints.c.epoch))]


def test_the_last_two_states_are_kept(bench):
    bench.insert(1)
    trial_id = bench.claim().trial_id
    kept = []
    with bench.database.write() as connection:
        assert read_state(connection, trial_id) == (None, [])
        for epoch in (3, 6, 6, 9, 12, 7, 8):  # after 12 an earlier one was used
            write_state(connection, trial_id, epoch, pack({"epoch": epoch}))
            assert read_state(connection, trial_id) == ((epoch, {"epoch": epoch}), [])
            kept.append(stored(connection))
    assert kept == [[3], [3, 6], [3, 6], [6, 9], [9, 12], [7], [7, 8]]


def test_of_a_damaged_state_the_one_before_is_used(bench):
    bench.insert(1)
    trial_id = bench.claim().trial_id
    data = pack({"weights": np.arange(100.0)})
    torn = [data[:-1], data + b"\0", b"", data[:50] + b"\xff" + data[51:]]
    for damaged in torn:
        with bench.database.write() as connection:
            for epoch in (3, 4):
                write_state(connection, trial_id, epoch, data)
            latest = update(checkpoints).where(checkpoints.c.epoch == 4)
            connection.execute(latest.values(data=damaged))
            (epoch, state), dropped = read_state(connection, trial_id)
            assert (epoch, dropped) == (3, [4])
            assert state["weights"].tolist() == list(range(100))
            assert stored(connection) == [3]
            write_state(connection, trial_id, 4, data)
            connection.execute(update(checkpoints).values(data=damaged))
            assert read_state(connection, trial_id) == (None, [4, 3])
            assert stored(connection) == []


@pytest.mark.parametrize("foreign", ["trial_id", "epoch", "kind"])
def test_a_state_that_came_from_elsewhere_is_not_continued_from(bench, foreign):
    bench.insert(2)
    first, second = bench.claim(), bench.claim(ELSEWHERE)
    with bench.database.write() as connection:
        write_state(connection, first.trial_id, 3, pack({"epoch": 3}))
        moved = {"trial_id": second.trial_id, "epoch": 4, "kind": "best"}[foreign]
        connection.execute(update(checkpoints).values({foreign: moved}))
        if foreign == "kind":
            with pytest.raises(DamagedCheckpointError, match="the best checkpoint of trial row"):
                read_best_weights(connection, first.trial_id)
        else:
            reader = second.trial_id if foreign == "trial_id" else first.trial_id
            found, dropped = read_state(connection, reader)
            assert (found, len(dropped)) == (None, 1)


@pytest.mark.parametrize("maximize", [False, True])
def test_the_best_weights_of_the_top_five_are_kept(bench, maximize):
    generator = random.Random(8)
    values = [generator.choice([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]) for _ in range(40)]
    ends = [generator.choice(list(EndReason)) for _ in values]
    bench.insert(len(values))
    complete = []
    for number, (value, end) in enumerate(zip(values, ends, strict=True)):
        outcome = completed(number + 1, value, weights={"w": np.full(2, number)})
        outcome = Outcome(**{**vars(outcome), "end_reason": end})
        Recorder(bench.database, bench.claim(HERE), maximize=maximize).finish(outcome, None)
        if end.is_complete:
            complete.append(number)
        # Among equals, the one that was first.
        best = sorted(complete, key=lambda n: (-values[n] if maximize else values[n], n))
        kept = bench.rows(
            select(trials.c.number).join(checkpoints).where(checkpoints.c.kind == "best")
        )
        assert {number for (number,) in kept} == set(best[:KEPT_BEST])
    assert len(complete) > 2 * KEPT_BEST
    with bench.database.read() as connection:
        for number in best[:KEPT_BEST]:
            key = connection.scalar(select(trials.c.id).where(trials.c.number == number))
            epoch, weights = read_best_weights(connection, key)
            assert (epoch, weights["w"].tolist()) == (number + 1, [number, number])


def test_weights_of_other_studies_do_not_count(bench):
    other = Bench(bench.database)
    for study in (bench, other):
        study.insert(KEPT_BEST)
        for _ in range(KEPT_BEST):
            outcome = completed(1, 0.5 if study is other else 0.1, weights={"w": np.zeros(1)})
            Recorder(bench.database, study.claim(), maximize=False).finish(outcome, None)
    assert len(bench.rows(select(checkpoints.c.kind))) == 2 * KEPT_BEST
