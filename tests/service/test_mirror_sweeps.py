"""What MLflow shows of sweeps: tags of the experiment, and of runs that sweeps have started."""

from __future__ import annotations

import shutil
import sqlite3
import warnings
from contextlib import closing

import pytest

from tests.service.conftest import Folder
from tests.storage.conftest import HERE
from tunelab.service.mirror.environment import tracking_uri
from tunelab.spec.study import StudySpec
from tunelab.storage.schema import open_database
from tunelab.storage.states import SlotState, StudyState
from tunelab.storage.studies import create_study, delete_study, mark_ended, mark_started
from tunelab.storage.sweep_slots import claim_slot, end_slot, mark_launched, record_late
from tunelab.storage.sweeps import put_sweep, remove_sweep
from tunelab.storage.tables import sweep_slots

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tunelab.service.mirror.comparison import compare
    from tunelab.service.mirror.destination import Destination
    from tunelab.service.mirror.projection import Projection
    from tunelab.service.mirror.repair import repair
    from tunelab.service.mirror.sweep_record import SweepRecords
    from tunelab.service.mirror.tracking import Tracking

# MLflow uses what its libraries have deprecated; the mirror's own process says nothing of it.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

SLOT = 1_795_399_200.0  # 2026-11-23T02:00Z
CRON = {"tunelab.sweep": "0 2 * * * Europe/Berlin"}


def spec(cron="0 2 * * *", name="digits"):
    return StudySpec.from_mapping(
        {
            "name": name,
            "task": "classification",
            "data": {"source": "sklearn", "name": "digits"},
            "search": {"max_epochs": 30, "trials": 6},
            "sweep": {"cron": cron, "timezone": "Europe/Berlin"},
        }
    )


class Mirrored:
    """A sweep that MLflow is to show, and what it shows."""

    def __init__(self, folder, database):
        self.folder = folder
        self.database = database
        self.tracking = Tracking(tracking_uri())
        self.records = SweepRecords(database, self.tracking)
        self.sweep = self.put()

    def write(self, function, *arguments, **others):
        with self.database.write() as connection:
            return function(connection, *arguments, **others)

    def put(self, **others):
        given = spec(**others)
        return self.write(put_sweep, given, "/studies/digits.yaml", now=1.0)

    def end(self, state, reason, at=SLOT):
        claim = self.write(claim_slot, self.sweep.id, at, HERE)
        self.write(end_slot, claim, state, reason)

    def launch(self, at=SLOT, seconds_late=5.0):
        claim = self.write(claim_slot, self.sweep.id, at, HERE)
        with self.database.write() as connection:
            study = self.create(connection)
            mark_launched(connection, claim, study.id)
            of_slot = sweep_slots.update().where(sweep_slots.c.slot_at == at)
            connection.execute(of_slot.values(ended_at=at + seconds_late))
        return study

    def create(self, connection):
        study = create_study(
            connection,
            name="digits",
            spec=spec().resolve(1000).to_mapping(),
            spec_hash="",
            data_digest="",
            data_path="",
            baseline_loss=2.3,
            n_trials=6,
            timeout_seconds=None,
        )
        mark_started(connection, study.id)
        return study

    def finish(self, study):
        how = {"end_reason": "x", "running_seconds": 1.0}
        self.write(mark_ended, study.id, StudyState.FINISHED, **how)

    def project(self, study):
        projection = Projection(Destination(self.database, study.id, self.tracking))
        while projection.run_pass():
            pass
        return projection

    def asked(self, query, *values):
        with closing(sqlite3.connect(self.folder / "mlflow.db")) as connection:
            rows = connection.execute(query, values).fetchall()
            connection.commit()
        return rows

    def shown(self, name="digits"):
        """The sweep's tags of the experiment; None if there is no experiment."""
        if not self.asked("SELECT 1 FROM experiments WHERE name = ?", name):
            return None
        query = "SELECT t.key, t.value FROM experiment_tags t JOIN experiments USING "
        query += "(experiment_id) WHERE name = ? AND key LIKE 'tunelab.sweep%'"
        return dict(self.asked(query, name))

    def of_run(self, name):
        query = "SELECT t.key, t.value FROM tags t JOIN runs r USING (run_uuid) WHERE r.name = ?"
        tags = dict(self.asked(f"{query} AND key LIKE 'tunelab.sweep%'", name))
        return {key.removeprefix("tunelab.sweep."): text for key, text in tags.items()}


@pytest.fixture
def mirrored(tmp_path, tracking_database, monkeypatch):
    shutil.copy(tracking_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with closing(open_database(f"sqlite:///{tmp_path / 'tunelab.db'}")) as database:
        yield Mirrored(tmp_path, database)


# Without any study


@pytest.mark.parametrize("state", [SlotState.SKIPPED, SlotState.FAILED, SlotState.LATE])
def test_a_slot_that_never_became_a_study_is_shown_at_the_experiment(mirrored, state):
    assert mirrored.records.send() == {}
    assert mirrored.shown() is None  # nothing has happened
    mirrored.end(state, "digits.csv: 3 rows\n  have no target")
    assert mirrored.records.send() == {"digits": 2}
    last = f"{state} 2026-11-23T02:00Z: digits.csv: 3 rows have no target"
    assert mirrored.shown() == {**CRON, "tunelab.sweep.last": last}


def test_only_what_has_changed_is_sent_again(mirrored):
    mirrored.write(record_late, mirrored.sweep.id, SLOT, "missed")
    assert mirrored.records.send() == {"digits": 2}
    assert mirrored.records.send() == {}
    assert SweepRecords(mirrored.database, mirrored.tracking).send() == {}
    mirrored.end(SlotState.SKIPPED, "digits #7 runs", SLOT + 86400)
    assert mirrored.records.send() == {"digits": 1}
    assert mirrored.shown()["tunelab.sweep.last"] == (
        "skipped 2026-11-24T02:00Z: digits #7 runs"
    )  # fmt: skip
    mirrored.put(cron="30 4 * * *")
    assert mirrored.records.send() == {"digits": 1}
    assert mirrored.shown()["tunelab.sweep"] == "30 4 * * * Europe/Berlin"


def test_an_experiment_that_is_there_is_told_of_its_sweep_at_once(mirrored):
    mirrored.tracking.experiment("digits", {"mlflow.note.content": "by a person"})
    assert mirrored.records.send() == {"digits": 2}
    assert mirrored.shown() == {**CRON, "tunelab.sweep.last": "none yet"}
    notes = mirrored.asked("SELECT value FROM experiment_tags WHERE key = 'mlflow.note.content'")
    assert notes == [("by a person",)]


def test_a_deleted_experiment_is_left_alone_and_keeps_none_from_another(mirrored):
    mirrored.tracking.experiment("digits", {})
    mirrored.asked("UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'digits'")
    other = mirrored.write(put_sweep, spec(name="wine"), "/studies/wine.yaml", now=1.0)
    mirrored.write(record_late, other.id, SLOT, "missed")
    assert mirrored.records.send() == {"wine": 2}
    assert (mirrored.shown(), mirrored.records.send()) == ({}, {})


def test_an_absent_mlflow_is_told_of_everything_when_it_is_back(mirrored, monkeypatch):
    mirrored.end(SlotState.SKIPPED, "digits #7 runs")

    def away(_):
        raise ConnectionRefusedError

    with monkeypatch.context() as patch:
        patch.setattr(mirrored.tracking, "known_experiment", away)
        with pytest.raises(ConnectionRefusedError):
            mirrored.records.send()
    assert mirrored.records.send() == {"digits": 2}


def test_a_sweep_that_is_removed_is_shown_as_removed(mirrored):
    mirrored.end(SlotState.SKIPPED, "digits #7 runs")
    mirrored.records.send()
    mirrored.write(remove_sweep, mirrored.sweep.id)
    assert mirrored.records.send() == {"digits": 1}
    assert mirrored.shown()["tunelab.sweep"] == "removed"
    assert mirrored.records.send() == {}


def test_a_very_long_reason_fits_into_a_tag(mirrored):
    mirrored.end(SlotState.FAILED, 9000 * "x")
    assert mirrored.records.send() == {"digits": 2}
    assert len(mirrored.shown()["tunelab.sweep.last"]) < 1100


# With studies


def test_the_run_of_a_study_carries_its_slot_and_whether_it_came_late(mirrored):
    mirrored.project(mirrored.launch(SLOT, seconds_late=60.0))
    mirrored.project(mirrored.launch(SLOT + 86400, seconds_late=61.0))
    mirrored.project(mirrored.write(mirrored.create))
    assert mirrored.of_run("digits #1") == {"slot": "2026-11-23T02:00:00Z", "late": "false"}
    assert mirrored.of_run("digits #2") == {"slot": "2026-11-24T02:00:00Z", "late": "true"}
    assert mirrored.of_run("digits #3") == {}  # started by hand


def test_the_mirror_of_the_latest_generation_sends_what_becomes_of_the_sweep(mirrored):
    first = mirrored.project(mirrored.launch())
    launched = "launched 2026-11-23T02:00Z: digits #1"
    assert mirrored.shown() == {**CRON, "tunelab.sweep.last": launched}
    mirrored.end(SlotState.SKIPPED, "digits #1 runs", SLOT + 86400)
    assert first.run_pass()
    assert not first.run_pass()
    skipped = "skipped 2026-11-24T02:00Z: digits #1 runs"
    assert mirrored.shown() == {**CRON, "tunelab.sweep.last": skipped}
    second = mirrored.launch(SLOT + 2 * 86400)
    assert not first.run_pass()
    assert mirrored.shown()["tunelab.sweep.last"] == skipped
    mirrored.project(second)
    assert mirrored.shown()["tunelab.sweep.last"] == "launched 2026-11-25T02:00Z: digits #2"
    assert mirrored.records.send() == {}  # both say the same


def test_a_study_without_one_completed_trial_is_shown_as_failed(mirrored):
    study = mirrored.launch()
    projection = mirrored.project(study)
    mirrored.finish(study)
    assert projection.run_pass()
    why = "failed 2026-11-23T02:00Z: digits #1 finished without one completed trial"
    assert mirrored.shown()["tunelab.sweep.last"] == why


def test_a_launched_study_that_was_deleted_leaves_its_slot(mirrored):
    study = mirrored.launch()
    mirrored.write(delete_study, study.id)
    assert mirrored.records.send() == {"digits": 2}
    assert mirrored.shown()["tunelab.sweep.last"] == "launched 2026-11-23T02:00Z"


def test_a_study_whose_sweep_is_removed_meanwhile_says_so_once(mirrored):
    projection = mirrored.project(mirrored.launch())
    mirrored.write(remove_sweep, mirrored.sweep.id)
    assert projection.run_pass()
    assert not projection.run_pass()
    assert mirrored.shown()["tunelab.sweep"] == "removed"


def test_a_study_without_a_sweep_takes_no_tags_from_another_database(mirrored):
    mirrored.end(SlotState.SKIPPED, "digits #7 runs")
    mirrored.records.send()
    before = mirrored.shown()
    with closing(open_database(f"sqlite:///{mirrored.folder / 'other.db'}")) as database:
        with database.write() as connection:
            study = mirrored.create(connection)
        Projection(Destination(database, study.id, mirrored.tracking)).run_pass()
    assert mirrored.shown() == before


# tracking sync


def test_a_comparison_finds_what_was_sent_as_it_was_sent(mirrored):
    study = mirrored.launch()
    mirrored.finish(study)
    mirrored.project(study)
    assert not compare(mirrored.database, study.id, mirrored.tracking).differences


@pytest.mark.parametrize(
    ("damage", "n_labels"),
    [
        ("UPDATE experiment_tags SET value = 'x' WHERE key = 'tunelab.sweep.last'", 1),
        ("DELETE FROM experiment_tags WHERE key LIKE 'tunelab.sweep%'", 2),
        ("DELETE FROM tags WHERE key LIKE 'tunelab.sweep.%'", 2),
        ("UPDATE tags SET value = 'maybe' WHERE key = 'tunelab.sweep.late'", 1),
    ],
)
def test_a_repair_puts_right_what_somebody_has_changed(mirrored, damage, n_labels):
    study = mirrored.launch()
    mirrored.finish(study)
    mirrored.project(study)
    before = mirrored.shown(), mirrored.of_run("digits #1")
    mirrored.asked(damage)
    arguments = mirrored.database, study.id, mirrored.tracking, lambda: None, lambda _: None, print
    differences = repair(*arguments)
    assert {kind: n for kind, n in vars(differences).items() if n} == {"wrong_labels": n_labels}
    assert (mirrored.shown(), mirrored.of_run("digits #1")) == before
    assert not repair(*arguments)


@pytest.mark.long
def test_tracking_sync_shows_sweeps_that_have_no_study_yet(mirrored):
    mirrored.end(SlotState.FAILED, "digits.csv is missing")
    folder = Folder(mirrored.folder)
    (made,) = folder.json("tracking", "sync")["studies"]
    assert made["study"] == "sweep digits"
    assert made["repaired"]["wrong_labels"] == 2
    last = "failed 2026-11-23T02:00Z: digits.csv is missing"
    assert mirrored.shown() == {**CRON, "tunelab.sweep.last": last}
    assert folder.json("tracking", "sync")["studies"] == []


@pytest.mark.long
def test_tracking_sync_rebuilds_the_tags_with_the_runs(mirrored, tracking_database):
    study = mirrored.launch()
    mirrored.finish(study)
    mirrored.end(SlotState.SKIPPED, "digits #1 runs", SLOT + 86400)
    mirrored.project(study)
    before = mirrored.shown(), mirrored.of_run("digits #1")
    for path in mirrored.folder.glob("mlflow.db*"):
        path.unlink()
    shutil.copy(tracking_database, mirrored.folder / "mlflow.db")
    folder = Folder(mirrored.folder)
    folder.json("tracking", "sync")
    assert (mirrored.shown(), mirrored.of_run("digits #1")) == before
    (agreed,) = folder.json("tracking", "sync")["studies"]
    assert (agreed["study"], agreed["agreed"]) == ("digits #1", True)
