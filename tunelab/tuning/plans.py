"""Samplers that learn nothing: what each trial gets is settled before the study begins.

Optuna takes no part in them but learns of their trials, so that its tools can show them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tunelab.spec.default_space import default_value
from tunelab.spec.grid import cells
from tunelab.spec.space import Space
from tunelab.spec.tables import GRID, QMC
from tunelab.tuning.sobol import SobolPlan
from tunelab.tuning.suggest import Suggester, from_cell

Plan = Callable[[int], Suggester]
"""Number of a trial -> its answers; raises IndexError behind the last one."""


def _grid(space: Space, _seed: int) -> Plan:
    """The cells of the space, the default configuration's first."""
    every = list(cells(space))
    return lambda number: from_cell(every[number])


def _qmc(space: Space, seed: int) -> Plan:
    """The default configuration, then the points of one Sobol sequence."""
    (scrambling,) = np.random.SeedSequence(seed).generate_state(1)
    points = SobolPlan(space, int(scrambling))
    return lambda number: points.choose(number - 1) if number else default_value


PLANS: dict[str, Callable[[Space, int], Plan]] = {GRID: _grid, QMC: _qmc}
