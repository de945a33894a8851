"""The process that shows one study in MLflow, as the program that started it sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from tunelab.service.children import Child
from tunelab.service.events import EpochFinished, Event, TrialFinished
from tunelab.service.mirror.backlog import unsent
from tunelab.storage.engine import Database

MIRROR_DELAY_SECONDS = 0.5
MIRROR_SECONDS = 120.0  # for the mirror's last pass, which bounds itself once MLflow is loaded
MIRROR_STOP_SECONDS = 3.0  # for the same when somebody waits who has pressed Ctrl-C
MIRROR_SILENT_SECONDS = 1.0  # before a person is told what the program waits for
_CATCHES_UP = "the next start catches up"
_REPLACE_SECONDS = (5.0, 30.0, 120.0)  # until a dead mirror is replaced: each time longer


class MirrorProcess:
    """The process that shows one study in MLflow; training does not depend on it.

    It is started by the first epoch: MLflow takes seconds to load, and on few cores the workers
    go first.

    Args:
        database: The study database.
        study_id: Key of the study.
    """

    def __init__(self, database: Database, study_id: int) -> None:
        self._database = database
        self._study_id = study_id
        self._made = time.monotonic()
        self._child: Child | None = None
        self._n_deaths = 0
        self._replaced_at: float | None = None

    def tell_of(self, events: Sequence[Event]) -> None:
        """Start the mirror once there is something to show, or after a while anyway."""
        under_way = any(isinstance(event, EpochFinished | TrialFinished) for event in events)
        if under_way or time.monotonic() - self._made > MIRROR_DELAY_SECONDS:
            self._started()

    def tend(self) -> list[str]:
        """Replace a mirror that has died, after a pause that grows with every death.

        Returns:
            What it has to say: its warnings, and once that it has ended.
        """
        if self._child is None:
            return []
        code = self._child.process.poll()
        if code is None:
            return self._child.new_lines()
        if code == 0:  # it was told to leave, or the study has been deleted
            return []
        now = time.monotonic()
        if self._replaced_at is None:
            pause = _REPLACE_SECONDS[min(self._n_deaths, len(_REPLACE_SECONDS) - 1)]
            self._replaced_at = now + pause
            self._n_deaths += 1
            if self._n_deaths == 1:
                log = self._child.log
                ended = f"the MLflow mirror ended (exit code {code}), see {log}"
                return [f"warning: {ended}; another takes its place"]
        elif now >= self._replaced_at:
            self._start()
        return []

    def leave(self, patience_seconds: float) -> Iterator[str | None]:
        """Have the mirror send what is left and leave; end it when patience runs out.

        Yields:
            What there is to say, and None while there is nothing.
        """
        child = self._started()
        if child.process.poll():
            child = self._start()  # what the dead one has not sent, another does
        child.order_to_leave()
        began = time.monotonic()
        announced = False
        while child.process.poll() is None:
            waited = time.monotonic() - began
            if waited > patience_seconds:
                break
            if waited > MIRROR_SILENT_SECONDS and not announced:
                announced = True
                rest = unsent(self._database, self._study_id)
                if rest:
                    yield f"MLflow: {rest} left to send; Ctrl-C leaves that to the next start"
            yield None
            time.sleep(0.05)
        left_by_itself = child.process.returncode == 0
        child.kill()
        if left_by_itself:
            yield from child.new_lines()  # it may say itself what it could not send
            if announced and not unsent(self._database, self._study_id):
                yield "MLflow: all is sent"
            return
        rest = unsent(self._database, self._study_id)
        if rest:
            yield f"warning: MLflow lacks {rest} of the study; {_CATCHES_UP}"

    def kill(self) -> None:
        """End the mirror at once; what it has not sent, the next start sends."""
        if self._child is not None:
            self._child.kill()

    def _started(self) -> Child:
        return self._child or self._start()

    def _start(self) -> Child:
        log = self._database.home / "logs" / f"study-{self._study_id}-mirror.log"
        arguments = ["--study", str(self._study_id)]
        again = self._child is not None
        self._child = Child("tunelab.service.mirror", arguments, self._database, log, goes_on=again)
        self._replaced_at = None
        return self._child
