"""Fully connected layers: in the middle, at the input and at the output of a network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tunelab.training.arrays import Floats
from tunelab.training.initializers import Initializer
from tunelab.training.layers.base import Layer, Parameter
from tunelab.training.plan import Backward, Plan


class Dense(Layer):
    """``y = x W + b``, with ``W`` of shape (inputs, outputs).

    Args:
        n_inputs: Columns of ``x``.
        n_outputs: Columns of ``y``.
        initializer: Draws ``W``; ``b`` starts at zero.
        bias: Whether there is ``b``. A batch norm that follows would take it out again.
    """

    def __init__(
        self, n_inputs: int, n_outputs: int, initializer: Initializer, *, bias: bool = True
    ) -> None:
        self.n_inputs = n_inputs
        self.n_outputs = n_outputs
        self.initializer = initializer
        self.weights = Parameter(n_inputs, n_outputs)
        self.bias = Parameter(n_outputs, n_penalised=0) if bias else None
        self.parameters = (self.weights,) if self.bias is None else (self.weights, self.bias)

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw ``W``, and set ``b`` to zero."""
        self.weights.value[...] = self.initializer(generator, self.n_inputs, self.n_outputs)
        if self.bias is not None:
            self.bias.value[...] = 0.0

    def forward(self, plan: Plan, x: Floats) -> tuple[Floats, Backward]:
        """Record ``y = x W + b``; backward ``dW = x' dy``, ``db = 1' dy``, ``dx = dy W'``."""
        weights, bias = self.weights, self.bias
        y = plan.buffer(plan.batch_size, self.n_outputs)
        plan.call(np.dot, x, weights.value, y)
        if bias is not None:
            plan.call(np.add, y, bias.value, y)

        def backward(dy: Floats) -> Floats:
            plan.call(np.dot, x.T, dy, weights.grad)
            if bias is not None:
                plan.call(np.dot, plan.ones, dy, bias.grad)
            dx = plan.buffer(plan.batch_size, self.n_inputs)
            plan.call(np.dot, dy, weights.value.T, dx)
            return dx

        return y, backward

    def export(self) -> dict[str, Floats]:
        """``weights``, shape (inputs, outputs), and ``bias``, shape (outputs,), if there is one."""
        arrays = {"weights": self.weights.value.copy()}
        if self.bias is not None:
            arrays["bias"] = self.bias.value.copy()
        return arrays

    def load(self, arrays: Mapping[str, Floats]) -> None:
        """See :class:`tunelab.training.layers.base.Layer`."""
        self.weights.value[...] = arrays["weights"]
        if self.bias is not None:
            self.bias.value[...] = arrays["bias"]


class InputDense(Layer):
    """The first layer: ``y = [x 1] [W; b]``, with the bias as the last row of one matrix.

    The column of ones comes with the data, so adding the bias and summing its gradient are part
    of two matrix products that are computed anyway. Nothing lies below, so no ``dx`` is computed.

    Args:
        n_inputs: Features, without the column of ones.
        n_outputs: Columns of ``y``.
        initializer: Draws ``W``; ``b`` starts at zero.
        bias: Whether there is ``b``; without it the column of ones is not read.
    """

    def __init__(
        self, n_inputs: int, n_outputs: int, initializer: Initializer, *, bias: bool = True
    ) -> None:
        self.n_inputs = n_inputs
        self.n_outputs = n_outputs
        self.initializer = initializer
        self.matrix = Parameter(
            n_inputs + 1 if bias else n_inputs, n_outputs, n_penalised=n_inputs * n_outputs
        )
        self.parameters = (self.matrix,)

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw ``W``, and set ``b`` to zero."""
        self.matrix.value[...] = 0.0
        self.matrix.value[: self.n_inputs] = self.initializer(
            generator, self.n_inputs, self.n_outputs
        )

    def forward(self, plan: Plan, x: Floats) -> tuple[Floats, Backward]:
        """Record ``y = x M``; backward ``dM = x' dy``. ``x``: shape (batch, features + 1)."""
        matrix = self.matrix
        x = x[:, : matrix.shape[0]]
        y = plan.buffer(plan.batch_size, self.n_outputs)
        # x is a part of the batch's columns. np.dot, a little faster on whole arrays, would copy
        # it in every call; np.matmul hands it to BLAS as it lies.
        plan.call(np.matmul, x, matrix.value, y)

        def backward(dy: Floats) -> Floats:
            plan.call(np.matmul, x.T, dy, matrix.grad)
            return dy

        return y, backward

    def export(self) -> dict[str, Floats]:
        """``weights``, shape (features, outputs), and ``bias``, shape (outputs,), if any."""
        n, value = self.n_inputs, self.matrix.value
        arrays = {"weights": value[:n].copy()}
        if len(value) > n:
            arrays["bias"] = value[n].copy()
        return arrays

    def load(self, arrays: Mapping[str, Floats]) -> None:
        """See :class:`tunelab.training.layers.base.Layer`."""
        n, value = self.n_inputs, self.matrix.value
        value[:n] = arrays["weights"]
        if len(value) > n:
            value[n] = arrays["bias"]


class OutputDense(Layer):
    """The last layer, transposed: ``y' = W' x' + b``, shape (outputs, batch).

    Outputs are few and rows many, and what a loss does with them runs over the outputs of one
    row: in this layout that is a few vector operations over long, contiguous memory.

    Args:
        n_inputs: Columns of ``x``.
        n_outputs: Rows of the result.
        initializer: Draws ``W``; ``b`` starts at zero.
    """

    def __init__(self, n_inputs: int, n_outputs: int, initializer: Initializer) -> None:
        self.n_inputs = n_inputs
        self.n_outputs = n_outputs
        self.initializer = initializer
        self.weights = Parameter(n_outputs, n_inputs)  # W', the transpose
        self.bias = Parameter(n_outputs, n_penalised=0)
        self.parameters = (self.weights, self.bias)

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw ``W``, and set ``b`` to zero."""
        self.weights.value[...] = self.initializer(generator, self.n_inputs, self.n_outputs).T
        self.bias.value[...] = 0.0

    def forward(self, plan: Plan, x: Floats) -> tuple[Floats, Backward]:
        """Record ``y' = W' x' + b``; backward ``dW' = dy' x``, ``db = dy' 1``, ``dx = dy W'``."""
        weights, bias = self.weights, self.bias
        y = plan.buffer(self.n_outputs, plan.batch_size)
        plan.call(np.dot, weights.value, x.T, y)
        plan.call(np.add, y, bias.value[:, np.newaxis], y)

        def backward(dy: Floats) -> Floats:
            plan.call(np.dot, dy, x, weights.grad)
            plan.call(np.dot, dy, plan.ones, bias.grad)
            dx = plan.buffer(plan.batch_size, self.n_inputs)
            plan.call(np.dot, dy.T, weights.value, dx)
            return dx

        return y, backward

    def export(self) -> dict[str, Floats]:
        """``weights``, shape (inputs, outputs), and ``bias``, shape (outputs,)."""
        return {"weights": self.weights.value.T.copy(), "bias": self.bias.value.copy()}

    def load(self, arrays: Mapping[str, Floats]) -> None:
        """See :class:`tunelab.training.layers.base.Layer`."""
        self.weights.value[...] = arrays["weights"].T
        self.bias.value[...] = arrays["bias"]
