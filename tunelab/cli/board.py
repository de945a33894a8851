"""The present state of a running study, gathered from its events for whoever shows it."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tunelab.cli.outcomes import outcome
from tunelab.service.events import (
    ConfirmEpochFinished,
    ConfirmProgress,
    ConfirmRunStarted,
    EpochFinished,
    Event,
    StudyFinished,
    StudyStarted,
    TrialFinished,
    TrialStarted,
)
from tunelab.service.summary import StudySummary
from tunelab.storage.trials import EpochRow, TrialRow

_KEPT = 200  # finished trials; no terminal shows more
_NEW_SECONDS = 20.0  # for which the best trial is a new one


@dataclass
class TrialState:
    """A trial and the epochs that were seen of it (after a restart not the first ones)."""

    trial: TrialRow
    epochs: dict[int, EpochRow] = field(default_factory=dict)

    @property
    def n_epochs(self) -> int:
        """Epochs it has finished."""
        return max(self.epochs, default=self.trial.n_epochs)

    @property
    def last(self) -> EpochRow | None:
        """Its newest epoch."""
        return self.epochs[max(self.epochs)] if self.epochs else None

    @property
    def losses(self) -> list[float | None]:
        """Its validation losses, in order."""
        return [self.epochs[epoch].validation_loss for epoch in sorted(self.epochs)]


class Board:
    """Counts and rows.

    Args:
        outcomes: How the trials ended that had ended before.
        clock: Seconds, growing steadily.
    """

    def __init__(
        self, outcomes: Mapping[str, int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.outcomes: Counter[str] = Counter(outcomes)
        self.running: dict[int, TrialState] = {}
        self.confirming: dict[int, TrialState] = {}  # runs of the confirm stage, by their numbers
        self.finished: deque[TrialState] = deque(maxlen=_KEPT)  # of both, the newest first
        self.summary: StudySummary | None = None
        self.best: TrialRow | None = None
        self.best_since: float | None = None  # by the clock; None: from before this start
        self.confirm: tuple[int, int] | None = None  # runs that have ended, and all
        self.n_workers = 0
        self.watches = False  # others run the study, and go on when this process leaves
        self._confirm_began: tuple[float, int] | None = None  # when, and how many had ended then
        self._finished_before = 0
        self._n_seen = 0
        self._epochs_trained = 0
        self._clock = clock
        self._started = clock()

    def take(self, event: Event) -> None:
        """Take an event in."""
        if isinstance(event, StudyStarted):
            self.summary = event.summary
            self.best = event.summary.best
            self.n_workers = event.n_workers
            self.watches = event.watches
            self._finished_before = event.summary.n_finished
            self._epochs_trained = event.summary.epochs_trained
            self._started = self._clock()
        elif isinstance(event, TrialStarted):
            self.running.setdefault(event.trial.number, TrialState(event.trial))
        elif isinstance(event, EpochFinished):
            state = self.running.get(event.number)
            if state is not None:
                state.epochs[event.epoch.epoch] = event.epoch
        elif isinstance(event, TrialFinished):
            state = self.running.pop(event.trial.number, None) or TrialState(event.trial)
            state.trial = event.trial
            self.finished.appendleft(state)
            self.outcomes[outcome(event.trial)] += 1
            self._n_seen += 1
            self._epochs_trained += event.trial.n_epochs
            if event.is_best:
                self.best = event.trial
                self.best_since = self._clock()
        elif isinstance(event, ConfirmRunStarted):
            self.confirming.setdefault(event.run.number, TrialState(event.run))
        elif isinstance(event, ConfirmEpochFinished):
            state = self.confirming.get(event.number)
            if state is not None:
                state.epochs[event.epoch.epoch] = event.epoch
        elif isinstance(event, ConfirmProgress):
            self._take_progress(event)
        elif isinstance(event, StudyFinished):
            self.summary = event.summary

    def _take_progress(self, event: ConfirmProgress) -> None:
        if self._confirm_began is None:
            self._confirm_began = self._clock(), event.n_finished - (event.run is not None)
        self.confirm = event.n_finished, event.n_total
        if event.run is not None:
            state = self.confirming.pop(event.run.number, None) or TrialState(event.run)
            state.trial = event.run
            self.finished.appendleft(state)

    @property
    def title(self) -> str:
        """Name and generation without a space, for lines of ``key=value``."""
        study = self._known.study
        return f"{study.name}#{study.generation}"

    @property
    def metric(self) -> str:
        """Name of the objective."""
        return self._known.spec.objective.metric

    @property
    def max_epochs(self) -> int:
        """Each trial's budget."""
        return self._known.spec.search.max_epochs

    @property
    def n_total(self) -> int:
        """Trials that the study is to have."""
        return self._known.study.n_trials

    @property
    def n_finished(self) -> int:
        """Trials that have ended, those before this start included."""
        return self._finished_before + self._n_seen

    @property
    def confirms(self) -> bool:
        """Whether the confirm stage is under way."""
        return self.confirm is not None and self.confirm[0] < self.confirm[1]

    @property
    def trials_per_minute(self) -> float | None:
        """Since this start; None before a trial has ended."""
        if self.n_finished >= self.n_total:
            return None  # the search is over, and what follows is not its pace
        elapsed = self._clock() - self._started
        return 60 * self._n_seen / elapsed if self._n_seen and elapsed > 0 else None

    @property
    def epochs_saved(self) -> float:
        """Share of the finished trials' budget that they did not use."""
        budget = self.n_finished * self.max_epochs
        return 1 - self._epochs_trained / budget if budget else 0.0

    @property
    def eta_seconds(self) -> float | None:
        """Estimated seconds to the end: of the trials, of the study's time, or of the stage."""
        if self.confirms:
            return self._confirm_seconds
        if self.n_finished >= self.n_total:
            return None
        estimates = []
        if self.trials_per_minute:
            left = max(self.n_total - self.n_finished, 0)
            estimates.append(60 * left / self.trials_per_minute)
        study = self._known.study
        if study.timeout_seconds is not None:
            spent = study.running_seconds + self._clock() - self._started
            estimates.append(max(study.timeout_seconds - spent, 0.0))
        return min(estimates, default=None)

    @property
    def _confirm_seconds(self) -> float | None:
        """Estimated seconds to the end of the confirm stage; None before a run has ended."""
        if self.confirm is None or self._confirm_began is None:
            return None
        (n_finished, n_total), (began, before) = self.confirm, self._confirm_began
        n_seen = n_finished - before
        return (self._clock() - began) / n_seen * (n_total - n_finished) if n_seen else None

    @property
    def best_is_new(self) -> bool:
        """Whether the best trial became that a moment ago."""
        since = self.best_since
        return since is not None and self._clock() - since < _NEW_SECONDS

    @property
    def _known(self) -> StudySummary:
        if self.summary is None:
            raise RuntimeError("the first event of a study is StudyStarted")
        return self.summary
