"""Small data sets, and runs on them with arguments that a test does not care about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tunelab.training.arrays import TrainingData
from tunelab.training.loop import TrainingRun
from tunelab.training.optimizers import make_optimizer
from tunelab.training.schedules import make_schedule


def _classification(n_train=50, n_validation=23, n_features=6, n_classes=3, seed=0) -> TrainingData:
    rng = np.random.default_rng(seed)
    y = rng.integers(n_classes, size=n_train + n_validation)
    centres = rng.normal(size=(n_classes, n_features))
    x = (centres[y] + rng.normal(size=(len(y), n_features))).astype(np.float32)
    return TrainingData(
        x[:n_train],
        y[:n_train],
        x[n_train:],
        y[n_train:],
        n_classes,
        np.zeros(0, np.float32),
        np.zeros(0, np.float32),
    )


def _regression(n_train=50, n_validation=23, n_features=6, n_outputs=2, seed=0) -> TrainingData:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_train + n_validation, n_features)).astype(np.float32)
    original = 40.0 + 10.0 * np.sin(x @ rng.normal(size=(n_features, n_outputs)))
    mean, scale = original[:n_train].mean(axis=0), original[:n_train].std(axis=0)
    y = ((original - mean) / scale).astype(np.float32)
    return TrainingData(x[:n_train], y[:n_train], x[n_train:], y[n_train:], None, mean, scale)


def _start(data: TrainingData, **changes: Any) -> TrainingRun:
    max_epochs = changes.pop("max_epochs", 5)
    settings = {
        "units": [8],
        "optimizer": make_optimizer(
            changes.pop("optimizer", "adam"), changes.pop("optimizer_settings", {})
        ),
        "schedule": make_schedule(
            changes.pop("schedule", "constant"),
            changes.pop("learning_rate", 0.01),
            max_epochs,
            changes.pop("schedule_settings", {}),
        ),
        "batch_size": 16,
        "max_epochs": max_epochs,
        "seed": 0,
    }
    return TrainingRun(data, **(settings | changes))


@pytest.fixture(scope="session")
def classification() -> Callable[..., TrainingData]:
    """Makes overlapping Gaussian blobs."""
    return _classification


@pytest.fixture(scope="session")
def regression() -> Callable[..., TrainingData]:
    """Makes a smooth function of the features, targets standardised."""
    return _regression


@pytest.fixture(scope="session")
def start() -> Callable[..., TrainingRun]:
    """Starts a run; names of optimizer and schedule instead of objects."""
    return _start
