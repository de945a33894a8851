"""Planted studies in a real database, which is copied: its schema takes a while to make."""

from __future__ import annotations

import shutil

import pytest

from tunelab.storage.schema import open_database


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
