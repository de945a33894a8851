"""What a report is made from: read from the database in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from tunelab.service.findings import Findings, find
from tunelab.service.findings.evidence import Evidence, read_evidence
from tunelab.service.findings.overfitting import read_widening
from tunelab.service.findings.wording import share
from tunelab.service.reports.formats import beside
from tunelab.service.summary import StudySummary, summarize
from tunelab.storage.confirmed import Confirmation
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
        n_workers: Workers that the study was last started with; None if that is not known.
    """

    evidence: Evidence
    findings: Findings
    confirm_runs: tuple[TrialRow, ...]
    curves: Mapping[int, list[EpochRow]]
    earlier: StudySummary | None
    earlier_trials: tuple[TrialRow, ...]
    n_workers: int | None = None

    @property
    def confirmation(self) -> Confirmation | None:
        """What fresh seeds said, its numbers without more digits than the means' intervals."""
        found = self.summary.confirmation
        entry = None if found is None else found.of(found.pick)
        if found is None or entry is None:
            return found
        half = entry.half_width

        def rounded(value: float | None) -> float | None:
            return None if value is None else float(beside(value, half))

        return replace(
            found,
            ranked=tuple(replace(one, mean=rounded(one.mean)) for one in found.ranked),
            best_value=float(beside(found.best_value, half)),
            optimism=rounded(found.optimism),
            default_margin=rounded(found.default_margin),
        )

    @property
    def label_noise(self) -> str:
        """Why scores on validation and on test rows cannot be compared; empty where they can."""
        noise = self.summary.spec.data.label_noise
        if noise is None or not noise.share:
            return ""
        return (
            f"{share(noise.share, 1)} of the training and validation labels are wrong on purpose "
            "(label_noise), the test labels are the true ones: validation and test scores are not "
            "comparable"
        )

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


def read_material(
    connection: Connection, study: StudyRow, *, n_workers: int | None = None
) -> Material:
    """Read what the report on ``study`` needs, beside how many workers it was started with."""
    evidence = read_evidence(connection, study)
    earlier = _earlier(connection, study)
    found = Material(
        evidence,
        find(evidence, read_widening(connection, evidence)),
        tuple(study_trials(connection, study.id, kind=CONFIRM)),
        {},
        None if earlier is None else summarize(connection, earlier),
        () if earlier is None else tuple(study_trials(connection, earlier.id)),
        n_workers,
    )
    return replace(found, curves=study_curves(connection, {row.id: 0 for row in found.shown}))


def _earlier(connection: Connection, study: StudyRow) -> StudyRow | None:
    """The latest generation before this one; None where it cannot be compared with it."""
    for generation in range(study.generation - 1, 0, -1):
        row = find_study(connection, study.name, generation)
        if row is not None:
            return row if row.spec["objective"] == study.spec["objective"] else None
    return None
