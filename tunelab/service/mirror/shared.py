"""The service's mirror: one process that sends all studies of a database.

It takes the studies that the service runs, and those that have ended and were not sent to the end
by the process that ran them. A study that `tunelab study start` runs has a mirror of its own. The
lease of each study says who sends it, so any number of these may run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from tunelab.errors import DatabaseError, NotFoundError
from tunelab.service.mirror.backlog import unsent
from tunelab.service.mirror.environment import without_credentials
from tunelab.service.mirror.lease import LostMirrorLeaseError, held_lease
from tunelab.service.mirror.orders import TRY_SECONDS, Orders
from tunelab.service.mirror.passes import (
    LONGEST_PAUSE_SECONDS,
    POLL_SECONDS,
    QUIET_SECONDS,
    Client,
    OutOfTimeError,
    Passes,
    failure_notice,
    keep_garbage_collection_short,
)
from tunelab.service.mirror.sweep_record import SweepRecords
from tunelab.storage.engine import Database
from tunelab.storage.leases import lease_holder, mirror_lease
from tunelab.storage.outages import OutageError
from tunelab.storage.states import Executor, StudyState
from tunelab.storage.studies import Standing, standings, study_by_id

_SWEEP_SECONDS = 2.0  # between looks at what became of sweeps


def mirror_all(
    database: Database, tracking_uri: str, orders: Orders, tell: Callable[[str], None]
) -> None:
    """Mirror all studies that are this mirror's to send, until ``orders`` say to leave.

    Args:
        database: The study database.
        tracking_uri: Where MLflow is, with absolute paths.
        orders: When to leave.
        tell: Gets a line for each notable event.

    Raises:
        DatabaseError: If the study database cannot be read or written.
    """
    keep_garbage_collection_short()
    client = Client(tracking_uri, orders)
    told = _Told(tell)
    orders.at_the_latest(lambda: _abandon(client, told))
    outage = database.patience.begin()
    while True:
        try:
            with ExitStack() as leases:
                mirror = _SharedMirror(database, client, orders, leases, told)
                while not orders.leaving:
                    mirror.look()
                    outage.end()
                    mirror.send()
                    orders.pause(POLL_SECONDS)
                mirror.send_rest()
            return
        except OutageError as error:
            outage.wait(error)  # and begin anew: whatever was not noted as sent is sent again


def _abandon(client: Client, tell: Callable[[str], None]) -> None:
    # A call that hangs cannot be ended. Leases end with the process.
    try:
        place = without_credentials(client.uri)
        tell(
            f"warning: MLflow at {place} has not answered in the time that was left; the next "
            "mirror sends the rest"
        )
    finally:
        os._exit(0)


class _Told:
    """Says a line once in a while: a server that is away is away for all studies."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._said: dict[str, float] = {}

    def __call__(self, line: str) -> None:
        now = time.monotonic()
        self._said = {said: at for said, at in self._said.items() if now - at < QUIET_SECONDS}
        if line not in self._said:
            self._tell(line)
        self._said[line] = now


@dataclass
class _Mirrored:
    """A study whose lease is held.

    Attributes:
        standing: How it stood before the latest pass.
        title: Its name and generation.
        passes: What sends it.
        lease: Gives the lease up when it is closed.
        next_at: When the next pass is due (monotonic).
    """

    standing: Standing
    title: str
    passes: Passes
    lease: ExitStack
    next_at: float = 0.0


class _SharedMirror:
    def __init__(
        self,
        database: Database,
        client: Client,
        orders: Orders,
        leases: ExitStack,
        tell: Callable[[str], None],
    ) -> None:
        self._database = database
        self._client = client
        self._orders = orders
        self._leases = leases
        self._tell = tell
        self._mirrored: dict[int, _Mirrored] = {}
        self._settled: set[Standing] = set()  # of studies that have ended: MLflow has it all
        self._sweeps: SweepRecords | None = None
        self._sweeps_at = 0.0  # when they are sent next (monotonic)

    def look(self) -> None:
        """Take up the studies that are due, and note how those stand that are being sent."""
        found = self._database.fetch(standings)
        for standing in found:
            mirrored = self._mirrored.get(standing.id)
            if mirrored is not None:
                mirrored.standing = standing
            elif self._is_due(standing) and self._is_free(standing):
                self._take(standing)
        self._settled &= set(found)

    def send(self) -> None:
        """A pass over each study that is due."""
        with suppress(OutOfTimeError):
            for mirrored in list(self._mirrored.values()):
                if time.monotonic() >= mirrored.next_at:
                    self._pass_over(mirrored)
        if time.monotonic() >= self._sweeps_at:
            self._send_sweeps()

    def _send_sweeps(self) -> None:
        """Send what became of sweeps, also of those that have no study to be mirrored."""
        pause = _SWEEP_SECONDS
        try:
            if self._sweeps is None:
                self._sweeps = SweepRecords(self._database, self._client.tracking())
            self._sweeps.send()
        except DatabaseError:
            raise
        except Exception as error:
            self._tell(failure_notice(error, self._client.uri))
            pause = LONGEST_PAUSE_SECONDS
        self._sweeps_at = time.monotonic() + pause

    def send_rest(self) -> None:
        """The last passes: what is stored by now is sent, as far as MLflow takes it."""
        with suppress(OutOfTimeError):
            while self._mirrored:
                whole = [self._pass_over(mirrored) for mirrored in list(self._mirrored.values())]
                failing = all(mirrored.passes.n_failures for mirrored in self._mirrored.values())
                if self._mirrored and failing and not any(whole):
                    if self._orders.seconds_over > TRY_SECONDS:
                        break
                    time.sleep(0.2)
        for mirrored in self._mirrored.values():
            rest = mirrored.passes.rest()
            self._tell(
                f"{mirrored.title}: {rest} not up to date in MLflow; the next mirror sends the rest"
            )

    def _is_due(self, standing: Standing) -> bool:
        if standing.state is StudyState.RUNNING:
            return standing.executor is Executor.EXTERNAL
        if standing in self._settled:
            return False
        if unsent(self._database, standing.id) is None:
            self._settled.add(standing)
            return False
        return True

    def _is_free(self, standing: Standing) -> bool:
        lease = mirror_lease(standing.id)
        return self._database.fetch(lambda connection: lease_holder(connection, lease)) is None

    def _take(self, standing: Standing) -> None:
        held = held_lease(self._database, standing.id, lambda: True, self._orders.pause)
        own = self._leases.enter_context(ExitStack())
        lease = own.enter_context(held)
        if lease is None:  # another was faster
            return
        study = self._database.fetch(lambda connection: study_by_id(connection, standing.id))
        passes = Passes(
            self._database, study.id, self._client, self._orders, lease, tell=self._tell
        )
        self._mirrored[study.id] = _Mirrored(standing, study.title, passes, own)

    def _pass_over(self, mirrored: _Mirrored) -> bool:
        """Send what is new of a study; whether MLflow has everything of it."""
        passes, leaving = mirrored.passes, self._orders.leaving
        has_ended = mirrored.standing.state is not StudyState.RUNNING
        try:
            news = passes.run(last=has_ended or leaving)
        except (NotFoundError, LostMirrorLeaseError):
            self._let_go(mirrored)
            return True
        mirrored.next_at = 0.0 if news else time.monotonic() + passes.pause_seconds
        is_whole = not news and not passes.n_failures
        if is_whole and has_ended:
            self._settled.add(mirrored.standing)
        if is_whole and (has_ended or leaving):
            self._let_go(mirrored)
        return is_whole

    def _let_go(self, mirrored: _Mirrored) -> None:
        del self._mirrored[mirrored.standing.id]
        mirrored.lease.close()
