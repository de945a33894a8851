"""One study's passes: how they go on after a failure, and what is said of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from tunelab.errors import DatabaseError, NotFoundError
from tunelab.execution.log import say
from tunelab.service.mirror.destination import Destination
from tunelab.service.mirror.environment import sqlite_path, without_credentials
from tunelab.service.mirror.failures import explain
from tunelab.service.mirror.lease import HeldLease, LostMirrorLeaseError
from tunelab.service.mirror.orders import SEND_SECONDS, Orders
from tunelab.service.mirror.projection import Projection
from tunelab.service.mirror.tracking import Tracking
from tunelab.storage.engine import Database
from tunelab.storage.mirror_runs import count_behind
from tunelab.storage.states import StudyState
from tunelab.storage.studies import study_by_id

POLL_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0  # between attempts while MLflow cannot be reached
QUIET_SECONDS = 600.0  # without a failure, until the next is told again
COMPLETE_SECONDS = 10.0  # between looks at what takes long to send, such as pictures


class OutOfTimeError(Exception):
    """The time to leave is over, in the middle of a pass."""


class Client:
    """MLflow's client, made when it is first needed, and again while that fails.

    Args:
        uri: Where MLflow is, with absolute paths.
        orders: Told when MLflow is loaded.
    """

    def __init__(self, uri: str, orders: Orders) -> None:
        self.uri = uri
        self._orders = orders
        self._tracking: Tracking | None = None

    def tracking(self) -> Tracking:
        """The client.

        Raises:
            Exception: Whatever MLflow raises if its database cannot be made.
        """
        if self._tracking is None:
            if sqlite_path(self.uri) is None:
                self._orders.ready()  # only a file may take its time: it has to be made first
            try:
                self._tracking = Tracking(self.uri)
            finally:
                self._orders.ready()
        return self._tracking


class Passes:
    """Sends one study to MLflow, pass by pass; no failure of MLflow's ends it.

    Args:
        database: The study database.
        study_id: Key of the study.
        client: Where MLflow is.
        orders: When to leave.
        lease: What makes this process the only one that sends the study.
        tell: Gets a warning of MLflow's failures.

    Attributes:
        n_failures: How many passes have failed, one after the other.
    """

    def __init__(
        self,
        database: Database,
        study_id: int,
        client: Client,
        orders: Orders,
        lease: HeldLease,
        tell: Callable[[str], None] = say,
    ) -> None:
        self.n_failures = 0
        self._database = database
        self._study_id = study_id
        self._client = client
        self._orders = orders
        self._lease = lease
        self._tell = tell
        self._failed_at = -math.inf
        self._completed_at = time.monotonic()
        self._projection: Projection | None = None

    def run(self, *, last: bool) -> bool:
        """Send what is new.

        Args:
            last: Whether this may be the last pass: then what takes long, such as pictures, is
                sent if there is nothing else.

        Returns:
            Whether there was anything to send; if :attr:`n_failures` is 0, False means that MLflow
            had everything when the pass began.

        Raises:
            DatabaseError: If the study database cannot be read or written.
            NotFoundError: If the study has been deleted.
            LostMirrorLeaseError: If another process sends the study by now.
            OutOfTimeError: If the time to leave is over.
        """
        self._lease.check()
        news = False
        try:
            if self._projection is None:
                self._projection = Projection(
                    Destination(
                        self._database,
                        self._study_id,
                        self._client.tracking(),
                        self._between_trials,
                        self._lease.confirm,
                        self._tell,
                    )
                )
            news = self._projection.run_pass()
            self.n_failures = 0
            if self._rest_is_due(news, last=last):
                self._projection.complete()
                self._completed_at = time.monotonic()
        except (DatabaseError, NotFoundError, LostMirrorLeaseError, OutOfTimeError):
            raise
        except Exception as error:
            self._note_failure(error)
        return news

    @property
    def pause_seconds(self) -> float:
        """How long to wait before the next pass."""
        if not self.n_failures:
            return POLL_SECONDS
        doublings = min(self.n_failures - 1, 6)  # a night of absence is a thousand failures
        return min(LONGEST_PAUSE_SECONDS, 2.0**doublings)

    @property
    def has_failed(self) -> bool:
        """Whether a pass has ever failed."""
        return math.isfinite(self._failed_at)

    def rest(self) -> str:
        """What MLflow lacks, in words: ``12 trials are``."""
        with self._database.read() as connection:
            study = study_by_id(connection, self._study_id)
            left = count_behind(connection, study, without_credentials(self._client.uri))
        if not left:
            return "the study's run is"
        return "1 trial is" if left == 1 else f"{left} trials are"

    def _rest_is_due(self, news: bool, *, last: bool) -> bool:
        if last:
            return not news and self._study_state() is not StudyState.RUNNING
        return time.monotonic() - self._completed_at > COMPLETE_SECONDS

    def _between_trials(self) -> None:
        self.n_failures = 0  # something gets through: no reason for long pauses
        self._lease.check()
        if self._orders.seconds_over > SEND_SECONDS:
            raise OutOfTimeError

    def _study_state(self) -> StudyState:
        with self._database.read() as connection:
            return study_by_id(connection, self._study_id).state

    def _note_failure(self, error: Exception) -> None:
        self.n_failures += 1
        quiet = time.monotonic() - self._failed_at
        self._failed_at = time.monotonic()
        if quiet > QUIET_SECONDS:  # one that fails now and then is one that fails
            self._tell(failure_notice(error, self._client.uri))


def failure_notice(error: Exception, uri: str) -> str:
    """What a person is told of a failure."""
    what = explain(error, uri)
    return f"warning: {what}; training goes on, and what is missed is sent later"


def keep_garbage_collection_short() -> None:
    """Let the collector leave alone what MLflow has loaded.

    MLflow and what it loads are a million objects that stay; its client makes many more that do
    not. Without this a tenth of the mirror's time goes into looking through the former.
    """
    import gc

    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
