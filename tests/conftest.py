"""What tests of several rings share: study databases, also on a PostgreSQL server."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgresql import Databases, databases
from tunelab.storage.engine import Database
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


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "tunelab.db"
    open_database(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def sqlite_url(template: Path, tmp_path: Path) -> str:
    shutil.copy(template, tmp_path / "tunelab.db")
    return f"sqlite:///{tmp_path / 'tunelab.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty study database, one after the other of each kind."""
    database = open_database(request.getfixturevalue(f"{request.param}_url"))
    yield database
    database.close()
