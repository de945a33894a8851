"""Schedules against tables worked by hand, at the corners of their formulas."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from tunelab.training.schedules import SCHEDULES, default_settings, make_schedule, planned_rates

HALF_ROOT = math.sqrt(0.5)  # the cosine of 45 degrees
EXP_01, EXP_02 = 0.9048374180359595, 0.8187307530779818  # exp(-0.1), exp(-0.2)

# Schedule, settings, max_epochs, and by hand: k -> rate, from the initial rate 0.2.
TABLES = [
    ("constant", {}, 4, {0: 0.2, 0.5: 0.2, 3: 0.2, 100: 0.2}),
    # a = 0, 1/4, 1/2, 7/8, 1, 1
    ("linear", {"end": 0}, 8, {0: 0.2, 2: 0.15, 4: 0.1, 7: 0.025, 8: 0.0, 9: 0.0}),
    ("linear", {"end": 0.5, "tau": 4}, 8, {0: 0.2, 2: 0.15, 2.5: 0.1375, 4: 0.1, 5: 0.1, 7: 0.1}),
    ("linear", {"tau": 1}, 8, {0: 0.2, 0.5: 0.101, 1: 0.002, 7: 0.002}),
    ("linear", {"end": 0, "tau": 16}, 8, {7: 0.1125, 8: 0.1, 16: 0.0}),
    ("linear", {"end": 1}, 8, {0: 0.2, 5: 0.2, 8: 0.2}),
    # 1 + k / 20
    ("inverse_time", {}, 30, {0: 0.2, 5: 0.16, 20: 0.1, 30: 0.08, 60: 0.05}),
    ("inverse_time", {"decay_rate": 1}, 3, {0: 0.2, 0.25: 0.16, 1: 0.1, 3: 0.05}),
    ("inverse_time", {"decay_rate": 0}, 3, {0: 0.2, 3: 0.2}),
    ("step_drop", {}, 30, {0: 0.2, 8: 0.2, 9: 0.2, 10: 0.1, 11: 0.1, 19: 0.1, 20: 0.05}),
    (
        "step_drop",
        {"offset": 1},
        30,
        {0: 0.2, 8: 0.2, 9: 0.1, 10: 0.1, 11: 0.1, 18: 0.1, 19: 0.05},
    ),
    ("step_drop", {"every": 2}, 5, {0: 0.2, 1: 0.2, 1.9: 0.2, 2: 0.1, 3: 0.1, 4: 0.05}),
    ("step_drop", {"every": 1, "factor": 0.1}, 3, {0: 0.2, 1: 0.02, 2: 0.002}),
    ("step_drop", {"every": 1, "offset": 1}, 3, {0: 0.1, 1: 0.05, 2: 0.025}),
    ("step_drop", {"factor": 1}, 30, {0: 0.2, 29: 0.2}),
    (
        "hold_then_exponential",
        {},
        30,
        {0: 0.2, 9: 0.2, 9.5: 0.2, 10: 0.2, 11: 0.2 * EXP_01, 12: 0.2 * EXP_02},
    ),
    (
        "hold_then_exponential",
        {"hold": 0, "decay_rate": math.log(2)},
        4,
        {0: 0.2, 1: 0.1, 1.5: 0.1 * HALF_ROOT, 2: 0.05, 3: 0.025},
    ),
    ("hold_then_exponential", {"hold": 50, "decay_rate": 1}, 30, {0: 0.2, 29: 0.2, 50: 0.2}),
    ("hold_then_exponential", {"hold": 0, "decay_rate": 0}, 30, {0: 0.2, 29: 0.2}),
    (
        "piecewise",
        {"rates": "10:0.01, 20:0.001"},
        30,
        {0: 0.2, 9: 0.2, 9.9: 0.2, 10: 0.01, 11: 0.01, 19: 0.01, 20: 0.001, 29: 0.001, 99: 0.001},
    ),
    ("piecewise", {"rates": {20: 0.5, 1: 0.1}}, 30, {0: 0.2, 1: 0.1, 19: 0.1, 20: 0.5}),
    # left = 1, 3/4, 1/2, 1/8, 0
    ("polynomial", {}, 8, {0: 0.2, 2: 0.1125, 4: 0.05, 7: 0.003125, 8: 0.0, 9: 0.0}),
    ("polynomial", {"power": 1, "end": 0.5}, 8, {0: 0.2, 2: 0.175, 7: 0.1125, 8: 0.1, 99: 0.1}),
    ("polynomial", {"power": 0.5}, 4, {0: 0.2, 2: 0.2 * HALF_ROOT, 3: 0.1, 4: 0.0}),
    ("polynomial", {"power": 3, "end": 1}, 4, {0: 0.2, 2: 0.2, 4: 0.2}),
    # cosines of 0, 45, 90, 135 and 180 degrees
    (
        "cosine",
        {},
        4,
        {0: 0.2, 1: 0.1 * (1 + HALF_ROOT), 2: 0.1, 3: 0.1 * (1 - HALF_ROOT), 4: 0.0, 5: 0.0},
    ),
    ("cosine", {}, 3, {1.5: 0.1}),
    # The end is a share: 0.5 of 0.2.
    ("cosine", {"end": 0.5}, 2, {0: 0.2, 1: 0.15, 2: 0.1, 3: 0.1}),
    ("cosine", {"end": 1}, 2, {0: 0.2, 1: 0.2, 2: 0.2}),
    # 10 steps an epoch: n = 100, top = 24, from there 75 steps to the last, k = 99.
    (
        "one_cycle",
        {"rise": 0.25, "start": 0.5, "end": 0.1},
        10,
        {
            0: 0.1,
            6: 0.15 - 0.05 * HALF_ROOT,
            12: 0.15,
            24: 0.2,
            49: 0.02 + 0.18 * 0.75,  # a = 1/3: the cosine of 60 degrees is 1/2
            74: 0.02 + 0.18 * 0.25,  # a = 2/3
            99: 0.02,
            100: 0.02,
            5000: 0.02,
        },
    ),
    # n = 20, top = 5; the end is 0.2 * 1e-4 / 25.
    ("one_cycle", {}, 2, {0: 0.008, 2.5: 0.104, 5: 0.2, 19: 8e-7}),
    # One epoch of 10 steps, of which less than one rises: top = -0.5, a = 0.5 / 9.5 at k = 0.
    ("one_cycle", {"rise": 0.05, "end": 0}, 1, {0: 0.1 * (1 + math.cos(math.pi / 19)), 9: 0.0}),
    # top = 0: the first step has the peak.
    ("one_cycle", {"rise": 0.1, "end": 0}, 1, {0: 0.2, 4.5: 0.1, 9: 0.0}),
]


@pytest.mark.parametrize(("name", "settings", "max_epochs", "table"), TABLES, ids=str)
def test_rates_equal_the_table(name, settings, max_epochs, table):
    schedule = make_schedule(name, 0.2, max_epochs, settings, steps_per_epoch=10)
    assert {k: schedule(k) for k in table} == pytest.approx(table, rel=1e-12, abs=1e-15)


def test_the_tables_cover_every_schedule_and_every_setting():
    covered = {(name, key) for name, settings, *_ in TABLES for key in settings}
    of_this_file = {"warm_up", "unit"}  # below
    for name in SCHEDULES:
        assert {row[0] for row in TABLES} >= {name}
        assert {(name, key) for key in default_settings(name) if key not in of_this_file} <= covered


def test_the_defaults_are_those_of_the_field():
    assert {name: default_settings(name) for name in SCHEDULES if name != "piecewise"} == {
        "constant": {"warm_up": 0},
        "linear": {"end": 0.01, "tau": None, "warm_up": 0},
        "inverse_time": {"decay_rate": 0.05, "unit": "epoch", "warm_up": 0},
        "step_drop": {"factor": 0.5, "every": 10, "offset": 0, "warm_up": 0},
        "hold_then_exponential": {"hold": 10, "decay_rate": 0.1, "warm_up": 0},
        "polynomial": {"power": 2.0, "end": 0.0, "warm_up": 0},
        "cosine": {"end": 0.0, "warm_up": 0},
        "one_cycle": {"rise": 0.3, "start": 0.04, "end": pytest.approx(4e-6)},
    }
    assert list(default_settings("piecewise")) == ["rates", "warm_up"]


def test_the_lectures_step_drop_halves_the_rate_at_its_tenth_epoch():
    rates = planned_rates(
        make_schedule("step_drop", 0.1, 21, {"offset": 1}, steps_per_epoch=7),
        21,
        steps_per_epoch=7,
    )
    assert rates == pytest.approx([0.1] * 9 + [0.05] * 10 + [0.025] * 2)


def test_inverse_time_counts_steps_or_epochs():
    def plan(unit: str) -> list[float]:
        schedule = make_schedule(
            "inverse_time", 0.6, 3, {"decay_rate": 0.1, "unit": unit}, steps_per_epoch=20
        )
        assert schedule.unit == unit
        return planned_rates(schedule, 3, steps_per_epoch=20)

    assert plan("epoch") == pytest.approx([0.6, 0.6 / 1.1, 0.5])
    # 0, 20 and 40 steps done before
    assert plan("step") == pytest.approx([0.6, 0.2, 0.12])


def test_only_one_cycle_and_inverse_time_by_step_count_steps():
    units = {
        name: make_schedule(
            name, 0.1, 9, {"rates": "1:0.1"} if name == "piecewise" else {}, steps_per_epoch=9
        ).unit
        for name in SCHEDULES
    }
    assert units == {name: "step" if name == "one_cycle" else "epoch" for name in SCHEDULES}


def test_one_cycle_is_planned_at_the_first_step_of_each_epoch():
    settings = {"rise": 0.3, "start": 0.5, "end": 0}
    # n = 10 and top = 2: of the steps 0, 2, 4, 6, 8 the second has the peak, then 2/7, 4/7, 6/7.
    expected = [0.1, 0.2, *(0.1 * (1 + math.cos(math.pi * a / 7)) for a in (2, 4, 6))]
    schedule = make_schedule("one_cycle", 0.2, 5, settings, steps_per_epoch=2)
    assert planned_rates(schedule, 5, steps_per_epoch=2) == pytest.approx(expected)


WARMED = [
    ("constant", {}, 5, [0.1, 0.2, 0.3, 0.3, 0.3]),
    ("linear", {"end": 0}, 5, [0.1, 0.2, 0.3, 0.2, 0.1]),  # the fall takes 3 epochs
    ("linear", {"end": 0, "tau": 2}, 5, [0.1, 0.2, 0.3, 0.15, 0.0]),
    ("inverse_time", {"decay_rate": 1}, 5, [0.1, 0.2, 0.3, 0.15, 0.1]),
    ("step_drop", {"every": 2}, 7, [0.1, 0.2, 0.3, 0.3, 0.15, 0.15, 0.075]),
    ("step_drop", {"every": 2, "offset": 1}, 5, [0.1, 0.2, 0.3, 0.15, 0.15]),
    (
        "hold_then_exponential",
        {"hold": 1, "decay_rate": math.log(2)},
        6,
        [0.1, 0.2, 0.3, 0.3, 0.15, 0.075],
    ),
    ("piecewise", {"rates": "1:0.7, 3:0.9"}, 6, [0.1, 0.2, 0.3, 0.7, 0.7, 0.9]),
    ("polynomial", {}, 5, [0.1, 0.2, 0.3, 0.3 * 4 / 9, 0.3 / 9]),
    ("cosine", {}, 6, [0.1, 0.2, 0.3, 0.15 * (1 + HALF_ROOT), 0.15, 0.15 * (1 - HALF_ROOT)]),
]


@pytest.mark.parametrize(("name", "settings", "max_epochs", "expected"), WARMED, ids=str)
def test_a_warm_up_of_two_epochs_goes_before(name, settings, max_epochs, expected):
    settings = {**settings, "warm_up": 2}
    schedule = make_schedule(name, 0.3, max_epochs, settings, steps_per_epoch=10)
    assert planned_rates(schedule, max_epochs, steps_per_epoch=10) == pytest.approx(expected)


def test_every_schedule_but_one_cycle_takes_a_warm_up():
    takes = {name for name in SCHEDULES if "warm_up" in default_settings(name)}
    assert takes == set(SCHEDULES) - {"one_cycle"} == {name for name, *_ in WARMED}


def test_a_warm_up_of_a_schedule_of_steps_rises_step_by_step():
    settings = {"decay_rate": 1, "unit": "step", "warm_up": 2}
    schedule = make_schedule("inverse_time", 0.7, 4, settings, steps_per_epoch=3)
    # 6 steps of rise by 0.7 / 7 each; k = 6 is step 0 of the fall.
    expected = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.35, 0.7 / 3]
    assert [schedule(k) for k in range(9)] == pytest.approx(expected)
    assert planned_rates(schedule, 4, steps_per_epoch=3) == pytest.approx([0.1, 0.4, 0.7, 0.175])


def test_a_warm_up_may_take_all_epochs_but_the_last():
    schedule = make_schedule("cosine", 0.4, 4, {"warm_up": 3}, steps_per_epoch=10)
    assert [schedule(k) for k in (0, 1, 2, 3, 4)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.0])


def test_a_fraction_of_an_epoch_warms_up_in_proportion():
    schedule = make_schedule("constant", 0.3, 9, {"warm_up": 2}, steps_per_epoch=10)
    assert schedule(0.5) == pytest.approx(0.15)


def test_schedules_load_no_numpy():
    """The reader of study files uses their parser, and must stay quick."""
    code = "import sys, tunelab.training.schedules; print('numpy' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "False\n"
