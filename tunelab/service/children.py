"""The processes that a study on one machine runs in: workers, and the mirror.

A child takes one order, the end of its standard input: finish what must be finished, and leave. So
none outlives the process that started it, however that process ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from tunelab.errors import TunelabError
from tunelab.service.events import EpochFinished, Event, TrialFinished
from tunelab.service.mirror.backlog import unsent
from tunelab.storage.claims import Death
from tunelab.storage.engine import Database
from tunelab.storage.location import DATABASE_URL_VARIABLE
from tunelab.storage.owners import Owner

LEAVE_SECONDS = 5.0  # for a worker to checkpoint and leave
MIRROR_DELAY_SECONDS = 0.5
MIRROR_SECONDS = 120.0  # for the mirror's last pass, which bounds itself once MLflow is loaded
MIRROR_STOP_SECONDS = 3.0  # for the same when somebody waits who has pressed Ctrl-C
MIRROR_SILENT_SECONDS = 1.0  # before a person is told what the program waits for
_CATCHES_UP = "the next start catches up"
_REPLACE_SECONDS = (5.0, 30.0, 120.0)  # until a dead mirror is replaced: each time longer
_SHORT_LIFE_SECONDS = 5.0
_MAX_SHORT_LIVES = 3
_REAP_SECONDS = 1.0
_ALARM = 14  # the number of SIGALRM, which ends a worker whose trial hangs (see execution.limits)
_CLAIMED = "claimed trial "  # a worker's line for each trial that it takes

# One BLAS thread a worker, parallelism by processes; read when NumPy is loaded.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
_ONE_THREAD = dict.fromkeys(THREAD_VARIABLES, "1")


class Child:
    """A child process of ``python -m MODULE``, with a log file for what it says.

    Args:
        module: The module to run.
        arguments: Its arguments; never a secret.
        database: Told to the child by its environment.
        log: File that gets its output.
        goes_on: Whether the log goes on with what another child has written.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        database: Database,
        log: Path,
        *,
        goes_on: bool = False,
    ) -> None:
        self.log = log
        self.started = time.monotonic()
        url = database.url.render_as_string(hide_password=False)
        with _opened(log, "ab" if goes_on else "wb") as output, _interrupts_blocked():
            self._read = output.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**os.environ, **_ONE_THREAD, DATABASE_URL_VARIABLE: url},
            )

    def new_lines(self) -> list[str]:
        """The whole lines that the child has written since the last call."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._read)
                whole, _, _ = log.read().rpartition(b"\n")
        except OSError:
            return []  # a log that was deleted decides nothing
        self._read += len(whole) + 1 if whole else 0
        return whole.decode(errors="replace").splitlines()

    def order_to_leave(self) -> None:
        """Tell the child to finish and leave."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def wait(self, deadline: float) -> None:
        """Wait until the child is gone or ``deadline`` (monotonic) has passed; then kill it."""
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the child at once."""
        self.process.kill()
        self.process.wait()


def _opened(log: Path, mode: str) -> IO[bytes]:
    """The log file, or a place without bottom where none can be written."""
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cast("IO[bytes]", log.open(mode))
    except OSError:
        return Path(os.devnull).open("wb")


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Have a child start with SIGINT blocked: Ctrl-C reaches it too, before it can ignore it.

    This process gets an interrupt that comes meanwhile when the block ends.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Workers:
    """The worker processes of one study.

    Args:
        database: The study database.
        study_id: Key of the study.
        n_workers: How many to run.
        trial_timeout: The seconds that a trial may train; None for no limit.
    """

    def __init__(
        self,
        database: Database,
        study_id: int,
        n_workers: int,
        trial_timeout: float | None = None,
    ) -> None:
        self._database = database
        self._study_id = study_id
        self._trial_timeout = trial_timeout
        self._short_lives = 0
        self._deaths: dict[int, Death] = {}  # process number -> what it died of
        self._children = [self._start(slot) for slot in range(n_workers)]

    def tend(self) -> list[str]:
        """Replace workers that have died.

        Returns:
            A sentence for each.

        Raises:
            TunelabError: If they die as soon as they are started, before they have a trial. One
                that dies in a trial is the trial's matter, which fails in the end.
        """
        notices = []
        for slot, child in enumerate(self._children):
            code = child.process.poll()
            if code is None:
                continue
            said = child.new_lines()
            errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
            cause = errors[-1] if errors else self._note_death(child.process.pid, code).cause
            trials = [line.removeprefix(_CLAIMED) for line in said if line.startswith(_CLAIMED)]
            short = not trials and time.monotonic() - child.started < _SHORT_LIFE_SECONDS
            self._short_lives = self._short_lives + 1 if short else 0
            if self._short_lives >= _MAX_SHORT_LIVES:
                raise TunelabError(
                    f"workers end as soon as they are started: {cause}", hint=f"see {child.log}"
                )
            where = f" in trial {trials[-1]}" if trials else ""
            notices.append(f"a worker ended{where} ({cause}); another takes its place")
            self._children[slot] = self._start(slot)
        return notices

    def death_of(self, owner: Owner) -> Death | None:
        """What a worker died of; None if it lives or was none of these."""
        if not owner.is_dead or owner.host != Owner.this_process().host:
            return None
        for child in self._children:
            if child.process.pid == owner.pid:
                # Its threads may take a moment longer than itself.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._note_death(owner.pid, child.process.wait(_REAP_SECONDS))
        return self._deaths.get(owner.pid)

    def kill(self) -> None:
        """End all workers at once; what they have not stored is lost."""
        for child in self._children:
            child.kill()

    def leave(self) -> None:
        """Have all workers give their trials back and leave; kill those that do not."""
        for child in self._children:
            child.order_to_leave()
        deadline = time.monotonic() + LEAVE_SECONDS
        for child in self._children:
            child.wait(deadline)

    def _note_death(self, pid: int, code: int) -> Death:
        if code == -_ALARM and self._trial_timeout is not None:
            limit = f"trial_timeout of {self._trial_timeout:g} s exceeded"
            death = Death(f"{limit}: one step of training did not return", final=True)
        elif code < 0:
            death = Death(f"killed by {_signal_name(-code)}")
        else:
            death = Death(f"exit code {code}")
        self._deaths[pid] = death
        return death

    def _start(self, slot: int) -> Child:
        log = self._database.home / "logs" / f"study-{self._study_id}-worker-{slot + 1}.log"
        arguments = ["--study", str(self._study_id)]
        return Child("tunelab.execution.worker", arguments, self._database, log)


def _signal_name(number: int) -> str:
    if number == signal.SIGKILL:
        return "SIGKILL, as the system does when memory runs out"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


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
