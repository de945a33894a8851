"""Activation functions, each with its derivative beside it and the initializer that suits it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tunelab.training.arrays import Floats
from tunelab.training.plan import Backward, Plan


@dataclass(frozen=True)
class Activation:
    """One member of the family.

    Attributes:
        name: As in study files.
        record: Records ``y = f(z)``, elementwise on shape (batch, units), and returns ``y`` with
            the backward pass ``dz = dy * f'(z)``.
        initializer: Name of the initializer for the weights below it.
    """

    name: str
    record: Callable[[Plan, Floats], tuple[Floats, Backward]]
    initializer: str


def relu(plan: Plan, z: Floats) -> tuple[Floats, Backward]:
    """Rectifier, ``y = max(z, 0)``, with ``dz = dy * (z > 0)``: the derivative at 0 is 0."""
    y = plan.buffer(*z.shape)
    zeros = plan.zeros(*z.shape)
    plan.call(np.maximum, z, zeros, out=y)

    def backward(dy: Floats) -> Floats:
        positive = plan.mask(*z.shape)
        plan.call(np.greater, z, zeros, positive)
        plan.call(np.multiply, dy, positive, dy)
        return dy

    return y, backward


def tanh(plan: Plan, z: Floats) -> tuple[Floats, Backward]:
    """Hyperbolic tangent, with ``dz = dy * (1 - y^2)``."""
    y = plan.buffer(*z.shape)
    plan.call(np.tanh, z, y)

    def backward(dy: Floats) -> Floats:
        slope = plan.buffer(*z.shape)
        plan.call(np.multiply, y, y, slope)
        plan.call(np.subtract, plan.scalar(1.0), slope, slope)
        plan.call(np.multiply, dy, slope, dy)
        return dy

    return y, backward


ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation("relu", relu, initializer="he_normal"),
        Activation("tanh", tanh, initializer="glorot_uniform"),
    )
}
