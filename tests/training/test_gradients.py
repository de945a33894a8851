"""Analytic gradients against central differences of an independently written loss, in float64."""

from __future__ import annotations

import numpy as np
import pytest

from tunelab.training.losses import LOSSES
from tunelab.training.network import Network, dense_layers

N_FEATURES = 4
FUNCTIONS = {"relu": lambda z: np.where(z > 0, z, 0.0), "tanh": np.tanh}


def reference_loss(weights, x, targets, *, activation, l2, masks, classification):
    """The penalised batch loss, from exported weights, as a textbook writes it."""
    n_layers = len(weights) // 2
    h = x
    for number in range(1, n_layers + 1):
        z = h @ weights[f"layer_{number}.weights"] + weights[f"layer_{number}.bias"]
        h = z if number == n_layers else FUNCTIONS[activation](z) * masks[number - 1]
    if classification:
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        loss = -np.log((p * targets).sum(axis=1)).mean()
    else:
        loss = ((z - targets) ** 2).mean()
    squares = sum((array**2).sum() for name, array in weights.items() if "weights" in name)
    return loss + l2 / 2 * squares


def draw_masks(bits, units, batch_size, dropout_rate):
    """Inverted dropout masks as documented: 16-bit draws below a threshold are kept."""
    if dropout_rate == 0.0:
        return [np.ones((batch_size, width)) for width in units]
    threshold = round((1 - dropout_rate) * 65536)
    masks = []
    for width in units:
        size = batch_size * width
        draws = bits.random_raw((size + 3) // 4).view(np.uint16)[:size]
        masks.append((draws < threshold).reshape(batch_size, width) * (65536 / threshold))
    return masks


def relative_error(a, b):
    return np.linalg.norm(a - b) / max(np.linalg.norm(a), np.linalg.norm(b))


@pytest.mark.parametrize("batch_size", [1, 5, 32])
@pytest.mark.parametrize(("l2", "dropout_rate"), [(0.0, 0.0), (0.03, 0.0), (0.0, 0.4), (0.03, 0.4)])
@pytest.mark.parametrize(
    ("task", "n_outputs"),
    [("classification", 2), ("classification", 3), ("regression", 1), ("regression", 2)],
)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("units", [[5], [6, 4], [5, 3, 4]], ids=str)
def test_gradients_equal_central_differences(
    units, activation, task, n_outputs, l2, dropout_rate, batch_size
):
    rng = np.random.default_rng([len(units), batch_size, n_outputs])
    bits = np.random.PCG64DXSM(7)
    layers = dense_layers(
        N_FEATURES,
        units,
        n_outputs,
        activation=activation,
        dropout_rate=dropout_rate,
        dropout_bits=bits,
    )
    network = Network(
        layers,
        LOSSES[task],
        n_features=N_FEATURES,
        n_outputs=n_outputs,
        l2=l2,
        dtype=np.float64,
    )
    network.params[:] = 0.7 * rng.normal(size=network.params.shape)  # biases are not 0 either
    x = rng.normal(size=(batch_size, N_FEATURES))
    if task == "classification":
        targets = np.eye(n_outputs)[rng.integers(n_outputs, size=batch_size)]
    else:
        targets = rng.normal(size=(batch_size, n_outputs))

    training = network.training_pass(batch_size)
    training.batch[:] = np.column_stack([x, np.ones(batch_size), targets])
    before = bits.state
    training.run()
    analytic = network.grads.copy()
    bits.state = before
    masks = draw_masks(bits, units, batch_size, dropout_rate)

    def loss():
        return reference_loss(
            network.export(),
            x,
            targets,
            activation=activation,
            l2=l2,
            masks=masks,
            classification=task == "classification",
        )

    numeric = np.empty_like(analytic)
    h = 1e-5
    for index, value in enumerate(network.params.copy()):
        network.params[index] = value + h
        above = loss()
        network.params[index] = value - h
        numeric[index] = (above - loss()) / (2 * h)
        network.params[index] = value
    assert np.linalg.norm(numeric) > 1e-3
    assert relative_error(analytic, numeric) < 1e-6


def test_a_pass_can_be_replayed_and_passes_of_two_sizes_do_not_disturb_each_other():
    rng = np.random.default_rng(1)
    bits = np.random.PCG64DXSM(1)
    layers = dense_layers(
        N_FEATURES, [5], 3, activation="relu", dropout_rate=0.0, dropout_bits=bits
    )
    network = Network(layers, LOSSES["classification"], n_features=N_FEATURES, n_outputs=3)
    network.initialize(rng)
    full, rest = network.training_pass(8), network.training_pass(3)
    for each in (full, rest):
        each.batch[:] = rng.normal(size=each.batch.shape)
        each.batch[:, N_FEATURES] = 1.0
    full.run()
    first = network.grads.copy()
    rest.run()
    assert not np.array_equal(network.grads, first)
    full.run()
    np.testing.assert_array_equal(network.grads, first)
