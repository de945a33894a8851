"""Folders in which the real program runs, with MLflow's database made once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tunelab.spec.default_space import default_configuration
from tunelab.spec.study import StudySpec
from tunelab.storage.engine import Database
from tunelab.storage.owners import Owner
from tunelab.storage.rungs import RungLimits
from tunelab.storage.studies import StudyRow, create_study, mark_started
from tunelab.storage.trials import NewTrial, insert_trials

# Small data and short trials, but enough epochs to be caught in the middle of one.
STUDY = """\
name: small
task: classification
data: {source: sklearn, name: digits}
search: {sampler: tpe, trials: TRIALS, max_epochs: 40, seed: 3}
space:
  optimizer: [momentum, adam]
  schedule: [constant, cosine]
  layers: {low: 1, high: 2}
  units: {low: 32, high: 128, scale: log}
  batch_size: [16, 32]
confirm: off
"""

Session = psycopg.Connection[Any] | sqlite3.Connection


def _rows(session: Session, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    if isinstance(session, psycopg.Connection):
        query = query.replace("?", "%s")
    return session.execute(query, values).fetchall()


class Folder:
    """A working directory of tunelab."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.variables: dict[str, str] = {}
        path.mkdir(exist_ok=True)
        self.study_file = path / "small.yaml"
        self.write_study(8)

    def write_study(self, n_trials: int) -> None:
        self.study_file.write_text(STUDY.replace("TRIALS", str(n_trials)))

    def start(self, *arguments: str, before: Sequence[str] = ()) -> subprocess.Popen[str]:
        """`tunelab study start small.yaml` as a process group of its own.

        ``before`` is a command that runs the command behind it.
        """
        program = [sys.executable, "-m", "tunelab", "study", "start", "small.yaml"]
        return subprocess.Popen(
            [*before, *program, *arguments],
            cwd=self.path,
            env=environment() | self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def tunelab(self, *arguments: str, code: int = 0, timeout: float = 90.0) -> str:
        """Run a command to its end and return its standard output."""
        result = subprocess.run(
            [sys.executable, "-m", "tunelab", *arguments],
            cwd=self.path,
            env=environment() | self.variables,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert result.returncode == code, result.stderr + result.stdout
        assert "Traceback" not in result.stderr
        return result.stdout

    def json(self, *arguments: str, timeout: float = 90.0) -> Any:
        return json.loads(self.tunelab(*arguments, "--json", timeout=timeout))

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with contextlib.closing(self._session()) as session:
            return _rows(session, query, values)

    def _session(self) -> Session:
        url = self.variables.get("TUNELAB_DATABASE_URL")
        if url is not None:
            return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
        return sqlite3.connect(self.path / "tunelab.db", timeout=10)

    def mlflow_sql(self, query: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.path / "mlflow.db", timeout=10)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def wait_for(self, query: str, seconds: float = 40.0, pause: float = 0.02) -> None:
        """Wait until ``query`` gives a row whose first column is true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                with contextlib.closing(self._session()) as session:  # a server forks for each
                    while time.monotonic() < deadline:
                        rows = _rows(session, query)
                        if rows and rows[0][0]:
                            return
                        time.sleep(pause)
            except (sqlite3.OperationalError, psycopg.Error):  # no database or no table yet
                time.sleep(pause)
        raise AssertionError(f"never true: {query}")

    def wait_for_trainer(self, study_id: int = 1) -> int:
        """The process number of a worker that trains a trial of the study."""
        query = (
            "SELECT owner FROM trials WHERE study_id = ? AND state = 'running'"
            " ORDER BY number LIMIT 1"
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for (owner,) in self.sql(query, study_id):
                return Owner.parse(owner).pid
            time.sleep(0.02)
        raise AssertionError("nobody trains")

    def wait_for_finished(self, n_trials: int) -> None:
        self.wait_for(f"SELECT count(*) >= {n_trials} FROM trials WHERE state = 'finished'")

    def check_whole(self, n_trials: int) -> None:
        """The study has finished, every trial once, none stuck, numbers without gaps."""
        query = "SELECT number, state, end_reason, n_epochs, id FROM trials WHERE kind = 'trial'"
        rows = self.sql(f"{query} ORDER BY 1")
        assert [row[0] for row in rows] == list(range(n_trials))
        assert {row[1] for row in rows} == {"finished"}
        assert "failed" not in {row[2] for row in rows}
        for number, _, _, n_epochs, key in rows:
            curve = self.sql("SELECT epoch FROM epochs WHERE trial_id = ? ORDER BY 1", key)
            assert [epoch for (epoch,) in curve] == list(range(1, n_epochs + 1)), number
        assert self.sql("SELECT state FROM studies") == [("finished",)]
        if "TUNELAB_DATABASE_URL" not in self.variables:
            assert self.sql("PRAGMA integrity_check") == [("ok",)]
        assert self.sql("SELECT count(*) FROM workers") == [(0,)]


def running_study(database: Database, spec: StudySpec, n_trials: int) -> StudyRow:
    """A study that runs, and whose trials all wait, with the default configuration."""
    flat = default_configuration(spec.search_space).to_flat()
    with database.write() as connection:
        study = create_study(
            connection,
            name=spec.name,
            spec=spec.to_mapping(),
            spec_hash="",
            data_digest="",
            data_path="",
            baseline_loss=1.1,
            n_trials=n_trials,
            timeout_seconds=None,
        )
        mark_started(connection, study.id)
        new = [NewTrial(number, flat, {}, 0, RungLimits()) for number in range(n_trials)]
        insert_trials(connection, study.id, new)
    return study


def environment() -> dict[str, str]:
    """The test's own environment without anybody's settings."""
    dropped = ("TUNELAB_", "MLFLOW_")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


def kill_group(process: subprocess.Popen[str]) -> None:
    """kill -9 of the program and of all it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture(scope="session")
def tracking_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database, migrated and empty: making one costs seconds."""
    path = tmp_path_factory.mktemp("tracking") / "mlflow.db"
    module = "tunelab.service.mirror.tracking_database"
    subprocess.run(
        [sys.executable, "-m", module, f"sqlite:///{path}"], env=environment(), check=True
    )
    return path


@pytest.fixture
def folder(tmp_path: Path, tracking_database: Path) -> Folder:
    """A working directory in which MLflow's database exists already."""
    shutil.copy(tracking_database, tmp_path / "mlflow.db")
    return Folder(tmp_path)
