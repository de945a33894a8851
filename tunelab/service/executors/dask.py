"""Workers on a Dask cluster: a long-running task in each slot, which is a thread of a Dask worker.

A task is a worker (see ``slot.py``), not a trial, and Dask repeats none: trials are claimed in the
study database, and those of a worker that is gone come back by its rules. Dask workers may join and
leave at any time.

A task leaves when it is told to, which is a call to its Dask worker beside the queue of tasks.
Should that not reach it, or this process be killed, it finds that nobody leads the study.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import threading
import time
import uuid
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunelab.errors import ExecutorError, TunelabError, UsageError
from tunelab.service.executors.base import LedStudy
from tunelab.service.executors.slot import Assignment, Order, give_order, serve
from tunelab.service.workers import LEAVE_SECONDS, SHORT_LIFE_SECONDS, Ended
from tunelab.storage.claims import Death
from tunelab.storage.owners import Owner

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_SECONDS = 5.0
LOOK_SECONDS = 0.5  # between two looks at which Dask workers there are
_ALONE_SECONDS = 2.0  # without a Dask worker, before a person is told
_RESULT_SECONDS = 2.0  # for a few hundred bytes
_CLOSE_SECONDS = 2.0
_MAX_SHORT_LIVES = 3
_LONGEST_REST_SECONDS = 60.0  # of a Dask worker on which workers end at once
_HOST_AND_PORT = re.compile(r"[^/:\s]+:\d+")


@dataclass(frozen=True, order=True)
class Slot:
    """A place for one worker; those of all Dask workers with a low index are filled first."""

    index: int
    address: str


@dataclass(frozen=True)
class _Task:
    name: str
    future: Future[Ended]
    started: float


class DaskExecutor:
    """Keeps a worker in every slot of the cluster, or in as many as were asked for.

    Args:
        place: Address of the scheduler, or its scheduler file.

    Raises:
        UsageError: If that is neither, or the package is missing.
        ExecutorError: If nobody answers there.
    """

    is_open = False

    def __init__(self, place: str) -> None:
        self._place = place
        self._client = _connect(place)
        self._n_threads = _n_threads(self._client)  # of each Dask worker, by its address
        self._study: LedStudy | None = None
        self._tasks: dict[Slot, _Task] = {}
        self._served_at = time.monotonic()
        self._short_lives = 0
        self._failures: dict[str, int] = {}  # address -> workers that ended at once there
        self._rests: dict[str, float] = {}  # address -> until when it gets no worker
        self._said: set[str] = set()
        self._left = threading.Event()

    def expects(self, n_workers: int | None) -> int:
        """See :class:`tunelab.service.executors.base.Executor`, as for all methods here."""
        return n_workers or sum(self._n_threads.values())

    def start(self, study: LedStudy) -> None:
        """A task for each slot that is there."""
        self._study = study
        self._served_at = time.monotonic()
        threading.Thread(target=self._watch, name="dask-workers", daemon=True).start()
        self._fill(study)

    @property
    def n_workers(self) -> int:
        """As many as were asked for, else as there are tasks, and at least 2: more may join."""
        if self._study is not None and self._study.n_workers is not None:
            return self._study.n_workers
        return max(2, len(self._tasks))

    def tend(self) -> list[str]:
        """Take in which tasks have ended and which Dask workers are gone; fill what is free.

        Raises:
            ExecutorError: If the scheduler is gone.
            TunelabError: If workers end at once wherever they are started.
        """
        if self._study is None:
            return []
        if self._client.status == "closed":
            raise ExecutorError(
                f"the Dask scheduler at {self._place} is gone",
                hint=f"`tunelab study resume {self._study.study.name}` goes on, anywhere",
            )
        notices = [*self._drop_gone(), *self._take_ended()]
        self._fill(self._study)
        now = time.monotonic()
        if self._tasks:
            self._served_at = now
            self._said.discard("")
        elif now - self._served_at > _ALONE_SECONDS and not self._n_threads:
            notices += self._once("", f"waiting for Dask workers: {self._place} has none")
        return notices

    def death_of(self, _owner: Owner) -> Death | None:
        """The task that had the worker gives its trial back, with what is known."""
        return None

    def kill(self) -> None:
        """Waited for in :meth:`leave`."""
        self._order(Order.KILL)

    def leave(self) -> None:
        """Tasks that do not answer find out by themselves that nobody leads the study."""
        if self._left.is_set():
            return
        self._order(Order.LEAVE)
        deadline = time.monotonic() + LEAVE_SECONDS + 1.0
        while self._at_work() and time.monotonic() < deadline:
            time.sleep(0.02)
        self._left.set()
        with contextlib.suppress(Exception):  # with the connection, the cluster drops every task
            self._client.close(timeout=_CLOSE_SECONDS)

    def _at_work(self) -> list[tuple[Slot, _Task]]:
        return [
            (slot, task)
            for slot, task in self._tasks.items()
            if not task.future.done() and slot.address in self._n_threads
        ]

    def _order(self, order: Order) -> None:
        """Tell all tasks, also those that still wait in the queue of their Dask worker."""
        at_work = self._at_work()
        names = [task.name for _, task in at_work]
        addresses = sorted({slot.address for slot, _ in at_work})

        def tell() -> None:
            with contextlib.suppress(Exception):
                self._client.run(give_order, names, order, workers=addresses, on_error="ignore")

        if at_work:  # in a thread: a host that is frozen answers to nothing
            threading.Thread(target=tell, name="dask-order", daemon=True).start()

    def _watch(self) -> None:
        """Keep the list of Dask workers fresh: a scheduler that is busy may take its time."""
        while not self._left.wait(LOOK_SECONDS):
            with contextlib.suppress(Exception):
                self._n_threads = _n_threads(self._client)

    def _fill(self, study: LedStudy) -> None:
        now = time.monotonic()
        n_threads = self._n_threads
        slots = sorted(Slot(i, address) for address, n in n_threads.items() for i in range(n))
        for slot in slots[: study.n_workers]:
            if slot not in self._tasks and now >= self._rests.get(slot.address, now):
                self._tasks[slot] = self._submit(study, slot)

    def _submit(self, study: LedStudy, slot: Slot) -> _Task:
        name = f"tunelab-study-{study.study.id}-{uuid.uuid4().hex}"
        url = study.database.url
        if study.database.path is not None:
            url = url.set(database=str(study.database.path))  # whatever folder it is read in
        assignment = Assignment(
            name=name,
            study_id=study.study.id,
            lease=study.lease,
            trial_timeout=study.trial_timeout,
            url=url.render_as_string(hide_password=False),
        )
        future = self._client.submit(
            serve,
            assignment,
            key=name,
            pure=False,
            retries=0,
            workers=[slot.address],
            allow_other_workers=False,
        )
        return _Task(name, future, time.monotonic())

    def _drop_gone(self) -> list[str]:
        """Forget the tasks of Dask workers that are gone, and those that Dask has lost."""
        notices = []
        for slot, task in list(self._tasks.items()):
            gone = slot.address not in self._n_threads
            if gone or task.future.status in ("cancelled", "lost"):
                del self._tasks[slot]
                task.future.cancel()
                if gone:
                    notices += [f"the Dask worker {slot.address} is gone; its trial waits again"]
        return list(dict.fromkeys(notices))

    def _take_ended(self) -> list[str]:
        notices: list[str] = []
        for slot, task in list(self._tasks.items()):
            if not task.future.done():
                continue
            try:
                ended = task.future.result(timeout=_RESULT_SECONDS)
            except (TimeoutError, CancelledError):
                continue  # its Dask worker is dying: the next look tells
            except Exception as error:  # whatever keeps this program from running there
                cause = f"{type(error).__name__}: {error}"
                seconds = time.monotonic() - task.started
                ended = Ended(0, False, cause, trial=None, n_claimed=0, seconds=seconds, log=None)
            del self._tasks[slot]
            notices += self._note(slot, ended)
        return notices

    def _note(self, slot: Slot, ended: Ended) -> list[str]:
        on = f" on the Dask worker {slot.address}"
        if not ended.is_short:
            self._short_lives = self._failures[slot.address] = 0
            return [f"a worker ended{ended.where}{on}; another takes its place"]
        now = time.monotonic()
        n_failures = self._failures[slot.address] = self._failures.get(slot.address, 0) + 1
        self._rests[slot.address] = now + min(2.0 ** (n_failures - 1), _LONGEST_REST_SECONDS)
        self._short_lives += 1
        proven = any(now - task.started > SHORT_LIFE_SECONDS for task in self._tasks.values())
        if self._short_lives >= _MAX_SHORT_LIVES and not proven:
            raise TunelabError(
                f"workers end as soon as they are started{on}: {ended.cause}",
                hint="Dask workers need tunelab, the study database and the data (see README)",
            )
        return self._once(ended.cause + on, f"warning: no worker can be run{on}: {ended.cause}")

    def _once(self, topic: str, notice: str) -> list[str]:
        if topic in self._said:
            return []
        self._said.add(topic)
        return [notice]


def _connect(place: str) -> Client:
    try:
        from distributed import Client
        from distributed.comm.addressing import get_address_host_port
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--executor dask needs the package {error.name}", hint="pip install 'tunelab[dask]'"
        ) from error
    # What it has to say of connections is said here, in sentences.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    address = scheduler_address(place)
    try:
        get_address_host_port(address, strict=True)
    except (ValueError, TypeError) as error:
        raise UsageError(f"--dask-address: {error}", hint="such as tcp://host:8786") from error
    connected: list[Client] = []

    def connect() -> None:
        with contextlib.suppress(OSError, TimeoutError):
            connected.append(Client(address, timeout=CONNECT_SECONDS, set_as_default=False))

    # In a thread: something else that listens there and says nothing is waited for without end.
    connecting = threading.Thread(target=connect, name="dask-connect", daemon=True)
    connecting.start()
    connecting.join(CONNECT_SECONDS + 1.0)
    if not connected:
        raise ExecutorError(
            f"no Dask scheduler answers at {address}",
            hint="start one: dask scheduler; then as many as you like: dask worker ADDRESS",
        )
    return connected[0]


def scheduler_address(place: str) -> str:
    """The address that ``place`` means: itself, or what the scheduler file there says.

    >>> scheduler_address("tls://host:8786"), scheduler_address("host:8786")
    ('tls://host:8786', 'tcp://host:8786')

    Raises:
        UsageError: If it is no address, and no file that a scheduler has written.
    """
    if "://" in place:
        return place
    path = Path(place).expanduser()
    if not path.is_file():
        if _HOST_AND_PORT.fullmatch(place):
            return f"tcp://{place}"
        raise UsageError(
            f"--dask-address: must be an address or a scheduler file, and there is no file {place}",
            hint="such as tcp://host:8786, or what `dask scheduler --scheduler-file FILE` writes",
        )
    try:
        written: Any = json.loads(path.read_text(encoding="utf-8"))
        return str(written["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"--dask-address: {place} is no scheduler file",
            hint="`dask scheduler --scheduler-file FILE` writes one",
        ) from error


def _n_threads(client: Client) -> dict[str, int]:
    workers = client.scheduler_info()["workers"]
    return {address: worker["nthreads"] for address, worker in workers.items()}
