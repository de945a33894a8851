"""Optuna's samplers, a fresh one for every trial.

A sampler that lived on would hold a random state that a restart loses. So each trial gets its own,
seeded from the study's seed and the trial's number: a study that is stopped and started again
proposes what it would have proposed. What needs no sampler stands in `tunelab.tuning.plans`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler


def _tpe(seed: int) -> BaseSampler:
    """Tree-structured Parzen estimators (Bergstra et al. 2011), over groups of parameters.

    ``group`` models the conditional parameters of each optimizer together; without it they would
    be sampled one by one. ``constant_liar`` keeps parallel workers from trying the same place.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # group is experimental in Optuna 5
        return TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)


def _random(seed: int) -> BaseSampler:
    """Independent draws from each range."""
    return RandomSampler(seed=seed)


SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {"tpe": _tpe, "random": _random}


def trial_sampler(name: str, study_seed: int, number: int) -> BaseSampler:
    """The sampler that proposes trial ``number``."""
    (seed,) = np.random.SeedSequence((study_seed, number)).generate_state(1)
    return SAMPLERS[name](int(seed))


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
