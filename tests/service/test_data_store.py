"""A study's data on another machine: a worker there has only the database and the store."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time

import pytest

from tests.service.conftest import environment
from tunelab.errors import DiskError
from tunelab.service.control import remove_study
from tunelab.service.estimate import rehearse
from tunelab.service.launch import launch, relaunch
from tunelab.service.summary import summarize
from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.spec.study_file import read_study_file
from tunelab.storage.engine import Database
from tunelab.storage.rungs import RungLimits
from tunelab.storage.studies import study_by_id
from tunelab.storage.study_data import study_data
from tunelab.storage.trials import NewTrial, insert_trials

CONFIGURATION = Hyperparameters(
    optimizer="adam",
    learning_rate=0.01,
    schedule="constant",
    layers=1,
    units=16,
    activation="relu",
    dropout_rate=0.2,
    batch_size=16,
)
STUDY = """\
name: NAME
task: classification
data: {source: csv, path: flowers.csv, target: kind}
search: {trials: 2, max_epochs: 3, workers: 1}
confirm: off
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where studies are submitted, with a store beside it."""
    monkeypatch.setenv("TUNELAB_DATA_STORE", str(tmp_path / "store"))
    (tmp_path / "store").mkdir()
    home = tmp_path / "home"
    home.mkdir()
    rows = [f"{number}.5,{number % 7},{'ab'[number % 2]}" for number in range(60)]
    (home / "flowers.csv").write_text("\n".join(["long,wide,kind", *rows, ""]))
    return home


def start(place, name="flowers"):
    file = place / f"{name}.yaml"
    file.write_text(STUDY.replace("NAME", name))
    database, study, _ = launch(f"sqlite:///{place}/tunelab.db", read_study_file(file))
    return database, study


def leave_only_the_database(place):
    shutil.rmtree(place / ".tunelab")
    (place / "flowers.csv").unlink()


def stored(place):
    return sorted(path.name for path in (place.parent / "store").iterdir())


def worker(place, study, **variables):
    """Run a worker elsewhere until no trial is left: its exit code, output and errors."""
    folder = place.parent / "elsewhere"
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "tunelab.execution.worker", "--study", str(study.id)],
        cwd=folder,
        env={
            **environment(),
            "TUNELAB_DATABASE_URL": f"sqlite:///{place}/tunelab.db",
            "TUNELAB_DATA_CACHE": str(folder / "cache"),
            **variables,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    database = Database(f"sqlite:///{place}/tunelab.db")
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        with database.read() as connection:
            if summarize(connection, study_by_id(connection, study.id)).n_finished == 2:
                break
        time.sleep(0.05)
    said, complained = process.communicate(timeout=15)  # closes its standard input
    return process.returncode, said, complained


def queue(database, study):
    with database.write() as connection:
        new = [NewTrial(number, CONFIGURATION.to_flat(), {}, 7, RungLimits()) for number in (0, 1)]
        insert_trials(connection, study.id, new)


def test_a_worker_trains_with_only_the_database_and_the_store(place):
    database, study = start(place)
    queue(database, study)
    leave_only_the_database(place)

    code, _, complained = worker(place, study)
    assert code != 0
    assert "flowers #1" in complained
    assert "not on this machine" in complained

    store = str(place.parent / "store")
    code, said, complained = worker(place, study, TUNELAB_DATA_STORE=store)
    assert code == 0, complained
    assert said.count("claimed trial") == 2
    with database.read() as connection:
        summary = summarize(connection, study_by_id(connection, study.id))
    assert summary.n_finished == 2
    assert summary.best is not None


def test_a_study_goes_on_from_the_store_when_its_source_is_gone(place, monkeypatch):
    database, study = start(place)
    leave_only_the_database(place)
    _, again, has_more = relaunch(f"sqlite:///{place}/tunelab.db", "flowers")
    assert has_more
    assert again.data_path == study.data_path
    assert study_data(database, study).digest == study.data_digest


def test_deleting_a_study_leaves_what_another_one_needs(place):
    database, _ = start(place, "flowers")
    start(place, "others")
    assert len(stored(place)) == 1  # equal data are there once
    remove_study(database, "flowers")
    assert len(stored(place)) == 1
    remove_study(database, "others")
    assert stored(place) == []


def test_a_study_is_deleted_also_while_the_store_is_away(place):
    database, _ = start(place)
    (place.parent / "store").rename(place.parent / "away")
    told = []
    assert remove_study(database, "flowers", told.append) == ["flowers #1"]
    assert "stay in the data store" in told[0]


def test_a_study_is_not_created_while_the_store_is_away(place):
    (place.parent / "store").rmdir()
    with pytest.raises(DiskError, match="no such folder"):
        start(place)
    assert not (place / "tunelab.db").exists()


def test_a_rehearsal_puts_nothing_into_the_store(place):
    (place / "flowers.yaml").write_text(STUDY.replace("NAME", "flowers"))
    rehearse(place / "flowers.yaml", [], timed=False)
    assert stored(place) == []
