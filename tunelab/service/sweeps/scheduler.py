"""The scheduler: starts each slot of each sweep once, whatever dies and however many run.

It has no clock of its own: the present moment is an argument, and only the database's clock should
be asked for it. What it knows stands in the database, but for what it has said already and the
files' contents that it has seen.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection

from tunelab.errors import TunelabError
from tunelab.service.sweeps.slots import due_slots, turn_of
from tunelab.spec.study import StudySpec
from tunelab.storage.engine import Database
from tunelab.storage.leases import BEAT_SECONDS
from tunelab.storage.outages import OutageError
from tunelab.storage.owners import Owner
from tunelab.storage.states import SlotState
from tunelab.storage.studies import StudyRow
from tunelab.storage.sweep_slots import (
    LostSlotError,
    SlotClaim,
    claim_queued,
    claim_slot,
    end_slot,
    give_up_slots,
    has_lost_slots,
    mark_launched,
    next_queued,
    obstacle,
    queue_slot,
    record_late,
    renew_slot,
    take_up_slot,
)
from tunelab.storage.sweeps import SweepRow, all_sweeps

Launch = Callable[
    [Database, StudySpec, Callable[[Connection, StudyRow], None]],
    StudyRow,
]
"""As :func:`tunelab.service.launch.launch_generation`."""


def launch_with_its_data(
    database: Database, spec: StudySpec, settle: Callable[[Connection, StudyRow], None]
) -> StudyRow:
    """Create the next generation; what reads data is loaded when the first slot is due."""
    from tunelab.service.launch import launch_generation

    return launch_generation(database, spec, settle)


class Scheduler:
    """Starts what is due.

    Args:
        database: The study database.
        owner: The process that claims slots.
        launch: Creates a study.
    """

    def __init__(
        self, database: Database, owner: Owner, launch: Launch = launch_with_its_data
    ) -> None:
        self._database = database
        self._owner = owner
        self._launch = launch

    def tick(self, now: float) -> list[str]:
        """Do what there is to do at this moment.

        Slots that were left by the dead come first, then those that wait for their turn, then those
        that are due.

        Args:
            now: The present moment, by the database's clock.

        Returns:
            A sentence for each slot that something became of.

        Raises:
            DatabaseError: If the database fails.
        """
        said = self._take_up(now)
        for sweep in self._database.fetch(all_sweeps):
            if sweep.is_active:
                said += self._start_queued(sweep, now)
                said += self._start_due(sweep, now)
        return said

    def _take_up(self, now: float) -> list[str]:
        if not self._database.fetch(has_lost_slots):
            return []
        given_up = self._database.attempt(give_up_slots)
        sweeps = {sweep.id: sweep for sweep in self._database.fetch(all_sweeps)}
        said = [
            f"{_named(sweeps[row.sweep_id], row.slot_at)}: failed, {row.reason}"
            for row in given_up
            if row.sweep_id in sweeps
        ]
        while True:
            claim = self._database.attempt(lambda c: take_up_slot(c, self._owner))
            if claim is None:
                return said
            if claim.sweep_id in sweeps:
                sweep = sweeps[claim.sweep_id]
                said.append(f"{_named(sweep, claim.slot_at)}: taken up, its controller died")
                said += self._settle(sweep, claim, now)

    def _start_queued(self, sweep: SweepRow, now: float) -> list[str]:
        said: list[str] = []
        while self._turn_has_come(sweep, now):
            claim = self._database.attempt(lambda c: claim_queued(c, sweep.id, self._owner))
            if claim is None:
                return said
            said += self._settle(sweep, claim, now)
        return said

    def _turn_has_come(self, sweep: SweepRow, now: float) -> bool:
        """Whether the oldest slot that waits need not wait any longer."""

        def look(connection: Connection) -> tuple[float | None, bool]:
            slot_at = next_queued(connection, sweep.id)
            if slot_at is None:
                return None, False
            return slot_at, obstacle(connection, sweep.name, slot_at) is not None

        slot_at, hindered = self._database.fetch(look)
        if slot_at is None:
            return False
        return turn_of(sweep.sweep, slot_at=slot_at, now=now, earlier_runs=hindered) != "wait"

    def _start_due(self, sweep: SweepRow, now: float) -> list[str]:
        due = due_slots(sweep.sweep, since=sweep.since, now=now)
        said = []
        late = due.late
        if late is not None and self._database.attempt(
            lambda c: record_late(c, sweep.id, late.slot_at, late.reason)
        ):
            said.append(f"{_named(sweep, late.slot_at)}: late, {late.reason}")
        for slot_at in due.slots:
            claim = self._claim(sweep, slot_at)
            if claim is not None:
                said += self._settle(sweep, claim, now)
        return said

    def _claim(self, sweep: SweepRow, slot_at: float) -> SlotClaim | None:
        return self._database.attempt(lambda c: claim_slot(c, sweep.id, slot_at, self._owner))

    def _settle(self, sweep: SweepRow, claim: SlotClaim, now: float) -> list[str]:
        """Start a slot that was claimed, or do with it what its turn is."""
        named = _named(sweep, claim.slot_at)
        try:
            return [f"{named}: {self._outcome(sweep, claim, now)}"]
        except LostSlotError as error:
            return [f"{named}: {error}"]

    def _outcome(self, sweep: SweepRow, claim: SlotClaim, now: float) -> str:
        hindrance = self._database.fetch(lambda c: obstacle(c, sweep.name, claim.slot_at))
        turn = turn_of(
            sweep.sweep, slot_at=claim.slot_at, now=now, earlier_runs=hindrance is not None
        )
        if turn == "wait":
            reason = str(hindrance)
            self._database.attempt(lambda c: queue_slot(c, claim, reason))
            return f"queued, {reason}"
        if turn == "skip":
            return self._end(claim, SlotState.SKIPPED, str(hindrance))
        if turn == "late":
            grace = f"the grace of {sweep.sweep.grace_seconds:g} s was over"
            return self._end(claim, SlotState.LATE, grace)
        try:
            with self._renewed(claim):
                study = self._launch(
                    self._database,
                    sweep.study,
                    lambda connection, study: mark_launched(connection, claim, study.id),
                )
        except (LostSlotError, OutageError):
            raise
        except TunelabError as error:
            return self._end(claim, SlotState.FAILED, error.message)
        except Exception as error:  # one sweep must not keep all others from starting
            cause = f"unexpected {type(error).__name__}: {error}"
            return self._end(claim, SlotState.FAILED, cause)
        return f"{study.title} was started"

    def _end(self, claim: SlotClaim, state: SlotState, reason: str) -> str:
        self._database.attempt(lambda c: end_slot(c, claim, state, reason))
        return f"{state}, {reason}"

    @contextmanager
    def _renewed(self, claim: SlotClaim) -> Iterator[None]:
        """Keep the claim while the data are prepared, which may take longer than a lease."""
        done = threading.Event()

        def renew() -> None:
            while not done.wait(BEAT_SECONDS):
                try:
                    if not self._database.attempt(lambda c: renew_slot(c, claim)):
                        return
                except TunelabError:
                    continue  # who launches meets the same, and tells

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _named(sweep: SweepRow, slot_at: float) -> str:
    at = datetime.fromtimestamp(slot_at, UTC).strftime("%Y-%m-%dT%H:%MZ")
    return f"sweep {sweep.name}, slot {at}"
