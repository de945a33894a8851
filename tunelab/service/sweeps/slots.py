"""Which slots of a sweep are due, and what becomes of one while an earlier generation runs.

A slot is an instant of the sweep's cron expression. Everything here is computed from arguments, the
present moment among them: nothing reads a clock or a database. Moments are seconds since 1970-01-01
UTC, and only the database's clock should be asked for the present one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import Literal

from tunelab.spec.cron import Cron
from tunelab.spec.sweep_section import SweepSpec

ON_TIME_SECONDS = 60.0
"""How late a slot may be and still count as on time: a minute, the unit of cron."""

MOST_COUNTED = 1000


@dataclass(frozen=True)
class Late:
    """Slots that are not started any more, as one entry of the sweep's history.

    Attributes:
        slot_at: The newest of them, under which they are recorded.
        oldest: The oldest of them.
        n_slots: How many they are; `MOST_COUNTED` may stand for more.
        reason: Why, in a sentence.
    """

    slot_at: float
    oldest: float
    n_slots: int
    reason: str


@dataclass(frozen=True)
class Due:
    """What is to be done for a sweep at one moment.

    Attributes:
        slots: To be claimed and started, oldest first.
        late: To be recorded before that; None if nothing was missed for good.
    """

    slots: tuple[float, ...] = ()
    late: Late | None = None


def due_slots(sweep: SweepSpec, *, since: float, now: float) -> Due:
    """The slots in (since, now], each of them either to be started or too late.

    A slot is on time for `ON_TIME_SECONDS` and missed after that. The rules of catching up::

        none     a slot that is on time
        latest   the newest slot, if it is on time or not later than the grace
        all      every slot that is on time or not later than the grace

    All others are late. A slot is late by ``now - slot``, and by exactly the grace is not too late.
    Slots that are taken in the order in which they are returned, and the newest slot that was ever
    taken or found late given as the next ``since``, are returned once, whatever the moments of the
    calls and also if the clock is put back.

    Args:
        sweep: The rules; whether the sweep is enabled is not asked.
        since: The newest slot that is settled already or, if it is later, the moment from which
            the sweep counts: when it was added, got another expression, or went on after a pause.
        now: The present moment.
    """
    caught_up = sweep.catchup != "none"
    tolerance = max(ON_TIME_SECONDS, sweep.grace_seconds if caught_up else 0.0)
    begin = max(since, _just_before(now - tolerance))
    if sweep.catchup == "all":
        slots = tuple(_between(sweep.cron, begin, now))
    else:
        newest = _newest(sweep.cron, begin, now)
        slots = () if newest is None else (newest,)
    return Due(slots, _late(sweep, since, _just_before(slots[0]) if slots else now, begin))


def _late(sweep: SweepSpec, since: float, until: float, begin: float) -> Late | None:
    """The slots in (since, until], none of which is started; those up to ``begin`` are too late."""
    newest = _newest(sweep.cron, since, until)
    if newest is None:
        return None
    n_slots, oldest = 0, newest
    for slot in islice(_between(sweep.cron, since, until), MOST_COUNTED):
        oldest = min(oldest, slot)
        n_slots += 1
    what = "missed"
    if n_slots > 1:
        least = "at least " if n_slots == MOST_COUNTED else ""
        what = f"{least}{n_slots} slots were missed, the first at {_written(oldest)}"
    if sweep.catchup == "none":
        why = "catchup: none starts no slot later"
    elif newest > begin:
        why = "catchup: latest starts only the newest"
    else:
        why = f"the grace of {sweep.grace_seconds:g} s was over"
    return Late(newest, oldest, n_slots, f"{what}; {why}")


def upcoming(cron: Cron, after: float, n_slots: int) -> list[float]:
    """The next slots strictly after a moment."""
    return list(islice(cron.instants(after), n_slots))


def _between(cron: Cron, after: float, until: float) -> Iterator[float]:
    """The slots in (after, until]."""
    return takewhile(lambda slot: slot <= until, cron.instants(after))


def _newest(cron: Cron, after: float, until: float) -> float | None:
    """The newest slot in (after, until].

    Looked for in times that double as they reach back: an absence of a year costs no more than
    one of an hour, however often the sweep comes.
    """
    reach = 3600.0
    while True:
        begin = max(after, until - reach)
        slots = list(_between(cron, begin, until))
        if slots or begin == after:
            return slots[-1] if slots else None
        reach *= 2


def _just_before(moment: float) -> float:
    return math.nextafter(moment, -math.inf)


def _written(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%MZ")


Turn = Literal["start", "skip", "wait", "late"]


def turn_of(sweep: SweepSpec, *, slot_at: float, now: float, earlier_runs: bool) -> Turn:
    """What becomes of a slot that was claimed, taken up from the dead, or waited, by ``overlap``.

    ::

        skip     not started while an earlier generation runs
        queue    waits for its turn, the oldest first
        allow    started beside it

    None is started later than the grace, whatever kept it.

    Args:
        sweep: The rules.
        slot_at: The slot.
        now: The present moment.
        earlier_runs: Whether an earlier generation has not ended, or an earlier slot is still to
            be started.
    """
    if now - slot_at > max(sweep.grace_seconds, ON_TIME_SECONDS):
        return "late"
    if sweep.overlap == "allow" or not earlier_runs:
        return "start"
    return "skip" if sweep.overlap == "skip" else "wait"
