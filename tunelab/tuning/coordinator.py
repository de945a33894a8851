"""The coordinator: asks Optuna ahead of the workers, tells it outcomes, ends the study.

One runs per study, under a lease; what it knows is in the tables, so another can take over at any
moment. It does not run by itself: whoever holds it calls :meth:`Coordinator.tick`.

With one worker the study repeats exactly, whatever the timing and however often it is stopped:
trial k is proposed when the trials before k - 1 have ended, and from those alone; its limits stay
as they were then. With more workers the order in which trials happen to end decides what a proposal
can know, and limits follow what is known.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from enum import Enum

from sqlalchemy import Connection

from tunelab.spec.study import StudySpec
from tunelab.spec.tables import GRID
from tunelab.storage.claims import Death, has_lost, requeue_lost
from tunelab.storage.clock import database_time
from tunelab.storage.engine import Database
from tunelab.storage.leases import BEAT_SECONDS, Lease, renew_lease
from tunelab.storage.owners import Owner
from tunelab.storage.states import (
    CANCELLED,
    STOPPED,
    TIME_OVER,
    EndReason,
    StudyState,
    TrialState,
)
from tunelab.storage.studies import (
    StudyRow,
    end_trials,
    mark_ended,
    study_by_id,
    update_study,
)
from tunelab.storage.trials import (
    CONFIRM,
    NewTrial,
    TrialRow,
    drop_unclaimed,
    insert_trials,
    set_rung_limits,
    study_trials,
)
from tunelab.tuning.confirm_stage import ConfirmStage, LostStageError
from tunelab.tuning.flatness import Flat, study_flatness
from tunelab.tuning.optuna_study import OptunaStudy
from tunelab.tuning.pruners import EndedTrial, make_pruner
from tunelab.tuning.running_trials import RunningTrials
from tunelab.tuning.samplers import search_seed, trial_seed
from tunelab.tuning.warm_start import learned_before

POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.02, 0.2
HOUSEKEEPING_SECONDS = 0.5
_PROPOSING_SECONDS = 0.1  # at a time: what has been proposed is handed out before any more
LIMITS_SECONDS = 1.0  # between two times that running trials get new limits: workers read as often
_AWAY_SECONDS = 10.0  # without housekeeping: an outage, or a machine that slept
MAX_AHEAD = 8  # trials that run or wait for each worker, at most


class Progress(Enum):
    """What a tick found."""

    RUNNING = "running"
    FINISHED = "finished"  # the study has ended and says so in its row
    CONFIRMED = "confirmed"  # so has the confirm stage; `finish` notes the study's end
    STOP_REQUESTED = "stop requested"  # by ``study stop``, from some other process
    CANCELLED = "cancelled"  # by ``study stop --now``: the study's row says so already
    SUPERSEDED = "superseded"  # another coordinator holds the lease


class Coordinator:
    """Runs one study's search, and behind it the confirm stage.

    Args:
        database: The study database.
        study: The study's row, as it is now.
        lease: The study's coordinator lease, held by this process.
        n_workers: Number of workers to keep busy.
        death_of: Tells what a worker of this process died of.

    Attributes:
        stage: The confirm stage, once the search has ended, if the study has one.
    """

    def __init__(
        self,
        database: Database,
        study: StudyRow,
        lease: Lease,
        *,
        n_workers: int,
        death_of: Callable[[Owner], Death | None] = lambda _owner: None,
    ) -> None:
        spec = StudySpec.from_mapping(study.spec)
        self.stage: ConfirmStage | None = None
        self._spec = spec
        self._confirms_less = True  # the tables may hold a confirm stage of fewer trials
        self._search_ended: float | None = None  # when the stage began (monotonic)
        self._database = database
        self._study_id = study.id
        self._lease = lease
        self._n_workers = n_workers
        self._death_of = death_of
        self._n_total = study.n_trials
        self._seed = spec.search.seed
        self._grid = spec.search.sampler == GRID
        maximize = spec.objective.direction == "maximize"
        self._optuna = OptunaStudy(
            spec.search_space,
            sampler=spec.search.sampler,
            seed=search_seed(self._seed, study.generation if study.follows_earlier else 1),
            maximize=maximize,
            first=learned_before(database, study, spec),
        )
        self._pruner = make_pruner(spec.search.pruner, spec.search.max_epochs, maximize=maximize)
        # With one worker, no other trial runs.
        self._running: RunningTrials | None = None
        if self._pruner.compares_running and self._pruner.rungs and n_workers > 1:
            self._running = RunningTrials(
                database,
                study.id,
                rungs=self._pruner.rungs,
                metric=spec.objective.metric,
                maximize=maximize,
            )
        self._flatness = (
            study_flatness(database, study, spec) if spec.search.stop_when_flat else None
        )
        self._flat: Flat | None = None
        self._seconds_before = study.running_seconds
        self._started = time.monotonic()
        self._timeout = study.timeout_seconds
        self._time_is_over = False
        self._next = 0  # number of the trial to propose next
        self._open: set[int] = set()  # proposed and not known to have ended
        self._ended: dict[int, TrialRow] = {}  # ended and not yet told
        self._sent_limits = self._pruner.limits()  # to all trials that run or wait
        self._trial_seconds = 1.0  # of the trials that ended lately
        self._tick_seconds = POLL_SECONDS  # from one tick to the next, lately
        self._ticked = math.nan
        self._has_more = False  # trials to propose without waiting
        self._proposed: list[NewTrial] = []  # and not yet stored
        self._renewed = self._kept_house = self._came_back = self._limited = -math.inf
        self._kept_house_at = math.inf  # by the database's clock
        self._restore()

    @property
    def n_workers(self) -> int:
        """Number of workers to keep busy.

        It may change while the study runs, but not from or to 1, which is another way to propose.
        """
        return self._n_workers

    @n_workers.setter
    def n_workers(self, n_workers: int) -> None:
        if (n_workers == 1) != (self._n_workers == 1):
            raise ValueError(f"{self._n_workers} workers cannot become {n_workers}")
        self._n_workers = n_workers

    @property
    def running_seconds(self) -> float:
        """How long the search has run, earlier runs included."""
        until = time.monotonic() if self._search_ended is None else self._search_ended
        return self._seconds_before + until - self._started

    @property
    def poll_seconds(self) -> float:
        """How long to wait between ticks: a fifth of a trial, within limits."""
        if self._has_more:
            return 0.0
        return min(max(POLL_SECONDS, 0.2 * self._trial_seconds), _LONGEST_POLL_SECONDS)

    def tick(self) -> Progress:
        """Do what there is to do now, and return at once.

        Raises:
            DatabaseError: If the database cannot be read or written. After an `OutageError` the
                next tick goes on where this one was.
        """
        now = time.monotonic()
        self._note_tick(now)
        if now - self._kept_house > HOUSEKEEPING_SECONDS:
            progress = self._keep_house(now)
            self._kept_house = now
            if progress is not Progress.RUNNING:
                return progress
        self._collect()
        if self._n_workers > 1:
            self._tell(list(self._ended))
        self._proposed += self._propose()
        if self._proposed:
            if not self._database.attempt(self._insert_proposed):
                return Progress.SUPERSEDED
            self._proposed.clear()
            self._go_on_searching()
        elif not self._open:
            return self._confirm()
        return Progress.RUNNING

    def finish(self) -> bool:
        """Note that the study has finished; false if another runs it by now."""
        return self._end(StudyState.FINISHED, self._end_reason())

    def _confirm(self) -> Progress:
        """See the confirm stage to its end."""
        try:
            if self.stage is None and self._spec.confirm.enabled:
                if self._search_ended is None:
                    self._search_ended = time.monotonic()
                stage = ConfirmStage(self._database, self._study_id, self._lease, self._spec)
                stage.begin()
                self._database.attempt(self._note_running_time)  # the search's: it has ended
                self.stage, self._confirms_less = stage, True
            if self.stage is not None:
                if not self.stage.look():
                    return Progress.RUNNING
                if self.stage.confirmation is not None:
                    return Progress.CONFIRMED
        except LostStageError:
            return Progress.SUPERSEDED
        return Progress.FINISHED if self.finish() else Progress.SUPERSEDED

    def _note_running_time(self, connection: Connection) -> None:
        if renew_lease(connection, self._lease):
            update_study(connection, self._study_id, running_seconds=self.running_seconds)

    def _go_on_searching(self) -> None:
        """There are more trials by now: whatever they find is confirmed anew."""
        self.stage, self._confirms_less = None, False
        if self._search_ended is not None:
            self._started += time.monotonic() - self._search_ended
            self._search_ended = None

    def _note_tick(self, now: float) -> None:
        seconds = now - self._ticked
        self._ticked = now
        if seconds < _AWAY_SECONDS:
            self._tick_seconds += 0.2 * (seconds - self._tick_seconds)

    def _insert_proposed(self, connection: Connection) -> bool:
        if not renew_lease(connection, self._lease):
            return False
        insert_trials(connection, self._study_id, self._proposed)
        if self._confirms_less:
            drop_unclaimed(connection, self._study_id, CONFIRM)
            update_study(connection, self._study_id, confirmed=None, gate=None)
        return True

    def suspend(self, reason: str = STOPPED) -> bool:
        """Note that the study was stopped before its end; false if another runs it by now."""
        return self._end(StudyState.STOPPED, reason)

    def _restore(self) -> None:
        """Rebuild from the tables what the coordinator before this one knew."""
        # Whatever ended the coordinator before this one may have ended its workers too.
        self._database.attempt(lambda c: requeue_lost(c, self._study_id, blamed=False))
        rows = self._database.fetch(lambda c: study_trials(c, self._study_id))
        # With one worker as in the undisturbed run: the last trial was proposed when those before
        # the one before it had ended, and the next proposal tells what came since.
        n_told = rows[-1].number - 1 if rows and self._n_workers == 1 else len(rows)
        for row in rows:
            ended = row.state is TrialState.FINISHED
            told = ended and row.number < n_told
            self._optuna.restore(row, told=told)
            self._next = row.number + 1
            if told:
                self._observe(row)
            elif ended:
                self._ended[row.number] = row
            else:
                self._open.add(row.number)
            if ended:
                self._watch_flatness(row)

    def _keep_house(self, now: float) -> Progress:
        study, silent, lost = self._database.fetch(lambda c: self._look_around(c, now))
        if study.end_reason == CANCELLED:
            return Progress.CANCELLED
        # While this process was away, somebody may have taken it for dead and noted the stop.
        if study.stop_requested or study.state is StudyState.STOPPED:
            return Progress.STOP_REQUESTED
        # Another ``study start`` may have changed the budget.
        self._n_total, self._timeout = study.n_trials, study.timeout_seconds
        due = now - self._renewed > BEAT_SECONDS
        over = self._timeout is not None and self.running_seconds >= self._timeout
        ends = over and not self._time_is_over and self._search_ended is None
        if self._running is not None:
            self._pruner.watch(self._running.read(self._open))
        limits = self._pruner.limits()
        # With one worker, a trial keeps the limits it was proposed with: they repeat exactly.
        stale = self._n_workers > 1 and limits != self._sent_limits
        refreshed = stale and now - self._limited >= LIMITS_SECONDS
        if not (lost or due or ends or refreshed):
            return Progress.RUNNING

        def write(connection: Connection) -> bool:
            if not renew_lease(connection, self._lease):
                return False
            update_study(connection, self._study_id, running_seconds=self.running_seconds)
            if lost:
                requeue_lost(
                    connection,
                    self._study_id,
                    blamed=True,
                    also_silent=silent,
                    death_of=self._death_of,
                )
            if refreshed:
                set_rung_limits(connection, self._study_id, limits)
            if ends:
                end_trials(connection, self._study_id)
            return True

        if not self._database.attempt(write):
            return Progress.SUPERSEDED
        self._renewed = now
        if refreshed:
            self._sent_limits, self._limited = limits, now
        if ends:
            self._time_is_over = True
            self._proposed.clear()  # what an outage has kept from the table is not begun any more
            rows = self._database.fetch(
                lambda c: study_trials(c, self._study_id, numbers=self._open)
            )
            self._open = {row.number for row in rows}
        return Progress.RUNNING

    def _look_around(self, connection: Connection, now: float) -> tuple[StudyRow, bool, bool]:
        """The study, whether silent workers count as lost, and whether any trial is lost."""
        # Of a machine that slept the database's clock alone tells: the monotonic one stood still.
        at = database_time(connection)
        away = max(now - self._kept_house, at - self._kept_house_at)
        self._kept_house_at = at
        if math.isfinite(away) and away > _AWAY_SECONDS:
            self._came_back = now
        # Whoever was away himself cannot say that others were silent: they are given time.
        silent = now - self._came_back > 2 * BEAT_SECONDS
        study = study_by_id(connection, self._study_id)
        return study, silent, has_lost(connection, self._study_id, also_silent=silent)

    def _collect(self) -> None:
        """Take in the trials that have ended since the last tick."""
        if not self._open:
            return
        rows = self._database.fetch(
            lambda c: study_trials(
                c, self._study_id, numbers=self._open, states=[TrialState.FINISHED]
            )
        )
        for row in rows:
            self._open.remove(row.number)
            self._ended[row.number] = row
            self._watch_flatness(row)
            if row.started_at is not None and row.ended_at is not None:
                seconds = max(row.ended_at - row.started_at, 1e-3)
                self._trial_seconds += 0.2 * (seconds - self._trial_seconds)

    def _watch_flatness(self, row: TrialRow) -> None:
        if self._flatness is not None and _is_complete(row) and row.value is not None:
            self._flatness.observe(row.number, row.value)

    def _propose(self) -> list[NewTrial]:
        """What to propose now; no more than a short time's work at once."""
        new: list[NewTrial] = []
        until = time.monotonic() + _PROPOSING_SECONDS
        self._has_more = False
        while self._wants_more() and self._may_propose() and not self._is_flat():
            if time.monotonic() > until:
                self._has_more = True
                break
            number = self._next
            if self._n_workers == 1:
                self._tell(range(number - 1))
            proposal = self._optuna.propose()
            new.append(
                NewTrial(
                    number=number,
                    hyperparameters=proposal.hyperparameters.to_flat(),
                    sampler_state=proposal.sampler_state,
                    # The cells of a grid are compared: all begin at the same weights.
                    seed=trial_seed(self._seed, 0 if self._grid else number),
                    limits=self._pruner.limits(),
                )
            )
            self._open.add(number)
            self._next += 1
        return new

    def _wants_more(self) -> bool:
        return self._next < self._n_total and not self._time_is_over

    def _may_propose(self) -> bool:
        if self._n_workers == 1:
            # One trial trains, one waits: trial k is proposed once all before k - 1 have ended.
            return min(self._open, default=self._next) >= self._next - 1
        # Trials that end within two ticks have one that waits behind them.
        # On a busy machine, and where proposals take long, ticks are rarer than they should be.
        pause = max(self._tick_seconds, self.poll_seconds)
        ahead = math.ceil(self._n_workers * 2 * pause / self._trial_seconds)
        # Of many workers, many end at once, most of all in the first rounds.
        ahead = max(ahead, self._n_workers // 4)
        return len(self._open) < min(self._n_workers + ahead, MAX_AHEAD * self._n_workers)

    def _is_flat(self) -> bool:
        """Whether to propose nothing, because the study is flat as far as a proposal may know.

        Trials that are still under way may change that. So they are waited for, and if they do,
        the study goes on.
        """
        if self._flatness is None:
            return False
        known = self._next - 1 if self._n_workers == 1 else self._next
        if self._flatness.before(known) is None:
            return False
        self._flat = self._flatness.before(self._next)
        return bool(self._open) or self._flat is not None

    def _end_reason(self) -> str:
        if self._time_is_over:
            return TIME_OVER
        return "all trials have ended" if self._flat is None else str(self._flat)

    def _tell(self, numbers: Iterable[int]) -> None:
        """Tell Optuna and the pruner of those of ``numbers`` that have ended, in their order."""
        for number in sorted(set(numbers) & self._ended.keys()):
            row = self._ended.pop(number)
            self._optuna.tell(row)
            self._observe(row)

    def _observe(self, row: TrialRow) -> None:
        """Let the pruner know how a trial ended."""
        if row.end_reason is not EndReason.FAILED:
            values = {int(rung): value for rung, value in (row.rung_values or {}).items()}
            self._pruner.observe(EndedTrial(row.number, row.value, values, _is_complete(row)))

    def _end(self, state: StudyState, end_reason: str) -> bool:
        """Note how the study ended; false if another coordinator holds its lease by now."""

        def write(connection: Connection) -> bool:
            if not renew_lease(connection, self._lease):
                return False
            mark_ended(
                connection,
                self._study_id,
                state,
                end_reason=end_reason,
                running_seconds=self.running_seconds,
            )
            return True

        return self._database.attempt(write)


def _is_complete(row: TrialRow) -> bool:
    return row.end_reason is not None and row.end_reason.is_complete and row.value is not None
