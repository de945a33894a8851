"""The optimizers by the names that study files use."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from tunelab.training.optimizers.adam import Adam
from tunelab.training.optimizers.base import Optimizer
from tunelab.training.optimizers.sgd import SGD


def sgd() -> SGD:
    """Plain stochastic gradient descent."""
    return SGD()


def momentum(*, momentum: float = 0.9) -> SGD:
    """Classical momentum."""
    return SGD(momentum=momentum)


def nesterov(*, momentum: float = 0.9) -> SGD:
    """Nesterov momentum."""
    return SGD(momentum=momentum, nesterov=True)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "adam": Adam,
}


def make_optimizer(name: str, settings: Mapping[str, float]) -> Optimizer:
    """Build an optimizer from the names of a study file.

    Args:
        name: A key of ``OPTIMIZERS``.
        settings: The method's own parameters: momentum, beta_1, beta_2, epsilon.

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
