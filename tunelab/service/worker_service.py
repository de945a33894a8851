"""``worker run``: worker processes that are kept at work, whatever they die of.

This process trains nothing and stays small. It knows at once when one of its workers has died, and
of what, so it gives that worker's trial back itself: a coordinator on another machine would have
to wait for the lease to run out.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from tunelab.service.workers import Ended, Workers
from tunelab.storage.claims import has_lost, requeue_lost
from tunelab.storage.engine import Database
from tunelab.storage.outages import OutageError
from tunelab.storage.queues import service_studies
from tunelab.storage.states import StudyState
from tunelab.storage.studies import StudyRow, study_by_id
from tunelab.storage.workers import dead_workers, strike_out

LEAVE_SECONDS = 4.0  # for workers; the whole takes less than five
TICK_SECONDS = 0.1
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 60.0  # until a dead worker is replaced
_LONG_LIFE_SECONDS = 60.0  # a worker that has lived so long dies for the first time
_GONE = -1  # in the place of a slot: of a worker that has ended
_SAID_SECONDS = 600.0  # what one worker has said, no other one has to say again


class WorkerService:
    """Worker processes, and what there is to say of them.

    Args:
        database: The study database.
        n_workers: How many processes.
        study: The only study to serve, whoever runs it; None: all that the service runs.
        max_trials: Leave after so many trials in all; None: do not count.
    """

    def __init__(
        self,
        database: Database,
        n_workers: int,
        *,
        study: StudyRow | None = None,
        max_trials: int | None = None,
    ) -> None:
        self._database = database
        self._study = study
        self._n_workers = n_workers if max_trials is None else min(n_workers, max_trials)
        # Each worker has its share, and whoever takes its place has the rest of it.
        self._shares = _shares(max_trials, self._n_workers)
        self._workers: Workers | None = None
        self._n_deaths: dict[int, int] = {}  # slot -> how often its workers died, each soon
        self._starts_at: dict[int, float] = {}  # slot without a worker -> when it gets one
        self._gives_back = False
        self._said: dict[str, tuple[int, float]] = {}  # line -> slot and when

    def run(self, should_leave: Callable[[], bool]) -> Iterator[str]:
        """Keep the workers at work; close it, and none is left.

        Args:
            should_leave: Whether to end them.

        Yields:
            A line for each notable event.
        """
        workers = self._workers = Workers(
            self._database, self._arguments, self._n_workers, alarm="trial_timeout exceeded"
        )
        try:
            what = "process serves" if self._n_workers == 1 else "processes serve"
            served = self._study.title if self._study else "the studies of the service"
            yield f"joined: {self._n_workers} worker {what} {served}"
            while not should_leave() and (workers.n_alive or self._starts_at):
                for ended in workers.ended():
                    yield from self._relay(workers)  # its last words come before its end
                    yield from self._note(ended)
                yield from self._relay(workers)
                self._start_those_due(workers)
                if self._gives_back:
                    self._give_back(workers, blamed=True)
                time.sleep(TICK_SECONDS)
            yield f"leaving: {self._reason(told=should_leave())}"
        finally:
            workers.leave(LEAVE_SECONDS)
            self._give_back(workers, blamed=False)
        yield from self._relay(workers)

    def kill(self) -> None:
        """End all workers at once; what they have not stored is lost."""
        if self._workers is not None:
            self._workers.kill()

    def _arguments(self, slot: int) -> Sequence[str]:
        words = [] if self._study is None else ["--study", str(self._study.id)]
        share = self._shares.get(slot)
        return words if share is None else [*words, "--max-trials", str(share)]

    def _note(self, ended: Ended) -> Iterator[str]:
        """Take in that a worker has ended: another one follows, unless the work is done."""
        slot = ended.slot
        for line, (first, at) in self._said.items():
            if first == slot:  # the one who comes into this slot is another
                self._said[line] = (_GONE, at)
        if ended.in_order:
            if slot in self._shares:
                self._shares[slot] -= ended.n_claimed
            if self._shares.get(slot, 1) > 0 and not self._is_over():
                self._starts_at[slot] = time.monotonic()  # it was somebody else who told it to
            return
        self._gives_back = True
        if slot in self._shares:  # the trial that it died in is not done
            self._shares[slot] -= max(ended.n_claimed - 1, 0)
        before = 0 if ended.seconds > _LONG_LIFE_SECONDS else self._n_deaths.get(slot, 0)
        pause = min(_FIRST_PAUSE_SECONDS * 2.0**before, _LONGEST_PAUSE_SECONDS)
        self._n_deaths[slot] = min(before + 1, 10)
        self._starts_at[slot] = time.monotonic() + pause
        where = f" in trial {ended.trial}" if ended.trial else ""
        if where and self._study is not None:
            where += f" of {self._study.title}"
        yield f"a worker ended{where} ({ended.cause}); another takes its place in {pause:g} s"

    def _start_those_due(self, workers: Workers) -> None:
        now = time.monotonic()
        for slot, due in list(self._starts_at.items()):
            if now >= due:
                del self._starts_at[slot]
                workers.start(slot)

    def _relay(self, workers: Workers) -> Iterator[str]:
        """What workers say, each line from one of them."""
        now = time.monotonic()
        self._said = {
            line: (slot, at) for line, (slot, at) in self._said.items() if now - at < _SAID_SECONDS
        }
        for slot, line in workers.new_lines():
            first, _ = self._said.setdefault(line, (slot, now))
            if first == slot:
                yield line

    def _give_back(self, workers: Workers, *, blamed: bool) -> None:
        """Let the trials of workers that have died wait again, and strike those out."""
        # Not through an outage: there is more to do meanwhile, and the next look comes soon.
        with contextlib.suppress(OutageError):
            with self._database.read() as connection:
                served = [self._study.id] if self._study else service_studies(connection)
                lost = [key for key in served if has_lost(connection, key, also_silent=False)]
                dead = dead_workers(connection)
            for key in lost:
                with self._database.write() as connection:
                    requeue_lost(
                        connection,
                        key,
                        blamed=blamed,
                        also_silent=False,
                        death_of=workers.death_of,
                    )
            if dead:
                with self._database.write() as connection:
                    strike_out(connection, dead)
            self._gives_back = False

    def _is_over(self) -> bool:
        """Whether the one study that is served has ended."""
        return self._study is not None and self._state(self._study) is not StudyState.RUNNING

    def _state(self, study: StudyRow) -> StudyState:
        return self._database.fetch(lambda connection: study_by_id(connection, study.id)).state

    def _reason(self, *, told: bool) -> str:
        if told:
            return "running trials are saved and wait for other workers"
        if self._study is not None and self._is_over():
            return f"{self._study.title} is {self._state(self._study)}"
        return "as many trials as were asked for have ended"


def _shares(max_trials: int | None, n_workers: int) -> dict[int, int]:
    """How many trials each worker may end; empty: they are not counted.

    >>> _shares(7, 3), _shares(None, 3)
    ({0: 3, 1: 2, 2: 2}, {})
    """
    if max_trials is None:
        return {}
    each, more = divmod(max_trials, n_workers)
    return {slot: each + (slot < more) for slot in range(n_workers)}
