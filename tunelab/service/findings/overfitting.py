"""Which trials overfitted, and what goes with it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from tunelab.service.findings.associations import LEAST, Condition, strongest
from tunelab.service.findings.evidence import Evidence, is_complete
from tunelab.service.findings.wording import count, number, share, trials_named
from tunelab.storage.trials import TrialRow
from tunelab.training.monitor import Signal

_LEAST_OVERFITTED = 3


@dataclass(frozen=True)
class Overfitting:
    """The trials that the monitor found to overfit.

    Attributes:
        numbers: Of those trials.
        n_finished: Of all trials that have ended.
        n_others: Trials that ran to their own end without: what the overfitted are compared with.
        common: What parts the two; None where they are too few.
        common_sentence: The same in words, or why there is nothing to say.
        gap: What parts trials with a wide gap between validation and training loss from those
            with a narrow one; None where they are too few.
        gap_sentence: The same in words.
        worst: The trial whose gap is widest among the overfitted.
    """

    numbers: tuple[int, ...]
    n_finished: int
    n_others: int
    common: Condition | None
    common_sentence: str
    gap: Condition | None
    gap_sentence: str
    worst: int | None

    @property
    def sentence(self) -> str:
        """How many they are."""
        n = len(self.numbers)
        if not self.n_finished:
            return "No trial has ended, so none can have overfitted"
        if not n:
            return f"None of {count(self.n_finished, 'trial')} overfitted"
        return (
            f"{n} of {count(self.n_finished, 'trial')} ({share(n, self.n_finished)}) overfitted: "
            f"{trials_named(self.numbers)}"
        )


def find_overfitting(evidence: Evidence) -> Overfitting:
    """What the trials say about overfitting."""
    overfitted = [row for row in evidence.trained if row.signal == Signal.OVERFITTING]
    # A pruned trial had no time to overfit: it says nothing about who would not have.
    others = [
        row for row in evidence.finished if is_complete(row) and row.signal != Signal.OVERFITTING
    ]
    common, sentence = _common(evidence, overfitted, others)
    gap, gap_sentence = _gap(evidence)
    wide = [row for row in overfitted if row.id in evidence.last_gaps]
    return Overfitting(
        tuple(row.number for row in overfitted),
        len(evidence.finished),
        len(others),
        common,
        sentence,
        gap,
        gap_sentence,
        max(wide, key=lambda row: evidence.last_gaps[row.id]).number if wide else None,
    )


def _common(
    evidence: Evidence, overfitted: list[TrialRow], others: list[TrialRow]
) -> tuple[Condition | None, str]:
    n, m = len(overfitted), len(others)
    if not n:
        return None, "No trial overfitted, so there is nothing that such trials have in common"
    if n < _LEAST_OVERFITTED or m < _LEAST_OVERFITTED or n + m < LEAST:
        few = f"{n} overfitted and {m} ran to their end without"
        return None, f"What the overfitted trials have in common cannot be told: {few}, too few"
    outcome = [1.0] * n + [0.0] * m
    condition = strongest([*overfitted, *others], outcome, evidence.searched)
    if condition is None:
        return None, "The overfitted trials have no hyperparameter in which they differ from others"
    hits = sum(index < n for index in condition.inside)
    other_hits = len(condition.inside) - hits
    said = (
        f"{hits} of the {n} overfitted trials have {condition.text}, against {other_hits} of the "
        f"{m} that ran to their end without"
    )
    if not condition.sure:
        return condition, f"{said}; with so few trials that may be chance (p = {condition.p:.2g})"
    return condition, f"{said} (p = {condition.p:.2g})"


def _gap(evidence: Evidence) -> tuple[Condition | None, str]:
    rows = [row for row in evidence.complete if row.id in evidence.last_gaps]
    gaps = [evidence.last_gaps[row.id] for row in rows]
    condition = strongest(rows, gaps, evidence.searched)
    if condition is None:
        return None, (
            f"What widens the gap between validation and training loss cannot be told from "
            f"{count(len(rows), 'complete trial')}, too few"
        )
    inside = median(gaps[index] for index in condition.inside)
    outside = median(gaps[index] for index in condition.outside)
    said = (
        f"At its last epoch a trial's validation loss is {number(inside)} above its training loss "
        f"with {condition.text} (median of {len(condition.inside)} complete trials), and "
        f"{number(outside)} above it in the {len(condition.outside)} others"
    )
    if not condition.sure:
        return condition, f"{said}; with so few trials that may be chance (p = {condition.p:.2g})"
    return condition, f"{said} (p = {condition.p:.2g})"
