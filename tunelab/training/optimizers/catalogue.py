"""The optimizers by the names that study files use."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from tunelab.training.optimizers.adadelta import AdaDelta
from tunelab.training.optimizers.adagrad import AdaGrad
from tunelab.training.optimizers.adam import Adam
from tunelab.training.optimizers.adamw import AdamW
from tunelab.training.optimizers.base import Optimizer
from tunelab.training.optimizers.nadam import NAdam
from tunelab.training.optimizers.rmsprop import RMSprop
from tunelab.training.optimizers.sgd import SGD


def sgd() -> SGD:
    """Plain stochastic gradient descent.

    For a weight ``w`` and its gradient ``g``, averaged over the examples of a step::

        w <- w - learning_rate * g

    Source: Robbins & Monro (1951); Goodfellow et al. (2016), Alg. 8.1. The same in PyTorch and
    Keras. The ``decay`` in the lecture's ``SGD(lr=..., decay=lr/epochs)``, which Keras has since
    dropped, is no part of the method: here it is the schedule ``inverse_time``.

    >>> import numpy as np
    >>> w = np.array([1.0])
    >>> sgd().bind(w).step(w, np.array([2.0]), learning_rate=0.1)
    >>> w
    array([0.8])
    """
    return SGD()


def momentum(*, momentum: float = 0.9) -> SGD:
    """Stochastic gradient descent with classical momentum.

    For a weight ``w``, its gradient ``g`` and velocity ``v``, at first 0::

        v <- momentum * v - learning_rate * g
        w <- w + v

    Under a steady gradient the steps grow to 1 / (1 - momentum) times those of plain descent.

    Source: Polyak (1964); Goodfellow et al. (2016), Alg. 8.2, as in the lecture. Keras and
    scikit-learn have the same formula. PyTorch keeps the rate out of the velocity, ``v <- momentum
    * v + g`` and ``w <- w - learning_rate * v``: the two agree only while the rate is constant;
    after a drop PyTorch slows down at once, this form over the next steps.

    Args:
        momentum: Share of the velocity kept per step, in [0, 1). 0 is plain descent.

    Raises:
        ValueError: If ``momentum`` is out of range.

    >>> import numpy as np
    >>> w = np.array([1.0])
    >>> optimizer = momentum(momentum=0.5).bind(w)
    >>> for _ in range(2):
    ...     optimizer.step(w, np.array([2.0]), learning_rate=0.1)
    ...     print(w.round(4))  # v = -0.2, then 0.5 * -0.2 - 0.2 = -0.3
    [0.8]
    [0.5]
    """
    return SGD(momentum=momentum)


def nesterov(*, momentum: float = 0.9) -> SGD:
    """Stochastic gradient descent with Nesterov momentum.

    For a weight ``w``, its gradient ``g`` and velocity ``v``, at first 0::

        v <- momentum * v - learning_rate * g
        w <- w + momentum * v - learning_rate * g

    The gradient is taken ahead of the classical method's point, where the velocity is about to
    lead, and so corrects it sooner.

    Source: Nesterov (1983); Sutskever et al. (2013); Goodfellow et al. (2016), Alg. 8.3, as in the
    lecture. There the gradient is taken at ``w + momentum * v``; here ``w`` already is that point,
    as in Keras and scikit-learn, and the two sequences differ by that shift alone. PyTorch has the
    same form with the rate outside the velocity: the two agree only while the rate is constant.

    Args:
        momentum: Share of the velocity kept per step, in (0, 1).

    Raises:
        ValueError: If ``momentum`` is out of range.

    >>> import numpy as np
    >>> w = np.array([1.0])
    >>> optimizer = nesterov(momentum=0.5).bind(w)
    >>> optimizer.step(w, np.array([2.0]), learning_rate=0.1)
    >>> w  # v = -0.2: 1 + 0.5 * -0.2 - 0.2
    array([0.7])
    """
    return SGD(momentum=momentum, nesterov=True)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "adagrad": AdaGrad,
    "adadelta": AdaDelta,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
    "nadam": NAdam,
}


def make_optimizer(name: str, settings: Mapping[str, float]) -> Optimizer:
    """Build an optimizer from the names of a study file.

    Args:
        name: A key of ``OPTIMIZERS``.
        settings: The method's own settings by name, such as momentum or beta_1. What is left out
            stays at its default.

    Raises:
        ValueError: If the name or a setting is unknown, or a value out of range.

    >>> make_optimizer("nesterov", {"momentum": 0.8}).momentum
    0.8
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {name!r}")
    factory = OPTIMIZERS[name]
    unknown = set(settings) - set(inspect.signature(factory).parameters)
    if unknown:
        raise ValueError(f"{name}: unknown settings {', '.join(sorted(unknown))}")
    return factory(**settings)
