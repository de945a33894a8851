"""Settings that are refused: the message names schedule, setting, range and value."""

from __future__ import annotations

import math
import re

import pytest

from tunelab.training.schedules import SCHEDULES, make_schedule
from tunelab.training.schedules.base import Schedule
from tunelab.training.schedules.warm_up import warm_up

REFUSED = [
    ("constant", {"every": 3}, "constant: unknown settings every"),
    ("cosine", {"max_epochs": 3}, "cosine: unknown settings max_epochs"),
    ("one_cycle", {"steps_per_epoch": 3}, "one_cycle: unknown settings steps_per_epoch"),
    ("one_cycle", {"warm_up": 3}, "one_cycle: unknown settings warm_up"),
    ("piecewise", {}, "piecewise: rates must be given"),
    ("linear", {"end": -0.1}, "linear: end must be in [0, 1], got -0.1"),
    ("linear", {"end": 1.1}, "linear: end must be in [0, 1], got 1.1"),
    ("linear", {"end": math.nan}, "linear: end must be in [0, 1], got nan"),
    ("linear", {"end": "0.1"}, "linear: end must be in [0, 1], got '0.1'"),
    ("linear", {"end": True}, "linear: end must be in [0, 1], got True"),
    ("linear", {"tau": 0}, "linear: tau must be a whole number of epochs, at least 1, got 0"),
    ("linear", {"tau": 1.5}, "linear: tau must be a whole number of epochs, at least 1, got 1.5"),
    (
        "inverse_time",
        {"decay_rate": -1},
        "inverse_time: decay_rate must be >= 0 and finite, got -1",
    ),
    ("inverse_time", {"decay_rate": math.inf}, "decay_rate must be >= 0 and finite, got inf"),
    ("inverse_time", {"unit": "batch"}, "inverse_time: unit must be epoch or step, got 'batch'"),
    ("step_drop", {"factor": 0.0}, "step_drop: factor must be in (0, 1], got 0.0"),
    ("step_drop", {"factor": 1.5}, "step_drop: factor must be in (0, 1], got 1.5"),
    ("step_drop", {"every": 0}, "step_drop: every must be a whole number of epochs, at least 1"),
    ("step_drop", {"every": 2.5}, "step_drop: every must be a whole number of epochs"),
    ("step_drop", {"offset": 2}, "step_drop: offset must be a whole number, in [0, 1], got 2"),
    ("step_drop", {"offset": -1}, "step_drop: offset must be a whole number, in [0, 1], got -1"),
    ("hold_then_exponential", {"hold": -1}, "hold must be a whole number of epochs, at least 0"),
    ("hold_then_exponential", {"decay_rate": -0.1}, "decay_rate must be >= 0 and finite, got -0.1"),
    ("polynomial", {"power": 0}, "polynomial: power must be > 0 and finite, got 0"),
    ("polynomial", {"end": 2}, "polynomial: end must be in [0, 1], got 2"),
    ("cosine", {"end": 1.2}, "cosine: end must be in [0, 1], got 1.2"),
    ("cosine", {"end": -0.1}, "cosine: end must be in [0, 1], got -0.1"),
    ("one_cycle", {"rise": 0}, "one_cycle: rise must be in (0, 1), got 0"),
    ("one_cycle", {"rise": 1}, "one_cycle: rise must be in (0, 1), got 1"),
    ("one_cycle", {"start": 0}, "one_cycle: start must be in (0, 1], got 0"),
    ("one_cycle", {"start": 1.1}, "one_cycle: start must be in (0, 1], got 1.1"),
    ("one_cycle", {"end": -1}, "one_cycle: end must be in [0, 1], got -1"),
    ("cosine", {"warm_up": 10}, "warm_up must be a whole number of epochs, in [0, 9], got 10"),
    ("cosine", {"warm_up": -1}, "warm_up must be a whole number of epochs, in [0, 9], got -1"),
    ("cosine", {"warm_up": 0.5}, "warm_up must be a whole number of epochs, in [0, 9], got 0.5"),
]


def cause(*arguments, **keywords) -> str:
    with pytest.raises(ValueError, match=r"must|unknown") as refused:
        make_schedule(*arguments, **keywords)
    return str(refused.value)


@pytest.mark.parametrize(("name", "settings", "message"), REFUSED, ids=str)
def test_settings_out_of_range_are_refused(name, settings, message):
    said = cause(name, 0.1, 10, settings, steps_per_epoch=5)
    assert said.startswith(f"{name}: ")
    assert message in said


def test_an_unknown_schedule_is_refused_and_the_known_ones_are_named():
    said = cause("cosin", 0.1, 10, {}, steps_per_epoch=5)
    assert said == f"schedule must be one of {', '.join(SCHEDULES)}, got 'cosin'"


@pytest.mark.parametrize("rate", [0.0, -0.1, math.nan, math.inf, "0.1", None])
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_refuses_a_learning_rate_that_is_none(name, rate):
    said = cause(name, rate, 10, {}, steps_per_epoch=5)
    assert said == f"{name}: learning_rate must be > 0 and finite, got {rate!r}"


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_run_has_an_epoch_and_a_step(name):
    assert f"{name}: max_epochs must be" in cause(name, 0.1, 0, {}, steps_per_epoch=5)
    assert f"{name}: steps_per_epoch must be" in cause(name, 0.1, 10, {}, steps_per_epoch=0)


def test_factories_check_for_themselves():
    """Whoever calls one directly is told the same."""
    lengths = {"max_epochs": 10, "steps_per_epoch": 5}
    wanted = {
        "linear": ["max_epochs"],
        "polynomial": ["max_epochs"],
        "cosine": ["max_epochs"],
        "one_cycle": ["max_epochs", "steps_per_epoch"],
    }
    for name, factory in SCHEDULES.items():
        settings = {key: lengths[key] for key in wanted.get(name, [])}
        if name == "piecewise":
            settings = {"rates": "1:0.1"}
        assert isinstance(factory(0.1, **settings), Schedule)
        with pytest.raises(ValueError, match=f"^{name}: learning_rate must be"):
            factory(0.0, **settings)
        for key in wanted.get(name, []):
            with pytest.raises(ValueError, match=f"^{name}: {key} must be"):
                factory(0.1, **{**settings, key: 0})


def test_a_warm_up_of_negative_length_is_refused():
    with pytest.raises(ValueError, match=r"warm_up: length must be a whole number of epochs"):
        warm_up(Schedule(lambda k: 0.1), 0.1, -1)
    message = re.escape("warm_up: learning_rate must be > 0 and finite, got 0.0")
    with pytest.raises(ValueError, match=message):
        warm_up(Schedule(lambda k: 0.1), 0.0, 1)
