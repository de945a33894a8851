"""tunelab's own engine as a backend: one configuration becomes one training run."""

from __future__ import annotations

from collections.abc import Callable

from tunelab.execution.backends.base import Run
from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.training.arrays import StateDict, TrainingData
from tunelab.training.loop import TrainingRun
from tunelab.training.optimizers import make_optimizer
from tunelab.training.schedules import Schedule, make_schedule, planned_rates


class NumpyBackend:
    """Trains dense networks on the processor, in one thread."""

    def planned_rates(self, hyperparameters: Hyperparameters, max_epochs: int) -> list[float]:
        """The learning rates of epochs 1 to ``max_epochs``."""
        return planned_rates(_schedule(hyperparameters, max_epochs), max_epochs)

    def start(
        self,
        hyperparameters: Hyperparameters,
        data: TrainingData,
        *,
        max_epochs: int,
        seed: int,
        score: str | None,
        state: StateDict | None,
        should_stop: Callable[[], bool],
    ) -> Run:
        """Start or continue a run, as :class:`tunelab.execution.backends.base.Backend` says."""
        run = TrainingRun(
            data,
            units=[hyperparameters.units] * hyperparameters.layers,
            activation=hyperparameters.activation,
            dropout_rate=hyperparameters.dropout_rate,
            l2=hyperparameters.l2,
            optimizer=make_optimizer(
                hyperparameters.optimizer, dict(hyperparameters.optimizer_settings)
            ),
            schedule=_schedule(hyperparameters, max_epochs),
            batch_size=hyperparameters.batch_size,
            max_epochs=max_epochs,
            seed=seed,
            score=score,
            should_stop=should_stop,
        )
        if state is not None:
            run.load_state_dict(state)
        return run


def _schedule(hyperparameters: Hyperparameters, max_epochs: int) -> Schedule:
    return make_schedule(
        hyperparameters.schedule,
        hyperparameters.learning_rate,
        max_epochs,
        dict(hyperparameters.schedule_settings),
    )
