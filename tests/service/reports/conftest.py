"""Planted studies in a real database."""

from __future__ import annotations

import pytest

from tunelab.storage.schema import open_database
from tunelab.tuning import importances


@pytest.fixture
def database(sqlite_url):
    database = open_database(sqlite_url)
    yield database
    database.close()


@pytest.fixture(autouse=True)
def _quick_importances(monkeypatch):
    """How wide their spread is drawn matters to no page; halves take most of a report's time."""
    monkeypatch.setattr(importances, "_HALVES", 2)
