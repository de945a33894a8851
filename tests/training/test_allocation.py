"""A step allocates nothing: memory is asked for once, when plans are recorded."""

from __future__ import annotations

import tracemalloc

import pytest

from tunelab.training.activations import ACTIVATIONS
from tunelab.training.optimizers import OPTIMIZERS

UNITS = 48  # one buffer of a layer is then 16 * 48 * 4 = 3 kB, above the limit
N_STEPS = 100
WARM_UP = 10
LIMIT = 2000


class AllocationWatch:
    """Asked before every step: traces memory from one step of the first epoch to its last."""

    def __init__(self):
        self.n_asked = 0
        self.peak = 0

    def __call__(self):
        self.n_asked += 1
        if self.n_asked == WARM_UP:
            tracemalloc.start()
        elif self.n_asked == N_STEPS:
            _, self.peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return False


def peak_of_steps(start, data, **changes):
    watch = AllocationWatch()
    run = start(data, units=[UNITS, UNITS], max_epochs=1, should_stop=watch, **changes)
    try:
        next(run)
    finally:
        tracemalloc.stop()
    assert watch.n_asked == N_STEPS
    return watch.peak


EVERYTHING = {
    "batch_norm": True,
    "dropout_rate": 0.2,
    "l1": 1e-4,
    "l2": 1e-4,
    "gradient_clip": 0.01,  # always reached
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_of_every_optimizer_allocates_nothing(classification, start, optimizer):
    """More than 64 steps, so that sums kept without their decay are brought back to size."""
    data = classification(n_train=16 * N_STEPS, n_features=40)
    assert peak_of_steps(start, data, optimizer=optimizer, **EVERYTHING) < LIMIT


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_step_with_every_activation_allocates_nothing(
    classification, start, activation, batch_norm
):
    data = classification(n_train=16 * N_STEPS, n_features=40)
    changes = {**EVERYTHING, "batch_norm": batch_norm, "activation": activation}
    assert peak_of_steps(start, data, **changes) < LIMIT


@pytest.mark.parametrize(
    "changes",
    [
        {"label_smoothing": 0.1},
        {"class_weight": "balanced"},
        {"gradient_clip": 1e9},
        {"schedule": "one_cycle"},
    ],
    ids=str,
)
@pytest.mark.parametrize("n_classes", [2, 5])
def test_a_step_of_every_classification_allocates_nothing(
    classification, start, n_classes, changes
):
    data = classification(n_train=16 * N_STEPS, n_features=40, n_classes=n_classes)
    assert peak_of_steps(start, data, **(EVERYTHING | changes)) < LIMIT


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_a_step_of_every_regression_allocates_nothing(regression, start, n_outputs, loss):
    data = regression(n_train=16 * N_STEPS, n_features=40, n_outputs=n_outputs)
    assert peak_of_steps(start, data, loss=loss, **EVERYTHING) < LIMIT
