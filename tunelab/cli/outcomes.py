"""How a trial ended, in one word for counting and in a few for a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from tunelab.storage.states import EndReason
from tunelab.storage.trials import SEARCH, TrialRow, TrialsAlike

STYLES = {
    "running": "cyan",
    "waiting": "dim",
    "done": "green",
    "pruned": "yellow",
    "diverged": "red",
    "failed": "bold red",
}


def outcome(trial: TrialRow | TrialsAlike) -> str:
    """The monitor's signal of a trial that completed; else why it did not.

    So the outcomes of all finished trials add up: plateau 22, overfitting 6, pruned 9.
    """
    if trial.end_reason is not None and trial.end_reason.is_complete:
        return trial.signal or str(trial.end_reason)
    return str(trial.end_reason or trial.state)


def count_outcomes(finished: Iterable[TrialsAlike]) -> Counter[str]:
    """How often each outcome was."""
    outcomes: Counter[str] = Counter()
    for group in finished:
        outcomes[outcome(group)] += group.n_trials
    return outcomes


def tally(outcomes: Mapping[str, int], separator: str = ", ") -> str:
    """Outcomes and their counts: the monitor's first, each kind from the most frequent on.

    >>> tally({"pruned": 9, "overfitting": 6, "plateau": 22})
    'plateau 22, overfitting 6, pruned 9'
    """
    ends = [str(reason) for reason in EndReason]
    order = sorted(outcomes.items(), key=lambda item: (item[0] in ends, -item[1], item[0]))
    return separator.join(f"{name} {n}" for name, n in order if n)


def state_word(trial: TrialRow) -> str:
    """The state in one word: running, waiting, done, pruned, diverged, failed."""
    if trial.end_reason is None:
        return str(trial.state)
    return "done" if trial.end_reason.is_complete else str(trial.end_reason)


def remark(trial: TrialRow) -> str:
    """The verdict of a finished trial, in a few words."""
    if trial.end_reason is EndReason.PRUNED:
        # "rank 14 of 20 at epoch 8: ...": the epoch stands in a column of its own.
        return (trial.reason or "pruned").partition(" at epoch ")[0]
    if trial.end_reason is EndReason.DIVERGED:
        return f"diverged at epoch {trial.n_epochs}"
    if trial.end_reason is EndReason.FAILED:
        return trial.reason or "failed"
    return trial.signal or ""


def trial_label(trial: TrialRow) -> str:
    """A trial's number; of a confirm run, which trial it trains again with which seed."""
    return str(trial.number) if trial.kind == SEARCH else f"{trial.confirms} seed {trial.repeat}"
