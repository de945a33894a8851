"""What is known of a study as a whole: the document that ``study show`` prints."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from tunelab.spec.study import StudySpec
from tunelab.storage.confirmed import Confirmation
from tunelab.storage.gate import GateDecision
from tunelab.storage.leases import coordinator_lease, lease_holder
from tunelab.storage.openings import Opening, count_openings, judged, study_openings
from tunelab.storage.states import EndReason, Executor, StudyState, TrialState
from tunelab.storage.studies import StudyRow
from tunelab.storage.trials import (
    CONFIRM,
    TrialRow,
    TrialsAlike,
    best_trial,
    count_states,
    count_trials_alike,
    study_trials,
)

SCHEMA = 1


@dataclass(frozen=True)
class StudySummary:
    """A study's state, counts and best trial.

    Attributes:
        study: The study's row.
        spec: Its resolved study file.
        state: ``running``, ``stopped``, ``finished``; or, if it says running and no process
            coordinates it, ``queued`` before its first coordinator came, else ``interrupted``.
        counts: Trials by state and by end reason.
        signals: Finished trials by the monitor's signal.
        best: The best complete trial; None while there is none.
        default: Trial 0, the default configuration; None before it was proposed.
        epochs_trained: By the finished trials.
        finished: The finished trials by end reason and signal.
        confirmation: What the confirm stage came to; None before its end.
        confirm_runs: How many of its runs have ended, and how many there are.
        openings: Each time that the test rows were opened for this study.
        n_openings: How often the same test rows were opened for any study of the database.
    """

    study: StudyRow
    spec: StudySpec
    state: str
    counts: dict[str, int]
    signals: dict[str, int]
    best: TrialRow | None
    default: TrialRow | None
    epochs_trained: int
    finished: tuple[TrialsAlike, ...]
    confirmation: Confirmation | None = None
    confirm_runs: tuple[int, int] = (0, 0)
    openings: tuple[Opening, ...] = ()
    n_openings: int = 0

    @property
    def test(self) -> Opening | None:
        """The opening that judged the pick; None if none has, or not to its end."""
        if self.confirmation is None:
            return None
        return judged(self.openings, self.confirmation.at)

    @property
    def gate(self) -> GateDecision | None:
        """How its model fared against the champion; None while that is not decided."""
        return self.study.decision

    @property
    def n_finished(self) -> int:
        """Trials that have ended, for whatever reason."""
        return self.counts[TrialState.FINISHED]

    @property
    def epochs_saved(self) -> float:
        """Share of the finished trials' budget that stopping and pruning saved, in [0, 1]."""
        budget = self.n_finished * self.spec.search.max_epochs
        return 1 - self.epochs_trained / budget if budget else 0.0

    def to_json(self) -> dict[str, Any]:
        """The document of ``study show NAME --json``."""
        best = self.best
        return {
            "schema": SCHEMA,
            "name": self.study.name,
            "generation": self.study.generation,
            "state": self.state,
            "end_reason": self.study.end_reason,
            "metric": self.spec.objective.metric,
            "direction": self.spec.objective.direction,
            "trials": {
                "total": self.study.n_trials,
                "waiting": self.counts[TrialState.WAITING],
                "running": self.counts[TrialState.RUNNING],
                **{str(reason): self.counts[reason] for reason in EndReason},
            },
            "verdicts": self.signals,
            "epochs_trained": self.epochs_trained,
            "epochs_saved": self.epochs_saved,
            "running_seconds": self.study.running_seconds,
            "best": best
            and {
                "number": best.number,
                "value": best.value,
                "best_epoch": best.best_epoch,
                "hyperparameters": dict(best.hyperparameters),
                "verdict": best.signal,
            },
            "confirmation": self._confirmation_json(),
            "gate": self.study.gate and dict(self.study.gate),
        }

    def _confirmation_json(self) -> dict[str, Any] | None:
        """What is known of the confirm stage; None before it begins."""
        finished, total = self.confirm_runs
        if not total:
            return None
        return {
            "runs": {"finished": finished, "total": total},
            **(self.confirmation.to_json() if self.confirmation else {}),
            "test": self.test and dict(self.test.scores or {}),
            "test_openings": [
                {
                    "opened_at": opening.opened_at,
                    "reason": opening.reason,
                    "scores": opening.scores and dict(opening.scores),
                }
                for opening in self.openings
            ],
            "test_openings_of_all_studies": self.n_openings,
        }


def effective_spec(study: StudyRow) -> StudySpec:
    """The study's resolved file with the budget that is in force, which options may have set."""
    spec = StudySpec.from_mapping(study.spec)
    budget = {"trials": study.n_trials, "timeout_seconds": study.timeout_seconds}
    return spec.model_copy(update={"search": spec.search.model_copy(update=budget)})


def summarize(connection: Connection, study: StudyRow) -> StudySummary:
    """Read the summary of ``study``."""
    spec = StudySpec.from_mapping(study.spec)
    defaults = study_trials(connection, study.id, numbers=[0])
    groups = count_trials_alike(connection, study.id)
    confirm = count_trials_alike(connection, study.id, kind=CONFIRM)
    n_confirmed = sum(g.n_trials for g in confirm if g.state is TrialState.FINISHED)
    openings = study_openings(connection, study.id) if confirm else []
    finished = tuple(group for group in groups if group.state is TrialState.FINISHED)
    signals: Counter[str] = Counter()
    for group in finished:
        if group.signal is not None:
            signals[group.signal] += group.n_trials
    return StudySummary(
        study=study,
        spec=spec,
        state=displayed_state(connection, study),
        counts=count_states(groups),
        signals=dict(signals),
        best=best_trial(connection, study.id, maximize=spec.objective.direction == "maximize"),
        default=defaults[0] if defaults else None,
        epochs_trained=sum(group.n_epochs for group in finished),
        finished=finished,
        confirmation=study.confirmation,
        confirm_runs=(n_confirmed, sum(group.n_trials for group in confirm)),
        openings=tuple(openings),
        n_openings=count_openings(connection, openings[-1].test_digest) if openings else 0,
    )


def displayed_state(connection: Connection, study: StudyRow) -> str:
    """The study's state, with ``interrupted`` for one that nobody runs any more.

    One that was submitted is ``queued`` until somebody runs it.
    """
    leads = lease_holder(connection, coordinator_lease(study.id)) is not None
    if study.state is StudyState.RUNNING and not leads:
        waits = study.executor is Executor.EXTERNAL and study.started_at is None
        return "queued" if waits else "interrupted"
    return str(study.state)
