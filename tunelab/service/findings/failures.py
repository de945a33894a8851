"""Trials that diverged, and where; trials that failed, and why."""

from __future__ import annotations

from dataclasses import dataclass

from tunelab.service.findings.associations import Condition, strongest
from tunelab.service.findings.evidence import Evidence, grouped
from tunelab.service.findings.wording import count, number, share, trials_named
from tunelab.storage.states import EndReason
from tunelab.storage.trials import TrialRow

_LEAST = 3  # diverged trials, below which their region is not looked for
_UNNAMED = "without an error text"


@dataclass(frozen=True)
class Region:
    """Where trials of one optimizer diverged.

    Attributes:
        optimizer: Its name.
        diverged: How many of its trials did.
        of: How many trials it has that have ended.
        lowest: The lowest learning rate that diverged.
        above: How many of its trials have that rate or a higher one.
    """

    optimizer: str
    diverged: int
    of: int
    lowest: float
    above: int

    @property
    def sentence(self) -> str:
        """The region in words."""
        return (
            f"{self.optimizer}: {self.diverged} of {count(self.of, 'trial')} diverged, "
            f"{self.diverged} of the {self.above} with learning_rate >= {number(self.lowest)} and "
            "none below"
        )


@dataclass(frozen=True)
class Failures:
    """Trials without a result.

    Attributes:
        diverged: Numbers of those that diverged.
        failed: Numbers of those that failed.
        n_finished: Of all trials that have ended.
        regions: By optimizer, those with the most diverged trials first.
        condition: What parts the diverged from others; None where they are too few.
        errors: First lines of error texts with the trials that have them, the most frequent first.
    """

    diverged: tuple[int, ...]
    failed: tuple[int, ...]
    n_finished: int
    regions: tuple[Region, ...]
    condition: Condition | None
    errors: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def sentences(self) -> list[str]:
        """The findings in words."""
        said = [self._diverged, *(region.sentence for region in self.regions), self._failed]
        if self.condition is not None and self.condition.sure:
            n = len(self.diverged)
            hits = sum(index < n for index in self.condition.inside)
            said.append(
                f"{hits} of the {n} diverged trials have {self.condition.text}, against "
                f"{len(self.condition.inside) - hits} of the others (p = {self.condition.p:.2g})"
            )
        return said

    @property
    def _diverged(self) -> str:
        n = len(self.diverged)
        if not n:
            return f"None of {count(self.n_finished, 'trial')} diverged"
        named = trials_named(self.diverged)
        of = count(self.n_finished, "trial")
        return f"{n} of {of} ({share(n, self.n_finished)}) diverged: {named}"

    @property
    def _failed(self) -> str:
        n = len(self.failed)
        if not n:
            return f"None of {count(self.n_finished, 'trial')} failed"
        text, numbers = self.errors[0]
        return (
            f"{n} of {count(self.n_finished, 'trial')} failed: {trials_named(self.failed)}; "
            f"most often ({len(numbers)}): {text}"
        )


def find_failures(evidence: Evidence) -> Failures:
    """The search's trials that diverged or failed."""
    diverged = [row for row in evidence.finished if row.end_reason is EndReason.DIVERGED]
    failed = [row for row in evidence.finished if row.end_reason is EndReason.FAILED]
    others = evidence.trained
    condition = None
    if len(diverged) >= _LEAST:
        outcome = [1.0] * len(diverged) + [0.0] * len(others)
        condition = strongest([*diverged, *others], outcome, evidence.searched, evidence.choices)
    texts = grouped(failed, lambda row: first_line(row.error or row.reason))
    return Failures(
        tuple(row.number for row in diverged),
        tuple(row.number for row in failed),
        len(evidence.finished),
        _regions(evidence, diverged),
        condition,
        tuple(
            (text, tuple(row.number for row in rows))
            for text, rows in sorted(texts.items(), key=lambda item: -len(item[1]))
        ),
    )


def first_line(text: str | None) -> str:
    r"""The line of an error text that says most: of a traceback the last, else the first.

    >>> first_line("Traceback (most recent call last):\n  File x\nValueError: boom\n")
    'ValueError: boom'
    """
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    if not lines:
        return _UNNAMED
    return (lines[-1] if lines[0].startswith("Traceback") else lines[0])[:200]


def _regions(evidence: Evidence, diverged: list[TrialRow]) -> tuple[Region, ...]:
    regions = []
    everyone = grouped(evidence.finished, _optimizer)
    for optimizer, rows in grouped(diverged, _optimizer).items():
        lowest = min(float(row.hyperparameters["learning_rate"]) for row in rows)
        own = everyone[optimizer]
        above = sum(float(row.hyperparameters["learning_rate"]) >= lowest for row in own)
        regions.append(Region(str(optimizer), len(rows), len(own), lowest, above))
    return tuple(sorted(regions, key=lambda region: -region.diverged))


def _optimizer(row: TrialRow) -> object:
    return row.hyperparameters["optimizer"]
