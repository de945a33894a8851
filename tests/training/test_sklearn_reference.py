"""Whole epochs against scikit-learn's networks: same weights, same batches, float64."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier, MLPRegressor

EPOCHS = 6
SKLEARN_NAMES = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic"}


def batch_order(seed, n_train):
    """The order of each epoch, as documented: the second stream of the seed."""
    stream = np.random.SeedSequence(seed).spawn(4)[1]
    generator = np.random.Generator(np.random.PCG64DXSM(stream))
    while True:
        yield generator.permutation(n_train)


def start_from(run, peer):
    """Give ``peer``, which has taken a step already, the weights of ``run`` and no velocity."""
    weights = run.weights()
    for index, (coefficients, intercepts) in enumerate(
        zip(peer.coefs_, peer.intercepts_, strict=True), start=1
    ):
        coefficients[...] = weights[f"layer_{index}.weights"]
        intercepts[...] = weights[f"layer_{index}.bias"]
    for velocity in peer._optimizer.velocities:
        velocity[...] = 0.0


def assert_same_weights(run, peer):
    weights = run.weights()
    for index, (coefficients, intercepts) in enumerate(
        zip(peer.coefs_, peer.intercepts_, strict=True), start=1
    ):
        np.testing.assert_allclose(weights[f"layer_{index}.weights"], coefficients, atol=1e-12)
        np.testing.assert_allclose(weights[f"layer_{index}.bias"], intercepts, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["momentum", "nesterov"])
@pytest.mark.parametrize("activation", SKLEARN_NAMES)
@pytest.mark.parametrize("units", [[8], [7, 5]], ids=str)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_classification_follows_mlp_classifier(
    classification, start, optimizer, activation, units, n_classes
):
    data = classification(n_classes=n_classes)
    classes = list(range(n_classes))
    run = start(
        data,
        units=units,
        activation=activation,
        optimizer=optimizer,
        learning_rate=0.05,
        max_epochs=EPOCHS,
        seed=3,
        dtype=np.float64,
    )
    x, x_validation = data.x_train.astype(np.float64), data.x_validation.astype(np.float64)
    peer = MLPClassifier(
        units,
        activation=SKLEARN_NAMES[activation],
        solver="sgd",
        alpha=0.0,
        batch_size=16,
        learning_rate_init=0.05,
        momentum=0.9,
        nesterovs_momentum=optimizer == "nesterov",
        shuffle=False,
        random_state=0,
    )
    peer.partial_fit(x[:16], data.y_train[:16], classes=classes)
    start_from(run, peer)
    for record, order in zip(run, batch_order(3, len(x)), strict=False):
        peer.partial_fit(x[order], data.y_train[order])
        assert_same_weights(run, peer)
        probabilities = peer.predict_proba(x_validation)
        np.testing.assert_allclose(run.predict(data.x_validation), probabilities, atol=1e-10)
        assert record.validation_loss == pytest.approx(
            log_loss(data.y_validation, probabilities, labels=classes), rel=1e-9
        )
    assert run.epoch == EPOCHS


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("optimizer", ["momentum", "nesterov"])
def test_regression_follows_mlp_regressor(regression, start, optimizer, n_outputs):
    """Its gradient is (y - t) / rows, ours 2 (y - t) / (rows * outputs): so is its rate."""
    data = regression(n_outputs=n_outputs)
    run = start(
        data,
        optimizer=optimizer,
        learning_rate=0.02,
        max_epochs=EPOCHS,
        seed=4,
        dtype=np.float64,
    )
    x = data.x_train.astype(np.float64)
    y = data.y_train.astype(np.float64)
    peer = MLPRegressor(
        hidden_layer_sizes=[8],
        solver="sgd",
        alpha=0.0,
        batch_size=16,
        learning_rate_init=0.02 * 2 / n_outputs,
        momentum=0.9,
        nesterovs_momentum=optimizer == "nesterov",
        shuffle=False,
        random_state=0,
    )
    flat = (lambda t: t[:, 0]) if n_outputs == 1 else (lambda t: t)
    peer.partial_fit(x[:16], flat(y[:16]))
    start_from(run, peer)
    for record, order in zip(run, batch_order(4, len(x)), strict=False):
        peer.partial_fit(x[order], flat(y[order]))
        assert_same_weights(run, peer)
        predicted = peer.predict(data.x_validation.astype(np.float64)).reshape(-1, n_outputs)
        assert record.validation_loss == pytest.approx(
            np.mean((predicted - data.y_validation) ** 2), rel=1e-9
        )
    assert run.epoch == EPOCHS
