"""Time counts over attempts and while training alone; memory is refused and given back."""

from __future__ import annotations

import resource
import sys
import time

import numpy as np
import pytest

from tunelab.errors import UsageError
from tunelab.execution import limits
from tunelab.execution.limits import MemoryLimit, TrialClock


@pytest.fixture
def clock(monkeypatch):
    """A clock that is moved by hand, and the alarms that were set."""
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(limits, "_set_alarm", alarms.append)
    now[0] = 1000.0
    alarms.clear()
    return TrialClock(10.0)


now: list[float] = [0.0]
alarms: list[float] = []


def test_time_counts_while_the_trial_trains(clock):
    clock.reset()
    with clock.running():
        now[0] += 4
        assert clock.seconds == 4
    now[0] += 1000  # the database is away
    assert (clock.seconds, clock.is_over) == (4, False)
    with clock.running():
        now[0] += 5.9
        assert not clock.is_over
        now[0] += 0.2
        assert clock.is_over
    assert clock.seconds == pytest.approx(10.1)


def test_time_goes_on_from_an_earlier_attempt_and_begins_anew_with_another_trial(clock):
    clock.reset(9.0)
    with clock.running():
        now[0] += 1.5
    assert clock.is_over
    clock.reset()
    assert (clock.seconds, clock.is_over) == (0.0, False)


def test_the_alarm_is_set_for_what_is_left_and_taken_back(clock):
    clock.reset(4.0)
    with clock.running():
        now[0] += 1
    with clock.running():
        pass
    assert alarms == [6.0 + limits.HUNG_SECONDS, 0.0, 5.0 + limits.HUNG_SECONDS, 0.0]


def test_without_a_limit_nothing_is_ever_over(monkeypatch):
    monkeypatch.setattr(limits, "_set_alarm", alarms.append)
    alarms.clear()
    clock = TrialClock()
    clock.reset(1e9)
    with clock.running():
        assert not clock.is_over
    assert alarms == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone can refuse memory")
def test_memory_beyond_the_limit_is_refused_in_the_block_and_given_behind_it():
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = MemoryLimit(200_000_000)
    with limit.applied():
        np.ones(10_000_000)  # 80 MB
        with pytest.raises(MemoryError):
            np.ones(40_000_000)  # 320 MB
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    np.ones(40_000_000)
    with pytest.raises(MemoryError), limit.applied():
        np.ones(40_000_000)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_a_system_that_cannot_limit_memory_says_so(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    MemoryLimit(None)
    with pytest.raises(UsageError, match=r"search\.trial_memory cannot be enforced"):
        MemoryLimit(10**9)
