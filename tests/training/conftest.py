"""Small data sets, and runs on them with arguments that a test does not care about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tunelab.training.arrays import TrainingData
from tunelab.training.loop import TrainingRun, steps_per_epoch
from tunelab.training.optimizers import make_optimizer
from tunelab.training.schedules import make_schedule


def labelled(train, validation, n_classes) -> TrainingData:
    """Labels with a feature that says nothing."""
    return TrainingData(
        np.zeros((len(train), 1), np.float32),
        np.array(train),
        np.zeros((len(validation), 1), np.float32),
        np.array(validation),
        n_classes,
        np.zeros(0, np.float32),
        np.zeros(0, np.float32),
    )


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
    settings = {"units": [8], "batch_size": 16, "max_epochs": 5, "seed": 0} | changes
    n_steps = settings.pop("n_steps", None)
    if n_steps is None:
        n_steps = steps_per_epoch(
            len(data.x_train),
            settings["batch_size"],
            batch_norm=settings.get("batch_norm", False),
        )
    optimizer = settings.pop("optimizer", "adam")
    if isinstance(optimizer, str):
        optimizer = make_optimizer(optimizer, settings.pop("optimizer_settings", {}))
    schedule = make_schedule(
        settings.pop("schedule", "constant"),
        settings.pop("learning_rate", 0.01),
        max(1, settings["max_epochs"]),
        settings.pop("schedule_settings", {}),
        steps_per_epoch=n_steps,
    )
    return TrainingRun(data, optimizer=optimizer, schedule=schedule, **settings)


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
    """Starts a run; names instead of objects, and ``n_steps`` where arguments are to be refused."""
    return _start
