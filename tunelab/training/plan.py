"""A plan: the calls of one pass through a network, recorded once and replayed for every batch.

On small networks NumPy's cost is not arithmetic but Python: looking up shapes, allocating results.
A layer therefore does not compute; it *records* what to compute, on buffers that it asks of the
plan, and the plan replays the list. Recording takes a few hundred microseconds and happens once
per (network, batch size); replaying allocates nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tunelab.training.arrays import Bools, Floats

Backward = Callable[[Floats], Floats]
"""Records a layer's backward pass: loss gradient at the output -> loss gradient at the input.

The gradient handed in is used up: it may be overwritten. Values of the forward pass may not.
"""


class Plan:
    """Recorded calls and the buffers they work on, for one batch size.

    Args:
        batch_size: Rows of a batch.
        dtype: Type of every buffer that is not asked for otherwise.
        training: Whether a backward pass follows; dropout is active only then.

    >>> plan = Plan(batch_size=2, dtype=np.float64, training=False)
    >>> x, y = plan.buffer(2), plan.buffer(2)
    >>> plan.call(np.add, x, x, y)
    >>> x[:] = [1.0, 2.0]
    >>> plan.run()
    >>> y
    array([2., 4.])
    """

    def __init__(self, batch_size: int, dtype: npt.DTypeLike, *, training: bool) -> None:
        self.batch_size = batch_size
        self.dtype = np.dtype(dtype)
        self.training = training
        self.calls: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self._zeros: dict[tuple[int, ...], Floats] = {}
        self._ones = np.ones(batch_size, self.dtype)

    def call(self, function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Append a call. Its arguments must be buffers, views of buffers or constants."""
        self.calls.append((partial(function, **kwargs) if kwargs else function, args))

    def run(self) -> None:
        """Replay every call in order."""
        for function, args in self.calls:
            function(*args)

    def buffer(self, *shape: int) -> Floats:
        """A new array with arbitrary content."""
        return np.empty(shape, self.dtype)

    def mask(self, *shape: int) -> Bools:
        """A new array of booleans with arbitrary content."""
        return np.empty(shape, np.bool_)

    def zeros(self, *shape: int) -> Floats:
        """A shared array of zeros, to be read only.

        Several ufuncs take their vectorised path only for operands of one shape: ``np.maximum``
        with such an array is three times as fast as with a scalar 0.
        """
        if shape not in self._zeros:
            self._zeros[shape] = np.zeros(shape, self.dtype)
        return self._zeros[shape]

    @property
    def ones(self) -> Floats:
        """A shared vector of ones, shape (batch,), to be read only.

        ``ones @ a`` sums the rows of ``a`` several times as fast as ``a.sum(axis=0)``.
        """
        return self._ones

    def scalar(self, value: float) -> Floats:
        """A constant as an array without axes, which NumPy converts once and not in each call."""
        return np.array(value, self.dtype)
