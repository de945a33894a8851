"""Limits that a trial must keep at its rungs, as they travel in its row.

The coordinator computes them from the trials that have finished; the worker compares. So pruning
costs no round trip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RungLimit:
    """The limit at one rung.

    Attributes:
        value: The worst value of the objective that goes on, in the objective's unit.
        n_trials: Number of trials that the limit was computed from.
    """

    value: float
    n_trials: int


@dataclass(frozen=True)
class RungLimits:
    """The limits of one trial.

    Attributes:
        rungs: Epochs at which trials are compared, ascending; all of them, also those without
            a limit yet, because the trial notes its best value at each.
        limits: Epoch -> limit, for the rungs that have one.
    """

    rungs: tuple[int, ...] = ()
    limits: Mapping[int, RungLimit] | None = None

    def exceeded(self, epoch: int, best: float | None, *, maximize: bool) -> RungLimit | None:
        """The limit at ``epoch`` if ``best``, the trial's best value so far, is worse than it.

        A trial that has no value at a rung is worse than any limit.
        """
        limit = (self.limits or {}).get(epoch)
        if limit is None:
            return None
        if best is None or (best < limit.value if maximize else best > limit.value):
            return limit
        return None

    def to_json(self) -> dict[str, Any]:
        """The form in which the limits stand in the trial's row."""
        limits = self.limits or {}
        return {
            "rungs": list(self.rungs),
            "limits": {
                str(epoch): [limit.value, limit.n_trials] for epoch, limit in limits.items()
            },
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> RungLimits:
        """The limits that :meth:`to_json` wrote."""
        return cls(
            rungs=tuple(row["rungs"]),
            limits={int(epoch): RungLimit(*pair) for epoch, pair in row["limits"].items()},
        )
