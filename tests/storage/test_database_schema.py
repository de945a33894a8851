"""The schema is made once, whole, and by no program that is older than it."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

import tunelab.storage
from tests.storage.conftest import run_together
from tunelab.errors import DatabaseError
from tunelab.storage.schema import HEAD, VERSION_TABLE, open_database
from tunelab.storage.tables import metadata


def test_the_migrations_make_the_tables_that_the_code_uses(database):
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


def test_the_newest_migration_is_the_one_that_the_code_expects():
    config = Config()
    folder = Path(tunelab.storage.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_eight_processes_start_together_on_an_empty_database(kind, tmp_path, request):
    script = """
import alembic.command
from tunelab.storage.schema import open_database
from tunelab.storage.studies import create_study

def work(url):
    values = dict.fromkeys(["spec_hash", "data_digest", "data_path"], "")
    with open_database(url).write() as connection:
        study = create_study(connection, name="digits", spec={}, baseline_loss=1.0, n_trials=1,
                             timeout_seconds=None, **values)
    return study.generation
"""
    for attempt in range(2):
        url = f"sqlite:///{tmp_path / f'new-{attempt}.db'}"
        if kind == "postgresql":
            url = request.getfixturevalue("postgresql").create()
        assert sorted(run_together(script, 8, url)) == list(range(1, 9))


def test_a_newer_schema_is_refused_in_one_sentence_and_left_alone(database):
    with database.write() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        before = inspect(connection).get_table_names()
    database.close()
    with pytest.raises(DatabaseError) as refused:
        open_database(database.url.render_as_string(hide_password=False))
    assert refused.value.message == (
        f"{database} was written by a newer tunelab (schema 9999, this one knows {HEAD})"
    )
    assert refused.value.hint == "install the newer version"
    with database.read() as connection:
        assert inspect(connection).get_table_names() == before


def test_a_kill_in_the_middle_of_the_migration_leaves_nothing_half_made(tmp_path):
    path = tmp_path / "killed.db"
    script = """
import os, signal, sys
from sqlalchemy import Engine, event
from tunelab.storage.schema import open_database

@event.listens_for(Engine, "before_cursor_execute")
def kill(_connection, _cursor, statement, *_):
    if "CREATE TABLE trials" in statement:
        os.kill(os.getpid(), signal.SIGKILL)

open_database(sys.argv[1])
"""
    killed = subprocess.run([sys.executable, "-c", script, f"sqlite:///{path}"], check=False)
    assert killed.returncode == -signal.SIGKILL
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == []
    raw.close()
    database = open_database(f"sqlite:///{path}")
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
    database.close()


def test_tables_of_another_program_in_the_same_file_are_left_alone(tmp_path):
    path = tmp_path / "shared.db"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE alembic_version (version_num TEXT)")
        raw.execute("INSERT INTO alembic_version VALUES ('of MLflow')")
        raw.commit()
    open_database(f"sqlite:///{path}").close()
    assert raw.execute("SELECT * FROM alembic_version").fetchall() == [("of MLflow",)]
    raw.close()


def test_a_missing_database_is_created_only_where_that_is_asked_for(tmp_path):
    path = tmp_path / "missing.db"
    with pytest.raises(DatabaseError, match=r"no study database at .*missing\.db"):
        open_database(f"sqlite:///{path}", create=False)
    assert not path.exists()
