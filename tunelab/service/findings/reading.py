"""A study's tables -> what is found in them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import Connection

from tunelab.service.findings.budget import find_duplicates, find_epochs_saved
from tunelab.service.findings.edges import find_edges
from tunelab.service.findings.evidence import Evidence, read_evidence
from tunelab.service.findings.failures import find_failures
from tunelab.service.findings.groups import compare_batch_sizes, compare_optimizers
from tunelab.service.findings.next_steps import next_steps
from tunelab.service.findings.overfitting import find_overfitting, read_widening
from tunelab.service.findings.study import Findings
from tunelab.storage.studies import StudyRow
from tunelab.tuning.importances import importances


def read_findings(connection: Connection, study: StudyRow) -> Findings:
    """What the tables say about ``study``. Reads only; loads Optuna."""
    evidence = read_evidence(connection, study)
    return find(evidence, read_widening(connection, evidence))


def find(evidence: Evidence, widening: Collection[int]) -> Findings:
    """What the evidence says.

    Args:
        evidence: The trials.
        widening: Keys of those that `read_widening` found.
    """
    confirmation = evidence.summary.confirmation
    findings = Findings(
        importances=importances(evidence.finished, maximize=evidence.maximize),
        edges=find_edges(evidence),
        overfit=find_overfitting(evidence, widening),
        failures=find_failures(evidence),
        duplicates=find_duplicates(evidence),
        epochs_saved=find_epochs_saved(evidence),
        optimizers=compare_optimizers(evidence),
        batch_sizes=compare_batch_sizes(evidence),
        confirmed=() if confirmation is None else tuple(confirmation.sentences),
        openings=_openings(evidence),
        next=(),
        n_ended=len(evidence.finished),
        n_complete=len(evidence.complete),
    )
    return replace(findings, next=next_steps(evidence, findings))


def _openings(evidence: Evidence) -> str:
    n = len(evidence.summary.openings)
    elsewhere = evidence.summary.n_openings - n
    times = {0: "not opened", 1: "opened once"}.get(n, f"opened {n} times")
    said = f"The test rows were {times} for this study"
    return f"{said}, and {elsewhere} more for other studies" if elsewhere else said
