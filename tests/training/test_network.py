"""The flat vector, initial weights, and passes over many rows."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tunelab.training.evaluation import LEAST_ROWS, MOST_ROWS, Evaluator, chunk_rows
from tunelab.training.initializers import INITIALIZERS
from tunelab.training.losses import SoftmaxCrossEntropy
from tunelab.training.network import Network, dense_layers


def make_network(units=(5, 4), *, n_features=3, n_classes=2, l1=0.0, l2=0.0, clip=0.0, **settings):
    defaults = {"activation": "relu", "dropout_bits": np.random.PCG64DXSM(0)}
    layers = dense_layers(n_features, units, n_classes, **(defaults | settings))
    loss = SoftmaxCrossEntropy(n_classes)
    return Network(layers, loss, n_features=n_features, l1=l1, l2=l2, gradient_clip=clip)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_penalised_part_is_every_weight_and_nothing_else(batch_norm):
    network = make_network(batch_norm=batch_norm)
    network.values[:] = 0.0
    network.params[: network.n_penalised] = 1.0
    for name, array in network.export().items():
        assert (array == (1.0 if name.endswith("weights") else 0.0)).all(), name
    assert network.n_penalised == 3 * 5 + 5 * 4 + 4 * 2
    others_per_unit = 2 if batch_norm else 1  # gamma and beta, or a bias
    assert network.params.size == network.n_penalised + others_per_unit * (5 + 4) + 2
    assert network.grads.shape == network.params.shape


def test_values_are_the_parameters_and_then_the_running_statistics():
    network = make_network(batch_norm=True)
    n = network.params.size
    assert np.shares_memory(network.values, network.params)
    network.values[:n] = 1.0
    network.values[n:] = 2.0
    for name, array in network.export().items():
        assert (array == (2.0 if "running" in name else 1.0)).all(), name
    assert network.values.size == n + 2 * (5 + 4)
    np.testing.assert_array_equal(network.params, 1.0)
    plain = make_network()
    assert plain.values.size == plain.params.size


@pytest.mark.parametrize(
    ("batch_norm", "names"),
    [(False, ["bias"]), (True, ["gamma", "beta", "running_mean", "running_variance"])],
)
def test_export_names_every_layer_and_copies(batch_norm, names):
    network = make_network(batch_norm=batch_norm, dropout_rate=0.1)
    network.initialize(np.random.default_rng(0))
    arrays = network.export()
    assert {name: array.shape for name, array in arrays.items()} == {
        "layer_1.weights": (3, 5),
        **{f"layer_1.{name}": (5,) for name in names},
        "layer_2.weights": (5, 4),
        **{f"layer_2.{name}": (4,) for name in names},
        "layer_3.weights": (4, 2),
        "layer_3.bias": (2,),
    }
    before = network.values.copy()
    for array in arrays.values():
        array[...] = 9.0
    np.testing.assert_array_equal(network.values, before)


def test_the_order_in_a_hidden_layer_is_dense_batch_norm_activation_dropout():
    layers = make_network(batch_norm=True, dropout_rate=0.1).layers
    hidden = ["BatchNorm", "ActivationLayer", "Dropout"]
    assert [type(layer).__name__ for layer in layers] == [
        *("InputDense", *hidden),
        *("Dense", *hidden),
        "OutputDense",
    ]


def test_a_batch_norm_starts_as_the_identity_of_its_normalised_input():
    network = make_network(batch_norm=True)
    network.initialize(np.random.default_rng(0))
    arrays = network.export()
    for number in (1, 2):
        assert (arrays[f"layer_{number}.gamma"] == 1.0).all()
        assert (arrays[f"layer_{number}.beta"] == 0.0).all()
        assert (arrays[f"layer_{number}.running_mean"] == 0.0).all()
        assert (arrays[f"layer_{number}.running_variance"] == 1.0).all()


@pytest.mark.parametrize("rows", [1, MOST_ROWS - 1, MOST_ROWS, MOST_ROWS + 1, 2 * MOST_ROWS + 7])
def test_evaluation_in_chunks_equals_one_product(rows):
    network = make_network(units=(6,))
    assert chunk_rows(network) == MOST_ROWS
    rng = np.random.default_rng(rows)
    network.params[:] = rng.normal(size=network.params.shape)
    x = rng.normal(size=(rows, 3)).astype(np.float32)
    w = {name: array.astype(np.float64) for name, array in network.export().items()}
    hidden = np.maximum(x @ w["layer_1.weights"] + w["layer_1.bias"], 0.0)
    expected = (hidden @ w["layer_2.weights"] + w["layer_2.bias"]).T
    parts = (x[: rows // 3 + 1], x[rows // 3 + 1 :])
    outputs = Evaluator(network, *parts).outputs()
    assert outputs.shape == (2, rows)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


def test_chunks_are_shorter_in_a_wide_network():
    assert chunk_rows(make_network(units=(8, 256, 8))) == 256
    assert chunk_rows(make_network(n_features=256)) == 255  # and the column of ones
    assert chunk_rows(make_network(units=(4096,))) == LEAST_ROWS


def test_matched_initial_weights_are_those_of_the_activation_and_biases_are_zero():
    rng = np.random.default_rng(0)
    wide = {"units": (200, 300), "n_features": 100, "n_classes": 50}
    of_relu, of_tanh = (make_network(activation=name, **wide) for name in ("relu", "tanh"))
    for network in (of_relu, of_tanh):
        network.initialize(rng)
        arrays = network.export()
        assert all((arrays[name] == 0.0).all() for name in arrays if name.endswith("bias"))
        # The outputs are linear whatever the hidden layers are.
        limit = np.sqrt(6 / (300 + 50))
        assert np.abs(arrays["layer_3.weights"]).max() == pytest.approx(limit, rel=1e-3)
    he, glorot = of_relu.export(), of_tanh.export()
    assert he["layer_1.weights"].var() == pytest.approx(2 / 100, rel=0.05)
    assert he["layer_2.weights"].var() == pytest.approx(2 / 200, rel=0.05)
    assert np.abs(glorot["layer_1.weights"]).max() == pytest.approx(np.sqrt(6 / 300), rel=1e-3)
    assert np.abs(glorot["layer_2.weights"]).max() == pytest.approx(np.sqrt(6 / 500), rel=1e-3)


@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_a_named_initializer_draws_the_weights_of_every_layer(initializer):
    network = make_network(initializer=initializer, activation="tanh")
    network.initialize(np.random.default_rng(3))
    rng = np.random.default_rng(3)
    arrays = network.export()
    for number, shape in enumerate(((3, 5), (5, 4), (4, 2)), start=1):
        expected = INITIALIZERS[initializer](rng, *shape).astype(np.float32)
        np.testing.assert_array_equal(arrays[f"layer_{number}.weights"], expected)


def test_batch_norm_and_dropout_leave_initial_weights_as_they_are():
    plain, other = make_network(), make_network(batch_norm=True, dropout_rate=0.5)
    for network in (plain, other):
        network.initialize(np.random.default_rng(4))
    arrays = other.export()
    for name, array in plain.export().items():
        if name.endswith("weights"):
            np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"units": ()}, "units"),
        ({"units": (4, 0)}, "units"),
        ({"activation": "step"}, "activation must be one of relu, leaky_relu"),
        ({"initializer": "zeros"}, "initializer must be one of matched, he_normal"),
        ({"dropout_rate": 1.0}, "dropout_rate"),
        ({"dropout_rate": -0.1}, "dropout_rate"),
        ({"l1": -1.0}, "l1 must be at least 0"),
        ({"l2": -1.0}, "l2 must be at least 0"),
        ({"l2": float("nan")}, "l2"),
        ({"clip": float("inf")}, "gradient_clip"),
        ({"clip": -1.0}, "gradient_clip"),
    ],
)
def test_arguments_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        make_network(**settings)


def test_the_loop_imports_numpy_and_the_standard_library_only():
    code = (
        "import sys; import numpy.random; before = set(sys.modules); import tunelab.training.loop;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "print(*sorted(new - set(sys.stdlib_module_names) - {'numpy', 'tunelab'}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""
