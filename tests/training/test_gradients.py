"""Analytic gradients against central differences of an independently written loss, in float64."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from tunelab.training.activations import ACTIVATIONS
from tunelab.training.arrays import TrainingData
from tunelab.training.losses import make_loss
from tunelab.training.network import Network, dense_layers

N_FEATURES = 4
EPSILON = 1e-5
WORD = 2**64 - 1

FUNCTIONS = {
    "relu": lambda z: np.where(z > 0, z, 0.0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "elu": lambda z: np.where(z > 0, z, np.exp(np.minimum(z, 0)) - 1),
    "gelu": lambda z: z / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
}
KINKED = ("relu", "leaky_relu", "elu")

LOSSES = {  # name -> (name of the engine, classes or None, outputs)
    "softmax": ("cross_entropy", 3, 3),
    "binary": ("cross_entropy", 2, 1),
    "squared": ("squared_error", None, 2),
    "absolute": ("absolute_error", None, 2),
}


@dataclass(frozen=True)
class Case:
    """A network, a batch and what is minimised on it."""

    loss: str = "softmax"
    activation: str = "tanh"
    units: tuple[int, ...] = (5, 4)
    batch_size: int = 5
    batch_norm: bool = False
    dropout_rate: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    label_smoothing: float = 0.0
    class_weight: str = "none"


def make_data(case, rng):
    """Training rows, of which the first are the batch; every class is among them."""
    n_train = 40
    x = rng.normal(size=(n_train, N_FEATURES))
    _, n_classes, n_outputs = LOSSES[case.loss]
    if n_classes is None:
        y = rng.normal(size=(n_train, n_outputs))
    else:
        y = rng.permutation(np.minimum(np.arange(n_train) // 8, n_classes - 1))
    nothing = np.zeros(0 if n_classes else n_outputs)
    return TrainingData(x, y, x, y, n_classes, nothing, nothing)


def draw_masks(bits, case):
    """Inverted dropout masks as documented: xorshift lanes, 16-bit draws below a threshold."""
    if case.dropout_rate == 0.0:
        return [np.ones((case.batch_size, width)) for width in case.units]
    threshold = round((1 - case.dropout_rate) * 65536)
    masks = []
    for width in case.units:
        size = case.batch_size * width
        draws = []
        for word in bits.random_raw((size + 3) // 4).tolist():
            word = word or 1
            word ^= word << 13 & WORD
            word ^= word >> 7
            word ^= word << 17 & WORD
            draws += [word >> shift & 0xFFFF for shift in (0, 16, 32, 48)]
        kept = np.array(draws[:size]).reshape(case.batch_size, width) < threshold
        masks.append(kept * (65536 / threshold))
    return masks


def reference(arrays, x, y, data, case, masks):
    """The penalised batch loss as a textbook writes it, and the distance to the nearest kink.

    Every array of ``arrays`` has a leading axis: the points at which the loss is wanted.
    """
    distance = np.inf
    h = x
    for number in range(1, len(case.units) + 2):
        layer = {
            name.split(".")[1]: array
            for name, array in arrays.items()
            if name.startswith(f"layer_{number}.")
        }
        z = h @ layer["weights"]
        if "bias" in layer:
            z = z + layer["bias"][:, None]
        if number > len(case.units):
            break
        if case.batch_norm:
            mean = z.mean(axis=1, keepdims=True)
            variance = ((z - mean) ** 2).mean(axis=1, keepdims=True)
            normal = (z - mean) / np.sqrt(variance + EPSILON)
            z = layer["gamma"][:, None] * normal + layer["beta"][:, None]
        if case.activation in KINKED:
            distance = min(distance, np.abs(z).min())
        h = FUNCTIONS[case.activation](z) * masks[number - 1]
    if data.n_classes is None:
        difference = z - y
        if case.loss == "absolute":
            distance = min(distance, np.abs(difference).min())
        power = {"squared": 2, "absolute": 1}[case.loss]
        each = (np.abs(difference) ** power).mean(axis=2)
    else:
        if case.loss == "binary":
            p = np.concatenate([1 / (1 + np.exp(z)), 1 / (1 + np.exp(-z))], axis=2)
        else:
            p = np.exp(z) / np.exp(z).sum(axis=2, keepdims=True)
        s, n = case.label_smoothing, data.n_classes
        targets = (1 - s) * np.eye(n)[y] + s / n
        each = -(targets * np.log(p)).sum(axis=2)
        if case.class_weight == "balanced":
            counts = np.array([(data.y_train == label).sum() for label in range(n)])
            each = each * (len(data.y_train) / (n * counts))[y]
    total = each.mean(axis=1)
    for name, array in arrays.items():
        if name.endswith("weights"):
            if case.l1:
                distance = min(distance, np.abs(array).min())
            total = total + case.l1 * np.abs(array).sum(axis=(1, 2))
            total = total + case.l2 / 2 * (array**2).sum(axis=(1, 2))
    return total, distance


def make_network(case, data, bits):
    loss = make_loss(
        data,
        name=LOSSES[case.loss][0],
        label_smoothing=case.label_smoothing,
        class_weight=case.class_weight,
    )
    layers = dense_layers(
        N_FEATURES,
        case.units,
        loss.n_outputs,
        activation=case.activation,
        batch_norm=case.batch_norm,
        dropout_rate=case.dropout_rate,
        dropout_bits=bits,
    )
    return Network(layers, loss, n_features=N_FEATURES, l1=case.l1, l2=case.l2, dtype=np.float64)


def check(case):
    """Compare at the first random point that no step of the differences carries over a kink."""
    h = 1e-5
    for seed in itertools.count():
        rng = np.random.default_rng([seed, case.batch_size, len(case.units)])
        data = make_data(case, rng)
        bits = np.random.PCG64DXSM(seed)
        network = make_network(case, data, bits)
        n = network.params.size
        network.params[:] = np.arange(n)
        places = {
            name: array.astype(int)
            for name, array in network.export().items()
            if not name.split(".")[1].startswith("running")
        }
        network.params[:] = 0.7 * rng.normal(size=n)  # biases are not 0 either
        x, y = data.x_train[: case.batch_size], data.y_train[: case.batch_size]
        before = bits.state
        masks = draw_masks(bits, case)
        shifts = h * np.concatenate([np.eye(n), -np.eye(n)])
        points = network.params + shifts
        losses, distance = reference(
            {name: points[:, place] for name, place in places.items()}, x, y, data, case, masks
        )
        if distance > 1e-3:
            break
    numeric = (losses[:n] - losses[n:]) / (2 * h)

    bits.state = before
    training = network.training_pass(case.batch_size)
    columns = network.loss.columns(y)
    training.batch[:] = np.column_stack([x, np.ones(case.batch_size), columns])
    training.start_epoch()
    training.run()
    assert np.linalg.norm(numeric) > 1e-3
    error = np.linalg.norm(network.grads - numeric)
    assert error < 1e-6 * np.linalg.norm(numeric)
    assert network.gradient_norm() == pytest.approx(np.linalg.norm(numeric), rel=1e-6)


@pytest.mark.parametrize("units", [(5,), (6, 4), (5, 3, 4)], ids=str)
@pytest.mark.parametrize("batch_size", [1, 2, 5, 32])
@pytest.mark.parametrize("loss", LOSSES)
def test_networks_of_every_depth_and_batch_size(loss, batch_size, units):
    check(Case(loss, units=units, batch_size=batch_size))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    "one_thing",
    [{}, {"batch_norm": True}, {"dropout_rate": 0.4}, {"l1": 0.02}, {"l2": 0.03}],
    ids=str,
)
def test_every_activation_with_every_layer_and_penalty_alone(activation, one_thing):
    check(Case(activation=activation, **one_thing))


@pytest.mark.parametrize("loss", ["softmax", "binary"])
@pytest.mark.parametrize(
    "one_thing", [{"label_smoothing": 0.2}, {"class_weight": "balanced"}], ids=str
)
def test_what_changes_the_targets_alone(loss, one_thing):
    check(Case(loss, **one_thing))


@pytest.mark.parametrize("batch_size", [2, 3, 32])
@pytest.mark.parametrize("units", [(5,), (6, 4), (5, 3, 4)], ids=str)
def test_batch_norm_in_networks_of_every_depth_and_batch_size(units, batch_size):
    check(Case(units=units, batch_size=batch_size, batch_norm=True))


def combinations():
    """Everything with everything."""
    for loss, activation, batch_norm, dropout_rate, l1, l2 in itertools.product(
        LOSSES, ACTIVATIONS, (False, True), (0.0, 0.3), (0.0, 0.02), (0.0, 0.03)
    ):
        of_classes = LOSSES[loss][1] is not None
        for label_smoothing, class_weight in itertools.product(
            (0.0, 0.2) if of_classes else (0.0,),
            ("none", "balanced") if of_classes else ("none",),
        ):
            yield Case(
                loss,
                activation,
                units=(4, 3),
                batch_norm=batch_norm,
                dropout_rate=dropout_rate,
                l1=l1,
                l2=l2,
                label_smoothing=label_smoothing,
                class_weight=class_weight,
            )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_everything_combined(loss, activation):
    for case in combinations():
        if (case.loss, case.activation) == (loss, activation):
            check(case)


def make_plain(**settings):
    """A network with known weights and one full batch."""
    rng = np.random.default_rng(1)
    case = Case()
    data = make_data(case, rng)
    loss = make_loss(data)
    layers = dense_layers(
        N_FEATURES, (5,), 3, activation="tanh", dropout_bits=np.random.PCG64DXSM(0)
    )
    network = Network(layers, loss, n_features=N_FEATURES, dtype=np.float64, **settings)
    network.initialize(rng)
    training = network.training_pass(8)
    columns = loss.columns(data.y_train[:8])
    training.batch[:] = np.column_stack([data.x_train[:8], np.ones(8), columns])
    return network, training


@pytest.mark.parametrize("penalties", [{}, {"l1": 0.1, "l2": 0.2}], ids=str)
def test_clipping_scales_a_long_gradient_down_and_leaves_a_short_one_alone(penalties):
    plain, training = make_plain(**penalties)
    training.run()
    norm = np.linalg.norm(plain.grads)
    for share, factor in ((0.5, 0.5), (0.999, 0.999), (1.001, 1.0), (100.0, 1.0)):
        clipped, training = make_plain(gradient_clip=share * norm, **penalties)
        training.run()
        np.testing.assert_allclose(clipped.grads, factor * plain.grads, rtol=1e-12)
        assert clipped.gradient_norm() == pytest.approx(norm, rel=1e-12)  # before clipping


@pytest.mark.parametrize("size", [1e-30, 1e25])
def test_the_norm_is_right_where_float32_cannot_hold_its_square(size):
    layers = dense_layers(2, (3,), 1, activation="relu", dropout_bits=np.random.PCG64DXSM(0))
    data = make_data(Case("squared"), np.random.default_rng(0))
    network = Network(layers, make_loss(data), n_features=2)
    network.grads[:] = size
    expected = size * np.sqrt(network.grads.size)
    with np.errstate(over="ignore"):
        assert network.gradient_norm() == pytest.approx(expected, rel=1e-6)


def test_the_l1_gradient_of_a_weight_at_zero_is_zero():
    network, training = make_plain(l1=0.1)
    plain, plain_training = make_plain()
    for each in (network, plain):
        each.params[: each.n_penalised : 2] = 0.0
    training.run()
    plain_training.run()
    added = network.grads - plain.grads
    weights = network.params[: network.n_penalised]
    np.testing.assert_allclose(added[: network.n_penalised], 0.1 * np.sign(weights), atol=1e-15)
    np.testing.assert_array_equal(added[: network.n_penalised : 2], 0.0)
    np.testing.assert_array_equal(added[network.n_penalised :], 0.0)


def test_a_pass_can_be_replayed_and_passes_of_two_sizes_do_not_disturb_each_other():
    network, full = make_plain()
    rest = network.training_pass(3)
    rest.batch[:] = full.batch[:3]
    full.run()
    first = network.grads.copy()
    rest.run()
    assert not np.array_equal(network.grads, first)
    full.run()
    np.testing.assert_array_equal(network.grads, first)
