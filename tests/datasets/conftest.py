"""What the tests of the datasets share: data descriptions, and small data of known contents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

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
        generator = np.random.default_rng(seed)
        n_rows = sum(counts)
        return RawData(
            features=generator.normal(5.0, 2.0, size=(n_rows, n_features)),
            targets=np.repeat(np.arange(len(counts)), counts).astype(np.int64),
            feature_names=tuple(f"x{column}" for column in range(n_features)),
            class_names=tuple("abcdefghij"[: len(counts)]),
            target_names=("class",),
        )

    return build


@pytest.fixture(scope="session")
def numbers() -> Callable[..., RawData]:
    """Build regression rows with targets far from zero and of different scales."""

    def build(n_rows: int, n_outputs: int = 2, seed: int = 0) -> RawData:
        generator = np.random.default_rng(seed)
        scales = 10.0 ** np.arange(n_outputs)
        return RawData(
            features=generator.normal(size=(n_rows, 3)),
            targets=1000.0 + scales * generator.gamma(2.0, size=(n_rows, n_outputs)),
            feature_names=("x0", "x1", "x2"),
            class_names=(),
            target_names=tuple(f"y{output}" for output in range(n_outputs)),
        )

    return build


@pytest.fixture
def use_source(monkeypatch: pytest.MonkeyPatch) -> Callable[[RawData], None]:
    """Make ``prepare`` read the given rows, whatever the description says."""

    def use(raw: RawData) -> None:
        monkeypatch.setattr(preparation, "read_source", lambda data, task: raw)

    return use
