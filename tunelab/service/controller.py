"""The controller: starts sweeps, and sees to it that every study of the service is coordinated.

It keeps nothing to itself: which studies run, and which of them are led, stands in the database. So
any number of controllers may run, and when one dies another goes on where it was.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from tunelab.service.children import Child
from tunelab.service.stop import StopRequest
from tunelab.service.sweeps.folder import StudiesFolder
from tunelab.service.sweeps.notify import Notifier
from tunelab.service.sweeps.scheduler import Scheduler
from tunelab.storage.clock import database_time
from tunelab.storage.engine import Database
from tunelab.storage.leases import coordinator_lease, lease_holder
from tunelab.storage.owners import Owner
from tunelab.storage.states import Executor
from tunelab.storage.studies import StudyRow, running_studies

LOOK_SECONDS = 0.5
SCHEDULE_SECONDS = 1.0
LEAVE_SECONDS = 3.0  # for a coordinator to give up its lease
_AGAIN_SECONDS = (1.0, 5.0, 30.0, 120.0)  # until one that failed is replaced: each time longer


@dataclass
class _Failing:
    """A study whose coordinators fail."""

    n_failures: int
    again_at: float


class Coordinators:
    """The coordinators that this controller has started, a process for each study.

    Args:
        database: The study database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._children: dict[int, Child] = {}  # by the study's key
        self._failing: dict[int, _Failing] = {}

    def tend(self) -> list[str]:
        """Start a coordinator for each study that nobody leads.

        Returns:
            What there is to say.
        """
        said = []
        studies = self._database.fetch(_unled)
        names = {study.id: study.title for study in studies}
        for study_id, child in list(self._children.items()):
            code = child.process.poll()
            if code is None:
                continue
            del self._children[study_id]
            if code == 0:
                self._failing.pop(study_id, None)
            elif study_id in names:
                said.append(self._note_failure(study_id, names[study_id], child, code))
        for study in studies:
            failing = self._failing.get(study.id)
            waits = failing is not None and time.monotonic() < failing.again_at
            if study.id not in self._children and not waits:
                self._children[study.id] = self._start(study)
                said.append(f"{study.title}: a coordinator was started")
        return said

    def leave(self) -> None:
        """Have all coordinators give up their leases and leave; kill those that do not."""
        for child in self._children.values():
            child.order_to_leave()
        deadline = time.monotonic() + LEAVE_SECONDS
        for child in self._children.values():
            child.wait(deadline)

    def _note_failure(self, study_id: int, title: str, child: Child, code: int) -> str:
        before = self._failing.get(study_id)
        n_failures = 1 if before is None else before.n_failures + 1
        pause = _AGAIN_SECONDS[min(n_failures, len(_AGAIN_SECONDS)) - 1]
        self._failing[study_id] = _Failing(n_failures, time.monotonic() + pause)
        errors = [line for line in child.new_lines() if line.startswith("error: ")]
        cause = errors[-1].removeprefix("error: ") if errors else f"exit code {code}"
        return (
            f"warning: {title}: its coordinator ended ({cause}), see {child.log}; another is "
            f"started in {pause:g} s"
        )

    def _start(self, study: StudyRow) -> Child:
        log = self._database.home / "logs" / f"study-{study.id}-coordinator.log"
        arguments = ["--study", str(study.id)]
        return Child("tunelab.service.coordinator", arguments, self._database, log, goes_on=True)


class Beside:
    """Does something again and again beside the coordinators, in a thread of its own.

    It is not waited for at the end. What it is about to start then, another controller takes up.

    Args:
        work: Called time and again; yields what there is to say, and None where it may be left.
    """

    def __init__(self, work: Callable[[], Iterable[str | None]]) -> None:
        self._work = work
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._left = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def said(self) -> list[str]:
        """What there is to say since the last call.

        Raises:
            DatabaseError: If the database has failed.
        """
        lines = []
        with contextlib.suppress(queue.Empty):
            while True:
                lines.append(self._said.get_nowait())
        if self._error is not None and not lines:
            raise self._error
        return lines

    def leave(self) -> None:
        """Begin nothing more."""
        self._left.set()

    def _run(self) -> None:
        try:
            while not self._left.is_set():
                for line in self._work():
                    if line is not None:
                        self._said.put(line)
                    if self._left.is_set():
                        return
                self._left.wait(SCHEDULE_SECONDS)
        except BaseException as error:  # told by the thread that listens
            self._error = error


def sweeping(database: Database, folder: Path | None) -> Callable[[], Iterable[str]]:
    """What starts sweeps; to prepare their data may take minutes.

    Args:
        database: The study database.
        folder: The folder of study files that is watched; None for none.
    """
    studies = None if folder is None else StudiesFolder(database, folder)
    scheduler = Scheduler(database, Owner.this_process())

    def sweep() -> list[str]:
        now = database.fetch(database_time)
        lines = [] if studies is None else studies.scan(now)
        return [*lines, *scheduler.tick(now)]

    return sweep


def control(
    database: Database, folder: Path | None, stop: StopRequest
) -> Generator[str | None, None, None]:
    """Run a controller until it is to leave; behind it none of its processes runs.

    Args:
        database: The study database; its patience decides how an outage is borne.
        folder: The folder whose enabled sweeps are taken up; None for none.
        stop: Read several times a second.

    Yields:
        What there is to say, and None while there is nothing.

    Raises:
        DatabaseError: If the database fails.
    """
    coordinators = Coordinators(database)
    sweeps = Beside(sweeping(database, folder))
    notices = Beside(Notifier(database, Owner.this_process()).tick)
    try:
        while stop.signal is None:
            yield from sweeps.said()
            yield from notices.said()
            yield from coordinators.tend()
            yield None
            time.sleep(LOOK_SECONDS)
    finally:
        sweeps.leave()
        notices.leave()
        coordinators.leave()


def _unled(connection: Connection) -> list[StudyRow]:
    """The running studies of the service that no living process leads."""
    return [
        study
        for study in running_studies(connection, Executor.EXTERNAL)
        if lease_holder(connection, coordinator_lease(study.id)) is None
    ]
