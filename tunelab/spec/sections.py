"""The sections of a study file below the top level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from tunelab.spec.durations import seconds
from tunelab.spec.part import Complaint, Part
from tunelab.spec.rules import Name, Number, RefusedError, Rule
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
DEFAULT_TRIALS = 60
DEFAULT_MAX_EPOCHS = 100

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

    Attributes:
        startup_trials: Trials that always run to their own end.
        warm_up_epochs: Epochs of a trial in which it is never pruned.
        min_trials: Trials that must have reached an epoch before it is compared.
    """

    name: Annotated[str, _by(_PRUNER)] = "median"
    startup_trials: Annotated[int, _by(Number("int", 0, 1_000_000))] = 5
    warm_up_epochs: Annotated[int, _by(Number("int", 0, 1_000_000))] = 10
    min_trials: Annotated[int, _by(Number("int", 1, 1_000_000))] = 3


def _pruner(given: object) -> object:
    return PrunerSpec(name=_PRUNER.check(given)) if isinstance(given, str) else given


def _timeout(given: object) -> float | None:
    return None if given is None else seconds(given)


class SearchSpec(Part):
    """How configurations are proposed, and how much may be spent on them.

    Attributes:
        trials: How many, as given; see `n_trials`.
    """

    sampler: Annotated[str, _by(Name("sampler", SAMPLERS))] = "tpe"
    pruner: Annotated[PrunerSpec, BeforeValidator(_pruner)] = Field(default_factory=PrunerSpec)
    trials: Annotated[int | None, _by(Number("int", 1, 1_000_000), optional=True)] = None
    timeout_seconds: Annotated[float | None, BeforeValidator(_timeout)] = Field(
        default=None, alias="timeout"
    )
    max_epochs: Annotated[int, _by(Number("int", 1, 1_000_000))] = DEFAULT_MAX_EPOCHS
    seed: Annotated[int, _by(_SEED)] = 0
    workers: Annotated[int | None, _by(Number("int", 1, 1024), optional=True)] = None

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
