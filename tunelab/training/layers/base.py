"""What a layer is, and the two kinds of numbers it can hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from tunelab.training.arrays import Floats
from tunelab.training.plan import Backward, Plan


class Variable:
    """One array of numbers that training changes, a view into the network's flat vector.

    Args:
        shape: Shape of the view.

    Attributes:
        value: The numbers. Set by the network.
    """

    value: Floats

    def __init__(self, *shape: int) -> None:
        self.shape = shape
        self.size = int(np.prod(shape))


class Parameter(Variable):
    """A variable that the optimizer changes, by its gradient.

    Args:
        shape: Shape of the view.
        n_penalised: How many of its leading numbers the penalties cover; None for all.

    Attributes:
        grad: The loss gradient, filled by the layer's backward pass. Set by the network.
    """

    grad: Floats

    def __init__(self, *shape: int, n_penalised: int | None = None) -> None:
        super().__init__(*shape)
        self.n_penalised = self.size if n_penalised is None else n_penalised


class Statistic(Variable):
    """A variable that training passes change themselves, and evaluation reads."""


class Layer(ABC):
    """A step of the network from the input up.

    A layer is built for a fixed number of inputs and outputs. The network collects the
    ``parameters`` and ``statistics`` of all layers, lays them out in one vector and hands each
    its view; then it records the layer into as many plans as there are batch sizes. A layer keeps
    no buffers of its own.
    """

    parameters: tuple[Parameter, ...] = ()
    statistics: tuple[Statistic, ...] = ()

    def initialize(self, generator: np.random.Generator) -> None:  # noqa: B027 (most have nothing)
        """Set or draw first values for parameters and statistics."""

    @abstractmethod
    def forward(self, plan: Plan, x: Floats) -> tuple[Floats, Backward]:
        """Record the forward pass.

        Args:
            plan: Where to record, and whether for training.
            x: Input, shape (batch, inputs). It belongs to the layer below: to be read only.

        Returns:
            The output, and the function that records the backward pass into the same plan. That
            function fills ``grad`` of every parameter; it is called only while training.
        """

    def export(self) -> dict[str, Floats]:
        """Named copies of what the layer holds, in usual shapes, to use outside the engine."""
        return {}

    def load(self, arrays: Mapping[str, Floats]) -> None:  # noqa: B027 (most have nothing)
        """Take over what `export` of a layer of the same shape gave.

        Raises:
            ValueError: If a shape does not fit.
        """
