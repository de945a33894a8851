"""The real program on a PostgreSQL server: whole, killed, and while the server is away."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest

from tests.postgresql import Server
from tests.service.conftest import kill_group
from tests.service.test_confirm import STUDY as CONFIRMING


@pytest.fixture
def server():
    """A server of the test's own, which it may stop."""
    folder = Path(tempfile.mkdtemp(prefix="tunelab-postgresql-"))
    server = Server(folder)
    server.start()
    with server.connect() as connection:
        connection.execute("CREATE DATABASE studies")
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def unmirrored(folder, server):
    folder.variables |= {"TUNELAB_DATABASE_URL": server.url("studies"), "TUNELAB_MIRROR": "no"}
    return folder


@pytest.mark.long
def test_killed_as_a_whole_it_goes_on_and_mlflow_gets_all_of_it(unmirrored):
    process = unmirrored.start("--workers", "2")
    unmirrored.wait_for_finished(3)
    kill_group(process)
    unmirrored.variables.pop("TUNELAB_MIRROR")
    unmirrored.tunelab("study", "start", "small.yaml")
    unmirrored.check_whole(8)
    (sent,) = unmirrored.sql("SELECT count(*) FROM mirror_runs WHERE sent = 'finished'")
    assert sent == (8,)
    assert not (unmirrored.path / "tunelab.db").exists()
    assert "small" in unmirrored.tunelab("study", "list")
    assert unmirrored.json("study", "show", "small")["state"] == "finished"


@pytest.mark.long
def test_a_server_that_crashes_in_the_middle_is_waited_for(unmirrored, server):
    process = unmirrored.start("--workers", "2")
    unmirrored.wait_for_finished(2)
    server.stop(signal.SIGQUIT)
    time.sleep(4)
    assert process.poll() is None
    server.start()
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert "waiting until it is back" in errors
    assert "the database is back" in errors
    unmirrored.check_whole(8)
    assert unmirrored.sql("SELECT count(*) FROM trials WHERE lost_leases > 0") == [(0,)]


@pytest.mark.long
def test_ctrl_c_while_the_server_is_away_leaves_with_one_sentence(unmirrored, server):
    unmirrored.variables["TUNELAB_DATABASE_URL"] = server.url("studies").replace(
        "tunelab@", "tunelab:s3cret@"
    )
    process = unmirrored.start("--workers", "2")
    unmirrored.wait_for_finished(2)
    server.stop()
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 4, errors
    place = f"database studies on 127.0.0.1:{server.port}"
    assert f"error: cannot reach the {place}: " in errors
    assert "Traceback" not in errors
    assert "s3cret" not in errors
    server.start()
    unmirrored.tunelab("study", "start", "small.yaml")
    unmirrored.check_whole(8)


@pytest.mark.long
def test_killed_in_its_confirm_stage_it_goes_on_and_judges_the_pick_once(unmirrored):
    unmirrored.study_file.write_text(CONFIRMING)
    process = unmirrored.start("--workers", "2")
    unmirrored.wait_for(
        "SELECT count(*) > 0 FROM trials WHERE kind = 'confirm' AND state = 'running'"
    )
    kill_group(process)
    unmirrored.tunelab("study", "start", "small.yaml")
    confirmed = unmirrored.json("study", "show", "small")["confirmation"]
    assert confirmed["runs"]["finished"] == confirmed["runs"]["total"]
    assert confirmed["test"]["rows"] == 359
    assert len(confirmed["test_openings"]) == 1
    pairs = unmirrored.sql("SELECT confirms, repeat FROM trials WHERE kind = 'confirm'")
    assert len(pairs) == len(set(pairs))
