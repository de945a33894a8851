"""The flat vector, initial weights, and passes over many rows."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tunelab.training.evaluation import CHUNK_ROWS, Evaluator
from tunelab.training.initializers import glorot_uniform, he_normal
from tunelab.training.losses import LOSSES
from tunelab.training.network import Network, dense_layers


def make_network(units=(5, 4), *, n_features=3, n_outputs=2, l2=0.0, **settings):
    defaults = {"activation": "relu", "dropout_rate": 0.0, "dropout_bits": np.random.PCG64DXSM(0)}
    layers = dense_layers(n_features, units, n_outputs, **(defaults | settings))
    return Network(
        layers, LOSSES["classification"], n_features=n_features, n_outputs=n_outputs, l2=l2
    )


def test_the_penalised_part_is_every_weight_and_no_bias():
    network = make_network()
    network.params[: network.n_penalised] = 1.0
    for name, array in network.export().items():
        assert (array == (1.0 if name.endswith("weights") else 0.0)).all(), name
    assert network.n_penalised == 3 * 5 + 5 * 4 + 4 * 2
    assert network.params.size == network.n_penalised + 5 + 4 + 2


def test_export_names_every_layer_and_copies():
    network = make_network()
    network.initialize(np.random.default_rng(0))
    arrays = network.export()
    assert {name: array.shape for name, array in arrays.items()} == {
        "layer_1.weights": (3, 5),
        "layer_1.bias": (5,),
        "layer_2.weights": (5, 4),
        "layer_2.bias": (4,),
        "layer_3.weights": (4, 2),
        "layer_3.bias": (2,),
    }
    before = network.params.copy()
    for array in arrays.values():
        array[...] = 9.0
    np.testing.assert_array_equal(network.params, before)


@pytest.mark.parametrize(
    "rows", [1, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1, 2 * CHUNK_ROWS + 7]
)
def test_evaluation_in_chunks_equals_one_product(rows):
    network = make_network(units=(6,))
    rng = np.random.default_rng(rows)
    network.params[:] = rng.normal(size=network.params.shape)
    x = rng.normal(size=(rows, 3)).astype(np.float32)
    w = {name: array.astype(np.float64) for name, array in network.export().items()}
    hidden = np.maximum(x @ w["layer_1.weights"] + w["layer_1.bias"], 0.0)
    expected = (hidden @ w["layer_2.weights"] + w["layer_2.bias"]).T
    outputs = Evaluator(network, x).outputs()
    assert outputs.shape == (2, rows)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


def test_initial_weights_have_the_spread_of_their_paper_and_biases_are_zero():
    rng = np.random.default_rng(0)
    assert he_normal(rng, 200, 300).var() == pytest.approx(2 / 200, rel=0.03)
    uniform = glorot_uniform(rng, 200, 300)
    limit = np.sqrt(6 / 500)
    assert np.abs(uniform).max() == pytest.approx(limit, rel=1e-3)
    assert uniform.var() == pytest.approx(limit**2 / 3, rel=0.03)
    network = make_network(units=(50, 60), n_features=40, activation="tanh")
    network.initialize(rng)
    arrays = network.export()
    assert np.abs(arrays["layer_2.weights"]).max() <= np.sqrt(6 / 110)
    assert all((arrays[name] == 0.0).all() for name in arrays if name.endswith("bias"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"units": ()}, "units"),
        ({"units": (4, 0)}, "units"),
        ({"activation": "step"}, "activation must be one of relu, tanh"),
        ({"dropout_rate": 1.0}, "dropout_rate"),
        ({"dropout_rate": -0.1}, "dropout_rate"),
        ({"l2": -1.0}, "l2"),
        ({"l2": float("nan")}, "l2"),
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
