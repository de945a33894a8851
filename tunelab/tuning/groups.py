"""Which of Optuna's parameters belong together: those that the same trials have.

In a conditional space a trial has the parameters of its own optimizer and of no other. A model of
several parameters needs trials that have all of them, so it is made for each group apart.
"""

from __future__ import annotations

from collections.abc import Mapping

from optuna.distributions import BaseDistribution

Group = dict[str, BaseDistribution]


class Groups:
    """A partition of the parameters seen so far, made finer by every trial that has only a part."""

    def __init__(self) -> None:
        self._groups: list[Group] = []

    def add(self, trial: Mapping[str, BaseDistribution]) -> None:
        """Take in the parameters of one more trial."""
        new = dict(trial)
        groups: list[Group] = []
        for group in self._groups:
            inside = {name: new.pop(name) for name in group if name in new}
            outside = {name: group[name] for name in group if name not in inside}
            groups += [part for part in (inside, outside) if part]
        # Their order decides which random number is whose.
        self._groups = [*groups, dict(sorted(new.items()))] if new else groups

    def of(self, name: str) -> Group:
        """The parameters of the group that ``name`` belongs to; none if no trial had it."""
        return next((group for group in self._groups if name in group), {})
