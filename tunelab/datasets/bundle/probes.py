"""Rows to try a model with, made from what it knows of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

N_PROBES = 16
_SEED = 7


def probe_rows(document: Mapping[str, Any], n: int = N_PROBES) -> dict[str, list[Any]]:
    """Columns of plausible rows, the same at every call; no row of anybody's data is among them.

    Numbers are spread about the mean as the training rows are, categories take turns.

    Args:
        document: The model's document.
        n: How many rows.
    """
    generator = np.random.default_rng(_SEED)
    columns: dict[str, list[Any]] = {}
    for entry in document["inputs"]:
        if "categories" in entry:
            known = entry["categories"]
            columns[entry["name"]] = [known[row % len(known)] for row in range(n)]
        else:
            values = entry["mean"] + entry["scale"] * generator.normal(size=n)
            columns[entry["name"]] = [float(f"{value:.6g}") for value in values]
    return columns
