"""A backup that is taken while a study runs goes on as that study, on another kind of database."""

from __future__ import annotations

import sqlite3

import pytest

from tests.service.conftest import Folder

N_TRIALS = 80  # a backup is made within their time, also where the machine is busy


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("sqlite", "postgresql"),
        pytest.param("postgresql", "sqlite", marks=pytest.mark.long),
    ],
)
def test_a_backup_of_a_running_study_is_restored_elsewhere_and_finishes(
    kind, other, tmp_path, postgresql_url, postgresql
):
    folder = Folder(tmp_path / "one")
    folder.variables["TUNELAB_MIRROR"] = "no"
    if kind == "postgresql":
        folder.variables["TUNELAB_DATABASE_URL"] = postgresql_url
    folder.write_study(N_TRIALS)
    process = folder.start("--workers", "2")
    for number, n_finished in enumerate([1, 4]):
        folder.wait_for_finished(n_finished)
        folder.tunelab("db", "backup", f"{number}.db")
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    folder.check_whole(N_TRIALS)

    ended = [whole(folder.path / f"{number}.db") for number in range(2)]
    assert len(ended[0]) < N_TRIALS
    assert ended[0] <= ended[1]

    elsewhere = Folder(tmp_path / "restored")
    elsewhere.variables["TUNELAB_MIRROR"] = "no"
    if other == "postgresql":
        elsewhere.variables["TUNELAB_DATABASE_URL"] = postgresql.create()
    elsewhere.tunelab("db", "restore", str(folder.path / "0.db"))
    elsewhere.tunelab("study", "resume", "small")
    elsewhere.check_whole(N_TRIALS)
    assert ended[0] <= set(elsewhere.sql("SELECT number, value FROM trials"))
    elsewhere.tunelab("db", "restore", str(folder.path / "1.db"), code=2)


def whole(file):
    """Number and value of each finished trial of a backup in which nothing is missing."""
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
    return ended
