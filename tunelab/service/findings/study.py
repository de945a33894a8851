"""Everything that is found about a study, and its sentences."""

from __future__ import annotations

from dataclasses import dataclass

from tunelab.service.findings import edges as edges_module
from tunelab.service.findings.budget import Duplicates, EpochsSaved
from tunelab.service.findings.edges import Edge
from tunelab.service.findings.failures import Failures
from tunelab.service.findings.groups import (
    BatchSizeResult,
    OptimizerResult,
    batch_size_sentence,
    optimizer_sentence,
)
from tunelab.service.findings.overfitting import Overfitting
from tunelab.service.findings.wording import count
from tunelab.tuning.importances import LEAST, Importance

_MOST_NAMED = 3


@dataclass(frozen=True)
class Findings:
    """What a study's tables say, as facts and in words.

    Attributes:
        importances: What decided whether a trial was among the best, the greatest first; empty
            where the trials are too few.
        edges: Best values at the end of their range.
        overfit: Trials that overfitted, and what they have in common.
        failures: Trials that diverged or failed.
        duplicates: Configurations that were tried more than once.
        epochs_saved: What early ends have saved.
        optimizers: What each optimizer has reached, the best first.
        batch_sizes: What each batch size has cost and reached.
        confirmed: What the confirm stage has come to, in words; empty before its end.
        openings: How often the test rows were opened, in words.
        next: What to try next.
        n_ended: Trials of the search that have ended.
        n_complete: Those of them with a full result.
    """

    importances: tuple[Importance, ...]
    edges: tuple[Edge, ...]
    overfit: Overfitting
    failures: Failures
    duplicates: Duplicates
    epochs_saved: EpochsSaved
    optimizers: tuple[OptimizerResult, ...]
    batch_sizes: tuple[BatchSizeResult, ...]
    confirmed: tuple[str, ...]
    openings: str
    next: tuple[str, ...]
    n_ended: int
    n_complete: int

    @property
    def sentences(self) -> tuple[str, ...]:
        """Every finding in one sentence with its number; what cannot be told is said too."""
        return (
            *self.confirmed,
            self.importance_sentence,
            *self.edge_sentences,
            self.overfit.sentence,
            self.overfit.common_sentence,
            self.overfit.gap_sentence,
            *self.failures.sentences,
            self.duplicates.sentence,
            self.epochs_saved.sentence,
            optimizer_sentence(self.optimizers),
            batch_size_sentence(self.batch_sizes),
            self.openings,
        )

    @property
    def importance_sentence(self) -> str:
        """What mattered, in words."""
        if not self.importances:
            return (
                f"Which hyperparameter matters cannot be told from {count(self.n_ended, 'trial')}: "
                f"{LEAST} are needed"
            )
        even = 1.0 / len(self.importances)
        clear = [i for i in self.importances if i.share - 2 * i.spread > even][:_MOST_NAMED]
        if not clear:
            first = self.importances[0]
            return (
                f"No hyperparameter stands out: {first.name} comes first with {first.share:.0%} of "
                f"the importance, ± {2 * first.spread:.0%}"
            )
        named = ", ".join(f"{i.name} {i.share:.0%} ± {2 * i.spread:.0%}" for i in clear)
        return f"What mattered, as shares of the importance: {named}"

    @property
    def edge_sentences(self) -> tuple[str, ...]:
        """What lies at the edge of its range, in words."""
        if self.edges:
            return tuple(edge.sentence for edge in self.edges)
        least = edges_module.LEAST
        if self.n_complete < least:
            few = count(self.n_complete, "complete trial")
            edge = "Whether best values lie at the edge of their range"
            return (f"{edge} cannot be told from {few}: {least} are needed",)
        return ("No best value lies at the edge of its range",)
