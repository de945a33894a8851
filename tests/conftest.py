"""What tests of several rings share: databases on a PostgreSQL server."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgresql import Databases, databases
from tunelab.storage.schema import open_database


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Databases]:
    """Makes databases on a PostgreSQL server."""
    # Not pytest's folder: the server runs as another user where the tests run as root.
    folder = Path(tempfile.mkdtemp(prefix="tunelab-postgresql-"))
    try:
        with databases(folder) as made:
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_template(postgresql: Databases) -> str:
    """The URL of a database with the schema, to be copied."""
    url = postgresql.create()
    open_database(url).close()
    return url


@pytest.fixture
def postgresql_url(postgresql: Databases, postgresql_template: str) -> Iterator[str]:
    """The URL of a study database of the test's own."""
    url = postgresql.create(postgresql_template)
    yield url
    postgresql.drop([url])
