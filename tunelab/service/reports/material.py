"""What a report is made from: read from the database in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from tunelab.service.findings import Findings, find
from tunelab.service.findings.evidence import Evidence, read_evidence
from tunelab.service.findings.overfitting import read_widening
from tunelab.service.summary import StudySummary, summarize
from tunelab.storage.studies import StudyRow, find_study
from tunelab.storage.trials import (
    CONFIRM,
    EpochRow,
    TrialRow,
    study_curves,
    study_trials,
)

N_BEST = 9
"""Learning curves that are shown, beside that of the worst overfitter."""


@dataclass(frozen=True)
class Material:
    """All that the report shows.

    Attributes:
        evidence: The study and its trials.
        findings: What they say.
        confirm_runs: The confirm stage's trials.
        curves: Trial key -> its epochs, for the trials whose curves are shown.
        earlier: The generation before this one, if it has the same objective.
        earlier_trials: Its trials.
    """

    evidence: Evidence
    findings: Findings
    confirm_runs: tuple[TrialRow, ...]
    curves: Mapping[int, list[EpochRow]]
    earlier: StudySummary | None
    earlier_trials: tuple[TrialRow, ...]

    @property
    def summary(self) -> StudySummary:
        """State, counts and confirmation of the study."""
        return self.evidence.summary

    @property
    def metric(self) -> str:
        """Name of the objective."""
        return self.summary.spec.objective.metric

    @property
    def pick(self) -> TrialRow | None:
        """The configuration that the report names: the confirmed pick, else the search's best."""
        found = self.summary.confirmation
        if found is not None and found.pick is not None:
            return next((row for row in self.evidence.trials if row.number == found.pick), None)
        return self.summary.best

    @property
    def shown(self) -> list[TrialRow]:
        """The trials whose curves are shown: the best, then the worst overfitter."""
        best = self.evidence.complete[:N_BEST]
        worst = self.findings.overfit.worst
        return best + [
            row for row in self.evidence.trials if row.number == worst and row not in best
        ]


def read_material(connection: Connection, study: StudyRow) -> Material:
    """Read what the report on ``study`` needs."""
    evidence = read_evidence(connection, study)
    earlier = _earlier(connection, study)
    found = Material(
        evidence,
        find(evidence, read_widening(connection, evidence)),
        tuple(study_trials(connection, study.id, kind=CONFIRM)),
        {},
        None if earlier is None else summarize(connection, earlier),
        () if earlier is None else tuple(study_trials(connection, earlier.id)),
    )
    curves = study_curves(connection, {row.id: 0 for row in found.shown})
    return Material(
        found.evidence,
        found.findings,
        found.confirm_runs,
        curves,
        found.earlier,
        found.earlier_trials,
    )


def _earlier(connection: Connection, study: StudyRow) -> StudyRow | None:
    """The latest generation before this one; None where it cannot be compared with it."""
    for generation in range(study.generation - 1, 0, -1):
        row = find_study(connection, study.name, generation)
        if row is not None:
            return row if row.spec["objective"] == study.spec["objective"] else None
    return None
