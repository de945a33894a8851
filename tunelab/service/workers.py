"""Worker processes: started, heard, replaced, and ended."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunelab.service.children import Child
from tunelab.storage.claims import Death
from tunelab.storage.engine import Database
from tunelab.storage.owners import Owner

LEAVE_SECONDS = 5.0  # for a worker to checkpoint and leave
SHORT_LIFE_SECONDS = 5.0
_REAP_SECONDS = 1.0
_ALARM = 14  # the number of SIGALRM, which ends a worker whose trial hangs (see execution.limits)
_CLAIMED = "claimed trial "  # a worker's line for each trial that it takes
_ERROR = "error: "  # and its last one, if it knows what it ends of


@dataclass(frozen=True)
class Ended:
    """A worker that has ended.

    Attributes:
        slot: Its place among the workers, from 0.
        in_order: Whether it left because it was told to, or had nothing more to do.
        cause: What it died of.
        trial: The trial that it claimed last, in its own words; None if it had none.
        n_claimed: How many trials it claimed.
        seconds: How long it lived.
        log: The file with what it said; None if there is none.
    """

    slot: int
    in_order: bool
    cause: str
    trial: str | None
    n_claimed: int
    seconds: float
    log: Path | None

    @property
    def is_short(self) -> bool:
        """Whether it ended as soon as it was started, before it had a trial."""
        return self.trial is None and self.seconds < SHORT_LIFE_SECONDS

    @property
    def where(self) -> str:
        """The trial that it ended in and why, as an insertion into a sentence."""
        trial = f" in trial {self.trial}" if self.trial else ""
        return f"{trial} ({self.cause})"


class Workers:
    """Worker processes.

    Args:
        database: The study database.
        arguments: The arguments of the worker in each slot, from 0; None starts none there.
        n_workers: How many slots there are.
        log: The log file of each slot; None: what they say is kept for :meth:`new_lines`.
        alarm: What it means that a worker was ended by the system's alarm (see
            ``execution/limits.py``); None: nothing but that.
    """

    def __init__(
        self,
        database: Database,
        arguments: Callable[[int], Sequence[str] | None],
        n_workers: int,
        *,
        log: Callable[[int], Path] | None = None,
        alarm: str | None = None,
    ) -> None:
        self._database = database
        self._arguments = arguments
        self._log = log
        self._alarm = alarm
        self._deaths: dict[int, Death] = {}  # process number -> what it died of
        self._children: dict[int, Child] = {}  # slot -> the worker in it
        self._claimed: dict[int, list[str]] = {}  # slot -> the trials that its worker claimed
        self._errors: dict[int, str] = {}  # slot -> what its worker says that it ends of
        self._said: list[tuple[int, str]] = []
        for slot in range(n_workers):
            self.start(slot)

    def start(self, slot: int) -> None:
        """Start a worker in a slot that is free."""
        arguments = self._arguments(slot)
        if arguments is not None:
            log = None if self._log is None else self._log(slot)
            child = Child("tunelab.execution.worker", arguments, self._database, log)
            self._children[slot], self._claimed[slot] = child, []

    @property
    def n_alive(self) -> int:
        """Workers that have been started and are not known to have ended."""
        return len(self._children)

    def new_lines(self) -> list[tuple[int, str]]:
        """What workers have said besides claims and causes of death: slot and line."""
        for slot in self._children:
            self._hear(slot)
        said, self._said = self._said, []
        return said

    def ended(self) -> list[Ended]:
        """The workers that have ended since the last call; their slots are free."""
        found = []
        for slot, child in list(self._children.items()):
            code = child.process.poll()
            if code is None:
                continue
            self._hear(slot)
            error = self._errors.pop(slot, None)
            cause = error or self._note_death(child.process.pid, code).cause
            trials = self._claimed[slot]
            found.append(
                Ended(
                    slot=slot,
                    in_order=code == 0,
                    cause=cause,
                    trial=trials[-1] if trials else None,
                    n_claimed=len(trials),
                    seconds=time.monotonic() - child.started,
                    log=child.log,
                )
            )
            child.close()
            del self._children[slot]
        return found

    def _hear(self, slot: int) -> None:
        for line in self._children[slot].new_lines():
            if line.startswith(_CLAIMED):
                self._claimed[slot].append(line.removeprefix(_CLAIMED))
            elif line.startswith(_ERROR):
                self._errors[slot] = line.removeprefix(_ERROR)
            else:
                self._said.append((slot, line))

    def death_of(self, owner: Owner) -> Death | None:
        """What a worker died of; None if it lives or was none of these."""
        if not owner.is_dead or owner.host != Owner.this_process().host:
            return None
        for child in self._children.values():
            if child.process.pid == owner.pid:
                # Its threads may take a moment longer than itself.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._note_death(owner.pid, child.process.wait(_REAP_SECONDS))
        return self._deaths.get(owner.pid)

    def kill(self) -> None:
        """End all workers at once; what they have not stored is lost."""
        for child in self._children.values():
            child.kill()

    def leave(self, seconds: float = LEAVE_SECONDS) -> None:
        """Have all workers give their trials back and leave; kill those that do not."""
        for child in self._children.values():
            child.order_to_leave()
        deadline = time.monotonic() + seconds
        for child in self._children.values():
            child.wait(deadline)

    def _note_death(self, pid: int, code: int) -> Death:
        if code == -_ALARM and self._alarm is not None:
            death = Death(f"{self._alarm}: one step of training did not return", final=True)
        elif code < 0:
            death = Death(f"killed by {_signal_name(-code)}")
        else:
            death = Death(f"exit code {code}")
        self._deaths[pid] = death
        return death


def alarm_cause(trial_timeout: float | None) -> str | None:
    """What it means that a study's worker was ended by the alarm.

    >>> alarm_cause(90.0), alarm_cause(None)
    ('trial_timeout of 90 s exceeded', None)
    """
    return None if trial_timeout is None else f"trial_timeout of {trial_timeout:g} s exceeded"


def _signal_name(number: int) -> str:
    if number == signal.SIGKILL:
        return "SIGKILL, as the system does when memory runs out"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
