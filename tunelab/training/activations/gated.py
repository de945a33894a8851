"""Gated units: ``z`` times a sigmoid of ``z``, smooth cousins of the rectifier."""

from __future__ import annotations

import math

import numpy as np

from tunelab.training.activations.sigmoids import record_sigmoid
from tunelab.training.arrays import Floats
from tunelab.training.plan import Backward, Plan

_CUBIC = 0.044715
_ROOT = math.sqrt(2.0 / math.pi)


def silu(plan: Plan, z: Floats) -> tuple[Floats, Backward]:
    """Sigmoid linear unit, also called swish.

    For ``s = sigmoid(z)``::

        y = z * s          f'(z) = s + z * s * (1 - s) = s * (1 + z - y)

    Source: Elfwing et al. (2018), arXiv:1702.03118; Ramachandran et al. (2017), arXiv:1710.05941.
    """
    s, y = plan.buffer(*z.shape), plan.buffer(*z.shape)
    plan.call(np.multiply, z, plan.scalar(0.5), s)
    record_sigmoid(plan, s)
    plan.call(np.multiply, z, s, y)

    def backward(dy: Floats) -> Floats:
        plan.call(np.subtract, z, y, y)
        plan.call(np.add, y, plan.scalar(1.0), y)
        plan.call(np.multiply, y, s, y)
        plan.call(np.multiply, dy, y, dy)
        return dy

    return y, backward


def gelu(plan: Plan, z: Floats) -> tuple[Floats, Backward]:
    """Gaussian error linear unit in the tanh form.

    With ``g(z) = sqrt(2 / pi) * (z + 0.044715 * z^3)`` and ``s = sigmoid(2 * g(z))``::

        y = z * (1 + tanh(g(z))) / 2 = z * s
        f'(z) = s + z * s * (1 - s) * 2 * g'(z) = s * (1 + (z - y) * 2 * g'(z))
        g'(z) = sqrt(2 / pi) * (1 + 3 * 0.044715 * z^2)

    Source: Hendrycks & Gimpel (2016), arXiv:1606.08415, section 2. It approximates
    ``z * Phi(z)``, where ``Phi`` is the normal distribution function. PyTorch and Keras compute
    that by default (the error function, which NumPy lacks), and this with ``approximate="tanh"``
    and ``approximate=True``. The two differ by at most 4.8e-4 (at z = +-2.7), their derivatives by
    at most 8.7e-4 (at z = +-2.0).
    """
    square, s, y = (plan.buffer(*z.shape) for _ in range(3))
    plan.call(np.square, z, square)
    plan.call(np.multiply, square, plan.scalar(_ROOT * _CUBIC), s)
    plan.call(np.add, s, plan.scalar(_ROOT), s)
    plan.call(np.multiply, s, z, s)
    record_sigmoid(plan, s)
    plan.call(np.multiply, z, s, y)

    def backward(dy: Floats) -> Floats:
        plan.call(np.multiply, square, plan.scalar(6.0 * _ROOT * _CUBIC), square)
        plan.call(np.add, square, plan.scalar(2.0 * _ROOT), square)
        plan.call(np.subtract, z, y, y)
        plan.call(np.multiply, y, square, y)
        plan.call(np.add, y, plan.scalar(1.0), y)
        plan.call(np.multiply, y, s, y)
        plan.call(np.multiply, dy, y, dy)
        return dy

    return y, backward
