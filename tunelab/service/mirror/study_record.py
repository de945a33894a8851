"""A study as MLflow shows it: the experiment's tags and the parent run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection

from tunelab.service.mirror.messages import (
    CREATED_TAG,
    GENERATION_TAG,
    IDENTITY_TAG,
    KIND_TAG,
    STUDY_TAG,
    Entries,
    Status,
    milliseconds,
)
from tunelab.spec.study import StudySpec
from tunelab.storage.confirmed import Confirmation
from tunelab.storage.gate import GateDecision
from tunelab.storage.openings import Opening, judged, study_openings
from tunelab.storage.states import EndReason, StudyState, TrialState
from tunelab.storage.studies import StudyRow
from tunelab.storage.trials import TrialRow, TrialsAlike, count_states
from tunelab.training.monitor import Signal

_LONGEST_TAG = 4000  # MLflow refuses more than 8000; columns may have long names


def experiment_tags(spec: StudySpec, *, is_latest: bool = True) -> dict[str, str]:
    """Tags of the study's experiment, which all its generations share.

    Args:
        spec: The resolved file of one of them.
        is_latest: Whether that is the latest; what an earlier one looked for does not count.
    """
    kind = {"mlflow.experimentKind": "custom_model_development"}
    if not is_latest:
        return kind
    maximize = spec.objective.direction == "maximize"
    return {
        **kind,
        "mlflow.experiment.primaryMetric.name": "objective",
        "mlflow.experiment.primaryMetric.greaterIsBetter": str(maximize),
    }


def identity_tags(study: StudyRow) -> dict[str, str]:
    """Tags of every run of the study; no other study in any database has the same."""
    return {
        STUDY_TAG: study.name,
        GENERATION_TAG: str(study.generation),
        CREATED_TAG: f"{study.created_at:.6f}",
    }


def study_tags(study: StudyRow) -> dict[str, str]:
    """Tags of the study's own run."""
    return {**identity_tags(study), KIND_TAG: "study", IDENTITY_TAG: study.reference}


def study_params(spec: StudySpec) -> dict[str, str]:
    """How the search was set up."""
    search = spec.search
    return {
        "metric": spec.objective.metric,
        "sampler": search.sampler,
        "pruner": search.pruner.name,
        "trials": str(spec.n_trials),
        "max_epochs": str(search.max_epochs),
        "seed": str(search.seed),
    }


def study_status(study: StudyRow) -> tuple[Status, int | None]:
    """How the study's run has to stand, and when it ended, in milliseconds."""
    if study.state is StudyState.RUNNING:
        return "RUNNING", None
    ended = milliseconds(study.ended_at or study.created_at)
    return ("FINISHED" if study.state is StudyState.FINISHED else "KILLED"), ended


@dataclass(frozen=True)
class Progress:
    """The search up to the first trial that has not ended: what came before is final.

    Attributes:
        number: Number of that trial.
        best: Best value among the complete trials before it.
        latest: When the last of them ended.
    """

    number: int = 0
    best: float | None = None
    latest: float = 0.0


def add_results(
    entries: Entries, trials: Sequence[TrialRow], progress: Progress, sent: int, *, maximize: bool
) -> Progress:
    """The objective of each complete trial and the best so far, at step = trial number + 1.

    Only trials before the first one that is still under way are counted: then the best so far is
    final, and sending a point again changes nothing.

    Args:
        entries: Where the points go.
        trials: The trials from ``progress.number`` on, in order.
        progress: How far the search was.
        sent: Trials below this number have been sent before.
        maximize: Whether greater values are better.

    Returns:
        How far the search is now.
    """
    number, best, latest = progress.number, progress.best, progress.latest
    for trial in trials:
        if trial.state is not TrialState.FINISHED:
            break
        latest = max(latest, trial.ended_at or 0.0)
        complete = trial.end_reason is not None and trial.end_reason.is_complete
        value = trial.value if complete else None
        if value is not None and (best is None or (value > best if maximize else value < best)):
            best = value
        if trial.number >= sent:
            now, step = milliseconds(latest), trial.number + 1
            entries.add("study/trial_objective", value, now, step)
            entries.add("study/best_objective", best, now, step)
        number = trial.number + 1
    return Progress(number, best, latest)


def add_counts(
    entries: Entries, groups: Sequence[TrialsAlike], last_ended_at: float | None
) -> None:
    """How many trials ended in which way, at step = number of finished trials.

    Args:
        entries: Where the points go.
        groups: The search's trials.
        last_ended_at: When the latest of them ended; None while none has.
    """
    if last_ended_at is None:
        return
    counts = count_states(groups)
    now, step = milliseconds(last_ended_at), counts[TrialState.FINISHED]
    n_complete = sum(counts[reason] for reason in EndReason if reason.is_complete)
    entries.add("trials/complete", n_complete, now, step)
    for reason in (EndReason.PRUNED, EndReason.FAILED, EndReason.DIVERGED):
        entries.add(f"trials/{reason}", counts[reason], now, step)
    ended = (group for group in groups if group.state is TrialState.FINISHED)
    n_overfitting = sum(g.n_trials for g in ended if g.signal == Signal.OVERFITTING)
    entries.add("trials/overfitting", n_overfitting, now, step)


COUNT_KEYS = tuple(
    f"trials/{end}" for end in ("complete", "pruned", "failed", "diverged", "overfitting")
)
"""The metrics that :func:`add_counts` adds."""


@dataclass(frozen=True)
class Confirmed:
    """What the study's run shows of the confirm stage.

    Attributes:
        found: What it came to; None while it has not.
        openings: Each time that the test rows were opened.
        gate: How its model fared against the champion; None while that is not decided.
    """

    found: Confirmation | None
    openings: Sequence[Opening]
    gate: GateDecision | None = None

    def add(self, entries: Entries) -> None:
        """Metrics and tags, at step 0: of several stages the latest is what MLflow shows."""
        if self.openings:
            latest = self.openings[-1]
            now = milliseconds(latest.opened_at)
            entries.add("test/openings", len(self.openings), now)
            entries.tags["tunelab.test.openings"] = str(len(self.openings))
        found = self.found
        if found is None:
            return
        opening = judged(self.openings, found.at)
        if opening is not None:
            for name, value in (opening.scores or {}).items():
                entries.add(f"test/{name}", value, milliseconds(opening.opened_at))
        now = milliseconds(found.at)
        entry = found.of(found.pick)
        if entry is not None:
            entries.add("confirm/mean", entry.mean, now)
            entries.add("confirm/half_width", entry.half_width, now)
        entries.add("confirm/optimism", found.optimism, now)
        entries.add("confirm/seeds", found.n_seeds, now)
        entries.tags["tunelab.pick"] = "none" if found.pick is None else str(found.pick)
        entries.tags["tunelab.pick.tied"] = found.tie_sentence
        entries.tags["tunelab.pick.winner"] = found.winner_sentence
        entries.tags["tunelab.pick.optimism"] = found.optimism_sentence
        if self.gate is not None:
            entries.tags["tunelab.gate"] = self.gate.outcome
            entries.tags["tunelab.gate.reason"] = self.gate.sentence[:_LONGEST_TAG]

    @property
    def fingerprint(self) -> str:
        """Another text for anything else to show; empty for nothing."""
        entries = Entries()
        self.add(entries)
        if not entries:
            return ""
        return sha256(f"{entries.points}{sorted(entries.tags.items())}".encode()).hexdigest()[:16]


def read_confirmed(connection: Connection, study: StudyRow) -> Confirmed:
    """Read what the study's run is to show of the confirm stage."""
    openings = study_openings(connection, study.id)
    return Confirmed(study.confirmation, openings, study.decision)
