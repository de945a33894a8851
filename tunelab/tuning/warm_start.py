"""Configurations that did well in earlier generations, as far as they fit a search space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tunelab.spec.default_space import default_configuration
from tunelab.spec.space import Choice, Dimension, Fixed, FloatRange, Space, Value
from tunelab.spec.study import StudySpec
from tunelab.storage.earlier import best_of_earlier
from tunelab.storage.engine import Database
from tunelab.storage.models import champion_configuration
from tunelab.storage.studies import StudyRow
from tunelab.tuning.suggest import Suggester, preset_trial

Configuration = Mapping[str, Value]


def learned_before(database: Database, study: StudyRow, spec: StudySpec) -> list[Configuration]:
    """What earlier generations found, the champion first, for one that follows on them.

    The answer stays the same while the study goes on.
    """
    n_best = 0 if spec.sweep is None else spec.sweep.start_from_best
    if not n_best or not study.follows_earlier:
        return []
    maximize = spec.objective.direction == "maximize"
    earlier = database.fetch(lambda c: best_of_earlier(c, study, maximize=maximize))
    # Whoever held the title when the study was created.
    title = database.fetch(lambda c: champion_configuration(c, study.name, study.created_at))
    first = [] if title is None else fitting(spec.search_space, [title], 1)
    return fitting(spec.search_space, [*first, *earlier], len(first) + n_best)


def fitting(space: Space, configurations: Iterable[Configuration], n: int) -> list[Configuration]:
    """The first ``n`` different configurations that ``space`` could propose.

    The default configuration is none of them: every study begins with it anyway.

    Args:
        space: A complete space.
        configurations: Configuration hyperparameters, the best first.
        n: How many are wanted.
    """
    seen = [default_configuration(space).to_flat()]
    found: list[Configuration] = []
    for flat in configurations:
        if len(found) == n:
            break
        try:
            configured, _ = preset_trial(space, from_flat(flat))
        except ValueError:
            continue
        # A setting that this space does not know would be lost: that is another configuration.
        if configured.to_flat().keys() == flat.keys() and dict(flat) not in seen:
            seen.append(dict(flat))
            found.append(flat)
    return found


def from_flat(flat: Configuration) -> Suggester:
    """A suggester that answers as a flat configuration says.

    It raises a ValueError where that has no value for a dimension, or one outside of it.
    """

    def suggest(name: str, dimension: Dimension) -> Value:
        # optimizer.adam.learning_rate is learning_rate, schedule.cosine.floor is schedule.floor
        member, _, key = name.rpartition(".")
        place = f"schedule.{key}" if member.startswith("schedule.") else key
        value = flat.get(place)
        if value is None or not _holds(dimension, value):
            raise ValueError(f"{name}: {value!r} is not in {dimension}")
        return value

    return suggest


def _holds(dimension: Dimension, value: Value) -> bool:
    if isinstance(dimension, Fixed):
        return value == dimension.value
    if isinstance(dimension, Choice):
        return value in dimension.values
    if isinstance(value, str):
        return False
    if dimension.optional and value == 0:
        return True
    if not dimension.low <= value <= dimension.high:
        return False
    if isinstance(dimension, FloatRange):
        if dimension.step is None:
            return True
        return dimension.at(round((value - dimension.low) / dimension.step)) == value
    return isinstance(value, int) and (value - dimension.low) % dimension.step == 0
