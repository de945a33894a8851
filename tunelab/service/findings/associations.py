"""What trials with an outcome have in common: the one condition that parts them best from others.

Every condition of the form ``units >= 256``, ``dropout_rate < 0.1`` or ``optimizer = adam`` is
tried. With the best of so many, chance alone looks like something; so the same search is made on
shuffled outcomes, and the share of shuffles that part the trials as well is the probability of
seeing this by chance (Westfall and Young 1993, the distribution of the maximum).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunelab.service.findings.wording import between, number
from tunelab.storage.trials import TrialRow

LEAST = 8
"""Trials below which nothing is compared."""

SURE = 0.05

_LEAST_SIDE = 3  # trials on either side of a condition
_MOST_THRESHOLDS = 24  # of one hyperparameter
_SHUFFLES = 999
_MOST_VALUES = 2  # of a list that a condition names one by one

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Condition:
    """A condition that parts the trials, and what is on its two sides.

    Attributes:
        name: The hyperparameter.
        text: As people read it: ``units >= 256``.
        inside: Indices of the trials that meet it; their outcome is the greater.
        outside: Indices of the others.
        p: Probability that chance alone parts the trials as well, in (0, 1].
    """

    name: str
    text: str
    inside: tuple[int, ...]
    outside: tuple[int, ...]
    p: float

    @property
    def sure(self) -> bool:
        """Whether chance is no good explanation."""
        return self.p <= SURE


def strongest(
    rows: Sequence[TrialRow],
    outcome: Sequence[float],
    names: Sequence[str],
    choices: Collection[str] = (),
) -> Condition | None:
    """The condition on one of ``names`` whose two sides differ most in ``outcome``.

    Args:
        rows: Trials.
        outcome: A number of each: 1 and 0 for yes and no, or a measurement.
        names: Hyperparameters to look at.
        choices: Those whose numbers are chosen from a list: conditions name values of it.

    Returns:
        None if there are fewer than `LEAST` trials, or nothing to part them by.
    """
    values = np.asarray(outcome, dtype=np.float64)
    if len(rows) < LEAST or np.ptp(values) == 0:
        return None
    found = [split for name in names for split in _splits(rows, name, name in choices)]
    if not found:
        return None
    sides = np.array([side for _, _, _, side in found], dtype=np.float64)
    # Ranks: a few extreme measurements shall not decide.
    ranks = _ranks(values)
    observed = _scores(sides, ranks[None, :])[:, 0]
    place = int(np.argmax(np.abs(observed)))
    generator = np.random.default_rng(len(rows))  # the same trials, the same answer
    shuffled = np.array([generator.permutation(ranks) for _ in range(_SHUFFLES)])
    greatest = np.abs(_scores(sides, shuffled)).max(axis=0)
    as_good = int((greatest >= abs(observed[place]) - 1e-12).sum())
    name, text, opposite, side = found[place]
    within = side if observed[place] > 0 else ~side
    return Condition(
        name,
        text if observed[place] > 0 else opposite,
        tuple(np.flatnonzero(within).tolist()),
        tuple(np.flatnonzero(~within).tolist()),
        (as_good + 1) / (_SHUFFLES + 1),
    )


def _scores(sides: Floats, outcomes: Floats) -> Floats:
    """How far the two sides' means are apart, in standard errors of equal spread.

    Args:
        sides: Shape (n_conditions, n_trials), 1 where a trial meets the condition.
        outcomes: Shape (n_outcomes, n_trials).

    Returns:
        Shape (n_conditions, n_outcomes).
    """
    n_inside = sides.sum(axis=1)[:, None]
    n_outside = sides.shape[1] - n_inside
    inside = sides @ outcomes.T
    outside = outcomes.sum(axis=1)[None, :] - inside
    difference = inside / n_inside - outside / n_outside
    scaled: Floats = difference * np.sqrt(n_inside * n_outside / sides.shape[1])
    return scaled


def _splits(
    rows: Sequence[TrialRow], name: str, is_choice: bool
) -> list[tuple[str, str, str, npt.NDArray[np.bool_]]]:
    """Name, condition, its opposite, and which trials meet it; both sides are large enough."""
    given = [row.hyperparameters.get(name) for row in rows]
    known = [value for value in given if value is not None]
    if not known:
        return []
    if any(isinstance(value, str) for value in known) or len(known) < len(given):
        # One that some trials do not have is compared by its being there.
        if all(not isinstance(value, str) for value in known):
            sides = [(f"{name} in use", f"{name} not in use", [v is not None for v in given])]
        else:
            sides = [
                (f"{name} = {value}", f"{name} other than {value}", [v == value for v in given])
                for value in dict.fromkeys(known)
            ]
    else:
        sides = _thresholds(name, given, is_choice)
    return [
        (name, text, opposite, np.array(side, dtype=np.bool_))
        for text, opposite, side in sides
        if _LEAST_SIDE <= sum(side) <= len(rows) - _LEAST_SIDE
    ]


def _thresholds(
    name: str, given: Sequence[Any], is_choice: bool
) -> list[tuple[str, str, list[bool]]]:
    distinct = sorted(set(given))
    cuts = range(1, len(distinct))
    step = max(1, -(-len(cuts) // _MOST_THRESHOLDS))
    sides = []
    for place in cuts[::step]:
        limit = between(distinct[place - 1], distinct[place])
        side = [value >= limit for value in given]
        if is_choice:
            above = _among(name, distinct[place:], ">=", distinct[place])
            below = _among(name, distinct[:place], "<=", distinct[place - 1])
        else:
            above, below = f"{name} >= {number(limit)}", f"{name} < {number(limit)}"
        sides.append((above, below, side))
    return sides


def _among(name: str, values: Sequence[Any], sign: str, end: Any) -> str:
    """Some of a list's values, named while they are few.

    >>> _among("batch_size", [32], "<=", 32), _among("batch_size", [64, 128], ">=", 64)
    ('batch_size 32', 'batch_size 64 or 128')
    """
    if len(values) > _MOST_VALUES:
        return f"{name} {sign} {number(end)}"
    return f"{name} {' or '.join(number(value) for value in values)}"


def _ranks(values: Floats) -> Floats:
    """The rank of each value, the mean rank among equals."""
    _, place, n = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(n)
    ranks: Floats = (ends - (n - 1) / 2.0)[place].astype(np.float64)
    return ranks
