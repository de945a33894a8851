"""A backup that is taken while a study runs goes on as that study, on another kind of database."""

from __future__ import annotations

import os
import signal
import sqlite3

import pytest

from tests.service.conftest import Folder


@pytest.mark.parametrize(("kind", "other"), [("sqlite", "postgresql"), ("postgresql", "sqlite")])
def test_a_backup_of_a_running_study_is_restored_elsewhere_and_finishes(
    kind, other, tmp_path, postgresql_url, postgresql
):
    folder = Folder(tmp_path / "one")
    folder.variables["TUNELAB_MIRROR"] = "no"
    if kind == "postgresql":
        folder.variables["TUNELAB_DATABASE_URL"] = postgresql_url
    folder.write_study(14)
    process = folder.start("--workers", "2")
    for number, n_finished in enumerate([0, 2, 4]):
        folder.wait_for_finished(n_finished)
        folder.wait_for("SELECT count(*) > 0 FROM trials WHERE state = 'running'")
        folder.tunelab("db", "backup", f"{number}.db")
    os.kill(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (0, 143), errors
    assert "Traceback" not in errors

    for number in range(3):
        file = folder.path / f"{number}.db"
        raw = sqlite3.connect(file)
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        numbers = [n for (n,) in raw.execute("SELECT number FROM trials ORDER BY 1")]
        assert numbers == list(range(len(numbers)))
        # Every trial has the epochs that its row says.
        wrong = "SELECT id FROM trials WHERE n_epochs != "
        wrong += "(SELECT count(*) FROM epochs WHERE trial_id = trials.id)"
        assert raw.execute(wrong).fetchall() == []
        ended = set(raw.execute("SELECT number, value FROM trials WHERE state = 'finished'"))
        raw.close()

        elsewhere = Folder(tmp_path / f"restored-{number}")
        elsewhere.variables["TUNELAB_MIRROR"] = "no"
        if other == "postgresql":
            elsewhere.variables["TUNELAB_DATABASE_URL"] = postgresql.create()
        elsewhere.tunelab("db", "restore", str(file))
        elsewhere.tunelab("study", "resume", "small")
        elsewhere.check_whole(14)
        assert ended <= set(elsewhere.sql("SELECT number, value FROM trials"))
        elsewhere.tunelab("db", "restore", str(file), code=2)
