"""What the search's epochs were spent on: stopping, pruning, and configurations tried twice."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tunelab.service.findings.evidence import Evidence, grouped, is_complete
from tunelab.service.findings.wording import count, number, share
from tunelab.storage.states import EndReason


@dataclass(frozen=True)
class Duplicates:
    """Configurations that were tried more than once.

    Attributes:
        groups: Numbers of the trials of each such configuration, the most often tried first.
        n_repeats: Trials that repeat an earlier one.
        spread: Greatest difference of values within a group; None where fewer than two have one.
    """

    groups: tuple[tuple[int, ...], ...]
    n_repeats: int
    spread: float | None

    @property
    def sentence(self) -> str:
        """The finding in words."""
        if not self.groups:
            return "No configuration was tried twice"
        said = (
            f"{count(self.n_repeats, 'trial')} repeated a configuration that had been tried; each "
            "counts as one more seed of it"
        )
        if self.spread is None:
            return said
        return f"{said}, and their values differ by up to {number(self.spread)}"


@dataclass(frozen=True)
class EpochsSaved:
    """What ending trials early has saved.

    Attributes:
        trained: Epochs that the trials which have ended have trained.
        budget: Epochs that they would have trained without early ends.
        early_stopped: Epochs that their own monitor saved.
        pruned: Epochs that pruning saved.
        other: Epochs that divergence and failure cut off.
    """

    trained: int
    budget: int
    early_stopped: int
    pruned: int
    other: int

    @property
    def saved(self) -> int:
        """Epochs that were not trained."""
        return self.budget - self.trained

    @property
    def sentence(self) -> str:
        """The finding in words."""
        if not self.budget:
            return "No trial has ended, so no epoch has been saved"
        said = (
            f"Early ends saved {self.saved:,} of {self.budget:,} epochs "
            f"({share(self.saved, self.budget)}): early stopping {self.early_stopped:,}, "
            f"pruning {self.pruned:,}"
        )
        return f"{said}, divergence and failure {self.other:,}" if self.other else said


def find_duplicates(evidence: Evidence) -> Duplicates:
    """The search's configurations that occur more than once."""
    groups = grouped(
        evidence.trials, lambda row: json.dumps(dict(row.hyperparameters), sort_keys=True)
    )
    repeated = sorted((rows for rows in groups.values() if len(rows) > 1), key=len, reverse=True)
    spreads = []
    for rows in repeated:
        values = [row.value for row in rows if is_complete(row) and row.value is not None]
        if len(values) > 1:
            spreads.append(max(values) - min(values))
    return Duplicates(
        tuple(tuple(row.number for row in rows) for rows in repeated),
        sum(len(rows) - 1 for rows in repeated),
        max(spreads, default=None),
    )


def find_epochs_saved(evidence: Evidence) -> EpochsSaved:
    """Epochs of the search's trials that were not trained, by who ended them."""
    most = evidence.summary.spec.search.max_epochs
    by = dict.fromkeys(EndReason, 0)
    for row in evidence.finished:
        if row.end_reason is not None:
            by[row.end_reason] += max(most - row.n_epochs, 0)
    trained = sum(min(row.n_epochs, most) for row in evidence.finished)
    return EpochsSaved(
        trained,
        most * len(evidence.finished),
        by[EndReason.EARLY_STOPPED],
        by[EndReason.PRUNED],
        by[EndReason.DIVERGED] + by[EndReason.FAILED],
    )
