"""What is allowed in a study, and yet probably not meant: said by ``study validate``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from tunelab.errors import Problem
from tunelab.service.resolved_space import Axis, axes, count_searched
from tunelab.spec.default_space import default_value
from tunelab.spec.part import Place
from tunelab.spec.problems import dotted
from tunelab.spec.space import Choice, Dimension, Fixed, FloatRange, IntRange, bounds
from tunelab.spec.study import StudySpec
from tunelab.spec.study_file import StudyDocument
from tunelab.spec.tables import GRID
from tunelab.training.monitor.plan import make_plan
from tunelab.training.schedules import parse_rates

TRIALS_PER_HYPERPARAMETER = 10
LARGEST_BATCH_SHARE = 0.1
FEW_ROWS = 10
"""Training rows of a class below which it is hardly learnt."""

_MOST_CLASSES_NAMED = 5
_ANYWHERE = FloatRange(-math.inf, math.inf)


@dataclass(frozen=True)
class Rows:
    """What is known of the rows that a search may see.

    Attributes:
        n_train: Training rows; likewise ``n_validation``.
        class_counts: Class -> its training rows and its validation rows; empty for regression.
        notes: What was odd about the data, a sentence each.
    """

    n_train: int
    n_validation: int
    class_counts: Mapping[str, tuple[int, int]]
    notes: tuple[str, ...] = ()


def advice_on(document: StudyDocument, spec: StudySpec, rows: Rows) -> list[Problem]:
    """Everything about a study that should give pause, in the order of its file.

    Args:
        document: The study file.
        spec: The same, resolved.
        rows: Its data.
    """

    def placed(place: Place, message: str, hint: str | None) -> Problem:
        problem = Problem(str(document.path), None, None, dotted(place), message, hint)
        # What the file does not say has no line in it.
        return problem if document.source(place) is None else document.located(problem)

    given = [axis for axis in axes(spec.search_space) if document.source(axis.place) is not None]
    found = [
        *_nothing_to_search(spec),
        *_few_trials(spec),
        *_without_default(given),
        *_impatience(given, spec, patience_given=document.source(_PATIENCE) is not None),
        *_large_batches(given, rows),
        *_small_classes(rows),
        *_moving_rows(spec),
        *((("data",), note, None) for note in rows.notes),
    ]
    problems = [placed(*item) for item in found]
    return sorted(problems, key=lambda item: (item.line or math.inf, item.column or 0))


Finding = tuple[Place, str, str | None]
"""Where, what, and what to do."""

_PATIENCE: Place = ("monitor", "patience")


def _nothing_to_search(spec: StudySpec) -> Iterator[Finding]:
    active, _ = count_searched(spec.search_space)
    if active == 0:
        yield ("space",), "nothing is searched: every trial has the same configuration", None


def _few_trials(spec: StudySpec) -> Iterator[Finding]:
    active, _ = count_searched(spec.search_space)
    enough = TRIALS_PER_HYPERPARAMETER * active
    if spec.search.sampler != GRID and spec.n_trials < enough:
        yield (
            ("search", "trials"),
            f"{spec.n_trials} is few for {active} hyperparameters",
            f"{enough} would be {TRIALS_PER_HYPERPARAMETER} for each; or fix some of them",
        )


def _without_default(given: list[Axis]) -> Iterator[Finding]:
    for axis in given:
        dimension = axis.dimension
        if not isinstance(dimension, FloatRange | IntRange) or axis.name.endswith(".tau"):
            continue  # the default of tau is the whole run, whatever that is
        usual = default_value(axis.name, _ANYWHERE)
        if axis.default != usual:
            yield (
                axis.place,
                f"{dimension.low:g} to {dimension.high:g} leaves out the default, {usual:g}",
                f"trial 0 takes {axis.default:g} instead",
            )


def _impatience(given: list[Axis], spec: StudySpec, *, patience_given: bool) -> Iterator[Finding]:
    criteria = spec.monitor.criteria()
    if not criteria.early_stopping:
        return
    considered = axes(spec.search_space) if patience_given else given
    # The patience at a rate that has fallen, and at a high one that is still to fall.
    patience = make_plan(criteria, spec.search.max_epochs, [1.0]).patience[0]
    for axis in considered:
        if axis.place[1] != "schedule" or len(axis.place) < 4:
            continue
        epochs = _interval(axis.place[3], axis.dimension)
        waits = patience * criteria.high_rate_factor if axis.place[3] == "hold" else patience
        if min(epochs, spec.search.max_epochs) > waits:
            message = (
                f"the rate may stay as it is for {epochs} epochs, and the monitor's patience is "
                f"{waits:g}: a trial may be stopped before its rate falls"
            )
            yield axis.place, message, "shorten the interval, or give monitor.patience"


def _interval(setting: str | int, dimension: Dimension) -> int:
    """The greatest number of epochs that a schedule's setting keeps the rate; 0: it does not."""
    if setting in ("every", "hold"):
        return int(bounds(dimension)[1])
    if setting == "rates":
        values = dimension.values if isinstance(dimension, Choice) else ()
        tables = [dimension.value] if isinstance(dimension, Fixed) else values
        starts = [[0, *parse_rates(str(table))] for table in tables]
        return max((b - a for table in starts for a, b in pairwise(table)), default=0)
    return 0


def _large_batches(given: list[Axis], rows: Rows) -> Iterator[Finding]:
    for axis in given:
        if axis.name != "batch_size":
            continue
        largest = int(bounds(axis.dimension)[1])
        if largest > LARGEST_BATCH_SHARE * rows.n_train:
            n_steps = math.ceil(rows.n_train / largest)
            steps = "1 step" if n_steps == 1 else f"{n_steps} steps"
            message = (
                f"{largest} is more than a tenth of the {rows.n_train} training rows: an epoch "
                f"has {steps}"
            )
            kept = max(int(LARGEST_BATCH_SHARE * rows.n_train), 1)
            yield axis.place, message, f"at most {kept} keeps ten or more"


def _small_classes(rows: Rows) -> Iterator[Finding]:
    small = sorted(
        (train, validation, name)
        for name, (train, validation) in rows.class_counts.items()
        if train < FEW_ROWS
    )
    for train, validation, name in small[:_MOST_CLASSES_NAMED]:
        message = (
            f"the class {name!r} has {train} of the training rows and {validation} of the "
            "validation rows: too few to learn it, or to tell whether it was learnt"
        )
        yield ("data",), message, None
    if len(small) > _MOST_CLASSES_NAMED:
        n = len(small) - _MOST_CLASSES_NAMED
        yield ("data",), f"{n} more classes have fewer than {FEW_ROWS} training rows", None


def _moving_rows(spec: StudySpec) -> Iterator[Finding]:
    if spec.sweep and spec.data.path is not None and spec.data.split.method == "stratified":
        message = (
            "stratified deals all rows out anew when rows are added: the next start of the sweep "
            "may train on rows that were test"
        )
        yield ("data", "split", "method"), message, "hash keeps every row where it was"
