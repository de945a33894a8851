"""What findings are drawn from: one study's trials, read once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Connection

from tunelab.service.resolved_space import axes
from tunelab.service.summary import StudySummary, summarize
from tunelab.spec.space import Choice, Space
from tunelab.storage.epoch_facts import last_gaps, mean_epoch_seconds
from tunelab.storage.states import EndReason, TrialState
from tunelab.storage.studies import StudyRow
from tunelab.storage.trials import TrialRow, study_trials
from tunelab.tuning.importances import bare_name


@dataclass(frozen=True)
class Evidence:
    """One study, as it stands in the tables.

    Attributes:
        summary: Its state, counts and confirmation.
        trials: The search's trials, in order of numbers.
        epoch_seconds: Trial key -> mean seconds of an epoch.
        last_gaps: Trial key -> validation loss minus training loss at the last epoch.
    """

    summary: StudySummary
    trials: tuple[TrialRow, ...]
    epoch_seconds: Mapping[int, float]
    last_gaps: Mapping[int, float]

    @property
    def maximize(self) -> bool:
        """Whether greater values are better."""
        return self.summary.spec.objective.direction == "maximize"

    @property
    def sign(self) -> float:
        """By which a value is multiplied so that less is better."""
        return -1.0 if self.maximize else 1.0

    @property
    def space(self) -> Space:
        """The complete search space."""
        return self.summary.spec.search_space

    @cached_property
    def finished(self) -> list[TrialRow]:
        """Trials that have ended, for whatever reason."""
        return [row for row in self.trials if row.state is TrialState.FINISHED]

    @cached_property
    def complete(self) -> list[TrialRow]:
        """Trials with a full result, the best first."""
        rows = [row for row in self.finished if is_complete(row) and row.value is not None]
        return sorted(rows, key=lambda row: (self.sign * (row.value or 0.0), row.number))

    @cached_property
    def trained(self) -> list[TrialRow]:
        """Trials that ended by themselves or by comparison: neither diverged nor failed."""
        bad = (EndReason.DIVERGED, EndReason.FAILED)
        return [row for row in self.finished if row.end_reason not in bad]

    @cached_property
    def searched(self) -> list[str]:
        """Hyperparameters that differ between trials, in the order of their records."""
        seen: dict[str, set[Any]] = {}
        for row in self.trials:
            for name, value in row.hyperparameters.items():
                seen.setdefault(name, set()).add(value)
        n = len(self.trials)
        partly = {
            name for name in seen if sum(name in row.hyperparameters for row in self.trials) < n
        }
        return [name for name, values in seen.items() if len(values) > 1 or name in partly]

    @cached_property
    def choices(self) -> frozenset[str]:
        """Hyperparameters that are chosen from a list, wherever they are searched."""
        searched = [axis for axis in axes(self.space) if axis.searched]
        others = {bare_name(a.name) for a in searched if not isinstance(a.dimension, Choice)}
        return frozenset(bare_name(axis.name) for axis in searched) - others

    @cached_property
    def optional(self) -> frozenset[str]:
        """Hyperparameters that may be off, which their records say with a 0."""
        return frozenset(
            bare_name(axis.name)
            for axis in axes(self.space)
            if getattr(axis.dimension, "optional", False)
        )


def read_evidence(connection: Connection, study: StudyRow) -> Evidence:
    """Read the study's trials."""
    return Evidence(
        summarize(connection, study),
        tuple(study_trials(connection, study.id)),
        mean_epoch_seconds(connection, study.id),
        last_gaps(connection, study.id),
    )


def is_complete(row: TrialRow) -> bool:
    """Whether a trial has a full result."""
    return row.end_reason is not None and row.end_reason.is_complete


def grouped(rows: Sequence[TrialRow], key: Callable[[TrialRow], Any]) -> dict[Any, list[TrialRow]]:
    """The trials by what ``key`` says of them, in the order in which each first appears."""
    groups: dict[Any, list[TrialRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups
