"""What a slot of a Dask worker runs: one worker process, for as long as its study is led.

The worker is a child process, not a thread of the Dask worker. A lease belongs to a process; the
limits of a trial (an alarm, the address space) are those of a process; and Python trains in one
thread at a time. When the Dask worker is killed, the child finds the end of its input, saves its
trial and leaves.

This module is loaded by Dask workers: it needs neither Dask nor what proposes trials.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum

from sqlalchemy import Connection

from tunelab.errors import TunelabError, UsageError
from tunelab.execution.log import say
from tunelab.service.workers import LEAVE_SECONDS, Ended, Workers, alarm_cause
from tunelab.storage.claims import requeue_lost
from tunelab.storage.engine import Database
from tunelab.storage.leases import Lease, is_held
from tunelab.storage.location import DATABASE_URL_VARIABLE, database_url
from tunelab.storage.outages import OutageError
from tunelab.storage.owners import Owner
from tunelab.storage.schema import open_database
from tunelab.storage.workers import dead_workers, strike_out

TICK_SECONDS = 0.05
LOOK_SECONDS = 1.0  # between two looks at who leads the study
ALONE_SECONDS = 4.0  # that a study is not led before its workers leave


class Order(Enum):
    """What the one who leads the study tells a slot."""

    LEAVE = "leave"
    KILL = "kill"


@dataclass(frozen=True)
class Assignment:
    """What a slot has to do. Shown by Dask in places that many can see: no password may be.

    Attributes:
        name: Tells this assignment from all others.
        study_id: Key of the study.
        lease: Its coordinator's: when that is void, nobody is left who could give an order.
        trial_timeout: The seconds that a trial may train; None for no limit.
        url: Of the study database, unless the Dask worker has a TUNELAB_DATABASE_URL of its own.
    """

    name: str
    study_id: int
    lease: Lease
    trial_timeout: float | None
    url: str = field(repr=False)


_orders: dict[str, Order] = {}  # name of an assignment -> its last order


def give_order(names: Iterable[str], order: Order) -> None:
    """Tell the slots of this process that have these assignments, or will have them."""
    for name in names:
        _orders[name] = order


def serve(assignment: Assignment) -> Ended:
    """Run one worker until it ends, is told to leave, or nobody leads the study any more.

    Returns:
        How it ended. What goes wrong is told in there: an exception would be written to logs with
        all that belongs to it.
    """
    began = time.monotonic()
    try:
        with closing(_opened(assignment)) as database:
            return _serve(database, assignment)
    except TunelabError as error:
        cause = f"{error.message} ({error.hint})" if error.hint else error.message
        seconds = time.monotonic() - began
        return Ended(0, False, cause, trial=None, n_claimed=0, seconds=seconds, log=None)
    finally:
        _orders.pop(assignment.name, None)


def _opened(assignment: Assignment) -> Database:
    own = os.environ.get(DATABASE_URL_VARIABLE)
    url = database_url() if own else assignment.url
    leader = Owner.parse(assignment.lease.owner)
    if Database(url).is_sqlite and leader.boot != Owner.this_process().boot:
        raise UsageError(
            "the study database is an SQLite file of another machine",
            hint="set TUNELAB_DATABASE_URL to a PostgreSQL server",
        )
    database = open_database(url, create=False)
    if not database.fetch(lambda connection: is_held(connection, assignment.lease)):
        place = f"{DATABASE_URL_VARIABLE} of the Dask worker" if own else str(database)
        raise UsageError(f"{place} is not the database in which this study is led")
    return database


def _serve(database: Database, assignment: Assignment) -> Ended:
    def told_to_end() -> bool:
        return assignment.name in _orders or leader.is_gone()

    leader = _Leader(database, assignment.lease)
    workers = Workers(
        database,
        lambda _slot: ["--study", str(assignment.study_id)],
        n_workers=1,
        alarm=alarm_cause(assignment.trial_timeout),
    )
    try:
        while not (ended := workers.ended()):
            for _, line in workers.new_lines():
                say(line)
            if not told_to_end():
                time.sleep(TICK_SECONDS)
            elif _orders.get(assignment.name) is Order.KILL:
                workers.kill()
            else:
                workers.leave(LEAVE_SECONDS)
    finally:
        workers.kill()  # if the above failed; else there is none

    def tidy(connection: Connection) -> None:
        # Here it is known at once that the worker is dead; on another machine only its silence is.
        requeue_lost(
            connection,
            assignment.study_id,
            blamed=not told_to_end(),
            also_silent=False,
            death_of=workers.death_of,
        )
        strike_out(connection, dead_workers(connection))

    if not ended[0].in_order:
        database.attempt(tidy)
    return ended[0]


class _Leader:
    """Whoever led the study when the slot was assigned."""

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease
        self._looked = self._there_at = time.monotonic()

    def is_gone(self) -> bool:
        """Whether the lease has been void, or another's, for a while."""
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            try:
                held = self._database.fetch(lambda connection: is_held(connection, self._lease))
            except OutageError:
                held = True  # the one who leads cannot say so either
            if held:
                self._there_at = now
        return now - self._there_at > ALONE_SECONDS
