"""What a loss is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from tunelab.training.arrays import Floats, Ints
from tunelab.training.plan import Plan


class Loss(ABC):
    """A mean over examples: the gradient that training needs, the value that evaluation reports.

    A network's outputs arrive transposed, shape (outputs, batch), as the last layer leaves them.

    What exists for training only (label smoothing, class weights) is in ``columns`` and
    ``gradient``; ``each`` and ``predictions`` know nothing of it, so that runs with different
    settings have comparable losses.

    Attributes:
        n_outputs: Rows of the network's outputs.
        n_columns: Columns of ``columns``: a target for each output, and perhaps a weight.
    """

    n_outputs: int
    n_columns: int

    @abstractmethod
    def columns(self, y: Ints | Floats) -> Floats:
        """What ``gradient`` needs to know of every row, to be gathered together with the inputs.

        Args:
            y: Labels or targets, as in TrainingData.

        Returns:
            Shape (rows, n_columns).
        """

    @abstractmethod
    def gradient(self, plan: Plan, outputs: Floats, targets: Floats) -> Floats:
        """Record the gradient of the batch's mean loss.

        Args:
            plan: Where to record.
            outputs: Shape (n_outputs, batch), to be read only.
            targets: The batch's part of ``columns``, transposed: shape (n_columns, batch).

        Returns:
            The gradient by ``outputs``, of the same shape.
        """

    @abstractmethod
    def evaluate(self, outputs: Floats, y: Ints | Floats) -> tuple[Floats, Floats]:
        """The loss of every row, and what the outputs say; the two share most of their work.

        Args:
            outputs: Shape (n_outputs, rows).
            y: Labels or targets, as in TrainingData.

        Returns:
            Losses, shape (rows,), and predictions, as ``predictions`` returns them.
        """

    def each(self, outputs: Floats, y: Ints | Floats) -> Floats:
        """The loss of every row, shape (rows,). Arguments as for ``evaluate``."""
        return self.evaluate(outputs, y)[0]

    @abstractmethod
    def predictions(self, outputs: Floats) -> Floats:
        """What the outputs say: class probabilities, shape (n_classes, rows), or targets.

        Args:
            outputs: Shape (n_outputs, rows).
        """
