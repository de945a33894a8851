"""A kill at any moment of the tracking database's creation leaves nothing or all of it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tunelab.service.mirror.environment import sqlite_path, tracking_uri, without_credentials
from tunelab.service.mirror.tracking_database import (
    _put_into_place,
    _remove_leftovers,
    _temporary_name,
)

# MLflow is imported once; each attempt is a fork of this process that is killed some time later.
ATTEMPTS = """
import json, logging, os, signal, sys, time, warnings
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
from pathlib import Path
from tunelab.service.mirror.tracking_database import ensure_database
import mlflow.store.tracking.sqlalchemy_store
folder, delays = Path(sys.argv[1]), json.loads(sys.argv[2])
path = folder / "mlflow.db"
seen = []
for delay in delays:
    child = os.fork()
    if child == 0:
        ensure_database(f"sqlite:///{path}")
        os._exit(0)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    seen.append([os.WIFSIGNALED(status), path.exists(), len(os.listdir(folder))])
rivals = []
for _ in range(2):
    child = os.fork()
    if child == 0:
        ensure_database(f"sqlite:///{path}")
        os._exit(0)
    rivals.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in rivals]
from tunelab.service.mirror.tracking import Tracking
key = Tracking(f"sqlite:///{path}").experiment("digits", {})
print(json.dumps({"seen": seen, "codes": codes, "key": key}))
"""


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_creations_leave_nothing_half_made_and_rivals_both_succeed(tmp_path: Path) -> None:
    delays = [0.05, 0.3, 0.6, 0.9]
    result = subprocess.run(
        [sys.executable, "-c", ATTEMPTS, str(tmp_path), json.dumps(delays)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert any(killed and files for killed, _, files in told["seen"])  # some died half-way
    for killed, exists, _ in told["seen"]:
        assert exists is not killed
    assert told["codes"] == [0, 0]
    assert told["key"] == "1"
    assert [item.name for item in tmp_path.iterdir()] == ["mlflow.db"]
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_complete_database_is_never_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, temporary = tmp_path / "mlflow.db", tmp_path / "temporary"
    path.write_text("there")
    temporary.write_text("late")
    _put_into_place(temporary, path)
    assert path.read_text() == "there"

    def refuse(*_: object) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr("os.link", refuse)
    _put_into_place(temporary, path)
    assert path.read_text() == "there"
    path.unlink()
    _put_into_place(temporary, path)
    assert path.read_text() == "late"
    assert [item.name for item in tmp_path.iterdir()] == ["mlflow.db"]


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    mine = tmp_path / _temporary_name(path)
    dead = tmp_path / mine.name.replace(f"-{os.getpid()}-", "-999999999-")
    mark = mine.name.split("-")[1]
    strange = tmp_path / mine.name.replace(mark, "00000000")
    old = tmp_path / dead.name.replace(mark, "11111111")
    for item in (mine, dead, dead.with_name(dead.name + "-journal"), strange, old):
        item.write_text("")
    long_ago = time.time() - 7200
    os.utime(old, (long_ago, long_ago))
    _remove_leftovers(path)
    assert {item.name for item in tmp_path.iterdir()} == {mine.name, strange.name}


def test_the_tracking_uri_is_absolute_and_shown_without_passwords(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs/all.db?timeout=5")
    assert tracking_uri() == f"sqlite:///{tmp_path}/runs/all.db?timeout=5"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert tracking_uri() == "http://host:5000"
    assert sqlite_path("postgresql://host/base") is None
    assert without_credentials("postgresql://me:p@ss@host/base") == "postgresql://***@host/base"
