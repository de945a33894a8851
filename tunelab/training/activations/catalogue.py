"""The activation functions by the names that study files use."""

from __future__ import annotations

from tunelab.training.activations.base import Activation
from tunelab.training.activations.gated import gelu, silu
from tunelab.training.activations.rectifiers import elu, leaky_relu, relu
from tunelab.training.activations.sigmoids import sigmoid, tanh

ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation("relu", relu, initializer="he_uniform"),
        Activation("leaky_relu", leaky_relu, initializer="he_uniform"),
        Activation("elu", elu, initializer="he_uniform"),
        Activation("gelu", gelu, initializer="he_uniform"),
        Activation("silu", silu, initializer="he_uniform"),
        Activation("tanh", tanh, initializer="glorot_uniform"),
        Activation("sigmoid", sigmoid, initializer="glorot_uniform"),
    )
}
"""All activation functions, each with the initializer that suits it.

Of each pair of initializers it is the uniform one, as in PyTorch and scikit-learn: it trains the
same, and its numbers are drawn in a fifth of the time, which a large network's first step shows.

He's weights keep the mean square of signals that pass a rectifier. Per layer they multiply it by
1.00 under leaky_relu, 1.29 under elu, 0.85 under gelu and 0.71 under silu (for normal ``z``): near
enough to 1 for the depths that dense networks have. Glorot's suit tanh, whose slope at 0 is 1. The
sigmoid's is 1/4, so under it signals fade; it has Glorot's in PyTorch, Keras and scikit-learn too.
"""
