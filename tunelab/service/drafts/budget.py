"""A space that the rows can tell apart, and trials, epochs and time enough for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunelab.service.advice import LARGEST_BATCH_SHARE, TRIALS_PER_HYPERPARAMETER
from tunelab.service.drafts.draft import Reasoned
from tunelab.service.drafts.plan import LARGE, SMALL, TINY
from tunelab.service.resolved_space import count_searched
from tunelab.spec.study import StudySpec

_BATCH_SIZES = (8, 16, 32, 64, 128, 256, 512)
# What an epoch costs: two cores' worth of the engine, measured on the studies in studies/.
_OPERATIONS_A_SECOND = 1e10
_STEP_SECONDS = 1e-4
_OPERATIONS_A_WEIGHT = 6  # two for each of: forward, gradient of the inputs, gradient of weights
_UNITS = 128
_SHARE_OF_EPOCHS = 0.5  # what pruner and monitor leave of the budget
_WORKERS = 2
_LONGEST = 3600.0
_TIMEOUTS = {
    600: "10m", 1200: "20m", 1800: "30m", 3600: "1h", 7200: "2h", 14_400: "4h", 28_800: "8h",
}  # fmt: skip


@dataclass(frozen=True)
class _Size:
    """What the budget depends on."""

    n_train: int
    n_inputs: int
    n_outputs: int

    @property
    def epoch_seconds(self) -> float:
        """An epoch of a network of two layers of 128 units, in batches of 32 or a large size."""
        weights = self.n_inputs * _UNITS + _UNITS * _UNITS + _UNITS * self.n_outputs
        products = self.n_train * weights * _OPERATIONS_A_WEIGHT / _OPERATIONS_A_SECOND
        return products + self.n_train / 32 * _STEP_SECONDS


def space_and_search(
    *,
    n_rows: int,
    n_inputs: int,
    n_outputs: int,
    split: Mapping[str, Any],
    task: str,
    uneven: bool,
) -> tuple[dict[str, Reasoned], Reasoned]:
    """A space that the rows can tell apart, and trials enough for it."""
    n_train = max(1, math.floor(n_rows * (1 - split["validation"] - split["test"])) - n_outputs)
    size = _Size(n_train, n_inputs, n_outputs)
    max_epochs, why_epochs = _max_epochs(n_train)
    spaces = [_space(size, uneven, narrow=narrow) for narrow in (False, True)]
    counted_trials = [_trials(space, task, max_epochs, n_train) for space in spaces]
    seconds = [
        trials * max_epochs * _SHARE_OF_EPOCHS * size.epoch_seconds / _WORKERS
        for trials in counted_trials
    ]
    at = 0 if seconds[0] <= _LONGEST else 1
    space, trials = spaces[at], counted_trials[at]
    limit = next((s for s in _TIMEOUTS if s >= 3 * seconds[at]), max(_TIMEOUTS))
    about = _rough(seconds[at])
    why = (
        f"{TRIALS_PER_HYPERPARAMETER} trials for each hyperparameter. {why_epochs} By the size of "
        f"the data some {about} on {_WORKERS} cores; `study validate --dry-run` measures it. "
        "timeout ends the study in any case."
    )
    search = {
        "sampler": "tpe",
        "pruner": "median",
        "trials": trials,
        "max_epochs": max_epochs,
        "timeout": _TIMEOUTS[limit],
        "seed": 0,
    }
    return space, Reasoned(search, why)


def _max_epochs(n_train: int) -> tuple[int, str]:
    if n_train < LARGE / 5:
        return 100, "At most 100 epochs; the monitor stops a trial that gains nothing."
    return 30, f"An epoch of {n_train:,} rows has many steps: 30 are enough for most."


def _space(size: _Size, uneven: bool, *, narrow: bool) -> dict[str, Reasoned]:
    n_train, n_inputs = size.n_train, size.n_inputs
    small = n_train < SMALL
    space = {
        "optimizer": Reasoned(["adam"] if narrow else ["momentum", "adam"], ""),
        "schedule": Reasoned(["cosine"] if narrow else ["constant", "cosine"], ""),
        "layers": Reasoned(
            {"low": 1, "high": 2 if small else 3},
            "Few rows need no deep network." if small else "",
        ),
        "units": Reasoned(
            {"low": 8 if small else 16, "high": 128 if small else 256, "scale": "log"}, ""
        ),
        "shape": Reasoned("constant", ""),
        "activation": Reasoned("relu", ""),
        "batch_norm": Reasoned("off" if small or narrow else ["on", "off"], ""),
        "dropout_rate": Reasoned({"low": 0.0, "high": 0.5}, ""),
        "l2": Reasoned(
            {"low": 1e-6, "high": 0.1, "scale": "log", "optional": True},
            f"{n_inputs:,} inputs for about {n_train:,} training rows: a strong penalty may help."
            if n_inputs > n_train / 5
            else "",
        ),
        "batch_size": _batch_size(n_train, narrow=narrow),
    }
    if uneven:
        why = "Rows of rare classes may count more."
        space["class_weight"] = Reasoned(["none", "balanced"], why)
    return space


def _batch_size(n_train: int, *, narrow: bool) -> Reasoned:
    most = max(1, int(LARGEST_BATCH_SHARE * n_train))
    sizes = [size for size in _BATCH_SIZES if size <= most]
    if not sizes:
        only = 1 << (most.bit_length() - 1)
        return Reasoned(only, f"A tenth of some {n_train} training rows: ten steps an epoch.")
    # Large data need no tiny steps.
    chosen = sizes[-1:] if n_train < TINY else [size for size in sizes if size <= 128][-3:]
    if n_train >= LARGE / 5 or narrow:
        chosen = sizes[-2:]
    why = "At most a tenth of the training rows, so that an epoch has ten steps."
    value = chosen[0] if len(chosen) == 1 else chosen
    return Reasoned(value, why if sizes[-1] < _BATCH_SIZES[-1] else "")


def _trials(space: Mapping[str, Reasoned], task: str, max_epochs: int, n_train: int) -> int:
    spec = StudySpec.from_mapping(
        {
            "name": "draft",
            "task": task,
            "data": {"source": "csv", "path": "draft.csv", "target": "y"},
            "search": {"max_epochs": max_epochs},
            "space": {key: reasoned.value for key, reasoned in space.items()},
        }
    )
    active, _ = count_searched(spec.resolve(n_train).search_space)
    return TRIALS_PER_HYPERPARAMETER * active


def _rough(seconds: float) -> str:
    if seconds < 60:
        return "seconds"
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 90 else f"{seconds / 3600:.1f} h"
