"""A trial as MLflow shows it: tags, hyperparameters, curves and the summary at its best epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunelab.service.mirror.messages import (
    CONFIRMS_TAG,
    END_REASON_TAG,
    IDENTITY_TAG,
    KIND_TAG,
    NOTE_TAG,
    REASON_TAG,
    REPEAT_TAG,
    TRIAL_TAG,
    VERDICT_TAG,
    Entries,
    Status,
    milliseconds,
    param,
)
from tunelab.service.mirror.notes import trial_note
from tunelab.spec.space import Dimension, FloatRange, IntRange, Space
from tunelab.spec.study import StudySpec
from tunelab.storage.states import EndReason, StudyState, TrialState
from tunelab.storage.studies import StudyRow
from tunelab.storage.trials import SEARCH, EpochRow, TrialRow
from tunelab.training.metrics import METRICS

STATUS: dict[EndReason, Status] = {
    EndReason.COMPLETED: "FINISHED",
    EndReason.EARLY_STOPPED: "FINISHED",
    EndReason.PRUNED: "KILLED",
    EndReason.DIVERGED: "KILLED",
    EndReason.FAILED: "FAILED",
}
_LONGEST_TAG = 5000  # MLflow's own limit is 8000, shorter on old servers


@dataclass(frozen=True)
class TrialWriter:
    """Writes the trials of one study.

    Attributes:
        spec: The study's resolved file.
        title: Name and generation without blanks, ``digits#7``; trial 8 is ``digits#7/8``.
    """

    spec: StudySpec
    title: str

    @property
    def score(self) -> str:
        """The score in the epochs' records: the objective's, else the task's usual one."""
        return score_of(self.spec)

    def identity(self, trial: TrialRow) -> str:
        """What tells the trial's run from all others of this study's database."""
        kind = "" if trial.kind == SEARCH else f"{trial.kind}-"
        return f"{self.title}/{kind}{trial.number}"

    def tags(self, trial: TrialRow) -> dict[str, str]:
        """The tags that a run has from its beginning."""
        own = {TRIAL_TAG: str(trial.number)}
        if trial.kind != SEARCH:
            own = {CONFIRMS_TAG: str(trial.confirms), REPEAT_TAG: str(trial.repeat)}
        return {**own, IDENTITY_TAG: self.identity(trial), KIND_TAG: trial.kind}

    def end_tags(self, trial: TrialRow, curve: Sequence[EpochRow]) -> dict[str, str]:
        """The tags that say how the trial ended."""
        tags = {
            END_REASON_TAG: str(trial.end_reason),
            NOTE_TAG: trial_note(trial, curve, self.score),
        }
        if trial.signal is not None:
            tags[VERDICT_TAG] = trial.signal
        if trial.reason:
            tags[REASON_TAG] = trial.reason[:_LONGEST_TAG]
        return tags

    def add_hyperparameters(self, entries: Entries, trial: TrialRow) -> None:
        """Every hyperparameter as param, and the numbers as metrics: MLflow compares only those."""
        now = milliseconds(trial.started_at or 0.0)
        flat = trial.hyperparameters
        logarithmic = log_scaled(self.spec.search_space, flat)
        for name, value in flat.items():
            entries.params[name] = param(value)
            if isinstance(value, str):
                continue
            entries.add(f"hp/{name}", value, now)
            if name in logarithmic and value > 0:
                entries.add(f"hp/log10_{name}", math.log10(value), now)
        number = trial.number if trial.confirms is None else trial.confirms
        entries.params["trial_number"] = str(number)
        entries.add("trial_number", number, now)

    @property
    def curve_keys(self) -> tuple[str, ...]:
        """The metrics that have a point an epoch."""
        return (
            "loss/train",
            "loss/validation",
            f"{self.score}/train",
            f"{self.score}/validation",
            "overfit/gap",
            "optim/learning_rate",
            "optim/gradient_norm",
            "time/epoch_seconds",
        )

    def add_curve(self, entries: Entries, epochs: Iterable[EpochRow]) -> None:
        """The epochs' numbers, each at its epoch's own time."""
        for row in epochs:
            now, step = milliseconds(row.recorded_at), row.epoch
            entries.add("loss/train", row.train_loss, now, step)
            entries.add("loss/validation", row.validation_loss, now, step)
            entries.add(f"{self.score}/train", row.train_score, now, step)
            entries.add(f"{self.score}/validation", row.validation_score, now, step)
            entries.add("overfit/gap", gap(row), now, step)
            entries.add("optim/learning_rate", row.learning_rate, now, step)
            entries.add("optim/gradient_norm", row.gradient_norm, now, step)
            entries.add("time/epoch_seconds", row.seconds, now, step)

    def add_summary(self, entries: Entries, trial: TrialRow, curve: Sequence[EpochRow]) -> None:
        """What a finished trial reached at its best epoch, at step 0."""
        now = milliseconds(trial.ended_at or 0.0)
        entries.add("objective", trial.value, now)
        entries.add("summary/best_epoch", trial.best_epoch, now)
        entries.add("summary/epochs", trial.n_epochs, now)
        entries.add("summary/seconds", math.fsum(row.seconds for row in curve), now)
        best = epoch_of(curve, trial.best_epoch)
        if best is not None:
            entries.add("summary/validation_loss", best.validation_loss, now)
            entries.add("summary/train_loss", best.train_loss, now)
            entries.add("summary/gap", gap(best), now)
            entries.add(f"summary/{self.score}", best.validation_score, now)
        if trial.end_reason is EndReason.DIVERGED:
            entries.add("summary/diverged_epoch", trial.n_epochs, now)


def score_of(spec: StudySpec) -> str:
    """The score in the epochs' records: the objective's, else the task's usual one."""
    metric = spec.objective.metric
    if metric in METRICS:
        return metric
    return "accuracy" if spec.task == "classification" else "rmse"


def trial_status(trial: TrialRow, study: StudyRow) -> tuple[Status, int | None]:
    """How the trial's run has to stand, and when it ended, in milliseconds."""
    if trial.state is TrialState.FINISHED:
        return STATUS[trial.end_reason or EndReason.FAILED], milliseconds(trial.ended_at or 0.0)
    if study.state is StudyState.RUNNING:
        return "RUNNING", None
    return "KILLED", milliseconds(study.ended_at or 0.0)


def gap(row: EpochRow) -> float | None:
    """validation_loss - train_loss; None if one of them was not finite."""
    if row.validation_loss is None or row.train_loss is None:
        return None
    return row.validation_loss - row.train_loss


def epoch_of(curve: Iterable[EpochRow], epoch: int | None) -> EpochRow | None:
    """The curve's row of ``epoch``, if it has one."""
    return next((row for row in curve if row.epoch == epoch), None)


def log_scaled(space: Space, flat: Mapping[str, Any]) -> set[str]:
    """Names, as in the flat record, of the hyperparameters that are searched on a log scale."""
    own = space.optimizers.get(flat["optimizer"], {})
    schedule = space.schedules.get(flat["schedule"], {})
    dimensions: dict[str, Dimension] = {**space.network, **space.shared, **own}
    dimensions |= {f"schedule.{name}": dimension for name, dimension in schedule.items()}
    return {
        name
        for name, dimension in dimensions.items()
        if isinstance(dimension, FloatRange | IntRange) and dimension.scale == "log"
    }
