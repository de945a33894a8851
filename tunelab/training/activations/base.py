"""What an activation function is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tunelab.training.arrays import Floats
from tunelab.training.plan import Backward, Plan


@dataclass(frozen=True)
class Activation:
    """One member of the family.

    Attributes:
        name: As in study files.
        record: Records ``y = f(z)``, elementwise on shape (batch, units), and returns ``y`` with
            the backward pass ``dz = dy * f'(z)``, which works in place on ``dy`` and ``y``.
        initializer: Name of the initializer that suits the weights below it.

    >>> import numpy as np
    >>> from tunelab.training.activations import ACTIVATIONS
    >>> plan = Plan(batch_size=1, dtype=np.float64, training=False)
    >>> y, backward = ACTIVATIONS["leaky_relu"].record(plan, np.array([[-2.0, 0.0, 3.0]]))
    >>> plan.run()
    >>> y
    array([[-0.02,  0.  ,  3.  ]])
    """

    name: str
    record: Callable[[Plan, Floats], tuple[Floats, Backward]]
    initializer: str
