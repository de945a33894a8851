"""A network: layers over one flat vector of parameters, and the plans that run them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunelab.training.activations import ACTIVATIONS
from tunelab.training.arrays import Floats
from tunelab.training.initializers import INITIALIZERS
from tunelab.training.layers import (
    ActivationLayer,
    BatchNorm,
    Dense,
    Dropout,
    InputDense,
    Layer,
    OutputDense,
    Parameter,
    Variable,
)
from tunelab.training.losses import Loss
from tunelab.training.plan import Backward, Plan

MATCHED = "matched"
"""In place of an initializer's name: the one that suits the activation."""


@dataclass(frozen=True, eq=False)
class Pass:
    """A recorded pass with its two ends.

    Attributes:
        batch: What goes in, shape (batch, features + 1) and, while training, the loss's columns.
        outputs: What comes out, shape (outputs, batch).
        start_epoch: To be called once before the first run of every epoch.
        run: Replays the calls.
    """

    batch: Floats
    outputs: Floats
    start_epoch: Callable[[], None]
    run: Callable[[], None]


class Network:
    """Layers, their parameters and gradients, and the loss they are trained with.

    All parameters lie in one vector, all gradients in another, so that an optimizer updates a
    whole network with a handful of calls. What the penalties cover comes first, and what training
    passes update without a gradient comes last: ::

        W_2 | ... | W_output | W_1 | b_1 | b_2 | ... | b_output | running statistics
        `---- penalised -----------'                            '
        `---- params -------------------------------------------'
        `---- values --------------------------------------------------------------'

    ``W_1`` is the last of the weights because its bias must follow it (see InputDense). With
    batch norm, gamma and beta stand in the place of the hidden layers' biases.

    The penalties are ``l1 * sum(|W|) + l2 / 2 * sum(W^2)`` over all weights and nothing else,
    their gradient ``l1 * sign(W) + l2 * W`` with sign(0) = 0 (Goodfellow et al. 2016, section
    7.1). scikit-learn's ``alpha`` is ``l2`` divided by the batch size; Keras' ``L2(l2)`` has no
    factor 1/2.

    Clipping comes last: a gradient, penalties included, whose Euclidean norm is above
    ``gradient_clip`` is scaled down to that norm (Pascanu et al. 2013, arXiv:1211.5063, Algorithm
    1; PyTorch's ``clip_grad_norm_``, Keras' ``global_clipnorm``).

    Args:
        layers: From the input up. The first reads [x 1], the last leaves (outputs, batch).
        loss: The loss to minimise.
        n_features: Columns of ``x``, without the column of ones.
        l1: Penalty on the weights, >= 0.
        l2: Likewise.
        gradient_clip: The greatest norm of a gradient, >= 0; 0 is no limit.
        dtype: float32 or float64.

    Attributes:
        values: Flat vector of all that training changes.
        params: Its trained part, shape (n_params,).
        grads: Likewise; the gradient of the last training pass.
        n_penalised: Length of the part that the penalties cover: all weights.

    Raises:
        ValueError: If a penalty or the clipping norm is negative or not finite.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        loss: Loss,
        *,
        n_features: int,
        l1: float = 0.0,
        l2: float = 0.0,
        gradient_clip: float = 0.0,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        for name, value in (("l1", l1), ("l2", l2), ("gradient_clip", gradient_clip)):
            if not 0.0 <= value < math.inf:
                raise ValueError(f"{name} must be at least 0 and finite, got {value}")
        self.layers = tuple(layers)
        self.loss = loss
        self.n_features = n_features
        self.n_outputs = loss.n_outputs
        self.l1 = l1
        self.l2 = l2
        self.gradient_clip = gradient_clip
        self.dtype = np.dtype(dtype)
        parameters = sorted(
            (parameter for layer in self.layers for parameter in layer.parameters),
            key=_penalised_first,
        )
        statistics = [statistic for layer in self.layers for statistic in layer.statistics]
        n_params = sum(parameter.size for parameter in parameters)
        n_statistics = sum(statistic.size for statistic in statistics)
        self.n_penalised = sum(parameter.n_penalised for parameter in parameters)
        self.values: Floats = np.zeros(n_params + n_statistics, self.dtype)
        self.params = self.values[:n_params]
        self.grads: Floats = np.zeros(n_params, self.dtype)
        self._norm_before_clipping = 0.0
        start = 0
        variables: list[Variable] = [*parameters, *statistics]
        for variable in variables:
            stop = start + variable.size
            variable.value = self.values[start:stop].reshape(variable.shape)
            if isinstance(variable, Parameter):
                variable.grad = self.grads[start:stop].reshape(variable.shape)
            start = stop

    def initialize(self, generator: np.random.Generator) -> None:
        """Set first values, layer by layer from the input up."""
        for layer in self.layers:
            layer.initialize(generator)

    def training_pass(self, batch_size: int) -> Pass:
        """Record forward, loss gradient, backward, penalties and clipping: one run fills ``grads``.

        The batch has the columns [x 1 targets].

        Raises:
            ValueError: If a layer cannot be trained with this batch size.
        """
        plan = Plan(batch_size, self.dtype, training=True)
        n_inputs = self.n_features + 1
        batch = plan.buffer(batch_size, n_inputs + self.loss.n_columns)
        outputs, backwards = self._forward(plan, batch[:, :n_inputs])
        dy = self.loss.gradient(plan, outputs, batch[:, n_inputs:].T)
        for backward in reversed(backwards):
            dy = backward(dy)
        self._record_penalties(plan)
        if self.gradient_clip > 0.0:
            plan.call(self._clip)
        return Pass(batch, outputs, plan.start_epoch, plan.run)

    def evaluation_pass(self, batch_size: int) -> Pass:
        """Record a forward pass in evaluation mode. The batch has the columns [x 1]."""
        plan = Plan(batch_size, self.dtype, training=False)
        batch = plan.buffer(batch_size, self.n_features + 1)
        outputs, _ = self._forward(plan, batch)
        return Pass(batch, outputs, plan.start_epoch, plan.run)

    def gradient_norm(self) -> float:
        """Euclidean norm of the last training pass's gradient, before it was clipped."""
        return self._norm_before_clipping if self.gradient_clip > 0.0 else _norm(self.grads)

    def export(self) -> dict[str, Floats]:
        """Copies of all values: ``layer_1.weights``, ``layer_1.bias``, ``layer_2.weights`` ...

        Weights have the shape (inputs, outputs). A number is that of a dense layer, and of the
        batch norm that follows it: ``layer_1.gamma``, ``layer_1.running_mean`` ...
        """
        return {
            f"{prefix}.{name}": array
            for prefix, _, arrays in self._exports()
            for name, array in arrays.items()
        }

    def load(self, exported: Mapping[str, Floats]) -> None:
        """Take over what `export` of an equal network gave.

        Raises:
            ValueError: If it comes from another network.
        """
        places = [(prefix, layer, arrays) for prefix, layer, arrays in self._exports() if arrays]
        expected = {
            f"{prefix}.{name}": array.shape
            for prefix, _, arrays in places
            for name, array in arrays.items()
        }
        given = {name: array.shape for name, array in exported.items()}
        if given != expected:
            raise ValueError(f"the weights must have the shapes {expected}, got {given}")
        for prefix, layer, arrays in places:
            layer.load({name: exported[f"{prefix}.{name}"] for name in arrays})

    def _exports(self) -> Iterator[tuple[str, Layer, dict[str, Floats]]]:
        number = 0
        for layer in self.layers:
            arrays = layer.export()
            number += "weights" in arrays
            yield f"layer_{number}", layer, arrays

    def _forward(self, plan: Plan, x: Floats) -> tuple[Floats, list[Backward]]:
        """Record all layers; return the outputs and the layers' backward passes."""
        backwards = []
        for layer in self.layers:
            x, backward = layer.forward(plan, x)
            backwards.append(backward)
        return x, backwards

    def _record_penalties(self, plan: Plan) -> None:
        """Record the addition of ``l1 * sign(W) + l2 * W`` to the gradient."""
        if self.l1 == self.l2 == 0.0:
            return
        weights, grads = self.params[: self.n_penalised], self.grads[: self.n_penalised]
        penalty = plan.buffer(self.n_penalised)
        if self.l1 > 0.0:
            # l1 * sign(W), for all but weights that are 0 in all but name (below l1 * 1e-28 in
            # float32). np.sign is not vectorised: with it l1 would cost half as much again.
            huge = float(np.finfo(self.dtype).max) ** 0.75
            plan.call(np.multiply, weights, plan.scalar(huge), penalty)
            plan.call(np.clip, penalty, plan.scalar(-self.l1), plan.scalar(self.l1), penalty)
            plan.call(np.add, grads, penalty, grads)
        if self.l2 > 0.0:
            plan.call(np.multiply, weights, plan.scalar(self.l2), penalty)
            plan.call(np.add, grads, penalty, grads)

    def _clip(self) -> None:
        """Scale the gradient down to the greatest norm, if it is above; remember its norm."""
        norm = self._norm_before_clipping = _norm(self.grads)
        if norm > self.gradient_clip:
            self.grads *= self.gradient_clip / norm


def _norm(vector: Floats) -> float:
    """Euclidean norm, also where the squares of float32 numbers leave float32's range."""
    square = float(np.dot(vector, vector))
    if not 1e-30 < square < math.inf:
        wide = vector.astype(np.float64)
        square = float(np.dot(wide, wide))
    return math.sqrt(square)


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
    dropout_bits: np.random.BitGenerator,
    dropout_rate: float = 0.0,
    batch_norm: bool = False,
    initializer: str = MATCHED,
) -> list[Layer]:
    """The layers of a dense network.

    Each hidden one is (dense, batch norm, activation, dropout), the second and the last if they
    are asked for; then comes a dense layer alone. Under batch norm hidden layers have no bias:
    beta has its place.

    Args:
        n_features: Columns of ``x``.
        units: Width of each hidden layer, at least one layer of at least one unit.
        n_outputs: Rows of the outputs.
        activation: A key of ``ACTIVATIONS``.
        dropout_bits: Random bits of all dropout layers.
        dropout_rate: In [0, 1); after every hidden layer. 0 leaves dropout out.
        batch_norm: Whether there is batch norm in every hidden layer.
        initializer: A key of ``INITIALIZERS``, for all weights; or ``matched``: for hidden layers
            the one that suits the activation, for the outputs, which are linear, glorot_uniform.

    Raises:
        ValueError: If an argument is out of range or a name unknown.
    """
    if not units or min(units) < 1:
        raise ValueError(f"units must name at least one layer of at least 1 unit, got {units}")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
    if initializer not in (MATCHED, *INITIALIZERS):
        names = ", ".join((MATCHED, *INITIALIZERS))
        raise ValueError(f"initializer must be one of {names}, got {initializer!r}")
    if not 0.0 <= dropout_rate < 1.0:
        raise ValueError(f"dropout_rate must be in [0, 1), got {dropout_rate}")
    function = ACTIVATIONS[activation]
    of_hidden, of_outputs = (
        (function.initializer, "glorot_uniform")
        if initializer == MATCHED
        else (initializer, initializer)
    )
    layers: list[Layer] = []
    n_inputs = n_features
    for number, width in enumerate(units):
        dense = InputDense if number == 0 else Dense
        layers.append(dense(n_inputs, width, INITIALIZERS[of_hidden], bias=not batch_norm))
        if batch_norm:
            layers.append(BatchNorm(width))
        layers.append(ActivationLayer(function))
        if dropout_rate > 0.0:
            layers.append(Dropout(dropout_rate, dropout_bits))
        n_inputs = width
    layers.append(OutputDense(n_inputs, n_outputs, INITIALIZERS[of_outputs]))
    return layers
