"""An activation function as a layer."""

from __future__ import annotations

from tunelab.training.activations import Activation
from tunelab.training.arrays import Floats
from tunelab.training.layers.base import Layer
from tunelab.training.plan import Backward, Plan


class ActivationLayer(Layer):
    """``y = f(x)``, element by element.

    Args:
        activation: The function with its derivative.
    """

    def __init__(self, activation: Activation) -> None:
        self.activation = activation

    def forward(self, plan: Plan, x: Floats) -> tuple[Floats, Backward]:
        """Record ``y = f(x)``; backward ``dx = dy * f'(x)``."""
        return self.activation.record(plan, x)
