"""The statistics under the findings, beside what they mean by counting."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunelab.service.findings.associations import strongest
from tunelab.service.findings.groups import BatchSizeResult, batch_size_sentence, best_of_k
from tunelab.service.findings.wording import between


@dataclass(frozen=True)
class Row:
    hyperparameters: dict[str, object] = field(default_factory=dict)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=7), st.data())
def test_the_best_of_k_is_that_of_all_draws(values, data):
    k = data.draw(st.integers(1, len(values)))
    quantile = data.draw(st.sampled_from([0.1, 0.5, 0.9]))
    draws = sorted(min(draw) for draw in combinations(values, k))
    place = int(np.ceil(quantile * len(draws) - 1e-9)) - 1
    assert best_of_k([float(v) for v in values], k, quantile) == draws[max(place, 0)]


@given(st.floats(1e-9, 1e9, allow_nan=False), st.floats(1e-9, 1e9, allow_nan=False))
def test_a_threshold_lies_between_its_neighbours(a, b):
    low, high = min(a, b), max(a, b)
    if low < high:
        assert low < between(low, high) <= high


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 10_000))
def test_a_condition_holds_for_exactly_the_trials_that_it_names(seed):
    generator = np.random.default_rng(seed)
    rows = [Row({"units": int(n)}) for n in generator.integers(1, 1000, 30)]
    outcome = [float(row.hyperparameters["units"] > 400) for row in rows]
    condition = strongest(rows, outcome, ["units"])
    name, sign, limit = condition.text.split()
    assert (name, sign) == ("units", ">=")
    meet = [i for i, row in enumerate(rows) if row.hyperparameters["units"] >= float(limit)]
    assert list(condition.inside) == meet
    assert sorted(condition.inside + condition.outside) == list(range(30))
    assert condition.sure


def test_a_number_that_is_chosen_from_a_list_is_named_not_bounded():
    rows = [Row({"batch_size": size, "layers": size // 32}) for size in (32, 64, 128) * 8]
    outcome = [float(row.hyperparameters["batch_size"] == 32) for row in rows]
    assert strongest(rows, outcome, ["batch_size"], ["batch_size"]).text == "batch_size 32"
    others = [1 - one for one in outcome]
    assert strongest(rows, others, ["batch_size"], ["batch_size"]).text == "batch_size 64 or 128"
    assert strongest(rows, outcome, ["layers"], ["batch_size"]).text == "layers < 2"


def test_chance_is_called_sure_in_about_one_case_of_twenty():
    generator = np.random.default_rng(3)
    n_sure = 0
    for _ in range(100):
        rows = [
            Row({"a": float(a), "b": float(b), "c": "xyz"[int(c)]})
            for a, b, c in generator.integers(0, 3, (24, 3))
        ]
        outcome = generator.permutation([1.0] * 8 + [0.0] * 16).tolist()
        found = strongest(rows, outcome, ["a", "b", "c"])
        n_sure += found is not None and found.sure
    assert n_sure <= 12  # 5 expected; beyond 12 lies less than one case in a thousand


@pytest.mark.parametrize("outcome", [[1.0] * 20, [0.0] * 20])
def test_without_a_difference_there_is_no_condition(outcome):
    assert strongest([Row({"a": n}) for n in range(20)], outcome, ["a"]) is None


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ((0.04, 0.02, 0.01), True),
        ((0.01, 0.03, 0.012), False),
        ((0.01, 0.02, 0.03), False),
        ((0.04, 0.01, 0.009), False),  # faster than in proportion: the networks are smaller
    ],
)
def test_times_of_batch_sizes_are_compared_only_where_they_follow_them(times, told):
    results = [
        BatchSizeResult(size, 8, time, 0.3, 0.4)
        for size, time in zip((32, 64, 128), times, strict=True)
    ]
    sentence = batch_size_sentence(results)
    assert ("takes 0.25 times the time" in sentence) is told
    assert ("cannot be told" in sentence) is not told
    assert "0.3 with 128" in sentence
