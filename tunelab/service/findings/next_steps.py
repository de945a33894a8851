"""What to try next: each step follows from a finding and names its number."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from statistics import median
from typing import Any

from tunelab.service.findings.evidence import Evidence
from tunelab.service.findings.groups import OptimizerResult
from tunelab.service.findings.study import Findings
from tunelab.service.findings.wording import number
from tunelab.storage.states import StudyState
from tunelab.training.monitor import Signal

_LATE = 0.8  # share of the trials, behind which a best trial says that more would help
_LEAST = 20  # trials below which the time of the best one says nothing
_MANY = 0.2  # share of overfitted or diverged trials that is worth a change of the space
_MOST_SEEDS = 20
_N_BEST = 5  # trials that those that overfitted are compared with, and ...
_N_COMPARED = 3  # ... how many of either there must be
_APART = 1.25  # by which factor their medians must differ


def next_steps(evidence: Evidence, findings: Findings) -> tuple[str, ...]:
    """What to do, the most useful first; never empty."""
    steps = [*_steps(evidence, findings)]
    return tuple(steps) or ("Nothing in this study asks for another search",)


def _steps(evidence: Evidence, findings: Findings) -> Iterator[str]:
    summary = evidence.summary
    title = summary.study.reference
    if summary.study.state is StudyState.STOPPED:
        left = summary.study.n_trials - summary.n_finished
        yield f"Go on with the {left} trials that are left: `tunelab study resume {title}`"
    if not evidence.complete:
        if evidence.finished:
            yield "Look at why no trial completed, before another search: see the failures"
        return
    yield from _confirming(evidence)
    for edge in findings.edges:
        if edge.suggested is not None:
            yield (
                f"Widen the range of {edge.name}: {edge.support} of the {edge.of} best trials lie "
                f"at its {edge.side} bound {number(edge.bound)}"
            )
    yield from _budget(evidence)
    yield from _space(evidence, findings)


def _confirming(evidence: Evidence) -> Iterator[str]:
    summary = evidence.summary
    found = summary.confirmation
    if summary.study.state is not StudyState.FINISHED:
        return
    name = summary.study.reference
    if found is None:
        yield (
            "Train the best configurations again on fresh seeds before trusting the search's own "
            f"number: `tunelab study confirm {name}`"
        )
    elif found.has_winner and found.beats_default and not found.tied:
        yield f"Use trial {found.pick}: it is better than the default configuration beyond chance"
    elif found.tied and found.n_seeds < _MOST_SEEDS:
        n = min(max(2 * found.n_seeds, 5), _MOST_SEEDS)
        yield (
            f"{len(found.tied) + 1} configurations share the first place after {found.n_seeds} "
            f"seeds; if it matters which, train each with {n}: "
            f"`tunelab study confirm {name} --seeds {n}`"
        )


def _budget(evidence: Evidence) -> Iterator[str]:
    best = evidence.complete[0]
    n = len(evidence.finished)
    most = evidence.summary.spec.search.max_epochs
    if n >= _LEAST:
        if best.number >= _LATE * n:
            yield (
                f"Search longer: the best trial is number {best.number} of {n}, so the search had "
                f"not settled; try {2 * evidence.summary.study.n_trials} trials"
            )
        elif best.number < n / 2:
            yield (
                f"More trials of the same space promise little: none of the last "
                f"{n - 1 - best.number} of {n} is better than trial {best.number}"
            )
    if best.signal == Signal.UNFINISHED:
        yield (
            f"Allow more epochs: the best trial was still falling when its {most} epochs ended; "
            f"try `max_epochs: {2 * most}`"
        )


def _space(evidence: Evidence, findings: Findings) -> Iterator[str]:
    overfit = findings.overfit
    n = len(evidence.finished)
    n_over = len(overfit.all)
    if n_over >= _MANY * overfit.n_judged and n >= _LEAST and n_over:
        how = _against_overfitting(evidence, overfit.all) or "Try less capacity, more dropout or l2"
        if overfit.common is not None and overfit.common.sure:
            how = f"Try fewer trials with {overfit.common.text}"
        elif overfit.gap is not None and overfit.gap.sure:
            how = f"Try fewer trials with {overfit.gap.text}"
        yield f"{how}: {n_over} of the {overfit.n_judged} trials that ran to their end overfitted"
    elif overfit.gap is not None and overfit.gap.sure:
        yield (
            f"To narrow the gap between the losses, try fewer trials with {overfit.gap.text}: "
            "theirs is the widest"
        )
    n_diverged = len(findings.failures.diverged)
    if n_diverged >= _MANY * n and findings.failures.regions:
        region = findings.failures.regions[0]
        yield (
            f"Lower the greatest learning_rate of {region.optimizer} below "
            f"{number(region.lowest)}: {region.diverged} of its {region.of} trials diverged"
        )
    yield from _optimizers(findings.optimizers)


def _against_overfitting(evidence: Evidence, numbers: Collection[int]) -> str:
    """Where the best trials that did not overfit lie, beside those that did; empty if alike.

    A hyperparameter that is off in one of them has no median to compare.
    """
    rows = [row for row in evidence.complete if row.number in numbers]
    best = [row for row in evidence.complete if row.number not in numbers][:_N_BEST]
    if len(best) < _N_COMPARED or len(rows) < _N_COMPARED:
        return ""
    for name, sign in (("dropout_rate", 1), ("l2", 1), ("units", -1), ("layers", -1)):
        given: list[list[Any]] = [
            [row.hyperparameters.get(name) for row in group] for group in (best, rows)
        ]
        if any(
            value is None or (value == 0 and name in evidence.optional)
            for group in given
            for value in group
        ):
            continue
        good, bad = (median(group) for group in given)
        low, high = sorted((good, bad))
        if sign * (good - bad) > 0 and high >= _APART * low:
            return (
                f"Try {'greater' if sign > 0 else 'smaller'} {name}, which is a hint and no proof: "
                f"the best {len(best)} trials that did not overfit have {number(good)} in the "
                f"median, those that did {number(bad)}"
            )
    return ""


def _optimizers(results: Sequence[OptimizerResult]) -> Iterator[str]:
    hopeless = [result for result in results[1:] if result.of_k is not None and result.n_near == 0]
    if hopeless and results[0].n_near:
        named = ", ".join(f"{result.name} ({result.n_trials})" for result in hopeless)
        yield (
            "Leave out optimizers none of whose trials came within 5 % of the best: "
            f"{named}; their trials are better spent on {results[0].name}"
        )
