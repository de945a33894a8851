"""Optuna's samplers, a fresh one for every trial.

A sampler that lived on would hold a random state that a restart loses. So each trial gets its own,
seeded from the study's seed and the trial's number: a study that is stopped and started again
proposes what it would have proposed. What needs no sampler stands in `tunelab.tuning.plans`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.samplers._tpe import _truncnorm
from optuna.trial import FrozenTrial

from tunelab.tuning.groups import Groups


class GroupedTPESampler(BaseSampler):
    """Tree-structured Parzen estimators (Bergstra et al. 2011), over groups of parameters.

    The parameters of a group are modelled and drawn together, when the first of them is asked
    for. Optuna's own ``group=True`` does the same, but draws for every group of the space before
    each trial, also for those of optimizers that the trial turns out not to have: with nine of
    them most of its time. ``constant_liar`` keeps parallel workers from trying the same place.

    It serves one trial.

    Args:
        groups: The parameters of the trials so far.
        seed: Of all draws.
    """

    def __init__(self, groups: Groups, seed: int) -> None:
        self._tpe = TPESampler(multivariate=True, constant_liar=True, seed=seed)
        self._groups = groups
        self._drawn: dict[str, Any] = {}

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Nothing is drawn before it is asked for."""
        del study, trial
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing is drawn before it is asked for."""
        del study, trial, search_space
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The parameter's value, drawn together with those of its group."""
        if param_name not in self._drawn:
            space = {
                name: distribution
                for name, distribution in self._groups.of(param_name).items()
                if not distribution.single()
            }
            with _scipys_log_ndtr():
                self._drawn |= self._tpe.sample_relative(study, trial, space)
        if param_name not in self._drawn:  # there are too few trials to learn from
            self._drawn[param_name] = self._tpe.sample_independent(
                study, trial, param_name, param_distribution
            )
        return self._drawn[param_name]


@contextmanager
def _scipys_log_ndtr() -> Iterator[None]:
    """Let Optuna compute the logarithm of the normal distribution function by SciPy.

    Its own does so number by number in Python and takes most of the time of a proposal; the two
    differ by less than 1e-12 (a contract test says so), and this one takes a 25th of the time.
    """
    from scipy.special import log_ndtr

    own = _truncnorm._log_ndtr
    _truncnorm._log_ndtr = log_ndtr
    try:
        yield
    finally:
        _truncnorm._log_ndtr = own


def _random(_groups: Groups, seed: int) -> BaseSampler:
    """Independent draws from each range."""
    return RandomSampler(seed=seed)


SAMPLERS: dict[str, Callable[[Groups, int], BaseSampler]] = {
    "tpe": GroupedTPESampler,
    "random": _random,
}


def trial_sampler(name: str, groups: Groups, study_seed: int, number: int) -> BaseSampler:
    """The sampler that proposes trial ``number``, behind those whose parameters are grouped."""
    (seed,) = np.random.SeedSequence((study_seed, number)).generate_state(1)
    return SAMPLERS[name](groups, int(seed))


def search_seed(study_seed: int, generation: int) -> int:
    """The root of the proposals of a sweep's generation; the first has the study's own seed.

    Otherwise each generation would begin with the same draws and learn nothing by them. The seeds
    of training and of the confirm stage stay: generations are compared by them.
    """
    if generation == 1:
        return study_seed
    (seed,) = np.random.SeedSequence((study_seed, generation)).spawn(4)[3].generate_state(1)
    return int(seed)


def trial_seed(study_seed: int, number: int) -> int:
    """The seed of trial ``number``'s training run; independent of the sampler's."""
    (seed,) = np.random.SeedSequence((study_seed, number)).spawn(1)[0].generate_state(1)
    return int(seed)


def confirm_seed(study_seed: int, repeat: int) -> int:
    """The seed of the confirm stage's run ``repeat``, of whichever finalist.

    A seed of the search has 32 bits; above these stands which repeat it is, counted from 1. So it
    equals none of the search's and none of another repeat's.
    """
    (seed,) = np.random.SeedSequence((study_seed, repeat)).spawn(2)[1].generate_state(1)
    return ((repeat + 1) << 32) + int(seed)


def split_seed(study_seed: int, repeat: int, attempt: int = 0) -> int:
    """The seed by which the confirm stage's run ``repeat`` splits its rows; 32 bits."""
    sequence = np.random.SeedSequence((study_seed, repeat)).spawn(3)[2]
    return int(sequence.generate_state(attempt + 1)[attempt])
