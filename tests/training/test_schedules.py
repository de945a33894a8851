"""Schedules against tables worked by hand."""

from __future__ import annotations

import math

import pytest

from tunelab.training.schedules import SCHEDULES, make_schedule, planned_rates

HALF_ROOT = math.sqrt(0.5)

TABLES = [
    ("constant", {}, 4, [0.2, 0.2, 0.2, 0.2]),
    ("step_drop", {"every": 2}, 5, [0.2, 0.2, 0.1, 0.1, 0.05]),
    ("step_drop", {"every": 1, "factor": 0.1}, 3, [0.2, 0.02, 0.002]),
    ("step_drop", {"factor": 1.0}, 3, [0.2, 0.2, 0.2]),
    ("step_drop", {}, 21, [0.2] * 10 + [0.1] * 10 + [0.05]),
    # cosines of 0, 45, 90 and 135 degrees
    ("cosine", {}, 4, [0.2, 0.1 * (1 + HALF_ROOT), 0.1, 0.1 * (1 - HALF_ROOT)]),
    ("cosine", {"end": 0.1}, 2, [0.2, 0.15]),
    ("cosine", {"end": 0.2}, 2, [0.2, 0.2]),
]


@pytest.mark.parametrize(("name", "settings", "max_epochs", "expected"), TABLES, ids=str)
def test_planned_rates_equal_the_table(name, settings, max_epochs, expected):
    schedule = make_schedule(name, 0.2, max_epochs, settings)
    assert planned_rates(schedule, max_epochs) == pytest.approx(expected, rel=1e-12)


def test_the_tables_cover_every_schedule():
    assert {name for name, *_ in TABLES} == set(SCHEDULES)


def test_cosine_ends_at_its_end_and_stays_there():
    rate = make_schedule("cosine", 0.2, 10, {"end": 0.05})
    assert rate(10) == pytest.approx(0.05)
    assert rate(25) == rate(10)


def test_fractions_of_an_epoch_are_allowed():
    assert make_schedule("cosine", 1.0, 3, {})(1.5) == pytest.approx(0.5)
    assert make_schedule("step_drop", 1.0, 3, {"every": 2})(1.9) == 1.0


@pytest.mark.parametrize(
    ("name", "rate", "max_epochs", "settings", "message"),
    [
        ("cosin", 0.1, 10, {}, "schedule must be one of"),
        ("constant", 0.1, 10, {"every": 3}, "unknown settings every"),
        ("cosine", 0.1, 10, {"max_epochs": 3}, "unknown settings max_epochs"),
        ("constant", 0.0, 10, {}, "learning_rate"),
        ("constant", math.nan, 10, {}, "learning_rate"),
        ("cosine", math.inf, 10, {}, "learning_rate"),
        ("step_drop", 0.1, 10, {"factor": 0.0}, "factor"),
        ("step_drop", 0.1, 10, {"factor": 1.5}, "factor"),
        ("step_drop", 0.1, 10, {"every": 0}, "every"),
        ("cosine", 0.1, 0, {}, "max_epochs"),
        ("cosine", 0.1, 10, {"end": 0.2}, "end"),
        ("cosine", 0.1, 10, {"end": -0.1}, "end"),
    ],
)
def test_arguments_out_of_range_are_refused(name, rate, max_epochs, settings, message):
    with pytest.raises(ValueError, match=message):
        make_schedule(name, rate, max_epochs, settings)
