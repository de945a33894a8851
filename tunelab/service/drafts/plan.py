"""What a study of a table should be: task, missing values, split, metric, space and budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tunelab.datasets.sources.flaws import counted, listed, short
from tunelab.datasets.survey import Target
from tunelab.errors import UsageError
from tunelab.service.advice import LARGEST_BATCH_SHARE, TRIALS_PER_HYPERPARAMETER
from tunelab.service.drafts.columns import FEW_VALUES, Role
from tunelab.service.resolved_space import count_searched
from tunelab.spec.study import StudySpec

_ROWS_A_CLASS = 5
_LEAST_OF_CLASS = 3  # one for each part
_MOST_DROPPED = 0.05
_MOST_LOST = 0.2
_IMBALANCE = 3.0
_TINY, _SMALL, _LARGE = 200, 1000, 100_000
_MANY_COLUMNS = 1000  # a study file that lists more is hard to read
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


class Reasoned(NamedTuple):
    """A value and why it is that."""

    value: Any
    why: str


class Alternative(NamedTuple):
    """Another value that may suit, and when."""

    when: str
    value: Any


@dataclass(frozen=True)
class Draft:
    """A study file before it is written: values in its syntax, each with a reason.

    Attributes:
        source: ``csv`` or ``parquet``.
        delimiter: Of a CSV file.
        n_rows: Rows of the file.
        n_columns: Its columns.
        targets: The columns to predict.
        roles: All other columns.
        task: With its reason, as all below.
        missing: What becomes of missing values.
        split: The section ``data.split``.
        other_splits: Those that may suit the data better.
        metric: The objective.
        search: The section ``search``.
        space: The section ``space``, key by key.
        preset: Of the monitor.
        notes: What a person should decide, a sentence each.
    """

    source: str
    delimiter: str
    n_rows: int
    n_columns: int
    targets: tuple[str, ...]
    roles: tuple[Role, ...]
    task: Reasoned
    missing: Reasoned
    split: Reasoned
    other_splits: tuple[Alternative, ...]
    metric: Reasoned
    search: Reasoned
    space: Mapping[str, Reasoned]
    preset: Reasoned
    notes: tuple[str, ...] = field(default=())

    def columns(self, part: str) -> list[Role]:
        """The columns that play a part."""
        return [role for role in self.roles if role.part == part]

    def data(self, path: str) -> dict[str, Any]:
        """The section ``data`` without its split, for a file at ``path``."""
        dropped = [role.name for role in self.columns("drop")]
        kept = [role.name for role in self.roles if role.part != "drop"]
        many = len(dropped) > _MANY_COLUMNS and len(kept) < len(dropped)
        of_part = {
            **({"keep": kept} if many else {"drop": dropped}),
            "categorical": [role.name for role in self.columns("categorical")],
        }
        target = self.targets[0] if len(self.targets) == 1 else list(self.targets)
        return {
            "source": self.source,
            "path": path,
            "target": target,
            **{key: names for key, names in of_part.items() if names},
            **({} if self.delimiter == "," else {"delimiter": self.delimiter}),
            "missing": self.missing.value,
        }

    def to_mapping(self, name: str, path: str) -> dict[str, Any]:
        """The study file as plain values."""
        return {
            "name": name,
            "task": self.task.value,
            "data": {**self.data(path), "split": self.split.value},
            "objective": {"metric": self.metric.value},
            "search": self.search.value,
            "space": {key: reasoned.value for key, reasoned in self.space.items()},
            "monitor": {"preset": self.preset.value},
        }


def task_of(targets: Sequence[Target], asked: str | None) -> Reasoned:
    """Classification of words and of few whole numbers, regression of all others.

    Raises:
        UsageError: If several columns are asked for that regression cannot predict.
    """
    if len(targets) > 1:
        words = [target.facts.name for target in targets if target.facts.kind == "texts"]
        if words or asked == "classification":
            what = f"; {listed(words)} has texts" if words else ""
            raise UsageError(
                f"--target: several targets must be numbers, for regression{what}",
                hint="name one target",
            )
        return Reasoned("regression", f"{len(targets)} targets: numbers, predicted together.")
    facts, counts = targets[0].facts, targets[0].counts
    named = short(facts.name)
    if asked is not None:
        return Reasoned(asked, "As asked for by --task.")
    is_text = facts.kind == "texts"
    if is_text:
        why = f"{named} has {facts.n_distinct:,} different texts: classes."
        return Reasoned("classification", why)
    different = f"{facts.n_distinct:,} different numbers"
    change = "To change that, run `tunelab init` with --task"
    few = facts.n_distinct <= min(FEW_VALUES, facts.n_present / _ROWS_A_CLASS)
    if facts.kind == "almost numbers" and facts.n_distinct <= FEW_VALUES:
        return Reasoned("classification", f"{named} has few different texts: classes.")
    if facts.n_distinct <= 2 and facts.kind == "numbers":
        return Reasoned("classification", f"{named} has {different}: classes.")
    if facts.whole and few and int(counts.min()) >= _LEAST_OF_CLASS:
        why = f"{named} has {different}, all whole: classes. {change} regression."
        return Reasoned("classification", why)
    why = f"{named} has {different} in {counted(facts.n_present, 'row')}: amounts."
    if facts.whole and facts.n_distinct <= FEW_VALUES:
        why += f" {change} classification."
    return Reasoned("regression", why)


def settle_missing(roles: Sequence[Role], targets: Sequence[Target]) -> tuple[list[Role], Reasoned]:
    """The policy for missing values; columns that would cost too many rows are dropped for it."""
    roles = list(roles)
    in_target = [target.facts for target in targets if target.facts.gaps is not None]
    n_rows = targets[0].facts.n_rows
    lost = np.zeros(n_rows, dtype=bool)
    for facts in in_target:
        lost |= facts.gaps if facts.gaps is not None else False
    n_without_target = int(lost.sum())
    counts = {role.name: role.facts.n_missing for role in roles if _gappy(role)}
    for role in roles:
        if _gappy(role):
            lost |= role.facts.gaps if role.facts.gaps is not None else False
    if not lost.any():
        why = "No cell is empty; should one be later, `error` tells where."
        return roles, Reasoned("error", why)
    where = ", ".join(f"{short(name)} {n:,}" for name, n in _worst(counts))
    where = f" ({where})" if counts else ""
    n_lost = int(lost.sum())
    if not n_without_target and n_lost > _MOST_DROPPED * n_rows:
        why = (
            f"{n_lost:,} of {n_rows:,} rows lack a value{where}, too many to leave out: impute "
            "puts the training rows' median or most frequent text in its place."
        )
        return roles, Reasoned("impute", why)
    if n_without_target:
        roles, where = _affordable(roles, targets, where)
        why = (
            f"{n_without_target:,} of {n_rows:,} rows have no target, and only drop leaves them "
            f"out, with all others that lack a value{where}."
        )
        return roles, Reasoned("drop", why)
    why = f"{n_lost:,} of {n_rows:,} rows lack a value{where}: few enough to leave out."
    return roles, Reasoned("drop", f"{why} impute keeps them.")


def _gappy(role: Role) -> bool:
    return role.part != "drop" and role.facts.gaps is not None


def _worst(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:5]


def _affordable(roles: list[Role], targets: Sequence[Target], where: str) -> tuple[list[Role], str]:
    """Drop the emptiest columns until the others cost few of the rows that have a target."""
    has_target = np.ones(targets[0].facts.n_rows, dtype=bool)
    for target in targets:
        has_target &= target.codes >= 0
    n_usable = int(has_target.sum())
    while True:
        gappy = [role for role in roles if _gappy(role)]
        lost = np.zeros_like(has_target)
        for role in gappy:
            lost |= has_target & np.asarray(role.facts.gaps)
        if not gappy or int(lost.sum()) <= _MOST_LOST * n_usable:
            return roles, where
        worst = max(gappy, key=lambda role: role.facts.n_missing)
        reason = (
            f"empty in {worst.facts.n_missing:,} rows, which would be left out with those that "
            "have no target: give only rows with one, and it can stay"
        )
        dropped = Role(worst.facts, "drop", reason)
        roles = [dropped if role is worst else role for role in roles]
        where = ""


def kept_rows(roles: Sequence[Role], targets: Sequence[Target], policy: str) -> int:
    """How many rows take part."""
    kept = np.ones(targets[0].facts.n_rows, dtype=bool)
    if policy == "drop":
        for target in targets:
            kept &= target.codes >= 0
        for role in roles:
            if _gappy(role):
                kept &= ~np.asarray(role.facts.gaps)
    return int(kept.sum())


def split_of(
    n_rows: int, roles: Sequence[Role], task: str
) -> tuple[Reasoned, tuple[Alternative, ...]]:
    """The split, and others that may suit the data better."""
    validation, test, why = 0.2, 0.2, ""
    if n_rows < _TINY:
        validation, why = 0.3, f" With {n_rows:,} rows, 20 % would be too few to compare by."
    elif n_rows >= _LARGE:
        validation, test, why = 0.1, 0.1, " A tenth of so many rows is enough to compare by."
    kept = "the shares of the classes" if task == "classification" else "low and high targets alike"
    reason = f"stratified keeps {kept} in all three parts.{why}"
    section = {"validation": validation, "test": test, "method": "stratified", "seed": 0}
    shares = {"validation": validation, "test": test}
    others = [
        Alternative(
            "Where rows will be added later, hash keeps every row in its part, and copies of a row "
            "together:",
            {**shares, "method": "hash", "seed": 0},
        )
    ]
    for role in roles:
        named, n_values = short(role.name), f"{role.facts.n_distinct:,}"
        if role.may_group:
            listed_too = role.part == "categorical"
            also = f", with {named} no longer under categorical" if listed_too else ""
            others.append(
                Alternative(
                    f"{named} has {n_values} values in {role.facts.n_rows:,} rows. Where the rows "
                    f"of one belong together, keep them in one part{also}:",
                    {**shares, "method": "group", "group": role.name, "seed": 0},
                )
            )
        if role.may_order:
            others.append(
                Alternative(
                    f"{named} is a time. Where later rows are to be foretold from earlier ones, "
                    "validate and test on the latest:",
                    {**shares, "method": "time", "time": role.name, "seed": 0},
                )
            )
    section = {**shares, "method": "stratified", "seed": 0}
    return Reasoned(section, reason), tuple(others)


def metric_of(targets: Sequence[Target], task: str) -> tuple[Reasoned, bool]:
    """The objective, and whether the classes are so uneven that weights may help."""
    if task == "regression":
        if len(targets) > 1:
            why = "The loss of standardised targets, so that no unit outweighs another; or r2."
            return Reasoned("validation_loss", why), False
        return Reasoned("rmse", "In the target's own unit; or mae, r2, validation_loss."), False
    counts = targets[0].counts
    if len(counts) < 2:
        return Reasoned("validation_loss", ""), False
    smallest, largest = int(np.argmin(counts)), int(np.argmax(counts))
    few, many = int(counts[smallest]), int(counts[largest])
    if many < _IMBALANCE * few:
        why = "The loss tells more than accuracy where rows are few; or accuracy, f1_macro."
        return Reasoned("validation_loss", why), False
    labels = targets[0].labels
    share = many / int(counts.sum())
    metric = "balanced_accuracy" if len(counts) == 2 else "f1_macro"
    why = (
        f"{short(labels[largest])} has {many:,} rows and {short(labels[smallest])} {few:,}: "
        f"{share:.0%} are right by always saying {short(labels[largest])}. {metric} counts "
        "every class alike; or roc_auc, validation_loss."
    )
    return Reasoned(metric, why), True


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
    if n_train < _LARGE / 5:
        return 100, "At most 100 epochs; the monitor stops a trial that gains nothing."
    return 30, f"An epoch of {n_train:,} rows has many steps: 30 are enough for most."


def _space(size: _Size, uneven: bool, *, narrow: bool) -> dict[str, Reasoned]:
    n_train, n_inputs = size.n_train, size.n_inputs
    small = n_train < _SMALL
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
    chosen = sizes[-1:] if n_train < _TINY else [size for size in sizes if size <= 128][-3:]
    if n_train >= _LARGE / 5 or narrow:
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


def preset_of(n_train_rows: int) -> Reasoned:
    """How soon the monitor may stop a trial."""
    if n_train_rows < _SMALL:
        why = "Few validation rows give curves that shake: wait longer before a trial is stopped."
        return Reasoned("careful", why)
    return Reasoned("default", "")


def _rough(seconds: float) -> str:
    if seconds < 60:
        return "seconds"
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 90 else f"{seconds / 3600:.1f} h"
