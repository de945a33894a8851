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

The gradient handed in is used up: it may be overwritten. Values of the forward pass may not, but
for the layer's own output: nothing above reads it any more.
"""

Calls = list[tuple[Callable[..., object], tuple[Any, ...]]]
"""Functions with their arguments, in order."""


class Plan:
    """Recorded calls and the buffers they work on, for one batch size.

    Args:
        batch_size: Rows of a batch.
        dtype: Type of every buffer that is not asked for otherwise.
        training: Whether a backward pass follows; dropout is active only then, and batch norm
            uses the batch's own mean and variance.

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
        self._calls: Calls = []
        self._epoch_calls: Calls = []
        self._zeros: dict[tuple[int, ...], Floats] = {}
        self._tables: dict[tuple[tuple[int, ...], np.dtype[Any], int], npt.NDArray[Any]] = {}
        self._ones = np.ones(batch_size, self.dtype)
        self._averaging = np.full(batch_size, 1.0 / batch_size, self.dtype)

    def call(self, function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Append a call. Its arguments must be buffers, views of buffers or constants.

        A ufunc that has to repeat, convert or collect an operand (a vector for every row, booleans
        as numbers, a part of a table's columns) would allocate and fill a table for it each time
        (NumPy 2.3 and later, of up to 8192 elements). The plan records that copy as a call of its
        own, into a table it keeps.
        """
        if isinstance(function, np.ufunc) and function.signature is None:
            args = self._with_tables(function, args, kwargs.get("out", args[-1]))
        self._calls.append((partial(function, **kwargs) if kwargs else function, args))

    def _with_tables(
        self, function: np.ufunc, args: tuple[Any, ...], out: npt.NDArray[Any]
    ) -> tuple[Any, ...]:
        """``args``, with a table in the place of each operand that is not like the result."""
        operands = args[: function.nin]
        types = [operand.dtype for operand in operands]
        loop_types = function.resolve_dtypes((*types, out.dtype))
        replaced = list(args)
        for place, operand in enumerate(operands):
            lies_alike = operand.shape == out.shape and operand.flags.c_contiguous
            if not (lies_alike or operand.ndim == 0) or operand.dtype != loop_types[place]:
                key = (out.shape, loop_types[place], place)
                if key not in self._tables:
                    self._tables[key] = np.empty(out.shape, loop_types[place])
                table = self._tables[key]
                self._calls.append((np.copyto, (table, operand)))
                replaced[place] = table
        return tuple(replaced)

    def call_each_epoch(self, function: Callable[..., object], *args: Any) -> None:
        """Append a call to the list that is replayed once, before an epoch's first run."""
        self._epoch_calls.append((function, args))

    def start_epoch(self) -> None:
        """Replay the calls that belong to the start of an epoch."""
        for function, args in self._epoch_calls:
            function(*args)

    def run(self) -> None:
        """Replay every call in order."""
        for function, args in self._calls:
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

    @property
    def averaging(self) -> Floats:
        """A shared vector of ``1 / batch``, shape (batch,), to be read only: for means of rows."""
        return self._averaging

    def scalar(self, value: float) -> Floats:
        """A constant as an array without axes, which NumPy converts once and not in each call."""
        return np.array(value, self.dtype)
