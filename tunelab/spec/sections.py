"""The sections of a study file below the top level."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from tunelab.spec import data_rules
from tunelab.spec.data_rules import (
    MISSING_POLICIES,
    SOURCE_KEYS,
    column_names,
    some_column_names,
    with_defaults,
    wrong_keys,
)
from tunelab.spec.durations import seconds
from tunelab.spec.part import Complaint, Part
from tunelab.spec.rules import Name, Number, RefusedError, Rule, Switch, shown, unknown
from tunelab.spec.sizes import n_bytes
from tunelab.spec.tables import (
    DATASETS,
    GRID,
    LOSSES,
    METRICS,
    NO_PRUNER,
    PRUNERS,
    SAMPLERS,
    Direction,
)

_DIRECTIONS: dict[str, Direction] = {
    name: way for metrics in METRICS.values() for name, way in metrics.items()
}
_LOSSES = tuple(name for losses in LOSSES.values() for name in losses)
BUDGET = ("trials", "timeout", "workers", "stop_when_flat")
"""Keys of the search that may change while a study goes on."""

DEFAULT_TRIALS = 60
DEFAULT_MAX_EPOCHS = 100
MAX_EPOCHS = Number("int", 1, 1_000_000)

_SHARE = Number("float", 0, 1, low_open=True, high_open=True)
_SEED = Number("int", 0, 2**32 - 1)
SPLIT_METHODS = ("stratified", "hash", "group", "time")
_PRUNER = Name("pruner", PRUNERS)


def _by(rule: Rule, *, optional: bool = False) -> BeforeValidator:
    def check(given: object) -> object:
        return None if given is None and optional else rule.check(given)

    return BeforeValidator(check)


class LabelNoise(Part):
    """A share of the training and validation rows gets the label of another class."""

    share: Annotated[float, _by(Number("float", 0, 1))]
    seed: Annotated[int, _by(_SEED)] = 0


def _column(given: object) -> str | None:
    """The name of a column, or None for none."""
    if given is None:
        return None
    if not isinstance(given, str) or not given:
        hint = "put the name in quotes" if isinstance(given, int | float) else None
        raise RefusedError(f"must be the name of a column, got {shown(given)}", hint)
    return given


class SplitSpec(Part):
    """Which shares of the rows are held back for validation and test, and by what rule.

    Attributes:
        validation: Share of the rows on which configurations are compared.
        test: Share of the rows that nothing sees until the end.
        method: How a row finds its part; see ``tunelab.datasets.split``.
        group: For the method of that name: rows of equal value in this column stay together.
        time: For the method of that name: the column by which later rows are told from earlier.
        seed: Another seed deals the rows out anew.
    """

    validation: Annotated[float, _by(_SHARE)] = 0.2
    test: Annotated[float, _by(_SHARE)] = 0.2
    method: Annotated[str, _by(Name("split method", SPLIT_METHODS))] = "stratified"
    group: Annotated[str | None, BeforeValidator(_column)] = None
    time: Annotated[str | None, BeforeValidator(_column)] = None
    seed: Annotated[int, _by(_SEED)] = 0

    @classmethod
    def disagreements(cls, given: Mapping[str, Any]) -> list[Complaint]:
        """The shares must leave rows for training; ``group`` and ``time`` go with their methods."""
        return [*cls._too_large_shares(given), *cls._column_without_method(given)]

    @staticmethod
    def _too_large_shares(given: Mapping[str, Any]) -> list[Complaint]:
        shares = {}
        for key in ("validation", "test"):
            try:
                shares[key] = _SHARE.check(given.get(key, 0.2))
            except RefusedError:
                return []
        if sum(shares.values()) < 1:
            return []
        message = (
            f"validation and test must leave rows for training, got {shares['validation']:g}"
            f" + {shares['test']:g} of 1"
        )
        place = "validation" if "validation" in given else "test"
        return [Complaint((place,), RefusedError(message))]

    @staticmethod
    def _column_without_method(given: Mapping[str, Any]) -> list[Complaint]:
        complaints = []
        method = given.get("method", "stratified")
        known = isinstance(method, str) and method in SPLIT_METHODS
        for key in ("group", "time"):
            has_column = given.get(key) is not None
            if method == key and not has_column:
                message = f"is missing; the method {key} needs the name of a column"
                refused = RefusedError(message, "add this key", at_key=True)
            elif has_column and known and method != key:
                refused = RefusedError(
                    f"has no effect with the method {method}",
                    f"set method: {key}, or remove this key",
                    at_key=True,
                )
            else:
                continue
            complaints.append(Complaint((key,), refused))
        return complaints


class DataSpec(Part):
    """Where the rows come from, and how they are split.

    Attributes:
        source: What kind of thing they come from.
        name: The data set, for scikit-learn's.
        path: The file, for the others; relative to the study file until `located`.
        target: The columns to predict; for arrays, the name of theirs.
        drop: Columns that are left out.
        keep: The features, where all other columns are left out.
        categorical: Columns whose values are categories although they may look like numbers.
        delimiter: What stands between two fields of a CSV file.
        missing: What becomes of missing values: ``error``, ``impute`` or ``drop``.
        label_noise: Wrong labels on purpose.
        split: Which rows are for what.
    """

    source: Annotated[str, _by(Name("data source", tuple(SOURCE_KEYS)))]
    name: Annotated[str | None, _by(Name("data set", tuple(DATASETS)), optional=True)] = None
    path: Annotated[str | None, BeforeValidator(data_rules.path)] = None
    target: Annotated[tuple[str, ...] | None, BeforeValidator(some_column_names)] = None
    drop: Annotated[tuple[str, ...], BeforeValidator(column_names)] = ()
    keep: Annotated[tuple[str, ...] | None, BeforeValidator(some_column_names)] = None
    categorical: Annotated[tuple[str, ...], BeforeValidator(column_names)] = ()
    delimiter: Annotated[str | None, BeforeValidator(data_rules.delimiter)] = None
    missing: Annotated[str | None, _by(Name("policy", MISSING_POLICIES), optional=True)] = None
    label_noise: LabelNoise | None = None
    split: SplitSpec = Field(default_factory=SplitSpec)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """What is left out means the source's default; None, what has no effect with it."""
        return with_defaults(given)

    @classmethod
    def disagreements(cls, given: Mapping[str, Any]) -> list[Complaint]:
        """The source decides which keys are needed, and which have an effect."""
        return wrong_keys(given)

    def contradictions(self) -> list[Complaint]:
        """A column has one part to play."""
        complaints = []
        if self.drop and self.keep:
            message = "goes without keep, which drops every column that it does not list"
            complaints.append(Complaint(("drop",), RefusedError(message, at_key=True)))
        target = self.target or ()
        if self.keep and not set(self.keep) - {*target, self.split.group, self.split.time}:
            message = "must list a feature, a column that is neither target nor part of the split"
            complaints.append(Complaint(("keep",), RefusedError(message)))
        for index, column in enumerate(self.drop):
            if column in target:
                message = f"{shown(column)} is the target, which cannot be dropped"
                complaints.append(Complaint(("drop", index), RefusedError(message)))
        for index, column in enumerate(self.categorical):
            reason = self._no_feature(column)
            if reason is not None:
                complaints.append(Complaint(("categorical", index), RefusedError(reason)))
        for key in ("group", "time"):
            column = getattr(self.split, key)
            if column in target:
                message = f"{shown(column)} is the target, which cannot decide the split"
                complaints.append(Complaint(("split", key), RefusedError(message)))
        return complaints

    def _no_feature(self, column: str) -> str | None:
        """Why a column is no feature, if it is none."""
        if column in (self.target or ()):
            return f"{shown(column)} is the target: the task decides how it is read"
        if column in (self.split.group, self.split.time):
            return f"{shown(column)} decides the split and is no feature"
        if column in self.drop or (self.keep and column not in self.keep):
            return f"{shown(column)} is dropped, so it is no feature"
        return None

    def located(self, folder: Path) -> DataSpec:
        """The same data with an absolute path; a relative one counts from ``folder``.

        Args:
            folder: The folder of the study file.
        """
        if self.path is None:
            return self
        path = folder.absolute() / _expanded(Path(self.path))
        return self.model_copy(update={"path": str(path)})

    def to_mapping(self) -> dict[str, Any]:
        """The section in the syntax of a study file: what has no effect is left out."""
        mapping = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in super().to_mapping().items()
            if value != ()
        }
        if self.target is not None and len(self.target) == 1:
            mapping["target"] = self.target[0]
        return mapping


def _expanded(path: Path) -> Path:
    """The path with ``~`` replaced, where that names a home."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


class ObjectiveSpec(Part):
    """What the study makes as small or as large as it can, on the validation rows.

    Attributes:
        metric: The quantity.
        loss: What the networks are trained with, and what validation_loss means; None is the
            task's usual one. Part of the objective, and not of the space, because values of
            different losses cannot be compared.
    """

    metric: Annotated[str, _by(Name("metric", tuple(_DIRECTIONS)))] = "validation_loss"
    loss: Annotated[str | None, _by(Name("loss", _LOSSES), optional=True)] = None

    @property
    def direction(self) -> Direction:
        """``minimize`` or ``maximize``, as the metric implies."""
        return _DIRECTIONS[self.metric]


class PrunerSpec(Part):
    """When a trial is given up because others did better.

    Each pruner has settings of its own, and those of another are refused.

    Attributes:
        name: Which pruner.
        startup_trials: median, percentile: trials that must have completed before any is pruned.
        warm_up_epochs: median, percentile: epochs of a trial in which it is never pruned.
        min_trials: median, percentile: trials that must have reached an epoch before it is
            compared.
        percentile: percentile: how many of the trials go on, the best, in percent.
        min_resource: successive_halving: epochs up to the first comparison.
        reduction_factor: successive_halving: one trial in so many goes on, to so many times the
            epochs.
        min_early_stopping_rate: successive_halving: how many of the first comparisons are left
            out.
    """

    name: Annotated[str, _by(_PRUNER)] = "median"
    startup_trials: Annotated[int, _by(Number("int", 0, 1_000_000))] = 5
    warm_up_epochs: Annotated[int, _by(Number("int", 0, 1_000_000))] = 10
    min_trials: Annotated[int, _by(Number("int", 1, 1_000_000))] = 3
    percentile: Annotated[float, _by(Number("float", 0, 100))] = 25.0
    min_resource: Annotated[int, _by(Number("int", 1, 1_000_000))] = 10
    reduction_factor: Annotated[int, _by(Number("int", 2, 1000))] = 3
    # Twenty doublings of one epoch are more than any budget.
    min_early_stopping_rate: Annotated[int, _by(Number("int", 0, 20))] = 0

    @classmethod
    def _unknown_keys(cls, given: Mapping[str, Any]) -> list[Complaint]:
        """Keys that no pruner has, and settings of another pruner than the one that is named."""
        pruner = given.get("name", "median")
        if not isinstance(pruner, str) or pruner not in PRUNERS:
            return super()._unknown_keys(given)
        own = ("name", *_PRUNER_SETTINGS[pruner])
        return [
            Complaint((key,), cls._foreign(key, pruner, own)) for key in given if key not in own
        ]

    @classmethod
    def _foreign(cls, key: str, pruner: str, own: tuple[str, ...]) -> RefusedError:
        if key not in cls.known_keys():
            return unknown("key", key, own, at_key=True)
        owners = " and ".join(name for name, keys in _PRUNER_SETTINGS.items() if key in keys)
        has = " ".join(own[1:]) or "no settings"
        return RefusedError(
            f"is a setting of {owners}, but the pruner is {pruner}, which has {has}",
            "remove the key, or name the pruner that it belongs to",
            at_key=True,
        )

    @property
    def standard(self) -> str:
        """What a pruned trial missed, as in "0.9 is above 0.5, the median of 7 trials"."""
        if self.name == "median":
            return "the median"
        share = f"{self.percentile:g} %"
        if self.name == "successive_halving":
            share = f"1/{self.reduction_factor}"
        return f"the worst of the best {share}"

    @property
    def compares_completed_only(self) -> bool:
        """Whether trials that were pruned, or run, are no measure for others."""
        return self.name != "successive_halving"

    def to_mapping(self) -> dict[str, Any]:
        """The name and the settings that the pruner has."""
        mapping = super().to_mapping()
        return {key: mapping[key] for key in ("name", *_PRUNER_SETTINGS[self.name])}


_COMPARED = ("startup_trials", "warm_up_epochs", "min_trials")
_PRUNER_SETTINGS: dict[str, tuple[str, ...]] = {
    "median": _COMPARED,
    "percentile": ("percentile", *_COMPARED),
    "successive_halving": ("min_resource", "reduction_factor", "min_early_stopping_rate"),
    "none": (),
}


def _pruner(given: object) -> object:
    return PrunerSpec(name=_PRUNER.check(given)) if isinstance(given, str) else given


def _flag(given: object) -> bool:
    return Switch().check(given) == "on"


def _timeout(given: object) -> float | None:
    return None if given is None else seconds(given)


def _size(given: object) -> int | None:
    return None if given is None else n_bytes(given)


class SearchSpec(Part):
    """How configurations are proposed, and how much may be spent on them.

    Attributes:
        sampler: Which sampler.
        pruner: Which trials are given up early.
        trials: How many, as given; see `n_trials`.
        timeout_seconds: Running time of the study, summed over its starts; None for no limit.
        max_epochs: Budget of one trial.
        seed: Root of every random number of the search and of its trials.
        workers: Worker processes; None for one a core.
        stop_when_flat: Whether the study ends when its latest trials have improved nothing.
        trial_timeout_seconds: Training time of one trial, summed over its attempts; a trial that
            needs more has failed. None for no limit.
        trial_memory_bytes: By how much a trial may make its worker's address space grow; a trial
            that needs more has failed. None for no limit.
    """

    sampler: Annotated[str, _by(Name("sampler", SAMPLERS))] = "tpe"
    pruner: Annotated[PrunerSpec, BeforeValidator(_pruner)] = Field(default_factory=PrunerSpec)
    trials: Annotated[int | None, _by(Number("int", 1, 1_000_000), optional=True)] = None
    timeout_seconds: Annotated[float | None, BeforeValidator(_timeout)] = Field(
        default=None, alias="timeout"
    )
    max_epochs: Annotated[int, _by(MAX_EPOCHS)] = DEFAULT_MAX_EPOCHS
    seed: Annotated[int, _by(_SEED)] = 0
    workers: Annotated[int | None, _by(Number("int", 1, 1024), optional=True)] = None
    stop_when_flat: Annotated[bool, BeforeValidator(_flag)] = False
    trial_timeout_seconds: Annotated[float | None, BeforeValidator(_timeout)] = Field(
        default=None, alias="trial_timeout"
    )
    trial_memory_bytes: Annotated[int | None, BeforeValidator(_size)] = Field(
        default=None, alias="trial_memory"
    )

    def contradictions(self) -> list[Complaint]:
        """A grid is there to be walked to its end."""
        if not (self.stop_when_flat and self.sampler == GRID):
            return []
        refused = RefusedError(f"must be off for the sampler {GRID}, which visits every cell")
        return [Complaint(("stop_when_flat",), refused)]

    @classmethod
    def with_implied(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """A grid is there to be tried as a whole: nothing is given up unless a pruner is named."""
        if given.get("sampler") == GRID and "pruner" not in given:
            return {**given, "pruner": NO_PRUNER}
        return given

    @property
    def n_trials(self) -> int | None:
        """How many trials; None for a grid whose cells have not been counted yet."""
        default = None if self.sampler == GRID else DEFAULT_TRIALS
        return default if self.trials is None else self.trials
