"""A backup is one state of the database, and goes back into SQLite and PostgreSQL alike."""

from __future__ import annotations

import signal
import sqlite3
import stat
import subprocess
import sys

import numpy as np
import pytest
from sqlalchemy import func, select

from tests.storage.conftest import HERE, Bench, completed, epoch, verdict
from tunelab.errors import DatabaseError, DiskError, NotFoundError, UsageError
from tunelab.storage import backup as backups
from tunelab.storage.backup import backup_database, restore_database
from tunelab.storage.checkpoints import read_best_weights, write_state
from tunelab.storage.leases import acquire_lease, coordinator_lease, lease_holder
from tunelab.storage.openings import note_opening, store_scores
from tunelab.storage.recorder import Recorder
from tunelab.storage.rungs import RungLimits
from tunelab.storage.schema import open_database
from tunelab.storage.studies import create_study, take_all_back, update_study
from tunelab.storage.tables import trials
from tunelab.storage.trials import CONFIRM, NewTrial, insert_trials
from tunelab.storage.workers import register_worker

ODD = 'Zoë\'s "ü" 100% \\ $1 \U0001f600'


@pytest.fixture
def filled(bench):
    """A study with a finished trial, one that runs with a checkpoint, and some that wait."""
    bench.insert(7)
    owner = HERE
    first = bench.claim()
    recorder = Recorder(bench.database, first, maximize=False)
    for number in (1, 2, 3):
        loss = float("nan") if number == 2 else 0.1 + 0.2  # 0.30000000000000004
        recorder.record(epoch(number, loss), verdict(number, loss), None)
    recorder.finish(completed(3, 0.3, weights={"w": np.arange(5000.0)}), None)
    second = bench.claim()
    bench.set(second, reason=ODD, rung_values={"10": 0.1})
    run = NewTrial(
        70, {"units": 0}, {}, 2**33, RungLimits(), CONFIRM, 0, 2, "/data/split", "f" * 64
    )
    with bench.database.write() as connection:
        insert_trials(connection, bench.study.id, [run])
        key = note_opening(
            connection, study_id=bench.study.id, trial_id=first.trial_id, test_digest="t",
            reason=ODD,
        )  # fmt: skip
        note_opening(
            connection, study_id=bench.study.id, trial_id=first.trial_id, test_digest="t",
            reason="cut off",
        )  # fmt: skip
        store_scores(connection, key, {"loss": 0.25, "rows": 10})
        update_study(connection, bench.study.id, confirmed={"pick": 0})
    with bench.database.write() as connection:
        write_state(connection, second.trial_id, 2, bytes(range(256)) * 9000)
        acquire_lease(connection, coordinator_lease(bench.study.id), owner)
        register_worker(connection, owner, bench.study.id)
    return bench


def of_studies(bench):
    return [line for line in bench.dump() if not line.startswith(("leases:", "workers:"))]


def made_empty(request, kind, tmp_path):
    if kind == "postgresql":
        return open_database(request.getfixturevalue("postgresql").create())
    return open_database(f"sqlite:///{tmp_path / 'restored.db'}")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_backup_goes_into_every_kind_of_database(filled, kind, tmp_path, request, monkeypatch):
    monkeypatch.setattr(backups, "BATCH", 3)  # several batches
    path = tmp_path / "a backup?.db"
    content = backup_database(filled.database, path)
    assert str(content) == "1 study, 8 trials"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not list(tmp_path.glob(".*.tunelab-part"))

    restored = made_empty(request, kind, tmp_path)
    assert restore_database(restored, path) == content
    # Their workers are those of the other database.
    with restored.read() as connection:
        assert "running" not in connection.scalars(select(trials.c.state)).all()
    again = Bench.__new__(Bench)
    again.database, again.study = restored, filled.study
    # All is as it was, but that nobody is at work.
    with filled.database.write() as connection:
        take_all_back(connection, [filled.study.id])
    assert of_studies(again) == of_studies(filled)
    assert filled.rows(select(trials.c.id).where(trials.c.rung_values.is_(None))) == again.rows(
        select(trials.c.id).where(trials.c.rung_values.is_(None))
    )
    with restored.read() as connection:
        assert lease_holder(connection, coordinator_lease(filled.study.id)) is None
    # New keys come after the old ones.
    with restored.write() as connection:
        values = dict.fromkeys(["spec_hash", "data_digest", "data_path"], "")
        study = create_study(
            connection, name="other", spec={}, baseline_loss=1.0, n_trials=1,
            timeout_seconds=None, **values,
        )  # fmt: skip
    assert study.id > filled.study.id
    again.insert(3, start=7)
    numbers = again.rows(select(trials.c.number, trials.c.id).order_by(trials.c.number))
    assert [number for number, _ in numbers] == [*range(10), 70]
    restored.close()


def test_a_backup_can_be_used_as_the_study_database_that_it_is(filled, tmp_path):
    backup_database(filled.database, tmp_path / "b.db")
    used = open_database(f"sqlite:///{tmp_path / 'b.db'}")
    with used.read() as connection:
        assert connection.scalar(select(func.count()).select_from(trials)) == 8
        (key,) = connection.scalars(select(trials.c.id).where(trials.c.number == 0)).all()
        _, best = read_best_weights(connection, key)
        np.testing.assert_array_equal(best["w"], np.arange(5000.0))
        assert connection.exec_driver_sql("PRAGMA integrity_check").all() == [("ok",)]
    used.close()


def test_nothing_is_overwritten(filled, tmp_path):
    path = tmp_path / "b.db"
    path.write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        backup_database(filled.database, path)
    assert path.read_text() == "precious"


def test_a_file_that_appears_meanwhile_stays(filled, tmp_path, monkeypatch):
    path = tmp_path / "b.db"
    count = backups._content

    def slow(connection):
        path.write_text("precious")
        return count(connection)

    monkeypatch.setattr(backups, "_content", slow)
    with pytest.raises(UsageError, match="exists already"):
        backup_database(filled.database, path)
    assert path.read_text() == "precious"
    assert not list(tmp_path.glob(".*.tunelab-part"))


def test_a_backup_into_a_folder_that_is_not_there_is_refused(filled, tmp_path):
    with pytest.raises(DiskError, match=r"cannot write .*no such file"):
        backup_database(filled.database, tmp_path / "missing" / "b.db")


def test_a_database_that_holds_something_says_what(filled, tmp_path):
    backup_database(filled.database, tmp_path / "b.db")
    before = filled.dump()
    with pytest.raises(UsageError) as refused:
        restore_database(filled.database, tmp_path / "b.db")
    assert refused.value.message == (
        f"{filled.database} holds 1 study, 8 trials already; a backup is restored into an empty "
        "database only"
    )
    assert filled.dump() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no backup of a study database"),
        (b"no database at all " * 100, "file is not a database"),
    ],
)
def test_what_is_no_backup_is_refused(database, tmp_path, content, message):
    path = tmp_path / "b.db"
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match=message):
        restore_database(database, path)
    with pytest.raises(NotFoundError):
        restore_database(database, tmp_path / "none.db")


def test_of_a_torn_backup_nothing_is_restored(filled, tmp_path, request):
    path = tmp_path / "b.db"
    backup_database(filled.database, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    restored = made_empty(request, "sqlite", tmp_path)
    with pytest.raises(DatabaseError):
        restore_database(restored, path)
    with restored.read() as connection:
        assert backups._content(connection).n_studies == 0
    restored.close()


def test_a_backup_of_another_schema_names_it(filled, tmp_path, request):
    path = tmp_path / "b.db"
    backup_database(filled.database, path)
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE tunelab_version SET version_num = '9999'")
    raw.close()
    restored = made_empty(request, "sqlite", tmp_path)
    with pytest.raises(DatabaseError, match=r"b\.db was written by a newer tunelab"):
        restore_database(restored, path)
    restored.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import Engine, event
from tunelab.storage.backup import backup_database, restore_database
from tunelab.storage.schema import open_database

@event.listens_for(Engine, "before_cursor_execute")
def kill(_connection, _cursor, statement, *_):
    if "INSERT INTO epochs" in statement:
        os.kill(os.getpid(), signal.SIGKILL)

globals()[sys.argv[1]](open_database(sys.argv[2]), Path(sys.argv[3]))
"""


@pytest.mark.parametrize("what", ["backup_database", "restore_database"])
def test_a_kill_in_the_middle_leaves_nothing(filled, what, tmp_path, request):
    path = tmp_path / "b.db"
    url = filled.database.url.render_as_string(hide_password=False)
    if what == "restore_database":
        backup_database(filled.database, path)
        if filled.database.is_sqlite:
            url = f"sqlite:///{tmp_path / 'restored.db'}"
        else:
            url = request.getfixturevalue("postgresql").create()
    killed = subprocess.run([sys.executable, "-c", KILLED, what, url, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    if what == "backup_database":
        assert not path.exists()
        backup_database(filled.database, path)
        return
    restored = open_database(url)
    assert str(restore_database(restored, path)) == "1 study, 8 trials"
    restored.close()
