"""Means and ties of finalists, against least squares, scipy, and simulated scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tunelab.tuning.ranking import optimism, rank


def simulated(rng, effects, n_seeds, of_seeds):
    effects = np.asarray(effects, dtype=float)
    rest = rng.normal(size=(len(effects), n_seeds))
    return effects[:, None] + of_seeds * rng.normal(size=n_seeds) + rest


def ranked(table, *, maximize=False):
    return rank({number: list(row) for number, row in enumerate(table)}, maximize=maximize)


@pytest.mark.parametrize("of_seeds", [0.0, 0.5, 1.0, 2.0])
def test_95_percent_intervals_hold_the_truth_in_93_to_97_percent_of_cases(of_seeds):
    rng = np.random.default_rng(7)
    truth = [0.0, 1.0, 2.0, 5.0]
    hits = [
        abs(found.mean - truth[found.number]) <= found.half_width
        for _ in range(6000)
        for found in ranked(simulated(rng, truth, 3, of_seeds))
    ]
    assert 0.93 <= np.mean(hits) <= 0.97


def test_the_variance_of_the_rest_is_that_of_least_squares():
    table = simulated(np.random.default_rng(1), [0, 0.3, 2, 2.1], 3, 1.5)
    rows, seeds = np.indices(table.shape)
    design = np.hstack([rows.reshape(-1, 1) == range(4), seeds.reshape(-1, 1) == range(3)])
    _, (squares,), n_parameters, _ = np.linalg.lstsq(
        design[:, :-1].astype(float), table.ravel(), rcond=None
    )
    freedom = table.size - n_parameters
    level = 1 - 0.025 / 3
    margin = stats.t.ppf(level, freedom) * math.sqrt(2 * squares / freedom / 3)
    order = np.argsort(table.mean(axis=1))
    apart = table.mean(axis=1)[order] - table.mean(axis=1)[order[0]]
    found = ranked(table)
    assert [f.number for f in found] == list(order)
    assert [f.is_tied for f in found] == [bool(d <= margin) for d in apart]


def test_one_finalist_alone_has_the_interval_of_a_mean():
    row = [0.3, 0.5, 0.45, 0.2]
    (found,) = ranked([row])
    low, high = stats.t.interval(0.95, 3, loc=np.mean(row), scale=stats.sem(row))
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx(
        (low, high)
    )


def test_a_real_winner_is_found_and_equals_are_tied():
    rng = np.random.default_rng(3)
    found_alone = [
        [f.is_tied for f in ranked(simulated(rng, [0, 6, 6, 6], 3, 3.0))] for _ in range(200)
    ]
    assert np.mean([tied == [True, False, False, False] for tied in found_alone]) > 0.95
    equals = [all(f.is_tied for f in ranked(simulated(rng, [0] * 4, 3, 3.0))) for _ in range(500)]
    assert np.mean(equals) > 0.85


def test_with_one_seed_nothing_can_be_told_apart():
    found = ranked([[0.1], [0.9]])
    assert [(f.number, f.is_tied) for f in found] == [(0, True), (1, True)]
    assert all(math.isnan(f.half_width) for f in found)


def test_equal_scores_have_no_width_and_only_equals_are_tied():
    found = ranked([[0.5, 0.5], [0.4, 0.4], [0.4, 0.4]])
    assert [(f.number, f.half_width, f.is_tied) for f in found] == [
        (1, 0.0, True),
        (2, 0.0, True),
        (0, 0.0, False),
    ]


def test_one_that_failed_with_a_seed_stands_last_and_is_no_evidence():
    table = {4: [0.1, None, 0.1], 7: [0.5, 0.6, 0.4], 9: [math.inf, math.nan, None]}
    best, broken, empty = rank(table, maximize=False)
    assert best == rank({7: table[7]}, maximize=False)[0]
    assert (broken.number, broken.n_scores, broken.is_tied) == (4, 2, False)
    assert broken.mean == pytest.approx(0.1)
    assert (empty.number, empty.n_scores) == (9, 0)
    assert math.isnan(empty.mean)


@given(
    st.lists(st.lists(st.floats(-10, 10), min_size=3, max_size=3), min_size=1, max_size=5),
    st.floats(-5, 5),
)
def test_the_order_turns_with_the_direction_and_nothing_depends_on_the_origin(table, shift):
    # Scores that differ only in the last digits have no order that a shift would keep.
    table = np.round(table, 3)
    lower, higher = ranked(table), ranked(-table, maximize=True)
    assert [f.number for f in lower] == [f.number for f in higher]
    assert [f.is_tied for f in lower] == [f.is_tied for f in higher]
    moved = ranked(table + shift)
    assert moved[0].half_width == pytest.approx(lower[0].half_width, rel=1e-6, abs=1e-9)


def test_no_finalist_no_ranking():
    assert rank({}, maximize=True) == []


def test_a_search_that_promised_too_much_was_optimistic():
    assert optimism(0.08, 0.09, maximize=False) > 0
    assert optimism(0.90, 0.95, maximize=True) < 0
