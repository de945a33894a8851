"""Races that are short enough for every test."""

from __future__ import annotations

import pytest

from tunelab.service.demos.paths import race_all

N_STEPS = 60


@pytest.fixture(scope="session")
def races():
    return race_all(N_STEPS)
