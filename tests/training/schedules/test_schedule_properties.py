"""What holds for every schedule, whatever its settings are."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunelab.training.schedules import (
    SCHEDULES,
    default_settings,
    make_schedule,
    planned_rates,
)

ROUNDING = 4e-15  # of the greatest rate
SHARES = st.floats(0.0, 1.0)
EPOCHS = st.integers(1, 300)
RATES = st.floats(1e-6, 10.0)

OWN = {
    "constant": {},
    "linear": {"end": SHARES, "tau": EPOCHS},
    "inverse_time": {
        "decay_rate": st.floats(0.0, 100.0),
        "unit": st.sampled_from(["epoch", "step"]),
    },
    "step_drop": {
        "factor": st.floats(0.0, 1.0, exclude_min=True),
        "every": EPOCHS,
        "offset": st.integers(0, 1),
    },
    "hold_then_exponential": {"hold": st.integers(0, 300), "decay_rate": st.floats(0.0, 100.0)},
    "piecewise": {"rates": st.dictionaries(EPOCHS, RATES, min_size=1)},
    "polynomial": {"power": st.floats(0.01, 50.0), "end": SHARES},
    "cosine": {"end": SHARES},
    "one_cycle": {
        "rise": st.floats(0.001, 0.999),
        "start": st.floats(0.0, 1.0, exclude_min=True),
        "end": SHARES,
    },
}
FALLING = sorted(set(SCHEDULES) - {"piecewise", "one_cycle"})
WARMED = sorted(set(SCHEDULES) - {"one_cycle"})


@st.composite
def runs(draw, names=tuple(SCHEDULES), longest_warm_up=299):
    """Name, initial rate, epochs, settings, steps of an epoch, and the k to look at."""
    name = draw(st.sampled_from(sorted(names)))
    max_epochs = draw(EPOCHS)
    settings = {key: draw(strategy) for key, strategy in OWN[name].items()}
    if name in WARMED:
        settings["warm_up"] = draw(st.integers(0, min(max_epochs - 1, longest_warm_up)))
    ks = draw(st.lists(st.floats(0.0, 1000.0) | st.integers(0, 1000), min_size=2, max_size=9))
    return name, draw(RATES), max_epochs, settings, draw(st.integers(1, 50)), sorted(ks)


def test_the_settings_drawn_are_all_there_are():
    assert {name: set(own) for name, own in OWN.items()} == {
        name: set(default_settings(name)) - {"warm_up"} for name in SCHEDULES
    }


@given(runs())
def test_rates_are_finite_and_never_negative(run):
    name, initial, max_epochs, settings, steps, ks = run
    schedule = make_schedule(name, initial, max_epochs, settings, steps_per_epoch=steps)
    rates = planned_rates(schedule, max_epochs, steps_per_epoch=steps)
    assert len(rates) == max_epochs
    for rate in [*rates, *map(schedule, ks)]:
        assert math.isfinite(rate)
        assert rate >= 0.0


@given(runs(FALLING, longest_warm_up=0))
def test_schedules_that_fall_never_rise_and_begin_at_the_initial_rate(run):
    name, initial, max_epochs, settings, steps, ks = run
    schedule = make_schedule(name, initial, max_epochs, settings, steps_per_epoch=steps)
    rates = [schedule(k) for k in ks]
    rounding = initial * ROUNDING
    assert all(after <= before + rounding for before, after in pairwise([initial, *rates]))
    if settings.get("offset") != 1:  # which may drop before epoch 1
        assert schedule(0) == initial


@given(runs(WARMED))
def test_a_warm_up_rises_strictly_and_the_schedule_follows_unchanged(run):
    name, initial, max_epochs, settings, steps, ks = run
    warmed = make_schedule(name, initial, max_epochs, settings, steps_per_epoch=steps)
    epochs = settings["warm_up"]
    rest = {**settings, "warm_up": 0}
    inner = make_schedule(name, initial, max_epochs - epochs, rest, steps_per_epoch=steps)
    assert warmed.unit == inner.unit
    length = epochs * (steps if inner.unit == "step" else 1)
    rise = [warmed(k) for k in range(length)]
    assert all(before < after for before, after in zip([0.0, *rise], [*rise, initial], strict=True))
    assert [warmed(length + round(k)) for k in ks] == [inner(round(k)) for k in ks]


@given(runs(["linear", "polynomial", "cosine"]))
def test_past_the_last_epoch_the_rate_stays_at_its_end(run):
    name, initial, max_epochs, settings, steps, ks = run
    settings.pop("tau", None)
    schedule = make_schedule(name, initial, max_epochs, settings, steps_per_epoch=steps)
    final = settings["end"] * initial
    assert {schedule(max_epochs + k) for k in [0, *ks]} == {final}


@given(runs(["one_cycle"]))
def test_one_cycle_rises_to_its_peak_and_then_falls(run):
    name, peak, max_epochs, settings, steps, _ = run
    schedule = make_schedule(name, peak, max_epochs, settings, steps_per_epoch=steps)
    n = max_epochs * steps
    rates = [schedule(k) for k in range(n)]
    top = max(math.ceil(settings["rise"] * n - 1), 0)
    rounding = peak * ROUNDING
    assert max(rates) <= peak + rounding
    assert all(before <= after + rounding for before, after in pairwise(rates[:top]))
    assert all(after <= before + rounding for before, after in pairwise(rates[top:]))
    assert rates[-1] == schedule(n) == pytest.approx(settings["end"] * peak, abs=1e-12)
