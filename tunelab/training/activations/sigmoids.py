"""S-shaped functions: bounded above and below."""

from __future__ import annotations

import numpy as np

from tunelab.training.arrays import Floats
from tunelab.training.plan import Backward, Plan


def tanh(plan: Plan, z: Floats) -> tuple[Floats, Backward]:
    """Hyperbolic tangent, between -1 and 1.

    ::

        y = tanh(z)          f'(z) = 1 - y^2

    Source: LeCun et al. (1998), "Efficient BackProp", section 4.4, on why its outputs about 0
    train faster than the sigmoid's.
    """
    y = plan.buffer(*z.shape)
    plan.call(np.tanh, z, y)

    def backward(dy: Floats) -> Floats:
        plan.call(np.square, y, y)
        plan.call(np.subtract, plan.scalar(1.0), y, y)
        plan.call(np.multiply, dy, y, dy)
        return dy

    return y, backward


def sigmoid(plan: Plan, z: Floats) -> tuple[Floats, Backward]:
    """Logistic sigmoid, between 0 and 1.

    ::

        y = 1 / (1 + exp(-z))          f'(z) = y * (1 - y)

    Source: Goodfellow et al. (2016), section 6.3.2.

    How it is computed: see ``record_sigmoid``. Far below 0 PyTorch keeps ``y = exp(z)``, here it
    is 0 below about -17 (float32), as ``1 - y`` is above 17 in both.
    """
    y = plan.buffer(*z.shape)
    plan.call(np.multiply, z, plan.scalar(0.5), y)
    record_sigmoid(plan, y)

    def backward(dy: Floats) -> Floats:
        plan.call(np.multiply, dy, y, dy)
        plan.call(np.subtract, plan.scalar(1.0), y, y)
        plan.call(np.multiply, dy, y, dy)
        return dy

    return y, backward


def record_sigmoid(plan: Plan, half: Floats) -> None:
    """Record ``half <- sigmoid(2 * half)`` in place.

    As ``(1 + tanh(half)) / 2``, which cannot overflow and, with NumPy's kernels, takes less time
    than ``1 / (1 + exp(-2 * half))``. It is exact to the type's ``eps`` in absolute terms.
    """
    plan.call(np.tanh, half, half)
    plan.call(np.multiply, half, plan.scalar(0.5), half)
    plan.call(np.add, half, plan.scalar(0.5), half)
