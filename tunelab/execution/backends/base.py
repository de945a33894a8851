"""What a training backend must offer: one method that starts a run, and the run it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.training.arrays import Floats, StateDict, TrainingData
from tunelab.training.records import EpochRecord


class Run(Protocol):
    """One training run: iterate over it for one :class:`EpochRecord` per finished epoch.

    Attributes:
        interrupted: Whether the iteration ended because the run was told to stop, not because
            its budget was used up. The epoch that was under way is discarded.
    """

    interrupted: bool

    def __iter__(self) -> Iterator[EpochRecord]: ...

    def keep_best(self) -> None:
        """Remember the weights of the epoch that was just yielded."""

    def restore_best(self) -> None:
        """Put the remembered weights back."""

    def state_dict(self) -> StateDict:
        """The state at the last finished epoch, from which the run continues to the bit."""

    def weights(self) -> Mapping[str, Any]:
        """The present weights by name; empty where there is nothing to keep."""


class Backend(Protocol):
    """Starts runs. The NumPy engine is one; another framework would be another."""

    def planned_rates(
        self, hyperparameters: Hyperparameters, *, max_epochs: int, n_train: int
    ) -> list[float]:
        """The rates at the first step of epochs 1 to ``max_epochs``, which the monitor must know.

        Args:
            hyperparameters: The configuration.
            max_epochs: The budget.
            n_train: Training rows: some schedules count steps.
        """

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
        """Start a run, or continue one.

        Args:
            hyperparameters: The configuration to train.
            data: Training and validation rows.
            max_epochs: The budget.
            seed: Decides initial weights, batch order and dropout.
            loss: Name of the loss to minimise; None for the task's usual one.
            score: Name of the metric to compute beside the losses; None for none.
            state: Of an earlier run with the same arguments, to continue from.
            should_stop: Read before every step; once true, the iteration ends.
        """

    def evaluate(
        self,
        hyperparameters: Hyperparameters,
        weights: Mapping[str, Any],
        data: TrainingData,
        *,
        loss: str | None,
        score: str,
    ) -> tuple[float, float | None]:
        """Judge the weights of an earlier run; nothing is trained.

        Args:
            hyperparameters: Of that run.
            weights: What its ``weights`` gave.
            data: That run's training rows, and as validation rows those to judge it by.
            loss: See ``start``; likewise ``score``.
            score: See ``loss``.

        Returns:
            Loss and score on the validation rows of ``data``.

        Raises:
            ValueError: If the weights belong to another network.
        """

    def predict(
        self, hyperparameters: Hyperparameters, weights: Mapping[str, Any], data: TrainingData
    ) -> Floats:
        """What the network of an earlier run says of the validation rows of ``data``.

        Args:
            hyperparameters: Of that run.
            weights: See ``evaluate``.
            data: See ``evaluate``.

        Returns:
            Class probabilities, or targets in original units, shape (rows, outputs).

        Raises:
            ValueError: If the weights belong to another network.
        """
