"""Rectifiers: the identity above 0, and below it nothing, little, or a bounded curve."""

from __future__ import annotations

import numpy as np

from tunelab.training.arrays import Floats
from tunelab.training.plan import Backward, Plan

LEAKY_SLOPE = 0.01


def relu(plan: Plan, z: Floats) -> tuple[Floats, Backward]:
    """Rectified linear unit.

    ::

        y = max(z, 0)          f'(z) = 1 if z > 0 else 0

    Source: Nair & Hinton (2010), ICML. The derivative at 0 is 0, as in PyTorch and Keras.
    """
    y = plan.buffer(*z.shape)
    plan.call(np.maximum, z, plan.zeros(*z.shape), out=y)

    def backward(dy: Floats) -> Floats:
        _record_is_positive(plan, z, y)
        plan.call(np.multiply, dy, y, dy)
        return dy

    return y, backward


def leaky_relu(plan: Plan, z: Floats) -> tuple[Floats, Backward]:
    """Rectifier that lets a hundredth pass below 0, so that no unit can die.

    ::

        y = max(z, 0.01 * z)          f'(z) = 1 if z > 0 else 0.01

    Source: Maas et al. (2013), ICML workshop. The slope is PyTorch's; Keras' function has 0.2, its
    layer 0.3.
    """
    y = plan.buffer(*z.shape)
    plan.call(np.multiply, z, plan.scalar(LEAKY_SLOPE), y)
    plan.call(np.maximum, z, y, out=y)

    def backward(dy: Floats) -> Floats:
        _record_is_positive(plan, z, y)
        plan.call(np.multiply, y, plan.scalar(1.0 - LEAKY_SLOPE), y)
        plan.call(np.add, y, plan.scalar(LEAKY_SLOPE), y)
        plan.call(np.multiply, dy, y, dy)
        return dy

    return y, backward


def elu(plan: Plan, z: Floats) -> tuple[Floats, Backward]:
    """Exponential linear unit with ``alpha`` = 1: smooth at 0, and -1 far below it.

    ::

        y = z if z > 0 else exp(z) - 1          f'(z) = exp(min(z, 0))

    Source: Clevert et al. (2016), arXiv:1511.07289, whose experiments start from He's weights.
    PyTorch and Keras have the same ``alpha``, but compute ``expm1(z)``: for z just below 0 this
    keeps digits which ``exp(z) - 1`` rounds off at 1e-7 (float32), at twice the time.

    How it is computed: ``exp(min(z, 0)) - 1`` is 0 above 0 and not below ``z`` elsewhere, so that
    ``y`` is the greater of it and ``z``; and the exponential is the derivative.
    """
    slope, y = plan.buffer(*z.shape), plan.buffer(*z.shape)
    plan.call(np.minimum, z, plan.zeros(*z.shape), out=slope)
    plan.call(np.exp, slope, slope)
    plan.call(np.subtract, slope, plan.scalar(1.0), y)
    plan.call(np.maximum, z, y, out=y)

    def backward(dy: Floats) -> Floats:
        plan.call(np.multiply, dy, slope, dy)
        return dy

    return y, backward


def _record_is_positive(plan: Plan, z: Floats, out: Floats) -> None:
    """Record ``out <- 1 if z > 0 else 0``.

    As numbers, because a product with booleans converts them through a buffer that it allocates.
    """
    positive = plan.mask(*z.shape)
    plan.call(np.greater, z, plan.scalar(0.0), positive)
    plan.call(np.copyto, out, positive)
