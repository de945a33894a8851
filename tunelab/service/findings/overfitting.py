"""Which trials overfitted, and what goes with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import median

from sqlalchemy import Connection

from tunelab.service.findings.associations import LEAST, Condition, strongest
from tunelab.service.findings.evidence import Evidence, is_complete
from tunelab.service.findings.wording import count, number, trials_named
from tunelab.service.overfitting_region import overfitting_region
from tunelab.storage.states import EndReason
from tunelab.storage.trials import TrialRow, study_curves
from tunelab.training.monitor import Signal

_LEAST_OVERFITTED = 3
_AT_ONCE = 500  # trials whose curves are held at a time


@dataclass(frozen=True)
class Overfitting:
    """The trials that overfitted: by the monitor's verdict, or by the end of their curves.

    Attributes:
        numbers: Of the trials that ran to their end with the verdict.
        widening: Numbers of the others that ran to their end past their best epoch with a
            widening gap between the losses (see `overfitting_region`).
        n_judged: Trials that ran to their end: no others can be judged.
        pruned: Epochs at which trials were pruned, the most frequent first, and how many were.
        begun: Numbers of the pruned trials whose overfitting the monitor had seen by then.
        common: What parts both kinds from the rest; None where they are too few.
        common_sentence: The same in words, or why there is nothing to say.
        gap: What parts trials with a wide gap between validation and training loss from those
            with a narrow one; None where they are too few.
        gap_sentence: The same in words.
        worst: The trial whose gap is widest among those with the verdict.
    """

    numbers: tuple[int, ...]
    widening: tuple[int, ...]
    n_judged: int
    pruned: tuple[tuple[int, int], ...]
    begun: tuple[int, ...]
    common: Condition | None
    common_sentence: str
    gap: Condition | None
    gap_sentence: str
    worst: int | None

    @property
    def all(self) -> frozenset[int]:
        """Numbers of both kinds."""
        return frozenset(self.numbers + self.widening)

    @property
    def sentence(self) -> str:
        """How many they are, and of how many that cannot be said."""
        return ". ".join(said for said in (self._judged, self._pruned) if said)

    @property
    def _judged(self) -> str:
        if not self.n_judged:
            return "No trial ran to its end, so none can be judged for overfitting"
        of = f"Of {count(self.n_judged, 'trial')} that ran to {_their(self.n_judged)} end"
        if not self.all:
            return f"{of}, none overfitted"
        parts = []
        if self.numbers:
            parts.append(f"{_were(self.numbers)} found to overfit ({trials_named(self.numbers)})")
        if self.widening:
            n = len(self.widening)
            more = " more" if self.numbers else ""
            was = "was" if n == 1 else "were"
            parts.append(
                f"{n}{more} {was} past {_their(n)} best epoch with a widening gap "
                f"({trials_named(self.widening)})"
            )
        return f"{of}, {', and '.join(parts)}"

    @property
    def _pruned(self) -> str:
        n = sum(n for _, n in self.pruned)
        if not n:
            return ""
        epoch, n_most = self.pruned[0]
        where = f" at epoch {epoch}" if n_most == n else ""
        if not where and 2 * n_most > n:
            where = f", most at epoch {epoch}"
        said = f"{n} {'was' if n == 1 else 'were'} pruned{where}: too early to judge"
        if self.begun:
            return f"{said}, though the monitor had seen overfitting in {trials_named(self.begun)}"
        return said


def _their(n: int) -> str:
    return "its" if n == 1 else "their"


def _were(numbers: Sequence[int]) -> str:
    return f"{len(numbers)} {'was' if len(numbers) == 1 else 'were'}"


def read_widening(connection: Connection, evidence: Evidence) -> frozenset[int]:
    """Keys of the complete trials without the verdict whose curves overfit after the best epoch."""
    rows = [row for row in evidence.complete if row.signal != Signal.OVERFITTING]
    found = []
    for begin in range(0, len(rows), _AT_ONCE):
        some = rows[begin : begin + _AT_ONCE]
        curves = study_curves(connection, {row.id: (row.best_epoch or 1) - 1 for row in some})
        found += [
            row.id for row in some if overfitting_region(curves[row.id], row.best_epoch, row.onset)
        ]
    return frozenset(found)


def find_overfitting(evidence: Evidence, widening: Collection[int]) -> Overfitting:
    """What the trials say about overfitting.

    Args:
        evidence: The trials.
        widening: Keys of those that `read_widening` found.
    """
    # A pruned trial had no time to overfit: it says nothing about who would not have.
    judged = [row for row in evidence.finished if is_complete(row)]
    pruned = [row for row in evidence.finished if row.end_reason is EndReason.PRUNED]
    verdict = [row for row in judged if row.signal == Signal.OVERFITTING]
    past = [row for row in judged if row.id in widening]
    rest = [row for row in judged if row not in verdict and row not in past]
    common, sentence = _common(evidence, [*verdict, *past], rest)
    gap, gap_sentence = _gap(evidence)
    wide = [row for row in verdict if row.id in evidence.last_gaps]
    return Overfitting(
        tuple(row.number for row in verdict),
        tuple(row.number for row in past),
        len(judged),
        tuple(Counter(row.n_epochs for row in pruned).most_common()),
        tuple(row.number for row in pruned if row.signal == Signal.OVERFITTING),
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
    condition = strongest([*overfitted, *others], outcome, evidence.searched, evidence.choices)
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
    condition = strongest(rows, gaps, evidence.searched, evidence.choices)
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
