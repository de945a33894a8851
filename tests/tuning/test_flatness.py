"""A study is flat when its latest completed trials have improved nothing to speak of."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunelab.tuning.flatness import Flatness


def flatness(values, error=0.1, maximize=False, order=None):
    watched = Flatness(lambda _: error, maximize=maximize)
    numbered = list(values.items()) if isinstance(values, dict) else list(enumerate(values))
    for number, value in order or numbered:
        watched.observe(number, value)
    return watched


def test_fifteen_trials_must_have_improved_nothing():
    values = [0.5] * 15
    assert flatness(values).before(15) is None
    flat = flatness([*values, 0.5]).before(16)
    assert (flat.n_last, flat.best, flat.error) == (15, 0.5, 0.1)
    assert str(flat) == (
        "flat: the last 15 completed trials did not beat 0.5 by its standard error 0.1"
    )


@pytest.mark.parametrize(("n", "n_last"), [(16, 15), (50, 15), (51, 16), (100, 30), (101, 31)])
def test_of_many_trials_the_last_three_in_ten_must_have_improved_nothing(n, n_last):
    values = [1.0] * (n - n_last) + [0.95] * n_last
    assert flatness(values).before(n).n_last == n_last
    # The oldest of them counts, and the one before it does not.
    values[n - n_last] = 0.5
    assert flatness(values).before(n) is None
    values[n - n_last - 1] = 0.55
    assert flatness(values).before(n).best == 0.55


@pytest.mark.parametrize("maximize", [False, True])
def test_an_improvement_must_exceed_the_standard_error_of_the_best_before(maximize):
    sign = -1 if maximize else 1
    for gain, flat in ((0.125, True), (0.1251, False)):
        values = [sign * value for value in [1.0, 0.5, *[2.0] * 14, 0.5 - gain]]
        asked = []

        def error(value, asked=asked):
            asked.append(value)
            return 0.125

        watched = Flatness(error, maximize=maximize)
        for number, value in enumerate(values):
            watched.observe(number, value)
        assert (watched.before(17) is not None) == flat
        assert asked == [sign * 0.5]


def test_without_an_error_equal_values_are_flat_and_better_ones_are_not():
    assert flatness([0.5] * 20, error=0.0).before(20) is not None
    assert flatness([0.5] * 19 + [0.4999], error=0.0).before(20) is None


def test_only_trials_below_the_number_count():
    watched = flatness([0.5] * 20 + [0.1])
    assert watched.before(20) is not None
    assert watched.before(21) is None
    # Numbers of trials that did not complete are missing.
    gaps = flatness({3 * number: 0.5 for number in range(16)})
    assert gaps.before(45) is None
    assert gaps.before(46) is not None


@given(st.lists(st.integers(0, 40), max_size=80), st.booleans(), st.randoms())
def test_the_order_of_ends_does_not_matter(scores, maximize, shuffler):
    values = [score / 10 for score in scores]
    order = list(enumerate(values))
    shuffler.shuffle(order)
    for n in (len(values), len(values) // 2):
        found = flatness(values, 0.25, maximize, order).before(n)
        n_last = max(15, math.ceil(0.3 * n))
        earlier, later = values[: n - n_last] if n > n_last else [], values[:n][-n_last:]
        best = max if maximize else min
        expected = bool(earlier) and abs(best([*earlier, *later]) - best(earlier)) <= 0.25
        assert (found is not None) == expected


def test_noise_around_a_constant_is_flat_and_a_steady_fall_is_not():
    generator = random.Random(0)
    noise = flatness([generator.gauss(1, 0.03) for _ in range(60)])
    assert noise.before(60) is not None
    falling = flatness([1.0 - 0.01 * number for number in range(60)])
    assert falling.before(60) is None
