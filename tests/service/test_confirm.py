"""The confirm stage in real processes: killed, extended, mirrored, and the test split behind it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.conftest import Folder, kill_group
from tunelab.service import open_test as opening
from tunelab.service.summary import summarize
from tunelab.storage.engine import Database
from tunelab.storage.schema import open_database
from tunelab.storage.states import StudyState
from tunelab.storage.studies import study_by_id, update_study

STUDY = """\
name: small
task: classification
data: {source: sklearn, name: digits}
search: {sampler: tpe, trials: 4, max_epochs: 15, seed: 3}
space:
  optimizer: [momentum, adam]
  schedule: [constant, cosine]
  layers: {low: 1, high: 2}
  units: {low: 32, high: 128, scale: log}
  batch_size: [16, 32]
confirm: {finalists: 2, seeds: 2}
"""
RUNS = "SELECT count(*) FROM trials WHERE kind = 'confirm'"


@pytest.fixture
def confirming(folder: Folder) -> Folder:
    folder.study_file.write_text(STUDY)
    folder.variables["TUNELAB_MIRROR"] = "no"
    return folder


def check_confirmed(folder: Folder) -> dict[str, object]:
    """The stage has ended, each run is there once, and the pick was judged."""
    rows = folder.sql("SELECT confirms, repeat, state, end_reason FROM trials WHERE confirms >= 0")
    assert len(rows) == len({row[:2] for row in rows})
    assert len(rows) in (4, 6)  # the default configuration may be a finalist
    assert {row[2] for row in rows} == {"finished"}
    assert "failed" not in {row[3] for row in rows}
    assert folder.sql("SELECT state FROM studies") == [("finished",)]
    shown = folder.json("study", "show", "small")["confirmation"]
    assert shown["pick"] is not None
    assert 0.5 < shown["test"]["accuracy"] <= 1.0
    return shown


@pytest.mark.long
@pytest.mark.parametrize("state", ["running", "finished"])
def test_a_study_killed_in_the_stage_goes_on_at_once(confirming, state):
    process = confirming.start("--workers", "2")
    confirming.wait_for(f"{RUNS} AND state = '{state}'")
    kill_group(process)
    ended = confirming.sql("SELECT id, ended_at FROM trials WHERE state = 'finished'")
    out = confirming.tunelab("study", "start", "small.yaml")
    shown = check_confirmed(confirming)
    assert set(ended) <= set(confirming.sql("SELECT id, ended_at FROM trials"))
    assert len(shown["test_openings"]) == 1
    assert "Tied with the winner: " in out
    assert "over 2 seeds)" in out
    assert "opened once: " in out


@pytest.mark.long
def test_ctrl_c_in_the_stage_saves_its_runs_and_more_trials_confirm_anew(confirming):
    process = confirming.start("--workers", "2", "--json")
    confirming.wait_for(f"{RUNS} AND state = 'running'")
    os.kill(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert confirming.sql("SELECT state FROM studies") == [("stopped",)]
    assert confirming.sql("SELECT count(*) FROM trials WHERE state = 'running'") == [(0,)]
    kinds = [json.loads(line)["event"] for line in output.splitlines()]
    assert "confirm_started" in kinds
    confirming.tunelab("study", "resume", "small")
    check_confirmed(confirming)
    before = set(confirming.sql("SELECT id, ended_at, value FROM trials"))
    confirming.tunelab("study", "start", "small.yaml", "--trials", "6")
    assert before <= set(confirming.sql("SELECT id, ended_at, value FROM trials"))
    assert n_judged(confirming) == 2


def n_judged(folder: Folder) -> int:
    """How often the test rows were opened for a pick; a champion may be compared besides."""
    openings = folder.json("study", "show", "small")["confirmation"]["test_openings"]
    return sum(opening["reason"].endswith("is the pick") for opening in openings)


@pytest.mark.long
def test_confirming_again_trains_what_is_new_and_counts_the_opening(confirming):
    confirming.tunelab("study", "start", "small.yaml", "--workers", "2")
    (before,) = confirming.sql(RUNS)[0]
    again = confirming.tunelab("study", "confirm", "small", "--seeds", "3")
    (after,) = confirming.sql(RUNS)[0]
    assert after == before // 2 * 3
    assert "over 3 seeds)" in again
    assert " times, the last: " in again
    assert n_judged(confirming) == 2
    listed = confirming.json("study", "trials", "small", "--kind", "confirm")["trials"]
    assert {trial["repeat"] for trial in listed} == {0, 1, 2}
    assert len(confirming.json("study", "trials", "small", "--kind", "all")["trials"]) == after + 4
    assert len(confirming.json("study", "trials", "small")["trials"]) == 4
    confirming.tunelab("study", "delete", "small", "--yes")
    assert confirming.sql("SELECT count(*) FROM test_openings") == [(0,)]
    assert list((confirming.path / ".tunelab" / "data").iterdir()) == []


@pytest.mark.long
def test_mlflow_shows_confirm_runs_beside_the_trials_and_sync_agrees(confirming):
    del confirming.variables["TUNELAB_MIRROR"]
    confirming.tunelab("study", "start", "small.yaml", "--workers", "2")
    shown = check_confirmed(confirming)
    runs = confirming.mlflow_sql(
        "SELECT runs.name, runs.status, kind.value, confirms.value, trial.value FROM runs "
        "JOIN tags kind ON kind.run_uuid = runs.run_uuid AND kind.key = 'tunelab.kind' "
        "LEFT JOIN tags confirms ON confirms.run_uuid = runs.run_uuid "
        "AND confirms.key = 'tunelab.confirms' "
        "LEFT JOIN tags trial ON trial.run_uuid = runs.run_uuid AND trial.key = 'tunelab.trial'",
    )
    assert {run[1] for run in runs} <= {"FINISHED", "KILLED"}
    confirm = [run for run in runs if run[2] == "confirm"]
    assert len(confirm) == shown["runs"]["total"]
    for name, _, _, confirms, trial in confirm:
        assert trial is None
        assert name.startswith(f"confirm-{int(confirms):03d}-seed-")
    numbers = dict(
        confirming.mlflow_sql(
            "SELECT key, value FROM latest_metrics WHERE key LIKE 'confirm/%' OR key LIKE 'test/%'",
        )
    )
    pick = next(entry for entry in shown["ranked"] if entry["number"] == shown["pick"])
    assert numbers["confirm/mean"] == pytest.approx(pick["mean"])
    assert numbers["confirm/half_width"] == pytest.approx(pick["half_width"])
    assert numbers["confirm/optimism"] == pytest.approx(shown["optimism"])
    assert numbers["test/accuracy"] == pytest.approx(shown["test"]["accuracy"])
    assert numbers["test/openings"] == 1
    confirming.tunelab("study", "confirm", "small", "--seeds", "3")
    assert "agrees" in confirming.tunelab("tracking", "sync")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the study was run to its end."""
    folder = Folder(tmp_path_factory.mktemp("ended"))
    folder.study_file.write_text(STUDY)
    folder.variables["TUNELAB_MIRROR"] = "no"
    folder.tunelab("study", "start", "small.yaml", "--workers", "2")
    return folder.path


@pytest.fixture
def finished(ended: Path, tmp_path: Path) -> Iterator[Database]:
    """Its database, to be changed."""
    shutil.copy(ended / "tunelab.db", tmp_path)
    database = open_database(f"sqlite:///{tmp_path / 'tunelab.db'}")
    yield database
    database.close()


def openings(database: Database) -> list[bool]:
    """Of each opening, whether it has scores."""
    with database.read() as connection:
        summary = summarize(connection, study_by_id(connection, 1))
    return [opening.scores is not None for opening in summary.openings]


def test_an_opening_is_noted_before_the_rows_are_read_and_one_cut_off_stays_noted(
    finished, monkeypatch
):
    with finished.write() as connection:
        connection.exec_driver_sql("DELETE FROM test_openings")
    read = opening.open_sealed

    def killed(_):
        assert openings(finished) == [False]  # it is in the database before a row is read
        raise KeyboardInterrupt

    monkeypatch.setattr(opening, "open_sealed", killed)
    with pytest.raises(KeyboardInterrupt):
        opening.open_test(finished, 1)
    monkeypatch.setattr(opening, "open_sealed", read)
    assert opening.open_test(finished, 1) == []
    assert openings(finished) == [False, True]
    assert opening.open_test(finished, 1) == []  # judged once
    assert openings(finished) == [False, True]


def test_the_score_is_the_champions_own_on_rows_that_no_split_has(finished):
    with finished.read() as connection:
        summary = summarize(connection, study_by_id(connection, 1))
    assert summary.test is not None
    assert summary.test.scores["rows"] == 359  # a fifth of each of ten classes, rounded
    assert summary.n_openings == 1
    assert summary.study.state is StudyState.FINISHED


def test_without_the_test_rows_the_study_ends_all_the_same_and_says_so(finished, monkeypatch):
    with finished.write() as connection:
        connection.exec_driver_sql("DELETE FROM test_openings")
    monkeypatch.setattr(opening, "has_sealed", lambda _: False)
    (said,) = opening.open_test(finished, 1)
    assert said.startswith("the pick has no test score: the test rows are not on this machine")
    assert openings(finished) == []


def test_nothing_is_opened_for_a_study_that_was_not_confirmed(finished):
    with finished.write() as connection:
        connection.exec_driver_sql("DELETE FROM test_openings")
        update_study(connection, 1, confirmed=None)
    assert opening.open_test(finished, 1) == []
    assert openings(finished) == []
