"""From a study file to a study that can run: budgets, changes, and places that cannot hold one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.conftest import environment
from tunelab.errors import DatabaseError, NotFoundError, StudyConflictError, StudyFileError
from tunelab.service.launch import launch, relaunch
from tunelab.spec.study_file import read_study_file
from tunelab.storage.claims import claim_next, requeue_lost
from tunelab.storage.owners import Owner
from tunelab.storage.rungs import RungLimits
from tunelab.storage.trials import NewTrial, insert_trials, study_trials

STUDY = """\
name: flowers
task: classification
data: {{source: sklearn, name: iris}}
search: {{trials: {trials}, max_epochs: 5{more}}}
space: {{batch_size: {batch_size}}}
confirm: off
"""


@pytest.fixture
def start(tmp_path):
    """Launch the study with this text, as `tunelab study start` would."""

    def begin(*, trials=10, more="", batch_size=8, sweep="", **options):
        path = tmp_path / "flowers.yaml"
        path.write_text(STUDY.format(trials=trials, more=more, batch_size=batch_size) + sweep)
        url = f"sqlite:///{tmp_path / 'tunelab.db'}"
        return launch(url, read_study_file(path), **options)

    return begin


def test_the_budget_comes_from_the_option_then_from_a_changed_file_then_from_before(start):
    def budget(**given):
        _, study, _ = start(**given)
        return study.n_trials, study.timeout_seconds

    assert budget(trials=10) == (10, None)
    assert budget(trials=10, n_trials=30, timeout_seconds=60.0) == (30, 60.0)
    assert budget(trials=10) == (30, 60.0)  # the same command goes on
    assert budget(trials=12) == (12, 60.0)  # somebody edited the file
    assert budget(trials=12, more=", timeout: 90s") == (12, 90.0)


def test_a_study_that_asks_for_more_rows_than_there_are_is_not_created(start, tmp_path):
    with pytest.raises(StudyFileError, match="batch_size 512 > 90 training rows"):
        start(batch_size=512)
    assert [item.name for item in tmp_path.iterdir()] == ["flowers.yaml"]


def test_what_is_refused_after_the_data_were_prepared_takes_nothing_from_others(start, tmp_path):
    _, study, _ = start()
    with pytest.raises(StudyFileError):
        start(batch_size=512)
    assert (Path(study.data_path) / "meta.json").exists()


CSV_STUDY = """\
name: points
task: classification
data: {source: csv, path: DATA, target: kind}
search: {trials: 4, max_epochs: 3}
confirm: off
"""


def test_a_file_of_data_may_move_and_a_study_resumes_without_it(tmp_path):
    rows = [f"{i},{i % 7},{'ab'[i % 2]}" for i in range(60)]
    csv, path = tmp_path / "points.csv", tmp_path / "points.yaml"
    csv.write_text("\n".join(["x,y,kind", *rows]))
    path.write_text(CSV_STUDY.replace("DATA", "points.csv"))
    url = f"sqlite:///{tmp_path / 'tunelab.db'}"
    _, first, _ = launch(url, read_study_file(path))

    csv = csv.rename(tmp_path / "moved.csv")
    path.write_text(CSV_STUDY.replace("DATA", "moved.csv"))
    _, second, _ = launch(url, read_study_file(path))
    assert (second.id, second.spec["data"]["path"]) == (first.id, str(csv))

    csv.write_text("\n".join(["x,y,kind", *rows, "60,4,a"]))
    with pytest.raises(StudyConflictError, match="the rows of the data: "):
        launch(url, read_study_file(path))
    csv.unlink()
    _, third, has_more = relaunch(url, "points")
    assert (third.data_digest, third.data_path) == (first.data_digest, second.data_path)
    assert has_more


def test_a_change_of_meaning_is_refused_with_the_difference_and_new_starts_over(start):
    _, first, _ = start(batch_size=8)
    with pytest.raises(StudyConflictError, match=r"space\.batch_size: 8 -> 16"):
        start(batch_size=16)
    _, second, _ = start(batch_size=16, new=True)
    assert (first.generation, second.generation) == (1, 2)


def test_a_study_goes_on_whatever_becomes_of_its_sweep_as_long_as_the_rows_stay(start):
    _, begun, _ = start(sweep="sweep: {cron: 0 2 * * *}\n")
    _, changed, _ = start(sweep="sweep: {cron: 0 3 * * *, overlap: allow, enabled: off}\n")
    assert (changed.id, changed.spec_hash) == (begun.id, begun.spec_hash)
    assert changed.spec["sweep"]["cron"] == "0 3 * * *"
    with pytest.raises(StudyConflictError, match='method: "hash" -> "stratified"') as refused:
        start()
    assert refused.value.hint.endswith("or keep the rows where they are by data.split.method: hash")


def test_a_missing_folder_is_an_error_and_is_not_made(tmp_path):
    path = tmp_path / "flowers.yaml"
    path.write_text(STUDY.format(trials=3, more="", batch_size=8))
    with pytest.raises(DatabaseError, match="does not exist"):
        launch(f"sqlite:///{tmp_path}/missing/tunelab.db", read_study_file(path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["flowers.yaml"]


def test_a_project_that_was_moved_goes_on_by_name(start, tmp_path):
    database, study, _ = start()
    database.close()
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    shutil.move(tmp_path, moved)
    _, again, has_more = relaunch(f"sqlite:///{moved / 'tunelab.db'}", "flowers")
    assert has_more
    assert again.data_path.startswith(str(moved))
    assert again.data_digest == study.data_digest


def test_a_program_that_was_killed_often_blames_no_trial(start):
    database, study, _ = start()
    with database.write() as connection:
        insert_trials(connection, study.id, [NewTrial(0, {}, {}, 0, RungLimits())])
    dead = Owner("elsewhere", "", 1, "")
    for _ in range(5):
        with database.write() as connection:
            assert claim_next(connection, study.id, dead) is not None
            connection.exec_driver_sql("UPDATE trials SET expires_at = 0")
            requeue_lost(connection, study.id, blamed=False)
    with database.read() as connection:
        (trial,) = study_trials(connection, study.id)
    assert (trial.state, trial.attempts) == ("waiting", 5)


@pytest.mark.long
def test_closed_streams_change_nothing_but_what_is_read(tmp_path):
    path = tmp_path / "flowers.yaml"
    path.write_text(STUDY.format(trials=2, more="", batch_size=8))
    command = f"exec {sys.executable} -m tunelab study start flowers.yaml --no-mirror >&- 2>&-"
    result = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, env=environment(), check=False, timeout=60
    )
    assert result.returncode == 0
    database, study, has_more = relaunch(f"sqlite:///{tmp_path / 'tunelab.db'}", "flowers")
    with database.read() as connection:
        ended = [trial.state for trial in study_trials(connection, study.id)]
    assert (ended, has_more) == (["finished", "finished"], False)


def test_a_study_without_prepared_data_and_without_their_file_says_which_is_missing(tmp_path):
    csv, path = tmp_path / "points.csv", tmp_path / "points.yaml"
    csv.write_text("\n".join(["x,kind", *(f"{i},{'ab'[i % 2]}" for i in range(60))]))
    path.write_text(CSV_STUDY.replace("DATA", "points.csv"))
    url = f"sqlite:///{tmp_path / 'tunelab.db'}"
    launch(url, read_study_file(path))
    shutil.rmtree(tmp_path / ".tunelab" / "data")
    csv.unlink()
    with pytest.raises(NotFoundError, match=r"there is no file '.*points\.csv'") as missing:
        relaunch(url, "points")
    assert missing.value.hint == (
        "what was prepared at the start of points #1 is gone: bring its data back"
    )
