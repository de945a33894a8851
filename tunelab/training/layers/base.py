"""What a layer is, and what a parameter is."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from tunelab.training.arrays import Floats
from tunelab.training.plan import Backward, Plan


class Parameter:
    """One array of trainable numbers, a view into the network's flat vectors.

    Args:
        shape: Shape of the view.
        n_penalised: How many of its leading numbers the L2 penalty covers; None for all.

    Attributes:
        value: The numbers. Set by the network, like ``grad``.
        grad: The loss gradient, filled by the layer's backward pass.
    """

    value: Floats
    grad: Floats

    def __init__(self, *shape: int, n_penalised: int | None = None) -> None:
        self.shape = shape
        self.size = int(np.prod(shape))
        self.n_penalised = self.size if n_penalised is None else n_penalised


class Layer(ABC):
    """A step of the network from the input up.

    A layer is built for a fixed number of inputs and outputs. The network collects the
    ``parameters`` of all layers, lays them out in one vector and hands each its view; then it
    records the layer into as many plans as there are batch sizes. A layer keeps no buffers of
    its own.
    """

    parameters: tuple[Parameter, ...] = ()

    def initialize(self, generator: np.random.Generator) -> None:  # noqa: B027 (most have nothing)
        """Draw first values for the parameters."""

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
        """Named copies of the parameters in their usual shapes, to use outside the engine."""
        return {}
