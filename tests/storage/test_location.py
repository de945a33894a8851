"""Where the study database is, and its password from a file."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url

from tunelab.errors import UsageError
from tunelab.storage.location import database_url

URL = "postgresql+psycopg://tunelab@db/tunelab"


@pytest.fixture
def named(monkeypatch, tmp_path):
    """Sets the URL, and a file of the given bytes for the password."""

    def name(url: str, content: bytes | None) -> str:
        monkeypatch.setenv("TUNELAB_DATABASE_URL", url)
        file = tmp_path / "password"
        if content is not None:
            file.write_bytes(content)
        monkeypatch.setenv("TUNELAB_DATABASE_PASSWORD_FILE", str(file))
        return database_url()

    return name


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_password_stands_in_the_file_as_it_is(named, end):
    found = make_url(named(URL, b"s3cret@#/x %41" + end))
    assert found.password == "s3cret@#/x %41"
    assert (found.username, found.host, found.database) == ("tunelab", "db", "tunelab")


def test_the_file_goes_before_a_password_in_the_url(named):
    """A child is told the whole URL, and still has the variable that names the file."""
    assert make_url(named("postgresql+psycopg://tunelab:old@db/tunelab", b"new")).password == "new"


def test_a_child_that_is_told_the_whole_url_finds_the_same(named):
    assert named(named(URL, b"s3cret@#/x"), b"s3cret@#/x") == named(URL, b"s3cret@#/x")


def test_sqlite_has_no_password(named):
    assert named("sqlite:///studies.db", None) == "sqlite:///studies.db"


def test_what_is_no_url_is_left_to_be_refused_where_it_is_opened(named):
    assert named("no url", b"s3cret") == "no url"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfes3cret", "UTF-8"),
        (b"s3cret\nanother\n", "one line"),
        (b"s3cret\0", "one line"),
    ],
)
def test_a_file_without_a_password_is_refused_by_name_and_not_shown(named, content, message):
    with pytest.raises(UsageError, match=message) as error:
        named(URL, content)
    assert "TUNELAB_DATABASE_PASSWORD_FILE" in error.value.message
    assert "s3cret" not in f"{error.value.message} {error.value.hint}"


def test_a_password_without_a_database_is_refused(monkeypatch, tmp_path):
    """Else the studies would go into a file of the working directory, and nobody would notice."""
    monkeypatch.delenv("TUNELAB_DATABASE_URL", raising=False)
    monkeypatch.setenv("TUNELAB_DATABASE_PASSWORD_FILE", str(tmp_path / "password"))
    with pytest.raises(UsageError, match="TUNELAB_DATABASE_URL is not"):
        database_url()


def test_an_empty_variable_is_none(monkeypatch):
    monkeypatch.setenv("TUNELAB_DATABASE_URL", URL)
    monkeypatch.setenv("TUNELAB_DATABASE_PASSWORD_FILE", "")
    assert database_url() == URL
