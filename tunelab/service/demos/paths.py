"""The trainer's own optimizers on the surfaces, each at the best rate of one grid.

Nothing here is an optimizer: ``make_optimizer`` builds the classes that networks are trained with,
at their default settings, and they update two weights in float32 at a constant rate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import dist, inf

import numpy as np

from tunelab.service.demos.surfaces import SURFACES, Surface
from tunelab.training.arrays import Floats
from tunelab.training.optimizers import OPTIMIZERS, make_optimizer

N_STEPS = 1000

RATES: tuple[float, ...] = (
    *(float(f"{digit}e{power}") for power in range(-4, 0) for digit in (1, 2, 5)),
    1.0,
)
"""1, 2 and 5 in each power of ten, from 0.0001 to 1: the same for all methods.

Greater ones let methods with a rate for each weight jump across the whole picture, until one of the
jumps happens to end in the minimum. AdaDelta's paper has no rate at all, which is 1.
"""

FAR = 1000.0  # from (0, 0): nothing comes back from there
_NEAR = 0.1  # of a trap
_LAST_SHARE = 0.1  # of the steps, by whose worst value runs that do not arrive are ranked


class Outcome(StrEnum):
    """How a run ends."""

    ARRIVED = "arrived"
    """From some step on it is within the tolerance, and stays there until the last step."""

    NEVER = "never"
    """It is not."""

    DIVERGED = "diverged"
    """It got further than 1000 from (0, 0), or the weights are no numbers."""


@dataclass(frozen=True, eq=False)
class Run:
    """One optimizer on one surface at one rate.

    Attributes:
        optimizer: Its name.
        surface: Where it ran.
        learning_rate: The rate of every step.
        points: The weights before the first step and after each, shape (1 + steps, 2), float32.
            A run that diverges ends with its last point that is not far.
        gaps: How far the value there is above the lowest one, shape (1 + steps,).
        outcome: How it ended.
        steps: Steps until it arrived, or until it diverged; None if neither.
        ended_at: The trap it ended at: ``local minimum`` or ``saddle``; None if at none.
    """

    optimizer: str
    surface: Surface
    learning_rate: float
    points: Floats
    gaps: Floats
    outcome: Outcome
    steps: int | None
    ended_at: str | None

    @property
    def rank(self) -> tuple[float, float]:
        """The lower, the better: first by steps to tolerance, then by where it stayed.

        That is the worst value of the last tenth of the steps, so that one who jumps about does
        not win by where the last step happened to lead.
        """
        if self.outcome is Outcome.ARRIVED:
            return float(self.steps or 0), 0.0
        if self.outcome is Outcome.DIVERGED:
            return inf, inf
        return inf, float(self.gaps[-max(1, int(_LAST_SHARE * len(self.gaps))) :].max())


@dataclass(frozen=True, eq=False)
class Race:
    """One optimizer on one surface at every rate of the grid.

    Attributes:
        best: The run that arrived first; if none did, the one that stayed lowest at the end.
        rates: Every rate that was tried.
        outcomes: How it ended with each.
    """

    best: Run
    rates: tuple[float, ...]
    outcomes: tuple[Outcome, ...]

    def count(self, outcome: Outcome) -> int:
        """With how many rates it ended so."""
        return self.outcomes.count(outcome)


def follow(optimizer: str, surface: Surface, learning_rate: float, n_steps: int) -> Run:
    """Let an optimizer of the trainer run on a surface.

    The exact gradient is computed from the float32 weights and rounded to float32.

    Args:
        optimizer: A key of ``OPTIMIZERS``.
        surface: Where.
        learning_rate: The rate of every step.
        n_steps: How many.

    >>> run = follow("sgd", SURFACES["saddle"], 0.5, n_steps=100)
    >>> run.outcome.value, len(run.points), run.points[-1].round(3)
    ('arrived', 101, array([-0.   ,  1.414], dtype=float32))
    """
    params = np.array(surface.start, np.float32)
    grads = np.empty_like(params)
    method = make_optimizer(optimizer, {}).bind(params)
    x, y = params.tolist()
    points, gaps = [(x, y)], [surface.gap(x, y)]
    outside = 0  # the last step after which it was not within the tolerance
    diverged_at = None
    with np.errstate(all="ignore"):  # what overflows has diverged, and is told as that
        for step in range(1, n_steps + 1):
            grads[:] = surface.gradient(x, y)
            method.step(params, grads, learning_rate)
            x, y = params.tolist()
            if not (abs(x) < FAR and abs(y) < FAR):
                diverged_at = step
                break
            gap = surface.gap(x, y)
            points.append((x, y))
            gaps.append(gap)
            if gap > surface.tolerance:
                outside = step
    if diverged_at is not None:
        outcome, steps = Outcome.DIVERGED, diverged_at
    elif outside < n_steps:
        outcome, steps = Outcome.ARRIVED, outside + 1
    else:
        outcome, steps = Outcome.NEVER, None
    return Run(
        optimizer=optimizer,
        surface=surface,
        learning_rate=learning_rate,
        points=np.array(points, np.float32),
        gaps=np.array(gaps),
        outcome=outcome,
        steps=steps,
        ended_at=_trap(surface, points[-1]) if outcome is Outcome.NEVER else None,
    )


def race(
    optimizer: str, surface: Surface, n_steps: int = N_STEPS, rates: tuple[float, ...] = RATES
) -> Race:
    """Run at every rate, and keep the best run."""
    runs = [follow(optimizer, surface, rate, n_steps) for rate in rates]
    best = min(runs, key=lambda run: run.rank)
    return Race(best, rates, tuple(run.outcome for run in runs))


def race_all(
    n_steps: int = N_STEPS,
    optimizers: Iterable[str] = tuple(OPTIMIZERS),
    surfaces: Iterable[Surface] = tuple(SURFACES.values()),
) -> dict[str, dict[str, Race]]:
    """Every optimizer on every surface.

    Returns:
        Surface -> optimizer -> race.
    """
    names = tuple(optimizers)
    return {
        surface.name: {name: race(name, surface, n_steps) for name in names} for surface in surfaces
    }


def _trap(surface: Surface, point: tuple[float, float]) -> str | None:
    return next((name for name, trap in surface.traps if dist(trap, point) < _NEAR), None)
