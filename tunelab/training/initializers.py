"""Initial weights: random, scaled so that signals keep their variance from layer to layer.

Three scales, each as a normal and as a uniform distribution of the same variance::

    he       2 / fan_in                 for relu and its kin
    glorot   2 / (fan_in + fan_out)     for tanh, sigmoid and linear outputs
    lecun    1 / fan_in                 for units that pass their input on unscaled

An initializer draws float64 numbers whatever the network's type, so that a float32 and a float64
run with one seed start from the same weights.

Keras draws its normal ones from a distribution cut off at two standard deviations and stretched
back to the same variance; here and in PyTorch they are not cut off. What PyTorch's ``Linear``
starts from unless told otherwise is none of these: uniform in ``+-1 / sqrt(fan_in)`` (it is called
as ``kaiming_uniform_`` with ``a=sqrt(5)``), a variance of ``1 / (3 * fan_in)`` and a sixth of He's,
for weights and biases alike. Biases start at 0 here, as in Keras.
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

    Source: He et al. (2015), arXiv:1502.01852, equation 10. PyTorch's ``kaiming_normal_``; Keras'
    ``he_normal`` is truncated.

    >>> weights = he_normal(np.random.default_rng(0), 50, 1000)
    >>> round(float(weights.std()), 3)  # sqrt(2 / 50)
    0.2
    """
    return _normal(generator, fan_in, fan_out, math.sqrt(2.0 / fan_in))


def he_uniform(
    generator: np.random.Generator, fan_in: int, fan_out: int
) -> npt.NDArray[np.float64]:
    """Uniform in ``+-sqrt(6 / fan_in)``, which has He's variance ``2 / fan_in``.

    Source: He et al. (2015), arXiv:1502.01852, equation 10, for the variance. Keras'
    ``he_uniform``, and PyTorch's ``kaiming_uniform_`` with ``a=0``.
    """
    limit = math.sqrt(6.0 / fan_in)
    return generator.uniform(-limit, limit, (fan_in, fan_out))


def glorot_normal(
    generator: np.random.Generator, fan_in: int, fan_out: int
) -> npt.NDArray[np.float64]:
    """Normal with variance ``2 / (fan_in + fan_out)``: between the needs of signals and gradients.

    Source: Glorot & Bengio (2010), equation 12. PyTorch's ``xavier_normal_``; Keras'
    ``glorot_normal`` is truncated.
    """
    return _normal(generator, fan_in, fan_out, math.sqrt(2.0 / (fan_in + fan_out)))


def glorot_uniform(
    generator: np.random.Generator, fan_in: int, fan_out: int
) -> npt.NDArray[np.float64]:
    """Uniform in ``+-sqrt(6 / (fan_in + fan_out))``, for tanh and for linear outputs.

    Source: Glorot & Bengio (2010), equation 16. Keras' default for dense layers, PyTorch's
    ``xavier_uniform_``. scikit-learn's networks have it too, but ``2`` for ``6`` under the sigmoid.

    >>> weights = glorot_uniform(np.random.default_rng(0), 50, 100)
    >>> round(float(weights.max()), 3)  # sqrt(6 / 150)
    0.2
    """
    limit = math.sqrt(6.0 / (fan_in + fan_out))
    return generator.uniform(-limit, limit, (fan_in, fan_out))


def lecun_normal(
    generator: np.random.Generator, fan_in: int, fan_out: int
) -> npt.NDArray[np.float64]:
    """Normal with variance ``1 / fan_in``, for units that pass their input on unscaled.

    Source: LeCun et al. (1998), "Efficient BackProp", equation 16. Keras' ``lecun_normal`` is
    truncated; PyTorch has it as ``kaiming_normal_`` with ``nonlinearity="linear"``.
    """
    return _normal(generator, fan_in, fan_out, math.sqrt(1.0 / fan_in))


def lecun_uniform(
    generator: np.random.Generator, fan_in: int, fan_out: int
) -> npt.NDArray[np.float64]:
    """Uniform in ``+-sqrt(3 / fan_in)``, which has LeCun's variance ``1 / fan_in``.

    Source: LeCun et al. (1998), "Efficient BackProp", equation 16, for the variance. Keras'
    ``lecun_uniform``, and PyTorch's ``kaiming_uniform_`` with ``nonlinearity="linear"``.
    """
    limit = math.sqrt(3.0 / fan_in)
    return generator.uniform(-limit, limit, (fan_in, fan_out))


def _normal(
    generator: np.random.Generator, fan_in: int, fan_out: int, deviation: float
) -> npt.NDArray[np.float64]:
    weights = generator.standard_normal((fan_in, fan_out))
    weights *= deviation  # in place: a large layer's second table would cost a millisecond
    return weights


INITIALIZERS: dict[str, Initializer] = {
    "he_normal": he_normal,
    "he_uniform": he_uniform,
    "glorot_normal": glorot_normal,
    "glorot_uniform": glorot_uniform,
    "lecun_normal": lecun_normal,
    "lecun_uniform": lecun_uniform,
}
