"""tunelab's own engine as a backend: one configuration becomes one training run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tunelab.execution.backends.base import Run
from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.training.arrays import Floats, StateDict, TrainingData
from tunelab.training.loop import TrainingRun, never, steps_per_epoch
from tunelab.training.optimizers import make_optimizer
from tunelab.training.schedules import Schedule, make_schedule, planned_rates


class NumpyBackend:
    """Trains dense networks on the processor, in one thread."""

    def planned_rates(
        self, hyperparameters: Hyperparameters, *, max_epochs: int, n_train: int
    ) -> list[float]:
        """The learning rates at the first step of epochs 1 to ``max_epochs``."""
        return planned_rates(
            _schedule(hyperparameters, max_epochs, n_train),
            max_epochs,
            steps_per_epoch=_steps(hyperparameters, n_train),
        )

    def start(
        self,
        hyperparameters: Hyperparameters,
        data: TrainingData,
        *,
        max_epochs: int,
        seed: int,
        loss: str | None,
        score: str | None,
        state: StateDict | None,
        should_stop: Callable[[], bool],
    ) -> Run:
        """Start or continue a run, as :class:`tunelab.execution.backends.base.Backend` says."""
        run = _run(
            hyperparameters,
            data,
            max_epochs=max_epochs,
            seed=seed,
            loss=loss,
            score=score,
            should_stop=should_stop,
        )
        if state is not None:
            run.load_state_dict(state)
        return run

    def evaluate(
        self,
        hyperparameters: Hyperparameters,
        weights: Mapping[str, Any],
        data: TrainingData,
        *,
        loss: str | None,
        score: str,
    ) -> tuple[float, float | None]:
        """Judge weights, as :class:`tunelab.execution.backends.base.Backend` says."""
        return _loaded(hyperparameters, weights, data, loss=loss, score=score).evaluate()

    def predict(
        self, hyperparameters: Hyperparameters, weights: Mapping[str, Any], data: TrainingData
    ) -> Floats:
        """Predict, as :class:`tunelab.execution.backends.base.Backend` says."""
        return _loaded(hyperparameters, weights, data).predict(data.x_validation)


def _loaded(
    hyperparameters: Hyperparameters,
    weights: Mapping[str, Any],
    data: TrainingData,
    *,
    loss: str | None = None,
    score: str | None = None,
) -> TrainingRun:
    """A run that has the weights of an earlier one."""
    # Whatever the rates were, one that needs no budget of epochs.
    constant = replace(hyperparameters, schedule="constant", schedule_settings={})
    run = _run(constant, data, max_epochs=1, seed=0, loss=loss, score=score)
    run.load_weights(weights)
    return run


def _run(
    hyperparameters: Hyperparameters,
    data: TrainingData,
    *,
    max_epochs: int,
    seed: int,
    loss: str | None,
    score: str | None,
    should_stop: Callable[[], bool] = never,
) -> TrainingRun:
    return TrainingRun(
        data,
        units=hyperparameters.widths(data.n_outputs),
        activation=hyperparameters.activation,
        initializer=hyperparameters.initializer or "matched",
        batch_norm=hyperparameters.batch_norm,
        dropout_rate=hyperparameters.dropout_rate,
        l1=hyperparameters.l1 or 0.0,
        l2=hyperparameters.l2,
        gradient_clip=hyperparameters.gradient_clip or 0.0,
        label_smoothing=hyperparameters.label_smoothing or 0.0,
        class_weight=hyperparameters.class_weight or "none",
        loss=loss,
        optimizer=make_optimizer(
            hyperparameters.optimizer, dict(hyperparameters.optimizer_settings)
        ),
        schedule=_schedule(hyperparameters, max_epochs, len(data.x_train)),
        batch_size=hyperparameters.batch_size,
        max_epochs=max_epochs,
        seed=seed,
        score=score,
        should_stop=should_stop,
    )


def _steps(hyperparameters: Hyperparameters, n_train: int) -> int:
    return steps_per_epoch(
        n_train, hyperparameters.batch_size, batch_norm=hyperparameters.batch_norm
    )


def _schedule(hyperparameters: Hyperparameters, max_epochs: int, n_train: int) -> Schedule:
    return make_schedule(
        hyperparameters.schedule,
        hyperparameters.learning_rate,
        max_epochs,
        dict(hyperparameters.schedule_settings),
        steps_per_epoch=_steps(hyperparameters, n_train),
    )
