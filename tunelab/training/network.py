"""A network: layers over one flat vector of parameters, and the plans that run them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunelab.training.activations import ACTIVATIONS
from tunelab.training.arrays import Floats
from tunelab.training.initializers import INITIALIZERS
from tunelab.training.layers import (
    ActivationLayer,
    Dense,
    Dropout,
    InputDense,
    Layer,
    OutputDense,
    Parameter,
)
from tunelab.training.losses import Loss
from tunelab.training.plan import Backward, Plan


@dataclass(frozen=True, eq=False)
class Pass:
    """A recorded pass with its two ends.

    Attributes:
        batch: What goes in, shape (batch, features + 1) and, while training, the target columns.
        outputs: What comes out, shape (outputs, batch).
        run: Replays the calls.
    """

    batch: Floats
    outputs: Floats
    run: Callable[[], None]


class Network:
    """Layers, their parameters and gradients, and the loss they are trained with.

    All parameters lie in one vector, all gradients in another, so that an optimizer updates a
    whole network with a handful of calls. What the L2 penalty covers comes first: ::

        W_2 | ... | W_output | W_1 | b_1 | b_2 | ... | b_output

    ``W_1`` is the last of the weights because its bias must follow it (see InputDense).

    The penalty is ``l2 / 2 * sum(W^2)`` over all weights and no biases, its gradient ``l2 * W``
    (Goodfellow et al. 2016, section 7.1.1). scikit-learn's ``alpha`` is divided by the batch size
    in addition; Keras' ``L2(l2)`` has no factor 1/2.

    Args:
        layers: From the input up. The first reads [x 1], the last leaves (outputs, batch).
        loss: The loss to minimise.
        n_features: Columns of ``x``, without the column of ones.
        n_outputs: Rows of the outputs.
        l2: Penalty on the weights, >= 0.
        dtype: float32 or float64.

    Attributes:
        params: Flat vector, shape (n_params,).
        grads: Likewise; the gradient of the last training pass.
        n_penalised: Length of the part that the penalty covers.

    Raises:
        ValueError: If ``l2`` is negative.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        loss: Loss,
        *,
        n_features: int,
        n_outputs: int,
        l2: float = 0.0,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        if not l2 >= 0.0:
            raise ValueError(f"l2 must be at least 0, got {l2}")
        self.layers = tuple(layers)
        self.loss = loss
        self.n_features = n_features
        self.n_outputs = n_outputs
        self.l2 = l2
        self.dtype = np.dtype(dtype)
        parameters = sorted(
            (parameter for layer in self.layers for parameter in layer.parameters),
            key=_penalised_first,
        )
        n_params = sum(parameter.size for parameter in parameters)
        self.n_penalised = sum(parameter.n_penalised for parameter in parameters)
        self.params: Floats = np.zeros(n_params, self.dtype)
        self.grads: Floats = np.zeros(n_params, self.dtype)
        start = 0
        for parameter in parameters:
            stop = start + parameter.size
            parameter.value = self.params[start:stop].reshape(parameter.shape)
            parameter.grad = self.grads[start:stop].reshape(parameter.shape)
            start = stop

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw first values for all parameters, layer by layer from the input up."""
        for layer in self.layers:
            layer.initialize(generator)

    def training_pass(self, batch_size: int) -> Pass:
        """Record forward, loss gradient, backward and penalty: one run fills ``grads``.

        The batch has the columns [x 1 targets].
        """
        plan = Plan(batch_size, self.dtype, training=True)
        n_inputs = self.n_features + 1
        batch = plan.buffer(batch_size, n_inputs + self.n_outputs)
        outputs, backwards = self._forward(plan, batch[:, :n_inputs])
        dy = self.loss.gradient(plan, outputs, batch[:, n_inputs:].T)
        for backward in reversed(backwards):
            dy = backward(dy)
        if self.l2 > 0.0:
            weights = self.params[: self.n_penalised]
            weight_grads = self.grads[: self.n_penalised]
            penalty = plan.buffer(self.n_penalised)
            plan.call(np.multiply, weights, plan.scalar(self.l2), penalty)
            plan.call(np.add, weight_grads, penalty, weight_grads)
        return Pass(batch, outputs, plan.run)

    def evaluation_pass(self, batch_size: int) -> Pass:
        """Record a forward pass in evaluation mode. The batch has the columns [x 1]."""
        plan = Plan(batch_size, self.dtype, training=False)
        batch = plan.buffer(batch_size, self.n_features + 1)
        outputs, _ = self._forward(plan, batch)
        return Pass(batch, outputs, plan.run)

    def export(self) -> dict[str, Floats]:
        """Copies of all parameters: ``layer_1.weights``, ``layer_1.bias``, ``layer_2.weights`` ...

        Layers without parameters are not counted. Weights have the shape (inputs, outputs).
        """
        exports = [arrays for layer in self.layers if (arrays := layer.export())]
        return {
            f"layer_{number}.{name}": array
            for number, arrays in enumerate(exports, start=1)
            for name, array in arrays.items()
        }

    def _forward(self, plan: Plan, x: Floats) -> tuple[Floats, list[Backward]]:
        """Record all layers; return the outputs and the layers' backward passes."""
        backwards = []
        for layer in self.layers:
            x, backward = layer.forward(plan, x)
            backwards.append(backward)
        return x, backwards


def _penalised_first(parameter: Parameter) -> int:
    """Sort key: wholly penalised, partly (the first layer, across the border), not at all."""
    if parameter.n_penalised == parameter.size:
        return 0
    return 1 if parameter.n_penalised else 2


def dense_layers(
    n_features: int,
    units: Sequence[int],
    n_outputs: int,
    *,
    activation: str,
    dropout_rate: float,
    dropout_bits: np.random.BitGenerator,
) -> list[Layer]:
    """The layers of a dense network: (dense, activation, dropout) for each hidden one, then dense.

    Args:
        n_features: Columns of ``x``.
        units: Width of each hidden layer, at least one layer of at least one unit.
        n_outputs: Classes, or target columns.
        activation: A key of ``ACTIVATIONS``.
        dropout_rate: In [0, 1); after every hidden layer. 0 leaves dropout out.
        dropout_bits: Random bits of all dropout layers.

    Raises:
        ValueError: If an argument is out of range or the activation unknown.
    """
    if not units or min(units) < 1:
        raise ValueError(f"units must name at least one layer of at least 1 unit, got {units}")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
    if not 0.0 <= dropout_rate < 1.0:
        raise ValueError(f"dropout_rate must be in [0, 1), got {dropout_rate}")
    function = ACTIVATIONS[activation]
    initializer = INITIALIZERS[function.initializer]
    layers: list[Layer] = []
    n_inputs = n_features
    for number, width in enumerate(units):
        dense = InputDense if number == 0 else Dense
        layers += [dense(n_inputs, width, initializer), ActivationLayer(function)]
        if dropout_rate > 0.0:
            layers.append(Dropout(dropout_rate, dropout_bits))
        n_inputs = width
    layers.append(OutputDense(n_inputs, n_outputs, INITIALIZERS["glorot_uniform"]))
    return layers
