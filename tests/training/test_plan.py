"""The plan: what a recorded call does with operands that NumPy would have to copy."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from tunelab.training.plan import Plan

ROWS, COLUMNS = 50, 60


def operands(dtype):
    rng = np.random.default_rng(0)
    table = rng.normal(size=(ROWS, COLUMNS)).astype(dtype)
    row = rng.normal(size=COLUMNS).astype(dtype)
    column = rng.normal(size=(ROWS, 1)).astype(dtype)
    return {
        "table": table,
        "row": row,
        "column": column,
        "mask": table > 0,
        "view": rng.normal(size=(COLUMNS, ROWS)).astype(dtype).T,
        "part": rng.normal(size=(ROWS, 2 * COLUMNS)).astype(dtype)[:, COLUMNS:],
        "scalar": np.array(1.5, dtype),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("right", ["table", "row", "column", "mask", "view", "part", "scalar"])
@pytest.mark.parametrize("left", ["table", "row", "column", "view", "part", "scalar"])
def test_a_call_computes_what_numpy_does_without_asking_for_memory(left, right, dtype):
    plan = Plan(ROWS, dtype, training=True)
    of_call = operands(dtype)
    a, b, out = of_call[left], of_call[right], plan.buffer(ROWS, COLUMNS)
    plan.call(np.multiply, a, b, out)
    plan.run()
    np.testing.assert_array_equal(out, np.broadcast_to(np.multiply(a, b), out.shape))

    tracemalloc.start()
    try:
        plan.run()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1000  # the table would be 12,000 bytes
    for operand in of_call.values():  # what changes between runs is seen, what is read stays
        operand[...] = operand + operand if operand.dtype != bool else ~operand
    plan.run()
    np.testing.assert_array_equal(out, np.broadcast_to(np.multiply(a, b), out.shape))


def test_the_result_may_replace_an_operand():
    plan = Plan(ROWS, np.float64, training=True)
    of_call = operands(np.float64)
    expected = of_call["row"] - of_call["table"]
    plan.call(np.subtract, of_call["row"], of_call["table"], of_call["table"])
    plan.run()
    np.testing.assert_array_equal(of_call["table"], expected)


def test_a_comparison_keeps_the_type_of_its_operands():
    plan = Plan(ROWS, np.float32, training=True)
    draws = np.arange(10, dtype=np.uint16)
    below = plan.mask(10)
    plan.call(np.less, draws, np.array(4, np.uint16), below)
    plan.run()
    np.testing.assert_array_equal(below, draws < 4)


def test_a_result_may_be_named():
    plan = Plan(ROWS, np.float32, training=True)
    of_call = operands(np.float32)
    y = plan.buffer(ROWS, COLUMNS)
    plan.call(np.maximum, of_call["table"], of_call["row"], out=y)
    plan.run()
    np.testing.assert_array_equal(y, np.maximum(of_call["table"], of_call["row"]))


def test_the_calls_of_an_epochs_start_are_a_list_of_their_own():
    plan = Plan(2, np.float32, training=True)
    counts = np.zeros(2)
    plan.call(np.add, counts[:1], np.ones(1), counts[:1])
    plan.call_each_epoch(np.add, counts[1:], np.ones(1), counts[1:])
    plan.start_epoch()
    for _ in range(3):
        plan.run()
    np.testing.assert_array_equal(counts, [3, 1])


def test_averaging_is_a_mean_over_the_batch():
    plan = Plan(7, np.float64, training=True)
    table = np.random.default_rng(0).normal(size=(7, 3))
    np.testing.assert_allclose(plan.averaging @ table, table.mean(axis=0))
    np.testing.assert_allclose(plan.ones @ table, table.sum(axis=0))
