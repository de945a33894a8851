"""Planted studies in a real database, which is copied: its schema takes a while to make."""

from __future__ import annotations

import shutil

import pytest

from tunelab.storage.schema import open_database
from tunelab.tuning import importances


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    path = tmp_path_factory.mktemp("template") / "tunelab.db"
    open_database(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def database(template, tmp_path):
    shutil.copy(template, tmp_path / "tunelab.db")
    database = open_database(f"sqlite:///{tmp_path}/tunelab.db")
    yield database
    database.close()


@pytest.fixture(autouse=True)
def _quick_importances(monkeypatch):
    """How wide their spread is drawn matters to no page; halves take most of a report's time."""
    monkeypatch.setattr(importances, "_HALVES", 2)
