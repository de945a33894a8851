"""Planted studies in a real database."""

from __future__ import annotations

import pytest

from tunelab.storage.schema import open_database


@pytest.fixture
def database(sqlite_url):
    database = open_database(sqlite_url)
    yield database
    database.close()
