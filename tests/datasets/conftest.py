"""What the tests of the datasets share: data descriptions, and small data of known contents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from tests.datasets.tables import labelled, measured, numeric_columns
from tunelab.datasets import preparation
from tunelab.datasets.sources import RawData
from tunelab.spec.study import DataSpec


@pytest.fixture(scope="session")
def describe() -> Callable[..., DataSpec]:
    """Build a data description: ``describe("iris", seed=1, noise={"share": 0.1, "seed": 0})``."""

    def build(name: str = "iris", *, noise: dict[str, Any] | None = None, **split: Any) -> DataSpec:
        given: dict[str, Any] = {
            "source": "sklearn",
            "name": name,
            "split": {"validation": 0.2, "test": 0.2, "method": "stratified", "seed": 0, **split},
        }
        if noise is not None:
            given["label_noise"] = noise
        return DataSpec.model_validate(given)

    return build


@pytest.fixture(scope="session")
def classes() -> Callable[..., RawData]:
    """Build classification rows: ``classes([30, 20])`` has 30 rows of class a and 20 of b."""

    def build(counts: Sequence[int], n_features: int = 3, seed: int = 0) -> RawData:
        table = np.random.default_rng(seed).normal(5.0, 2.0, size=(sum(counts), n_features))
        labels = np.repeat(np.arange(len(counts)), counts)
        return labelled(numeric_columns(table), labels, "abcdefghij"[: len(counts)])

    return build


@pytest.fixture(scope="session")
def numbers() -> Callable[..., RawData]:
    """Build regression rows with targets far from zero and of different scales."""

    def build(n_rows: int, n_outputs: int = 2, seed: int = 0) -> RawData:
        generator = np.random.default_rng(seed)
        table = generator.normal(size=(n_rows, 3))
        scales = 10.0 ** np.arange(n_outputs)
        targets = 1000.0 + scales * generator.gamma(2.0, size=(n_rows, n_outputs))
        return measured(numeric_columns(table), targets)

    return build


@pytest.fixture
def use_source(monkeypatch: pytest.MonkeyPatch) -> Callable[[RawData], None]:
    """Make ``prepare`` read the given rows, whatever the description says."""

    def use(raw: RawData) -> None:
        monkeypatch.setattr(preparation, "read_source", lambda data, task: raw)

    return use
