"""The mirror's life: wait for the lease, send what is new twice a second, outlast absences."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable

from tunelab.errors import DatabaseError, NotFoundError
from tunelab.execution.log import say
from tunelab.service.mirror.environment import sqlite_path, without_credentials
from tunelab.service.mirror.failures import explain
from tunelab.service.mirror.lease import HeldLease, LostMirrorLeaseError, held_lease
from tunelab.storage.engine import Database
from tunelab.storage.mirror_runs import count_behind
from tunelab.storage.outages import OutageError
from tunelab.storage.states import StudyState
from tunelab.storage.studies import study_by_id

POLL_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0  # between attempts while MLflow cannot be reached
QUIET_SECONDS = 600.0  # without a failure, until the next is told again
PICTURE_SECONDS = 10.0
# After the order to leave: how long an unreachable MLflow is tried, how long one that answers is
# used, and when the process ends even in the middle of a call.
TRY_SECONDS, SEND_SECONDS, HARD_SECONDS = 2.0, 10.0, 12.0


class Orders:
    """The order to leave, and the time that is left after it."""

    def __init__(self) -> None:
        self._leave = threading.Event()
        self._ready = threading.Event()
        self._asked_at = self._ready_at = 0.0

    def leave(self) -> None:
        """Order the mirror to send what is left and end."""
        if not self._leave.is_set():
            self._asked_at = time.monotonic()
            self._leave.set()

    def ready(self) -> None:
        """Note that MLflow has been loaded: the time to leave does not count before."""
        if not self._ready.is_set():
            self._ready_at = time.monotonic()
            self._ready.set()

    @property
    def leaving(self) -> bool:
        """Whether the order has been given."""
        return self._leave.is_set()

    @property
    def seconds_over(self) -> float:
        """Seconds since the mirror could have begun to leave; 0 if it need not."""
        if not (self._leave.is_set() and self._ready.is_set()):
            return 0.0
        return time.monotonic() - max(self._asked_at, self._ready_at)

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than until the order comes."""
        self._leave.wait(seconds)

    def at_the_latest(self, act: Callable[[], None]) -> None:
        """Call ``act`` in a thread of its own when the mirror should have left for long."""

        def wait() -> None:
            self._leave.wait()
            self._ready.wait()
            time.sleep(HARD_SECONDS)
            act()

        threading.Thread(target=wait, daemon=True).start()


class _OutOfTimeError(Exception):
    """The time to leave is over, in the middle of a pass."""


def mirror(database: Database, study_id: int, tracking_uri: str, orders: Orders) -> None:
    """Mirror a study until ``orders`` say to leave, or the study is deleted.

    Args:
        database: The study database.
        study_id: Key of the study.
        tracking_uri: Where MLflow is, with absolute paths.
        orders: When to leave.

    Raises:
        DatabaseError: If the study database cannot be read or written.
    """
    outage = database.patience.begin()
    while True:
        try:
            with held_lease(database, study_id, lambda: orders.leaving, orders.pause) as lease:
                outage.end()
                if lease is not None:
                    _Mirror(database, study_id, tracking_uri, orders, lease).run()
            return
        except LostMirrorLeaseError:
            continue
        except NotFoundError:
            return
        except OutageError as error:
            outage.wait(error)  # and begin anew: whatever was not noted as sent is sent again


class _Mirror:
    def __init__(
        self,
        database: Database,
        study_id: int,
        tracking_uri: str,
        orders: Orders,
        lease: HeldLease,
    ) -> None:
        self._database = database
        self._study_id = study_id
        self._uri = tracking_uri
        self._orders = orders
        self._lease = lease
        self._failures = 0  # of passes, one after the other
        self._failed_at = -math.inf
        self._drawn_at = time.monotonic()

    def run(self) -> None:
        """Pass after pass, until it is time to leave."""
        from tunelab.service.mirror.projection import Projection
        from tunelab.service.mirror.tracking import Tracking

        _keep_garbage_collection_short()
        projection: Projection | None = None
        orders = self._orders
        orders.at_the_latest(self._abandon)
        while True:
            leaving = orders.leaving  # read before the pass: what is stored by then is sent
            news = False
            self._lease.check()
            try:
                if projection is None:
                    if sqlite_path(self._uri) is None:
                        orders.ready()  # only a file may take its time: it has to be made first
                    try:
                        tracking = Tracking(self._uri)
                    finally:
                        orders.ready()
                    projection = Projection(
                        self._database,
                        self._study_id,
                        tracking,
                        self._between_trials,
                        self._lease.confirm,
                    )
                news = projection.run_pass()
                self._failures = 0
                if self._picture_is_due(leaving, news):
                    projection.draw_best()
                    self._drawn_at = time.monotonic()
            except (DatabaseError, NotFoundError, LostMirrorLeaseError):
                raise
            except _OutOfTimeError:
                break
            except Exception as error:
                self._note_failure(error)
            if not leaving:
                orders.pause(self._pause())
            elif self._failures:
                if orders.seconds_over > TRY_SECONDS:
                    break
                time.sleep(0.2)
            elif not news:
                return
        self._report_rest()

    def _pause(self) -> float:
        if not self._failures:
            return POLL_SECONDS
        doublings = min(self._failures - 1, 6)  # a night of absence is a thousand failures
        return min(LONGEST_PAUSE_SECONDS, 2.0**doublings)

    def _picture_is_due(self, leaving: bool, news: bool) -> bool:
        if leaving:
            return not news and self._study_state() is not StudyState.RUNNING
        return time.monotonic() - self._drawn_at > PICTURE_SECONDS

    def _between_trials(self) -> None:
        self._failures = 0  # something gets through: no reason for long pauses
        self._lease.check()
        if self._orders.seconds_over > SEND_SECONDS:
            raise _OutOfTimeError

    def _study_state(self) -> StudyState:
        with self._database.read() as connection:
            return study_by_id(connection, self._study_id).state

    def _note_failure(self, error: Exception) -> None:
        self._failures += 1
        quiet = time.monotonic() - self._failed_at
        self._failed_at = time.monotonic()
        if quiet > QUIET_SECONDS:  # one that fails now and then is one that fails
            what = explain(error, self._uri)
            say(f"warning: {what}; training goes on, and what is missed is sent later")

    def _report_rest(self) -> None:
        with self._database.read() as connection:
            study = study_by_id(connection, self._study_id)
            left = count_behind(connection, study, without_credentials(self._uri))
        what = (
            f"{left} {'trial is' if left == 1 else 'trials are'}" if left else "the study's run is"
        )
        say(f"{what} not up to date in MLflow; the next start of the study sends the rest")

    def _abandon(self) -> None:
        # A call that hangs cannot be ended, and need not be: what was not remembered is sent anew.
        try:
            if not math.isfinite(self._failed_at):  # the call would be the first to fail
                place = without_credentials(self._uri)
                say(f"warning: MLflow at {place} has not answered in the time that was left")
            self._report_rest()
            self._lease.release()
        finally:
            os._exit(0)


def _keep_garbage_collection_short() -> None:
    # MLflow and what it loads are a million objects that stay; its client makes many more that
    # do not. Without this a tenth of the mirror's time goes into looking through the former.
    import gc

    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
