"""The sections of a study file below the top level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from tunelab.spec.durations import seconds
from tunelab.spec.part import Complaint, Part
from tunelab.spec.rules import Name, Number, RefusedError, Rule, Switch, unknown
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
_PRUNER = Name("pruner", PRUNERS)


def _by(rule: Rule, *, optional: bool = False) -> BeforeValidator:
    def check(given: object) -> object:
        return None if given is None and optional else rule.check(given)

    return BeforeValidator(check)


class LabelNoise(Part):
    """A share of the training and validation rows gets the label of another class."""

    share: Annotated[float, _by(Number("float", 0, 1))]
    seed: Annotated[int, _by(_SEED)] = 0


class SplitSpec(Part):
    """Which shares of the rows are held back for validation and test."""

    validation: Annotated[float, _by(_SHARE)] = 0.2
    test: Annotated[float, _by(_SHARE)] = 0.2
    method: Annotated[str, _by(Name("split method", ("stratified",)))] = "stratified"
    seed: Annotated[int, _by(_SEED)] = 0

    @classmethod
    def disagreements(cls, given: Mapping[str, Any]) -> list[Complaint]:
        """The two shares must leave rows for training."""
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


class DataSpec(Part):
    """Where the rows come from, and how they are split."""

    source: Annotated[str, _by(Name("data source", ("sklearn",)))]
    name: Annotated[str, _by(Name("data set", tuple(DATASETS)))]
    label_noise: LabelNoise | None = None
    split: SplitSpec = Field(default_factory=SplitSpec)


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
