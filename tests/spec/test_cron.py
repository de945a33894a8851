"""The instants of cron expressions, above all where clocks are changed."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunelab.spec.cron import Cron, check_expression

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def between(cron, after, until):
    slots = []
    for slot in cron.instants(utc(after)):
        if slot > utc(until):
            return [datetime.fromtimestamp(slot, UTC).strftime("%d %H:%M") for slot in slots]
        slots.append(slot)
    raise AssertionError


# By hand. Europe/Berlin is UTC+1, from 01:00 UTC on the last Sunday of March to 01:00 UTC on that
# of October UTC+2. America/New_York is UTC-5, from 07:00 UTC on the second Sunday of March to 06:00
# UTC on the first of November UTC-4.
SPRING = [
    # (zone, expression, after, until, UTC instants)
    (
        BERLIN,
        "30 2 * * *",  # 02:30 does not come on the 29th: at 03:00 = 01:00 UTC instead
        "2026-03-27T12:00",
        "2026-03-31T12:00",
        ["28 01:30", "29 01:00", "30 00:30", "31 00:30"],
    ),
    (
        BERLIN,
        "30 2 * * *",
        "2027-03-26T12:00",
        "2027-03-30T12:00",
        ["27 01:30", "28 01:00", "29 00:30", "30 00:30"],
    ),
    (
        BERLIN,
        "0,15,30,45 2 * * *",  # four times in the gap are one
        "2026-03-28T12:00",
        "2026-03-30T00:20",
        ["29 01:00", "30 00:00", "30 00:15"],
    ),
    (BERLIN, "*/15 2 * * *", "2026-03-28T12:00", "2026-03-30T00:00", ["29 01:00", "30 00:00"]),
    (
        BERLIN,
        "0 2,3 * * *",  # the end of the gap is a time of its own already
        "2026-03-28T12:00",
        "2026-03-30T12:00",
        ["29 01:00", "30 00:00", "30 01:00"],
    ),
    (
        BERLIN,
        "0 * * * *",  # no hour of the day's 23 is left out
        "2026-03-28T22:59",
        "2026-03-29T02:00",
        ["28 23:00", "29 00:00", "29 01:00", "29 02:00"],
    ),
    (
        BERLIN,
        "0 */2 * * *",  # 00:00, then 03:00 for 02:00, 04:00, 06:00
        "2026-03-28T22:30",
        "2026-03-29T04:30",
        ["28 23:00", "29 01:00", "29 02:00", "29 04:00"],
    ),
    (
        NEW_YORK,
        "30 2 * * *",  # 02:30 does not come on the 8th: at 03:00 = 07:00 UTC instead
        "2026-03-06T12:00",
        "2026-03-10T12:00",
        ["07 07:30", "08 07:00", "09 06:30", "10 06:30"],
    ),
    (
        NEW_YORK,
        "30 2 * * *",
        "2027-03-12T12:00",
        "2027-03-16T12:00",
        ["13 07:30", "14 07:00", "15 06:30", "16 06:30"],
    ),
    (
        NEW_YORK,
        "30 * * * *",
        "2026-03-08T05:00",
        "2026-03-08T08:45",
        ["08 05:30", "08 06:30", "08 07:30", "08 08:30"],
    ),
]
AUTUMN = [
    (
        BERLIN,
        "30 2 * * *",  # 02:30 comes twice on the 25th, at 00:30 and 01:30 UTC: the first counts
        "2026-10-23T12:00",
        "2026-10-27T12:00",
        ["24 00:30", "25 00:30", "26 01:30", "27 01:30"],
    ),
    (
        BERLIN,
        "30 2 * * *",
        "2027-10-29T12:00",
        "2027-11-02T12:00",
        ["30 00:30", "31 00:30", "01 01:30", "02 01:30"],
    ),
    (
        BERLIN,
        "*/15 2 * * *",
        "2026-10-24T12:00",
        "2026-10-26T01:00",
        ["25 00:00", "25 00:15", "25 00:30", "25 00:45", "26 01:00"],
    ),
    (
        BERLIN,
        "0 * * * *",  # each of the day's 25 hours
        "2026-10-24T23:30",
        "2026-10-25T02:30",
        ["25 00:00", "25 01:00", "25 02:00"],
    ),
    (
        BERLIN,
        "0 0-23 * * *",  # says the same
        "2026-10-24T23:30",
        "2026-10-25T02:30",
        ["25 00:00", "25 01:00", "25 02:00"],
    ),
    (
        BERLIN,
        "0 */2 * * *",  # 00:00, 02:00, 04:00
        "2026-10-24T21:30",
        "2026-10-25T03:30",
        ["24 22:00", "25 00:00", "25 03:00"],
    ),
    (
        NEW_YORK,
        "30 1 * * *",  # 01:30 comes twice on the 1st, at 05:30 and 06:30 UTC
        "2026-10-30T12:00",
        "2026-11-03T12:00",
        ["31 05:30", "01 05:30", "02 06:30", "03 06:30"],
    ),
    (
        NEW_YORK,
        "30 1 * * *",
        "2027-11-05T12:00",
        "2027-11-09T12:00",
        ["06 05:30", "07 05:30", "08 06:30", "09 06:30"],
    ),
    (
        NEW_YORK,
        "15 * * * *",
        "2026-11-01T04:30",
        "2026-11-01T07:30",
        ["01 05:15", "01 06:15", "01 07:15"],
    ),
]


@pytest.mark.parametrize(("zone", "expression", "after", "until", "expected"), [*SPRING, *AUTUMN])
def test_the_nights_on_which_clocks_are_changed(zone, expression, after, until, expected):
    assert between(Cron(expression, zone), after, until) == expected


@pytest.mark.parametrize(
    ("after", "next_slot"),
    [
        ("2026-10-25T00:29", "2026-10-25T00:30"),  # 02:29, the first time
        ("2026-10-25T00:30", "2026-10-26T01:30"),
        ("2026-10-25T01:10", "2026-10-26T01:30"),  # 02:10, the second time
        ("2026-10-25T01:30", "2026-10-26T01:30"),
        ("2026-03-29T00:59", "2026-03-29T01:00"),  # the last minute before the gap
        ("2026-03-29T01:00", "2026-03-30T00:30"),
    ],
)
def test_the_next_slot_as_seen_from_within_such_a_night(after, next_slot):
    assert Cron("30 2 * * *", BERLIN).next_instant(utc(after)) == utc(next_slot)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 * * 1", ["09 00:00", "16 00:00"]),  # Mondays
        ("0 0 13 * 1", ["09 00:00", "13 00:00"]),  # the 13th, and Mondays
        ("0 0 L 2 *", ["28 00:00", "28 00:00"]),
        ("0 0 * * 7", ["08 00:00", "15 00:00"]),
        ("0 0 * * mon#2", ["09 00:00", "09 00:00"]),
    ],
)
def test_days_are_understood_as_cron_does(expression, expected):
    slots = islice(Cron(expression).instants(utc("2026-02-02T00:00")), 2)
    assert [datetime.fromtimestamp(slot, UTC).strftime("%d %H:%M") for slot in slots] == expected


def field(low, high):
    number = st.integers(low, high)
    spans = st.tuples(number, number).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    items = st.lists(number.map(str) | spans, min_size=1, max_size=3).map(",".join)
    return st.just("*") | items | st.integers(1, high or 1).map(lambda n: f"*/{n}")


expressions = st.tuples(field(0, 59), field(0, 23), st.just("*"), st.just("*"), field(0, 7)).map(
    " ".join
)
zones = st.sampled_from(
    ["UTC", BERLIN, NEW_YORK, "Australia/Lord_Howe", "Africa/Cairo", "America/Havana", "Asia/Tokyo"]
)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(
    lambda moment: moment.replace(tzinfo=UTC).timestamp()
)


@settings(deadline=None, max_examples=200)
@given(expressions, zones, moments)
def test_instants_increase_strictly_and_are_the_same_from_wherever_one_looks(cron, zone, after):
    sweep = Cron(check_expression(cron), zone)
    slots = list(islice(sweep.instants(after), 40))
    assert slots[0] > after
    assert all(earlier < later for earlier, later in pairwise(slots))
    assert all(slot % 60 == 0 for slot in slots)
    for index in range(0, 39, 6):
        assert sweep.next_instant(slots[index]) == slots[index + 1]
        for shortly_before in (slots[index + 1] - 1, math.nextafter(slots[index + 1], 0)):
            assert sweep.next_instant(shortly_before) == slots[index + 1]


@settings(deadline=None)
@given(expressions, zones, moments)
def test_each_slot_is_a_time_that_the_expression_names_or_the_end_of_a_gap(cron, zone, after):
    minutes, hours = (
        numbers(part, high) for part, high in zip(cron.split(), (59, 23), strict=False)
    )
    for slot in islice(Cron(cron, zone).instants(after), 20):
        there = datetime.fromtimestamp(slot, ZoneInfo(zone))
        before = datetime.fromtimestamp(slot - 1, ZoneInfo(zone))
        put_forward = there.utcoffset() > before.utcoffset()
        assert put_forward or (there.minute in minutes and there.hour in hours)


def numbers(text, high):
    """The numbers that a field stands for, computed another way."""
    found = set()
    for item in text.split(","):
        if item.startswith("*"):
            found |= set(range(0, high + 1, int(item[2:] or 1)))
        else:
            first, _, last = item.partition("-")
            found |= set(range(int(first), int(last or first) + 1))
    return found
