"""Which slots of a sweep are due, whatever became of the controllers meanwhile."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunelab.service.sweeps.slots import MOST_COUNTED, Due, due_slots, turn_of, upcoming
from tunelab.spec.sweep_section import CATCHUPS, SweepSpec


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def written(slots):
    return [datetime.fromtimestamp(slot, UTC).strftime("%d %H:%M") for slot in slots]


def sweep(cron="0 * * * *", **others):
    return SweepSpec(cron=cron, **others)


def due(rules, since, now):
    return due_slots(rules, since=utc(since), now=utc(now))


# The controllers were down from 09:30 to 10:30 of the next day: 25 hours, and 25 hourly slots.
DOWN, BACK = "2026-03-10T09:30", "2026-03-11T10:30"


def test_after_25_hours_down_nothing_is_caught_up_unless_a_slot_is_on_time():
    missed = due(sweep(catchup="none"), DOWN, BACK)
    assert missed.slots == ()
    assert written([missed.late.oldest, missed.late.slot_at]) == ["10 10:00", "11 10:00"]
    assert missed.late.reason == (
        "25 slots were missed, the first at 2026-03-10T10:00Z; catchup: none starts no slot later"
    )
    on_time = due(sweep(catchup="none"), DOWN, "2026-03-11T10:00:59")
    assert written(on_time.slots) == ["11 10:00"]
    assert written([on_time.late.slot_at]) == ["11 09:00"]
    assert on_time.late.n_slots == 24


def test_after_25_hours_down_the_latest_slot_is_caught_up():
    missed = due(sweep(catchup="latest"), DOWN, BACK)
    assert written(missed.slots) == ["11 10:00"]
    assert (missed.late.n_slots, written([missed.late.slot_at])) == (24, ["11 09:00"])
    assert missed.late.reason.endswith("; catchup: latest starts only the newest")


def test_after_25_hours_down_all_slots_are_caught_up_as_far_as_the_grace_reaches():
    missed = due(sweep(catchup="all"), DOWN, BACK)  # the default grace, a day: from 10:30 on
    assert written(missed.slots[:2]) == ["10 11:00", "10 12:00"]
    assert (len(missed.slots), written(missed.slots[-1:])) == (24, ["11 10:00"])
    assert (missed.late.n_slots, missed.late.slot_at) == (1, utc("2026-03-10T10:00"))
    assert missed.late.reason == "missed; the grace of 86400 s was over"
    whole = due(sweep(catchup="all", grace="26h"), DOWN, BACK)
    assert (len(whole.slots), whole.late) == (25, None)
    few = due(sweep(catchup="all", grace="2h30m"), DOWN, BACK)  # a slot exactly as late counts
    assert written(few.slots) == ["11 08:00", "11 09:00", "11 10:00"]
    assert few.late.n_slots == 22


@pytest.mark.parametrize(
    ("grace", "slots", "n_late", "why"),
    [
        ("8h30m", ["11 02:00"], 0, None),
        ("8h29m", [], 1, "the grace of 30540 s was over"),
        ("1s", [], 1, "the grace of 1 s was over"),
    ],
)
def test_a_missed_night_is_caught_up_within_the_grace(grace, slots, n_late, why):
    missed = due(sweep("0 2 * * *", grace=grace), DOWN, BACK)
    assert written(missed.slots) == slots
    assert (missed.late.n_slots if missed.late else 0) == n_late
    assert why is None or missed.late.reason == f"missed; {why}"


@pytest.mark.parametrize("catchup", CATCHUPS)
def test_a_slot_is_on_time_for_a_minute_whatever_the_rules(catchup):
    rules = sweep(catchup=catchup, grace=1)
    assert due(rules, "2026-03-10T09:30", "2026-03-10T09:59:59") == Due()
    for second in ("00", "30", "59"):
        assert written(due(rules, "2026-03-10T09:30", f"2026-03-10T10:00:{second}").slots) == [
            "10 10:00"
        ]
    assert due(rules, "2026-03-10T09:30", "2026-03-10T10:01:01").slots == ()


@pytest.mark.parametrize("catchup", CATCHUPS)
def test_nothing_is_due_again_or_when_the_clock_was_put_back(catchup):
    rules = sweep(catchup=catchup)
    assert due(rules, "2026-03-10T10:00", "2026-03-10T10:00:30") == Due()
    assert due(rules, "2026-03-10T12:00", "2026-03-10T10:00:30") == Due()


def test_a_year_of_minutes_costs_no_more_than_a_look():
    rules = sweep("* * * * *", catchup="latest")
    began = time.process_time()
    missed = due(rules, "2025-03-10T00:00", "2026-03-10T00:00")
    assert time.process_time() - began < 1.0  # half a million slots would take several seconds
    assert written(missed.slots) == ["10 00:00"]
    assert missed.late.n_slots == MOST_COUNTED
    assert missed.late.reason.startswith("at least 1000 slots were missed, the first at 2025-03-10")
    assert written([missed.late.slot_at]) == ["09 23:59"]


def test_the_next_slots_are_listed():
    slots = upcoming(sweep("0 2 * * *", timezone="Europe/Berlin").cron, utc("2026-03-28T12:00"), 3)
    assert written(slots) == ["29 01:00", "30 00:00", "31 00:00"]  # a gap's end, then summer time


@pytest.mark.parametrize(
    ("overlap", "runs", "late", "turn"),
    [
        ("skip", False, 0, "start"),
        ("skip", True, 0, "skip"),
        ("queue", False, 0, "start"),
        ("queue", True, 0, "wait"),
        ("queue", True, 3600, "wait"),
        ("queue", True, 3601, "late"),
        ("queue", False, 3601, "late"),
        ("allow", False, 0, "start"),
        ("allow", True, 0, "start"),
        ("allow", True, 3601, "late"),
    ],
)
def test_what_becomes_of_a_slot_while_an_earlier_generation_runs(overlap, runs, late, turn):
    rules = sweep(overlap=overlap, grace="1h", catchup="none")
    assert turn_of(rules, slot_at=1000.0, now=1000.0 + late, earlier_runs=runs) == turn


EXPRESSIONS = ["0 * * * *", "*/7 * * * *", "30 2 * * *", "15 0,2,3 * * *", "0 0 L * *", "0 1 * * 0"]
ADDED = utc("2026-03-27T00:00")


def poll(rules, waits):
    """What a controller finds that looks after each of these waits, in seconds."""
    since = now = ADDED
    for wait in waits:
        now += wait
        found = due_slots(rules, since=since, now=now)
        if found.late:
            since = max(since, found.late.slot_at)
        if found.slots:
            since = max(since, *found.slots)
        yield now, found


waits = st.lists(
    st.integers(1, 59) | st.integers(-7200, 100_000) | st.floats(0.1, 5000), min_size=1, max_size=40
)
rules = st.builds(
    sweep,
    st.sampled_from(EXPRESSIONS),
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
    catchup=st.sampled_from(CATCHUPS),
    grace=st.integers(1, 90_000),
)


@settings(deadline=None)
@given(rules, waits)
def test_whenever_one_looks_no_slot_is_due_twice_and_none_too_late(rules, waits):
    taken, recorded = [], []
    grace = max(60, 0 if rules.catchup == "none" else rules.grace_seconds)
    for now, found in poll(rules, waits):
        assert all(now - grace <= slot <= now for slot in found.slots)
        assert len(found.slots) <= 1 or rules.catchup == "all"
        if found.late:
            assert found.late.oldest <= found.late.slot_at < (*found.slots, now + 1)[0]
            recorded.append(found.late)
        taken += found.slots
    assert taken == sorted(set(taken))
    settled = {*taken, *(late.slot_at for late in recorded)}
    assert len(settled) == len(taken) + len(recorded)


@settings(deadline=None)
@given(rules, waits)
def test_every_slot_is_either_due_or_counted_as_late(rules, waits):
    n_found, latest = 0, ADDED
    for now, found in poll(rules, waits):
        latest = max(latest, now)
        n_found += len(found.slots) + (found.late.n_slots if found.late else 0)
        assert not found.late or found.late.n_slots < MOST_COUNTED
    every = takewhile(lambda slot: slot <= latest, rules.cron.instants(ADDED))
    assert n_found == len(list(every))


@settings(deadline=None)
@given(
    st.sampled_from(EXPRESSIONS),
    st.lists(st.floats(0.5, 7200), min_size=1, max_size=60),
)
def test_all_that_is_looked_at_often_enough_is_started_as_the_expression_says(cron, waits):
    rules = sweep(cron, timezone="Europe/Berlin", catchup="all", grace=7200)
    looks = list(poll(rules, waits))
    until = looks[-1][0]
    every = takewhile(lambda slot: slot <= until, rules.cron.instants(ADDED))
    assert [slot for _, found in looks for slot in found.slots] == list(every)
    assert all(found.late is None for _, found in looks)
