"""Initial weights: random, scaled so that signals keep their variance from layer to layer.

An initializer draws float64 numbers whatever the network's type, so that a float32 and a float64
run with one seed start from the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Initializer = Callable[[np.random.Generator, int, int], npt.NDArray[np.float64]]
"""(generator, fan_in, fan_out) -> weights, shape (fan_in, fan_out)."""


def he_normal(generator: np.random.Generator, fan_in: int, fan_out: int) -> npt.NDArray[np.float64]:
    """Normal with variance ``2 / fan_in``, for units that pass half their input (relu).

    Source: He et al. (2015), arXiv:1502.01852. Not truncated, unlike Keras' ``he_normal``.
    """
    return generator.standard_normal((fan_in, fan_out)) * math.sqrt(2.0 / fan_in)


def glorot_uniform(
    generator: np.random.Generator, fan_in: int, fan_out: int
) -> npt.NDArray[np.float64]:
    """Uniform in ``+-sqrt(6 / (fan_in + fan_out))``, for tanh and for linear outputs.

    Source: Glorot & Bengio (2010), equation 16.
    """
    limit = math.sqrt(6.0 / (fan_in + fan_out))
    return generator.uniform(-limit, limit, (fan_in, fan_out))


INITIALIZERS: dict[str, Initializer] = {
    "he_normal": he_normal,
    "glorot_uniform": glorot_uniform,
}
