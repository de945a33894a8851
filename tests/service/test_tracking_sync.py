"""`tunelab tracking sync` on studies whose runs somebody has damaged."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import Folder
from tunelab.service.mirror.messages import IDENTITY_TAG
from tunelab.storage.leases import acquire_lease, mirror_lease, release_lease
from tunelab.storage.owners import Owner
from tunelab.storage.schema import open_database

RUNS = "SELECT name, status, start_time, end_time FROM runs WHERE lifecycle_stage = 'active'"
POINTS = """
    SELECT r.name, m.key, m.step, m.timestamp, m.value
    FROM metrics m JOIN runs r USING (run_uuid) WHERE r.lifecycle_stage = 'active'
"""
# Counts at the study's run are sent as often as the mirror passes; the last of them counts.
FINAL_POINTS = f"{POINTS} AND m.key NOT LIKE 'trials/%'"


class Mirrored(Folder):
    """A folder with one finished study, all of it in MLflow."""

    def mlflow(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path / "mlflow.db", timeout=10)) as connection:
            rows = connection.execute(query, values).fetchall()
            connection.commit()
        return rows

    def shown(self) -> tuple[Any, ...]:
        """What MLflow shows, without the keys of runs, which change."""
        tags = "SELECT r.name, t.key, t.value FROM tags t JOIN runs r USING (run_uuid) "
        tags += "WHERE r.lifecycle_stage = 'active' AND t.key LIKE 'tunelab.%'"
        params = "SELECT r.name, p.key, p.value FROM params p JOIN runs r USING (run_uuid) "
        params += "WHERE r.lifecycle_stage = 'active'"
        return tuple(sorted(self.mlflow(query)) for query in (RUNS, FINAL_POINTS, tags, params))

    def everything(self) -> list[Any]:
        """All rows of all tables."""
        tables = ("runs", "metrics", "latest_metrics", "params", "tags", "experiment_tags")
        return [sorted(self.mlflow(f"SELECT * FROM {table}"), key=repr) for table in tables]

    def sync(self, *names: str) -> dict[str, Any]:
        """What was repaired of the only study."""
        (study,) = self.json("tracking", "sync", *names)["studies"]
        assert study["study"] == "small #1"
        assert study["agreed"] == (not any(study["repaired"].values()))
        return {kind: n for kind, n in study["repaired"].items() if n}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tracking_database: Path) -> Path:
    """A finished study with its runs, to be copied."""
    path = tmp_path_factory.mktemp("whole")
    shutil.copy(tracking_database, path / "mlflow.db")
    folder = Folder(path)
    folder.tunelab("study", "start", "small.yaml", "--workers", "2")
    return path


@pytest.fixture
def mirrored(whole: Path, tmp_path: Path) -> Iterator[Mirrored]:
    # Another place would be another tracking URI, and to MLflow another folder of files.
    kept = tmp_path / "kept"
    shutil.copytree(whole, kept)
    yield Mirrored(whole)
    shutil.rmtree(whole)
    shutil.copytree(kept, whole)


def run_of(folder: Mirrored, number: int) -> str:
    query = "SELECT run_uuid FROM runs WHERE name = ? AND lifecycle_stage = 'active'"
    ((key,),) = folder.mlflow(query, f"trial-{number:03d}")
    return str(key)


def delete_run(folder: Mirrored) -> dict[str, int]:
    folder.mlflow("UPDATE runs SET lifecycle_stage = 'deleted' WHERE name = 'trial-003'")
    return {"missing_runs": 1}


def delete_study_run(folder: Mirrored) -> dict[str, int]:
    folder.mlflow("UPDATE runs SET lifecycle_stage = 'deleted' WHERE name = 'small #1'")
    return {"missing_runs": 1}


def open_run(folder: Mirrored) -> dict[str, int]:
    folder.mlflow("UPDATE runs SET status = 'RUNNING', end_time = NULL WHERE name = 'trial-002'")
    folder.mlflow("UPDATE runs SET status = 'RUNNING' WHERE name = 'small #1'")
    return {"wrong_states": 2}


def double_run(folder: Mirrored) -> dict[str, int]:
    run = run_of(folder, 4)
    columns = [row[1] for row in folder.mlflow("PRAGMA table_info(runs)")]
    chosen = ", ".join("'twice'" if name == "run_uuid" else name for name in columns)
    folder.mlflow(f"INSERT INTO runs SELECT {chosen} FROM runs WHERE run_uuid = ?", run)
    folder.mlflow("INSERT INTO tags SELECT key, value, 'twice' FROM tags WHERE run_uuid = ?", run)
    return {"double_runs": 1}


def stray_run(folder: Mirrored) -> dict[str, int]:
    double_run(folder)
    query = "UPDATE tags SET value = 'small#1/99' WHERE run_uuid = 'twice' AND key = ?"
    folder.mlflow(query, IDENTITY_TAG)
    return {"stray_runs": 1}


def lose_points(folder: Mirrored) -> dict[str, int]:
    lost = "run_uuid = ? AND key LIKE 'loss/%' AND step IN (2, 3)"
    folder.mlflow(f"DELETE FROM metrics WHERE {lost}", run_of(folder, 0))
    return {"missing_points": 4}


def double_points(folder: Mirrored) -> dict[str, int]:
    columns = "key, value, timestamp + 7, run_uuid, step, is_nan"
    of_step = "run_uuid = ? AND key = 'loss/train' AND step <= 2"
    names = columns.replace(" + 7", "")
    query = f"INSERT INTO metrics ({names}) SELECT {columns} FROM metrics WHERE {of_step}"
    folder.mlflow(query, run_of(folder, 0))
    return {"wrong_points": 2}


def lose_labels(folder: Mirrored) -> dict[str, int]:
    run = run_of(folder, 1)
    folder.mlflow("DELETE FROM params WHERE run_uuid = ? AND key = 'batch_size'", run)
    folder.mlflow("DELETE FROM tags WHERE run_uuid = ? AND key = 'tunelab.end_reason'", run)
    folder.mlflow("DELETE FROM tags WHERE run_uuid = ? AND key = 'mlflow.parentRunId'", run)
    return {"wrong_labels": 3}


# Each group leaves the other's damages visible; a sync takes seconds, so they share one.
GROUPS = [
    [delete_run, open_run, double_run, lose_points, lose_labels],
    [double_points, stray_run],
    [delete_study_run],
]


@pytest.mark.long
@pytest.mark.parametrize("damages", GROUPS)
def test_what_is_wrong_is_repaired_and_counted_once(
    mirrored: Mirrored, damages: list[Callable[[Mirrored], dict[str, int]]]
) -> None:
    before = mirrored.shown()
    expected: dict[str, int] = {}
    for damage in damages:
        expected |= damage(mirrored)
    assert mirrored.sync("small") == expected
    assert mirrored.shown() == before
    after = mirrored.everything()
    assert mirrored.sync() == {}
    assert mirrored.everything() == after


@pytest.mark.long
def test_after_mlflow_lost_its_database_everything_is_built_anew(mirrored: Mirrored) -> None:
    before = mirrored.shown()
    assert mirrored.tunelab("tracking", "sync") == "small #1: agrees\n"
    assert mirrored.shown() == before
    (mirrored.path / "mlflow.db").unlink()
    assert mirrored.tunelab("tracking", "sync", "small#1") == "small #1: 9 runs made\n"
    assert mirrored.shown() == before


@pytest.mark.long
def test_doctor_names_the_disagreement_and_repairs_it(mirrored: Mirrored) -> None:
    delete_run(mirrored)
    open_run(mirrored)
    said = mirrored.tunelab("doctor", code=1)
    assert "small #1: runs missing: 1, runs in a wrong state: 2" in said
    mirrored.tunelab("doctor", "--fix")
    assert "shows what the one study of the study database has" in mirrored.tunelab("doctor")


def test_what_people_added_stays(mirrored: Mirrored) -> None:
    run = run_of(mirrored, 0)
    mirrored.mlflow("INSERT INTO tags (key, value, run_uuid) VALUES ('mine', 'yes', ?)", run)
    note = "UPDATE tags SET value = 'look here' WHERE key = 'mlflow.note.content' AND run_uuid = ?"
    mirrored.mlflow(note, run)
    assert mirrored.sync() == {}
    added = "SELECT value FROM tags WHERE run_uuid = ? AND key IN ('mine', 'mlflow.note.content')"
    assert sorted(mirrored.mlflow(added, run)) == [("look here",), ("yes",)]


@pytest.mark.long
def test_while_a_mirror_is_at_work_it_waits_and_then_says_who_that_is(mirrored: Mirrored) -> None:
    database = open_database(f"sqlite:///{mirrored.path / 'tunelab.db'}")
    with database.write() as connection:
        lease = acquire_lease(connection, mirror_lease(1), Owner.this_process())
    assert lease is not None
    try:
        said = mirrored.tunelab("tracking", "sync", "--json", code=1)
    finally:
        with database.write() as connection:
            release_lease(connection, lease)
        database.close()
    assert f"process {os.getpid()} on " in said


@pytest.mark.long
def test_a_study_may_be_deleted_with_its_runs_and_without_mlflow_stays(mirrored: Mirrored) -> None:
    mirrored.variables["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
    mirrored.tunelab("study", "delete", "small", "--yes", "--mlflow", code=4)
    del mirrored.variables["MLFLOW_TRACKING_URI"]
    assert mirrored.sql("SELECT count(*) FROM studies") == [(1,)]
    stray_run(mirrored)
    others = "UPDATE tags SET value = 'another' WHERE run_uuid = 'twice' AND key = 'tunelab.study'"
    mirrored.mlflow(others)
    mirrored.tunelab("study", "delete", "small", "--yes", "--mlflow")
    assert mirrored.sql("SELECT count(*) FROM studies") == [(0,)]
    assert [name for name, *_ in mirrored.mlflow(RUNS)] == ["trial-004"]  # another study's


def test_an_unknown_study_is_not_found(mirrored: Mirrored) -> None:
    mirrored.tunelab("tracking", "sync", "smal", code=3)


def test_mlflow_that_is_away_is_one_sentence(mirrored: Mirrored) -> None:
    mirrored.variables["MLFLOW_TRACKING_URI"] = "http://me:s3cret@127.0.0.1:9"
    said = mirrored.tunelab("tracking", "sync", "--json", code=4)
    assert "MLflow at http://***@127.0.0.1:9 cannot be reached" in said
    assert "s3cret" not in said
