"""The real program in real processes: whole, interrupted, killed, and started twice."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests.service.conftest import Folder, kill_group

RUNS = """
    SELECT runs.run_uuid, runs.status, tags.value FROM runs
    JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = 'tunelab.kind'
"""


@pytest.fixture
def unmirrored(folder):
    """A folder for what is not about MLflow: its library takes seconds to load."""
    folder.variables["TUNELAB_MIRROR"] = "no"
    return folder


@pytest.mark.long
def test_database_command_line_and_mlflow_agree(folder):
    process = folder.start("--json", "--workers", "2")
    output, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    folder.check_whole(8)
    events = [json.loads(line) for line in output.splitlines()]
    assert events[0]["event"] == "study_started"
    assert events[-1]["event"] == "study_finished"
    ended = [event for event in events if event["event"] == "trial_finished"]
    assert sorted(event["number"] for event in ended) == list(range(8))
    n_epochs = sum(event["event"] == "epoch" for event in events)
    assert n_epochs == folder.sql("SELECT count(*) FROM epochs")[0][0]

    shown = folder.json("study", "show", "small")
    assert {**shown, "event": "study_finished"} == events[-1]
    trials = folder.json("study", "trials", "small")["trials"]
    complete = [t for t in trials if t["end_reason"] in ("completed", "early_stopped")]
    best = min(complete, key=lambda trial: (trial["value"], trial["number"]))
    assert shown["best"]["number"] == best["number"]
    assert shown["best"]["value"] == best["value"]
    for reason in ("completed", "early_stopped", "pruned", "diverged", "failed"):
        count = sum(trial["end_reason"] == reason for trial in trials)
        assert shown["trials"][reason] == count

    runs = folder.mlflow_sql(RUNS)
    assert sorted(kind for _, _, kind in runs) == ["study", *["trial"] * 8]
    objectives = dict(
        folder.mlflow_sql(
            "SELECT tags.value, metrics.value FROM metrics JOIN tags ON "
            "tags.run_uuid = metrics.run_uuid AND tags.key = 'tunelab.trial' "
            "WHERE metrics.key = 'objective'",
        )
    )
    assert {int(number): value for number, value in objectives.items()} == {
        trial["number"]: trial["value"] for trial in trials
    }
    points = folder.mlflow_sql("SELECT count(*) FROM metrics WHERE key = 'loss/validation'")
    assert points == folder.sql("SELECT count(validation_loss) FROM epochs")
    # Once more: there is nothing to do, and that takes neither workers nor MLflow.
    before = time.monotonic()
    assert "finished" in folder.tunelab("study", "start", "small.yaml")
    assert time.monotonic() - before < 15  # 5 on a machine that does nothing else


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "code", "send"),
    [
        pytest.param(signal.SIGTERM, 143, os.kill, marks=pytest.mark.long),
        (signal.SIGINT, 130, os.killpg),
    ],
    ids=["SIGTERM", "Ctrl-C in a terminal, which reaches the whole group"],
)
def test_a_signal_stops_in_order_and_the_next_start_goes_on(folder, number, code, send):
    process = folder.start("--workers", "2")
    folder.wait_for_finished(2)
    send(process.pid, number)
    asked = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert time.monotonic() - asked < 15  # 5 on a machine that does nothing else
    assert "Traceback" not in errors
    assert folder.sql("SELECT state FROM studies") == [("stopped",)]
    assert folder.sql("SELECT count(*) FROM trials WHERE state = 'running'") == [(0,)]
    assert folder.sql("SELECT count(*) FROM trials WHERE lost_leases > 0") == [(0,)]
    folder.tunelab("study", "resume", "small")
    folder.check_whole(8)
    assert {status for _, status, _ in folder.mlflow_sql(RUNS)} <= {"FINISHED", "KILLED"}


@pytest.mark.long
def test_two_starts_at_once_run_one_study(unmirrored):
    processes = [unmirrored.start("--workers", "1"), unmirrored.start("--workers", "1")]
    for process in processes:
        output, errors = process.communicate(timeout=90)
        assert process.returncode == 0, errors
        assert "small #1" in output
    unmirrored.check_whole(8)
    assert unmirrored.sql("SELECT count(*) FROM studies") == [(1,)]


@pytest.mark.long
def test_a_follower_takes_over_when_its_leader_is_killed(unmirrored):
    leader = unmirrored.start("--workers", "1")
    unmirrored.wait_for_finished(1)
    follower = unmirrored.start("--workers", "1")
    time.sleep(1.5)
    kill_group(leader)
    _, errors = follower.communicate(timeout=90)
    assert follower.returncode == 0, errors
    unmirrored.check_whole(8)


@pytest.mark.parametrize("n_finished", [pytest.param(0, marks=pytest.mark.long), 4])
def test_everything_killed_and_started_again_at_once(folder, n_finished):
    process = folder.start("--workers", "2")
    folder.wait_for("SELECT count(*) > 0 FROM trials WHERE state = 'running'")
    folder.wait_for_finished(n_finished)
    kill_group(process)
    folder.tunelab("study", "start", "small.yaml")
    folder.check_whole(8)
    runs = folder.mlflow_sql(RUNS)
    assert sorted(kind for _, _, kind in runs) == ["study", *["trial"] * 8]
    assert "RUNNING" not in {status for _, status, _ in runs}


@pytest.mark.long
@pytest.mark.parametrize("seconds", [1.2, 5.0])
def test_the_very_first_start_may_be_killed_at_any_moment(tmp_path, seconds):
    """No database of tunelab's nor of MLflow's exists yet when the kill comes."""
    folder = Folder(tmp_path / "fresh")
    folder.write_study(3)
    process = folder.start("--workers", "1")
    time.sleep(seconds)
    kill_group(process)
    folder.tunelab("study", "start", "small.yaml")
    folder.check_whole(3)
    assert len(folder.mlflow_sql(RUNS)) == 4


@pytest.mark.long
def test_a_worker_that_is_killed_is_replaced_and_its_trial_finishes(unmirrored):
    process = unmirrored.start("--workers", "1")
    unmirrored.wait_for_finished(1)
    unmirrored.wait_for("SELECT count(*) > 0 FROM trials WHERE state = 'running'")
    ((owner,),) = unmirrored.sql("SELECT owner FROM workers")
    os.kill(json.loads(owner)["pid"], signal.SIGKILL)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    assert "another takes its place" in errors
    unmirrored.check_whole(8)


@pytest.mark.long
def test_a_mirror_that_is_killed_is_replaced_and_mlflow_gets_everything(folder):
    process = folder.start("--workers", "2")
    folder.wait_for("SELECT owner IS NOT NULL FROM leases WHERE name LIKE 'mirror:%'")
    ((owner,),) = folder.sql("SELECT owner FROM leases WHERE name LIKE 'mirror:%'")
    os.kill(json.loads(owner)["pid"], signal.SIGKILL)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    assert errors.count("the MLflow mirror ended (exit code -9)") == 1
    (sent,) = folder.sql("SELECT count(*) FROM mirror_runs WHERE sent = 'finished'")
    assert sent == (8,)


@pytest.mark.long
def test_a_seeded_study_with_one_worker_repeats_also_through_stops(unmirrored):
    unmirrored.tunelab("study", "start", "small.yaml", "--workers", "1")
    process = unmirrored.start("--new", "--workers", "1")
    unmirrored.wait_for(
        "SELECT count(*) >= 3 FROM trials JOIN studies ON studies.id = study_id "
        "WHERE generation = 2 AND trials.state = 'finished'"
    )
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    unmirrored.tunelab("study", "start", "small.yaml", "--workers", "1")
    undisturbed, stopped = (
        unmirrored.sql(
            "SELECT number, hyperparameters, seed, rung_limits, trials.end_reason, value, "
            "best_epoch, n_epochs, reason FROM trials JOIN studies ON studies.id = study_id "
            "WHERE generation = ? ORDER BY number",
            generation,
        )
        for generation in (1, 2)
    )
    assert len(stopped) == 8
    assert stopped == undisturbed
    curves = [
        unmirrored.sql(
            "SELECT number, epoch, train_loss, validation_loss, validation_score, gradient_norm "
            "FROM epochs JOIN trials ON trials.id = trial_id JOIN studies ON studies.id = study_id "
            "WHERE generation = ? ORDER BY number, epoch",
            generation,
        )
        for generation in (1, 2)
    ]
    assert curves[0] == curves[1]


@pytest.mark.long
def test_a_time_limit_ends_the_study_with_what_it_has(unmirrored):
    unmirrored.write_study(10_000)
    before = time.monotonic()
    unmirrored.tunelab("study", "start", "small.yaml", "--timeout", "8s", "--workers", "2")
    assert time.monotonic() - before < 60  # 30 likewise
    shown = unmirrored.json("study", "show", "small")
    assert shown["state"] == "finished"
    assert shown["end_reason"] == "study time ended"
    assert shown["best"] is not None
    numbers = [number for (number,) in unmirrored.sql("SELECT number FROM trials ORDER BY 1")]
    assert numbers == list(range(len(numbers)))


@pytest.mark.long
def test_a_study_from_its_start_to_its_deletion(unmirrored):
    unmirrored.write_study(30)
    process = unmirrored.start("--workers", "1")
    unmirrored.wait_for_finished(1)
    unmirrored.tunelab("study", "stop", "small")  # from another terminal
    process.communicate(timeout=60)
    assert unmirrored.json("study", "show", "small")["state"] == "stopped"

    # What would change its meaning is refused, and nothing is written.
    text = unmirrored.study_file.read_text()
    unmirrored.study_file.write_text(text.replace("high: 128", "high: 256"))
    before = unmirrored.sql("SELECT * FROM studies")
    unmirrored.tunelab("study", "start", "small.yaml", code=2)
    assert unmirrored.sql("SELECT * FROM studies") == before

    # A greater budget is not, and it stays when the study is started without the option.
    unmirrored.write_study(30)
    process = unmirrored.start("--trials", "31", "--workers", "1")
    unmirrored.wait_for("SELECT n_trials = 31 AND state = 'running' FROM studies")
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    unmirrored.tunelab("study", "start", "small.yaml")
    unmirrored.check_whole(31)

    # A number that has changed in the file counts.
    unmirrored.write_study(32)
    unmirrored.tunelab("study", "start", "small.yaml")
    unmirrored.check_whole(32)

    unmirrored.tunelab("study", "delete", "small", "--yes")
    for table in ("studies", "trials", "epochs", "checkpoints"):
        assert unmirrored.sql(f"SELECT count(*) FROM {table}") == [(0,)]
    assert list((unmirrored.path / ".tunelab" / "data").iterdir()) == []
    unmirrored.tunelab("study", "show", "small", code=3)
