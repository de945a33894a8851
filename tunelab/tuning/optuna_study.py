"""Optuna's study, held in memory and rebuilt from our own tables.

Everything that leans on Optuna's private ids stands in this module; a contract test covers it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from tunelab.spec.default_space import default_value
from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.spec.space import Space
from tunelab.storage.states import EndReason
from tunelab.storage.trials import TrialRow
from tunelab.tuning.groups import Groups
from tunelab.tuning.plans import PLANS
from tunelab.tuning.samplers import trial_sampler
from tunelab.tuning.suggest import Suggester, preset_trial, suggest_from
from tunelab.tuning.warm_start import Configuration, from_flat

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Proposal:
    """A configuration to try.

    Attributes:
        hyperparameters: The configuration.
        sampler_state: Parameters, distributions and the sampler's own notes, as JSON values: what
            rebuilds Optuna's trial in another process.
    """

    hyperparameters: Hyperparameters
    sampler_state: dict[str, Any]


class OptunaStudy:
    """Proposes configurations and learns from outcomes. Trials are known by their numbers.

    Args:
        space: The complete search space.
        sampler: Name of the sampler.
        seed: Root of every trial's own sampler seed.
        maximize: Whether greater values of the objective are better.
        first: Flat configurations of the space to propose behind the default one. Samplers that
            walk through a plan keep to it.
    """

    def __init__(
        self,
        space: Space,
        *,
        sampler: str,
        seed: int,
        maximize: bool,
        first: Sequence[Configuration] = (),
    ) -> None:
        self._space = space
        self._sampler = sampler
        self._seed = seed
        self._study = optuna.create_study(direction="maximize" if maximize else "minimize")
        self._plan = PLANS[sampler](space, seed) if sampler in PLANS else None
        self._first = first
        self._groups = Groups()
        self._n = 0

    def propose(self) -> Proposal:
        """The next configuration: the default one, those given, then what the sampler proposes.

        Raises:
            IndexError: If a grid has no more cells.
        """
        number = self._n
        self._n += 1
        if self._plan is not None:
            hyperparameters = self._preset(self._plan(number))
        elif number == 0:
            hyperparameters = self._preset(default_value)
        elif number <= len(self._first):
            hyperparameters = self._preset(from_flat(self._first[number - 1]))
        else:
            self._study.sampler = trial_sampler(self._sampler, self._groups, self._seed, number)
            hyperparameters = self._space.configure(suggest_from(self._study.ask()))
        frozen = self._frozen(number)
        self._groups.add(frozen.distributions)
        return Proposal(
            hyperparameters,
            {
                "params": frozen.params,
                "distributions": {
                    name: distribution_to_json(distribution)
                    for name, distribution in frozen.distributions.items()
                },
                "system_attrs": frozen.system_attrs,
            },
        )

    def _preset(self, choose: Suggester) -> Hyperparameters:
        """Add a trial that no sampler of Optuna's proposes."""
        hyperparameters, preset = preset_trial(self._space, choose)
        self._study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=preset.params,
                distributions=preset.distributions,
            )
        )
        return hyperparameters

    def restore(self, row: TrialRow, *, told: bool = False) -> None:
        """Take in a trial that an earlier process proposed. Numbers ascend from 0.

        Args:
            row: The trial.
            told: Whether to take it in with its end, as if :meth:`tell` had been called since;
                else as running. Optuna copies a trial at each of these steps.
        """
        if row.number != self._n:
            raise ValueError(f"expected trial {self._n}, got {row.number}")
        self._n += 1
        saved: Mapping[str, Any] = row.sampler_state
        distributions = {name: distribution(text) for name, text in saved["distributions"].items()}
        self._groups.add(distributions)
        state, value = optuna_end(row) if told else (TrialState.RUNNING, None)
        reported = {}
        if state is TrialState.PRUNED and value is not None:
            reported[row.n_epochs] = value
        self._study.add_trial(
            create_trial(
                state=state,
                value=value,
                intermediate_values=reported,
                params=saved["params"],
                distributions=distributions,
                system_attrs=saved["system_attrs"],
            )
        )

    def tell(self, row: TrialRow) -> None:
        """Report how a trial ended.

        Complete trials carry their value. Pruned and diverged ones are told as pruned, with the
        best finite value that they reached at the epoch where they ended; the sampler ranks them
        behind every complete trial, and by how far they came. It never sees a failed trial, and
        no number that is not finite: to Optuna, minus infinity would be the best of all.
        """
        state, value = optuna_end(row)
        if state is TrialState.COMPLETE:
            self._study.tell(row.number, value)
            return
        if value is not None:
            trial = Trial(self._study, self._frozen(row.number)._trial_id)
            trial.report(value, row.n_epochs)
        self._study.tell(row.number, state=state)

    @property
    def trials(self) -> list[FrozenTrial]:
        """Optuna's view of the trials, in order."""
        return self._study.get_trials(deepcopy=False)

    def _frozen(self, number: int) -> FrozenTrial:
        return self.trials[number]


def optuna_end(row: TrialRow) -> tuple[TrialState, float | None]:
    """A finished trial's state in Optuna, and the value that goes with it."""
    value = row.value if row.value is not None and math.isfinite(row.value) else None
    if row.end_reason is EndReason.FAILED or row.end_reason is None:
        return TrialState.FAIL, None
    if row.end_reason.is_complete and value is not None:
        return TrialState.COMPLETE, value
    return TrialState.PRUNED, value


@lru_cache(maxsize=1024)  # the trials of a study have few that differ
def distribution(text: str) -> BaseDistribution:
    """The distribution that a sampler's state has as JSON."""
    return json_to_distribution(text)
