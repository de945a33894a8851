"""An older schema is upgraded when asked, after a copy, and as a whole or not at all."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect

import tunelab.storage
from tests.storage.conftest import Bench, run_together
from tunelab.cli import main
from tunelab.errors import DatabaseError, DiskError
from tunelab.storage.openings import study_openings
from tunelab.storage.schema import (
    HEAD,
    VERSION_TABLE,
    Schema,
    open_database,
    present_schema,
    upgrade_database,
)
from tunelab.storage.studies import all_studies
from tunelab.storage.trials import study_trials, trial_curve

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{head}"

def upgrade() -> None:
    op.create_table("first_new", sa.Column("id", sa.Integer, primary_key=True))
    op.add_column("studies", sa.Column("colour", sa.Text))
    op.execute("UPDATE studies SET colour = 'green'")
    op.create_table("last_new", sa.Column("id", sa.Integer, primary_key=True))
"""


@pytest.fixture
def later(tmp_path) -> Schema:
    """What a later version of the program would bring: one more migration."""
    folder = tmp_path / "100% migrations"
    shutil.copytree(Path(tunelab.storage.__file__).parent / "migrations", folder)
    (folder / "versions" / "9001_next.py").write_text(NEXT.format(head=HEAD))
    return Schema(folder, "9001")


@pytest.fixture
def url(database):
    """The URL of a database with the present schema and one study."""
    Bench(database)
    return database.url.render_as_string(hide_password=False)


def tables(database):
    with database.read() as connection:
        return set(inspect(connection).get_table_names())


def copies(folder):
    return sorted(folder.glob("tunelab.db.schema-*"))


def test_an_older_schema_is_refused_in_one_sentence_that_names_the_way_out(url, database, later):
    before = tables(database)
    with pytest.raises(DatabaseError) as refused:
        open_database(url, schema=later)
    assert refused.value.message == (
        f"{database} has the schema {HEAD} of an older tunelab, and this one needs 9001: "
        "run `tunelab db upgrade`"
    )
    assert refused.value.exit_code == 4
    assert tables(database) == before


def test_an_upgrade_runs_once_and_keeps_every_row(url, database, later, tmp_path):
    first = upgrade_database(url, later)
    assert (first.before, first.after) == (HEAD, "9001")
    again = upgrade_database(url, later)
    assert (again.before, again.after, again.backup) == ("9001", "9001", None)
    opened = open_database(url, schema=later)
    with opened.read() as connection:
        rows = connection.exec_driver_sql("SELECT name, colour FROM studies").all()
    assert rows == [("digits", "green")]
    opened.close()
    if not database.is_sqlite:
        assert first.backup is None
        return
    # The copy is the file as it was, in the same folder, for nobody else's eyes.
    assert copies(tmp_path) == [first.backup]
    assert stat.S_IMODE(first.backup.stat().st_mode) == 0o600
    copy = open_database(f"sqlite:///{first.backup}")
    assert "first_new" not in tables(copy)
    with copy.read() as connection:
        assert connection.exec_driver_sql("SELECT name FROM studies").all() == [("digits",)]
    copy.close()


def test_an_upgrade_of_an_empty_database_makes_the_schema(tmp_path, later):
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    with pytest.raises(DatabaseError, match="no study database"):
        upgrade_database(url, later)
    (tmp_path / "empty.db").touch()
    made = upgrade_database(url, later)
    assert (made.before, made.after, made.backup) == (None, "9001", None)


def test_a_newer_schema_is_not_upgraded(url, database, later):
    upgrade_database(url, later)
    before = tables(database)
    with pytest.raises(DatabaseError, match="written by a newer tunelab"):
        upgrade_database(url)
    assert tables(database) == before


def test_where_no_copy_can_be_made_nothing_is_upgraded(sqlite_url, tmp_path, later, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tunelab.storage.files.os.fsync", full)
    with pytest.raises(DiskError, match="no space left on device"):
        upgrade_database(sqlite_url, later)
    assert copies(tmp_path) == []
    assert not list(tmp_path.glob(".*.tunelab-part"))
    open_database(sqlite_url).close()


UPGRADE = """
import alembic.command
from pathlib import Path
from tunelab.storage.schema import Schema, upgrade_database

def work(url, migrations):
    return upgrade_database(url, Schema(Path(migrations), "9001")).before
"""


def test_of_eight_that_upgrade_together_one_does(url, later):
    found = run_together(UPGRADE, 8, url, str(later.migrations))
    assert sorted(found) == [HEAD, *["9001"] * 7]


KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import Engine, event
from tunelab.storage.schema import Schema, upgrade_database

@event.listens_for(Engine, sys.argv[3])
def kill(*arguments):
    if len(arguments) == 1 or sys.argv[4] in arguments[2]:
        os.kill(os.getpid(), signal.SIGKILL)

upgrade_database(sys.argv[1], Schema(Path(sys.argv[2]), "9001"))
"""


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ("before_cursor_execute", "CREATE TABLE first_new"),
        ("after_cursor_execute", "ALTER TABLE studies"),
        ("after_cursor_execute", "CREATE TABLE last_new"),
        ("after_cursor_execute", f"UPDATE {VERSION_TABLE}"),
        ("commit", ""),
    ],
)
def test_a_kill_in_the_middle_leaves_the_old_schema(url, database, later, event, words):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, url, str(later.migrations), event, words], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    with database.read() as connection:
        assert present_schema(connection) == HEAD
        names = set(inspect(connection).get_table_names())
        columns = {column["name"] for column in inspect(connection).get_columns("studies")}
    assert not names & {"first_new", "last_new"}
    assert "colour" not in columns
    assert upgrade_database(url, later).before == HEAD


def test_the_command_says_that_there_is_nothing_to_do(sqlite_url, monkeypatch, capsys):
    monkeypatch.setenv("TUNELAB_DATABASE_URL", sqlite_url)
    with pytest.raises(SystemExit) as left:
        main(["db", "upgrade"])
    assert left.value.code == 0
    assert capsys.readouterr().err == (
        f"the database has the newest schema, {HEAD}: nothing to do\n"
    )


def test_every_command_refuses_an_older_schema(sqlite_url, monkeypatch, capsys, tmp_path):
    """As one of today's would look to the program of tomorrow: its migration is not the last."""
    monkeypatch.setenv("TUNELAB_DATABASE_URL", sqlite_url)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tunelab.storage.schema._known", lambda _schema: {"0000", HEAD})
    with sqlite3.connect(tmp_path / "tunelab.db") as raw:
        raw.execute(f"UPDATE {VERSION_TABLE} SET version_num = '0000'")
    raw.close()
    study = tmp_path / "iris.yaml"
    study.write_text("{name: iris, task: classification, data: {source: sklearn, name: iris}}")
    for words in (
        ["study", "list"],
        ["study", "resume", "iris"],
        ["study", "start", str(study), "--no-mirror"],
        ["study", "stop", "iris", "--now"],
        ["db", "backup", "b.db"],
    ):
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == 4
        assert "run `tunelab db upgrade`" in capsys.readouterr().err
    assert not (tmp_path / "b.db").exists()


def test_a_database_from_before_the_confirm_stage_keeps_its_trials(tmp_path):
    """0002 -> 0003: trials get columns, the test split a table; nothing is said of old studies."""
    path = tmp_path / "tunelab.db"
    folder = tmp_path / "migrations"
    shutil.copytree(Path(tunelab.storage.__file__).parent / "migrations", folder)
    for migration in (folder / "versions").glob("0*.py"):
        if migration.name > "0003":
            migration.unlink()
    url = f"sqlite:///{path}"
    old = open_database(url, schema=Schema(folder, "0002"))
    with old.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO studies (name, generation, state, spec, spec_hash, data_digest, data_path,"
            " baseline_loss, n_trials, running_seconds, stop_requested, created_at)"
            " VALUES ('digits', 1, 'finished', '{}', '', 'abc', '/data', 1.0, 1, 5.0, 0, 1.0)"
        )
        connection.exec_driver_sql(
            "INSERT INTO trials (study_id, kind, number, state, hyperparameters, sampler_state,"
            " seed, rung_limits, stop_requested, attempts, lost_leases, token, n_epochs, value,"
            " end_reason, created_at) VALUES (1, 'trial', 0, 'finished', '{\"units\": 4}', '{}',"
            " 7, '{}', 0, 1, 0, 1, 3, 0.25, 'completed', 1.0)"
        )
        connection.exec_driver_sql(
            "INSERT INTO epochs (trial_id, epoch, recorded_at, learning_rate, seconds, signal)"
            " VALUES (1, 1, 1.0, 0.1, 0.5, 'learning')"
        )
    old.close()
    upgraded = upgrade_database(url)
    assert (upgraded.before, upgraded.after) == ("0002", HEAD)
    database = open_database(url)
    with database.read() as connection:
        (study,) = all_studies(connection)
        (trial,) = study_trials(connection, study.id)
        assert study.confirmed is None
        assert (trial.value, trial.kind, trial.confirms, trial.data_path) == (
            0.25, "trial", None, None,
        )  # fmt: skip
        assert study_trials(connection, study.id, kind="confirm") == []
        assert study_openings(connection, study.id) == []
        (epoch,) = trial_curve(connection, trial.id)
        assert (epoch.signal, epoch.suspicion) == ("learning", None)
    database.close()
