"""Trials that kill, hang or fill their worker, in real processes: they fail, the study goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.service.misbehaving.sitecustomize import (
    ABORTS,
    EATS_MEMORY,
    EXITS,
    FINE,
    HOLDS_THE_LOCK,
    LEAVES,
    N_EPOCHS_BEFORE,
    SLEEPS,
    TAKES_LONG,
)

STUDY = """\
name: small
task: classification
data: {source: sklearn, name: iris}
search: {sampler: grid, max_epochs: 4, LIMITS}
space: {units: [UNITS], layers: 1, batch_size: 16}
monitor: {preset: "off"}
confirm: off
"""


@pytest.fixture
def misbehaving(folder):
    """A folder in which a trial's number of units says what it does."""

    def write(units, limits="seed: 0"):
        listed = ", ".join(map(str, units))
        folder.study_file.write_text(STUDY.replace("UNITS", listed).replace("LIMITS", limits))
        return folder

    paths = [str(Path(__file__).parent / "misbehaving"), os.environ.get("PYTHONPATH", "")]
    folder.variables |= {"TUNELAB_MIRROR": "no", "PYTHONPATH": os.pathsep.join(paths)}
    return write


def ends(folder):
    """Units -> (end reason, reason, epochs, attempts) of each trial; numbers have no gaps."""
    rows = folder.sql(
        "SELECT hyperparameters, end_reason, reason, n_epochs, attempts, state, number, id "
        "FROM trials ORDER BY number"
    )
    assert [row[6] for row in rows] == list(range(len(rows)))
    assert {row[5] for row in rows} == {"finished"}
    for *_, key in rows:
        (count,) = folder.sql("SELECT count(*), max(epoch) FROM epochs WHERE trial_id = ?", key)
        assert count[0] == (count[1] or 0)
    return {json.loads(row[0])["units"]: row[1:5] for row in rows}


@pytest.mark.long
def test_trials_that_take_their_process_along_fail_at_the_third_time(misbehaving):
    folder = misbehaving([FINE, ABORTS, LEAVES, EXITS])
    folder.tunelab("study", "start", "small.yaml", "--workers", "2")
    ended = ends(folder)
    assert ended[FINE][0] == "completed"
    reason, text, _, attempts = ended[ABORTS]
    assert (reason, attempts) == ("failed", 3)
    assert text.startswith("3 workers died or fell silent while they trained this trial; ")
    assert "the last was killed by SIGABRT (with optimizer=adam" in text
    assert ended[LEAVES][0] == "failed"
    assert "; the last was exit code 0 (with" in ended[LEAVES][1]
    # Python's own way to leave is no harm to the worker.
    reason, text, n_epochs, attempts = ended[EXITS]
    assert (reason, n_epochs, attempts) == ("failed", N_EPOCHS_BEFORE, 1)
    assert text.startswith("SystemExit: enough (with ")


@pytest.mark.long
def test_a_trial_ends_at_its_limits_and_is_not_tried_again(misbehaving):
    limits = "trial_timeout: 2.5, trial_memory: 300MB"
    folder = misbehaving([FINE, SLEEPS, HOLDS_THE_LOCK, EATS_MEMORY, TAKES_LONG], limits)
    process = folder.start("--workers", "2")
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    ended = ends(folder)
    assert ended[FINE][0] == "completed"
    for units in (SLEEPS, HOLDS_THE_LOCK):
        reason, text, n_epochs, attempts = ended[units]
        assert (reason, n_epochs, attempts) == ("failed", N_EPOCHS_BEFORE, 1)
        assert text.startswith(
            "trial_timeout of 2.5 s exceeded: one step of training did not return (with "
        )
    assert "a worker ended in trial" in errors
    reason, text, n_epochs, attempts = ended[TAKES_LONG]
    assert (reason, n_epochs, attempts) == ("failed", N_EPOCHS_BEFORE, 1)
    assert text.startswith("trial_timeout of 2.5 s exceeded: at epoch 2 of 4 after 2.5")
    reason, text, n_epochs, attempts = ended[EATS_MEMORY]
    assert (reason, n_epochs, attempts) == ("failed", N_EPOCHS_BEFORE, 1)
    assert text.startswith("out of memory: trial_memory is 300 MB (with optimizer=adam")


@pytest.mark.long
def test_the_second_signal_leaves_at_once_and_nothing_outlives_it(misbehaving):
    folder = misbehaving([SLEEPS, FINE])
    process = folder.start("--workers", "1")
    folder.wait_for("SELECT count(*) = 1 FROM trials WHERE state = 'running' AND n_epochs = 2")
    ((owner,),) = folder.sql("SELECT owner FROM workers")
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None  # it waits for the worker, which cannot hear
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - asked < 1
    _wait_until_gone(json.loads(owner)["pid"], 15)


def _wait_until_gone(pid: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return
        except OSError:
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} is still there")


@pytest.mark.long
def test_stop_now_ends_a_study_whose_worker_hears_nothing(misbehaving):
    folder = misbehaving([SLEEPS, FINE])
    process = folder.start("--workers", "1")
    folder.wait_for("SELECT count(*) = 1 FROM trials WHERE state = 'running' AND n_epochs = 2")
    ((owner,),) = folder.sql("SELECT owner FROM workers")
    folder.tunelab("study", "stop", "small", "--now")
    assert folder.sql("SELECT state, end_reason FROM studies") == [("stopped", "cancelled")]
    assert folder.sql("SELECT count(*) FROM trials WHERE state = 'running'") == [(0,)]
    stopped = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - stopped < 2
    assert process.returncode == 130, errors
    _wait_until_gone(json.loads(owner)["pid"], 1)
    folder.tunelab("study", "stop", "small", "--now", code=2)
    del folder.variables["PYTHONPATH"]  # the engine trains what is left
    if "PYTHONPATH" in os.environ:
        folder.variables["PYTHONPATH"] = os.environ["PYTHONPATH"]
    folder.tunelab("study", "resume", "small")
    assert {end[0] for end in ends(folder).values()} == {"completed"}
    assert folder.sql("SELECT count(*) FROM trials WHERE lost_leases > 0") == [(0,)]


def _start_by_shell(folder, line):
    """Start the study as a child of a shell that runs ``line``; `$@` is the command."""
    process = folder.start("--workers", "1", before=["/bin/sh", "-c", line, "sh"])
    folder.wait_for_finished(1)
    return process


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143)],
)
@pytest.mark.long
def test_signals_stop_a_study_whose_shell_ignored_them(folder, number, code):
    folder.write_study(200)
    folder.variables["TUNELAB_MIRROR"] = "no"
    process = _start_by_shell(folder, "trap '' INT TERM; exec \"$@\"")
    process.send_signal(number)
    asked = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    assert time.monotonic() - asked < 5
    assert folder.sql("SELECT state FROM studies") == [("stopped",)]
    assert folder.sql("SELECT count(*) FROM trials WHERE state = 'running'") == [(0,)]


def _may_have_own_process_numbers() -> bool:
    try:
        made = subprocess.run(
            ["unshare", "-pf", "--mount-proc", "true"], capture_output=True, check=False
        )
    except OSError:
        return False
    return made.returncode == 0


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.long),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.long),
    ],
)
def test_signals_stop_the_first_process_of_a_container(folder, number, code):
    if not _may_have_own_process_numbers():
        pytest.skip("unshare needs rights that this user has not")
    folder.write_study(200)
    folder.variables["TUNELAB_MIRROR"] = "no"
    process = folder.start("--workers", "1", before=["unshare", "-pf", "--mount-proc"])
    folder.wait_for_finished(1)
    (first,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(first), number)
    asked = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    assert time.monotonic() - asked < 5
    assert folder.sql("SELECT state FROM studies") == [("stopped",)]
    assert folder.sql("SELECT count(*) FROM trials WHERE state = 'running'") == [(0,)]
