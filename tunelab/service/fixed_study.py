"""A study file in which one configuration is fixed: a result to be trained as it is."""

from __future__ import annotations

from tunelab.errors import NoCompletedTrialError
from tunelab.service.summary import StudySummary
from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.spec.sections import PrunerSpec
from tunelab.spec.space import Fixed, Space
from tunelab.spec.tables import NETWORK, NO_PRUNER
from tunelab.spec.yaml_writer import to_yaml
from tunelab.storage.trials import TrialRow

_LONGEST_NAME = 100


def best_number(summary: StudySummary) -> int:
    """The trial that counts as the study's best: the confirm stage's pick where there is one.

    Raises:
        NoCompletedTrialError: If no trial has completed.
    """
    if summary.confirmation is not None and summary.confirmation.pick is not None:
        return summary.confirmation.pick
    if summary.best is None:
        raise NoCompletedTrialError(
            f"{summary.study.title} has no completed trial yet",
            hint=f"`tunelab study trials {summary.study.name}` tells how its trials stand",
        )
    return summary.best.number


def fixed_study(summary: StudySummary, trial: TrialRow) -> str:
    """A study file of one trial, every hyperparameter a scalar.

    Data, objective, budget of epochs, monitor and confirm stage are the study's. A sweep is not
    taken over: what is fixed is not to be found again every night.
    """
    spec = summary.spec
    suffix = f"-trial-{trial.number}"
    search = spec.search.model_copy(
        update={
            "sampler": "random",  # there is nothing to choose, and a grid wants lists
            "pruner": PrunerSpec(name=NO_PRUNER),
            "trials": 1,
            "timeout_seconds": None,
            "stop_when_flat": False,
        }
    )
    fixed = spec.model_copy(
        update={
            "name": spec.name[: _LONGEST_NAME - len(suffix)] + suffix,
            "search": search,
            "space": space_of(Hyperparameters.from_flat(trial.hyperparameters)),
            "sweep": None,
            "description": None,
        }
    )
    return "".join(f"# {line}\n" for line in _about(summary, trial)) + to_yaml(fixed.to_mapping())


def space_of(configuration: Hyperparameters) -> Space:
    """The search space that holds this one configuration."""
    flat = configuration.to_flat()
    units = configuration.units
    return Space(
        optimizers={
            configuration.optimizer: {
                "learning_rate": Fixed(configuration.learning_rate),
                **{key: Fixed(v) for key, v in configuration.optimizer_settings.items()},
            }
        },
        schedules={
            configuration.schedule: {
                key: Fixed(value) for key, value in configuration.schedule_settings.items()
            }
        },
        network={name: Fixed(flat[name]) for name in NETWORK if name in flat},
        units_by_layer=tuple(map(Fixed, units)) if isinstance(units, tuple) else (),
    )


def _about(summary: StudySummary, trial: TrialRow) -> list[str]:
    metric, found = summary.spec.objective.metric, summary.confirmation
    lines = [f"Trial {trial.number} of {summary.study.title}, every hyperparameter fixed."]
    if trial.value is not None:
        lines.append(f"In the search: {metric} {trial.value:.4g} at epoch {trial.best_epoch}.")
    entry = found.of(trial.number) if found else None
    if entry is not None and entry.mean is not None:
        sure = "" if entry.half_width is None else f" ± {entry.half_width:.2g}"
        lines.append(f"Over {entry.n_scores} fresh seeds: {entry.mean:.4g}{sure}.")
    return lines
