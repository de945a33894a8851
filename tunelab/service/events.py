"""What happens in a study while it runs, as values: for the live view, plain lines and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tunelab.service.summary import StudySummary
from tunelab.storage.trials import SEARCH, EpochRow, TrialRow


@dataclass(frozen=True)
class StudyStarted:
    """The study runs (again), or is followed.

    Attributes:
        summary: The study as it stands.
        n_workers: How many workers it has.
        leads: Whether this process coordinates it.
        watches: Whether this process only shows it, and will never lead it.
    """

    summary: StudySummary
    n_workers: int
    leads: bool
    watches: bool = False

    def to_json(self) -> dict[str, Any]:
        """One line of the event stream."""
        return {
            "event": "study_started",
            "name": self.summary.study.name,
            "generation": self.summary.study.generation,
            "trials": self.summary.study.n_trials,
            "finished": self.summary.n_finished,
            "workers": self.n_workers,
        }


@dataclass(frozen=True)
class TrialStarted:
    """A worker has claimed a trial (again)."""

    trial: TrialRow

    def to_json(self) -> dict[str, Any]:
        """One line of the event stream."""
        return {
            "event": "trial_started",
            "number": self.trial.number,
            "attempt": self.trial.attempts,
            "hyperparameters": dict(self.trial.hyperparameters),
        }


@dataclass(frozen=True)
class EpochFinished:
    """A trial has finished an epoch."""

    number: int
    epoch: EpochRow

    def to_json(self) -> dict[str, Any]:
        """One line of the event stream."""
        return {"event": "epoch", "number": self.number, **epoch_json(self.epoch)}


@dataclass(frozen=True)
class TrialFinished:
    """A trial has ended; ``is_best`` says whether it is the study's best so far."""

    trial: TrialRow
    is_best: bool

    def to_json(self) -> dict[str, Any]:
        """One line of the event stream."""
        return {"event": "trial_finished", "best": self.is_best, **trial_json(self.trial)}


@dataclass(frozen=True)
class ConfirmRunStarted:
    """A worker has claimed a run of the confirm stage (again)."""

    run: TrialRow

    def to_json(self) -> dict[str, Any]:
        """One line of the event stream."""
        return {
            "event": "confirm_run_started",
            "number": self.run.number,
            "confirms": self.run.confirms,
            "repeat": self.run.repeat,
            "attempt": self.run.attempts,
        }


@dataclass(frozen=True)
class ConfirmEpochFinished:
    """A run of the confirm stage has finished an epoch; its number is none of a trial's."""

    number: int
    epoch: EpochRow

    def to_json(self) -> dict[str, Any]:
        """One line of the event stream."""
        return {"event": "confirm_epoch", "number": self.number, **epoch_json(self.epoch)}


@dataclass(frozen=True)
class ConfirmProgress:
    """The confirm stage has begun, or one of its runs has ended.

    Attributes:
        n_finished: Runs that have ended.
        n_total: Runs that there are.
        run: The one that has just ended; None at the beginning.
    """

    n_finished: int
    n_total: int
    run: TrialRow | None = None

    def to_json(self) -> dict[str, Any]:
        """One line of the event stream."""
        counts = {"finished": self.n_finished, "total": self.n_total}
        if self.run is None:
            return {"event": "confirm_started", **counts}
        return {"event": "confirm_run_finished", **counts, **trial_json(self.run)}


@dataclass(frozen=True)
class Notice:
    """Something a person should know: a worker died, MLflow cannot be reached."""

    text: str

    def to_json(self) -> dict[str, Any]:
        """One line of the event stream."""
        return {"event": "notice", "text": self.text}


@dataclass(frozen=True)
class StudyFinished:
    """The study has finished, or was stopped; always the last event."""

    summary: StudySummary

    def to_json(self) -> dict[str, Any]:
        """One line of the event stream: what ``study show`` prints."""
        return {"event": "study_finished", **self.summary.to_json()}


Event = (
    StudyStarted
    | TrialStarted
    | EpochFinished
    | TrialFinished
    | ConfirmRunStarted
    | ConfirmEpochFinished
    | ConfirmProgress
    | Notice
    | StudyFinished
)


def trial_json(trial: TrialRow) -> dict[str, Any]:
    """One element of ``study trials NAME --json``."""
    return {
        "kind": trial.kind,
        "number": trial.number,
        **({} if trial.kind == SEARCH else {"confirms": trial.confirms, "repeat": trial.repeat}),
        "state": str(trial.state),
        "end_reason": trial.end_reason and str(trial.end_reason),
        "value": trial.value,
        "epochs": trial.n_epochs,
        "best_epoch": trial.best_epoch,
        "verdict": trial.signal,
        "reason": trial.reason,
        "gap": trial.gap,
        "hyperparameters": dict(trial.hyperparameters),
        "attempts": trial.attempts,
        "started_at": trial.started_at,
        "ended_at": trial.ended_at,
    }


def epoch_json(epoch: EpochRow) -> dict[str, Any]:
    """One element of a trial's ``curve``; null stands for a number that was not finite."""
    return {
        "epoch": epoch.epoch,
        "train_loss": epoch.train_loss,
        "validation_loss": epoch.validation_loss,
        "train_score": epoch.train_score,
        "validation_score": epoch.validation_score,
        "learning_rate": epoch.learning_rate,
        "gradient_norm": epoch.gradient_norm,
        "seconds": epoch.seconds,
        "verdict": epoch.signal,
        "suspicion": epoch.suspicion,
        "recorded_at": epoch.recorded_at,
    }
