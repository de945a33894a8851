"""The mirror as the main program meets it, a child with a pipe; and the server on what it wrote."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.service.conftest import running_study
from tunelab.service.links import CURVES, runs_url
from tunelab.service.mirror.orders import Orders
from tunelab.spec.study import StudySpec
from tunelab.storage.engine import Database
from tunelab.storage.leases import acquire_lease, lease_holder, mirror_lease
from tunelab.storage.mirror_runs import count_behind
from tunelab.storage.owners import Owner
from tunelab.storage.schema import open_database
from tunelab.storage.states import TrialState
from tunelab.storage.studies import StudyRow
from tunelab.storage.tables import mirror_runs, trials

SERVE = """
import os, sys
from tunelab.service.dashboard import serve_dashboard
url = os.environ["TUNELAB_DATABASE_URL"]
serve_dashboard(url, int(sys.argv[1]), lambda link: print(link, flush=True))
assert "mlflow" not in sys.modules
"""

SPEC = StudySpec.from_mapping(
    {"name": "iris", "task": "classification", "data": {"source": "sklearn", "name": "iris"}}
).resolve(90)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_database(f"sqlite:///{tmp_path / 'tunelab.db'}")


@pytest.fixture
def study(database: Database) -> StudyRow:
    study = running_study(database, SPEC, 2)
    with database.write() as connection:
        connection.execute(
            trials.update().values(
                state=TrialState.RUNNING, attempts=1, started_at=time.time(), n_epochs=0
            )
        )
    return study


def environment(tmp_path: Path, tracking_uri: str) -> dict[str, str]:
    return {
        **os.environ,
        "TUNELAB_DATABASE_URL": f"sqlite:///{tmp_path / 'tunelab.db'}",
        "MLFLOW_TRACKING_URI": tracking_uri,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes_on(port: int) -> list[str]:
    """Command lines of processes that were told to listen on ``port``."""
    found = []
    for item in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = item.read_bytes().decode().split("\0")
        except OSError:
            continue
        if "--port" in command and str(port) in command:
            found.append(" ".join(command))
    return found


def start(tmp_path: Path, study: StudyRow, tracking_uri: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tunelab.service.mirror", "--study", str(study.id)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(tmp_path, tracking_uri),
    )


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes under /proc")
@pytest.mark.long
def test_a_study_is_mirrored_without_a_word_and_served_with_its_files(
    tmp_path: Path, database: Database, study: StudyRow
) -> None:
    mirror = start(tmp_path, study, f"sqlite:///{tmp_path / 'mlflow.db'}")
    out, err = mirror.communicate(timeout=60)
    assert (mirror.returncode, out, err) == (0, "", "")
    with database.read() as connection:
        sent = connection.execute(select(mirror_runs.c.trial_id, mirror_runs.c.sent)).all()
        assert lease_holder(connection, mirror_lease(study.id)) is None
        parent = connection.scalar(
            select(mirror_runs.c.run_id).where(mirror_runs.c.trial_id.is_(None))
        )
    assert [row.sent for row in sent if row.trial_id] == ["running", "running"]
    assert {item.name for item in tmp_path.iterdir()} >= {"mlflow.db", "mlruns"}
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(port)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(tmp_path, f"sqlite:///{tmp_path / 'mlflow.db'}"),
    )
    assert process.stdout is not None
    with process.stdout:
        base = f"http://127.0.0.1:{port}"
        assert process.stdout.readline().strip() == runs_url(base, "1", CURVES)
        file = f"{base}/get-artifact?path=study.yaml&run_uuid={parent}"
        with urllib.request.urlopen(file, timeout=20) as answer:
            assert answer.read().startswith(b"name: iris\n")
        assert processes_on(port)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert processes_on(port) == []


@pytest.mark.long
def test_a_server_that_is_away_costs_one_line_and_no_more_than_seconds(
    tmp_path: Path, database: Database, study: StudyRow
) -> None:
    uri = f"http://me:secret@127.0.0.1:{free_port()}"
    mirror = start(tmp_path, study, uri)
    assert mirror.stderr is not None
    line = mirror.stderr.readline()
    assert line.startswith("warning: MLflow at http://***@127.0.0.1:")
    assert "cannot be reached" in line
    assert line.endswith("and what is missed is sent later\n")
    assert mirror.poll() is None
    time.sleep(1.5)  # it tries again, and does not say so again
    began = time.monotonic()
    mirror.send_signal(signal.SIGTERM)
    out, err = mirror.communicate(timeout=30)
    assert time.monotonic() - began < 6
    assert mirror.returncode == 0
    assert out == ""
    assert err.splitlines() == [
        "2 trials are not up to date in MLflow; the next start of the study sends the rest"
    ]
    assert "secret" not in line + err
    with database.read() as connection:
        assert count_behind(connection, study, "any") == 2


def wait_until_ignored(pid: int, number: signal.Signals) -> None:
    """Wait for a process that has just been started to get so far."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/status").read_text()
        (ignored,) = [line for line in status.splitlines() if line.startswith("SigIgn:")]
        if int(ignored.split()[1], 16) >> (number - 1) & 1:
            return
        time.sleep(0.02)
    raise AssertionError(f"{number!r} is never ignored")


def test_while_another_mirror_holds_the_lease_it_waits_and_leaves_when_told(
    tmp_path: Path, database: Database, study: StudyRow
) -> None:
    with database.write() as connection:
        assert acquire_lease(connection, mirror_lease(study.id), Owner.this_process())
    mirror = start(tmp_path, study, f"sqlite:///{tmp_path / 'mlflow.db'}")
    wait_until_ignored(mirror.pid, signal.SIGINT)
    mirror.send_signal(signal.SIGINT)  # Ctrl-C is for the main program to answer
    time.sleep(0.3)
    assert mirror.poll() is None
    out, err = mirror.communicate(timeout=10)
    assert (mirror.returncode, out, err) == (0, "", "")
    assert not (tmp_path / "mlflow.db").exists()


def test_the_time_to_leave_does_not_count_before_mlflow_is_loaded() -> None:
    orders = Orders()
    orders.leave()
    time.sleep(0.02)
    assert orders.seconds_over == 0.0
    orders.ready()
    time.sleep(0.02)
    assert 0.02 <= orders.seconds_over < 10
