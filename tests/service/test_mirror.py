"""What stands in MLflow after a pass, compared with the tables it was made from."""

from __future__ import annotations

import contextlib
import math
import shutil
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update

from tunelab.service.mirror.environment import tracking_uri, without_credentials
from tunelab.service.mirror.lease import HeldLease, LostMirrorLeaseError
from tunelab.service.mirror.loop import mirror
from tunelab.service.mirror.messages import milliseconds
from tunelab.service.mirror.orders import Orders
from tunelab.service.mirror.passes import Client, Passes
from tunelab.spec.default_space import default_configuration
from tunelab.spec.study import StudySpec
from tunelab.storage.engine import Database
from tunelab.storage.leases import Lease
from tunelab.storage.mirror_runs import count_behind, forget_runs, latest_study_run
from tunelab.storage.rungs import RungLimits
from tunelab.storage.schema import open_database
from tunelab.storage.states import EndReason, StudyState, TrialState
from tunelab.storage.studies import (
    StudyRow,
    create_study,
    delete_study,
    mark_ended,
    mark_started,
    study_by_id,
)
from tunelab.storage.tables import epochs, trials
from tunelab.storage.trials import NewTrial, insert_trials

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tunelab.service.mirror import trial_sender
    from tunelab.service.mirror.destination import Destination
    from tunelab.service.mirror.projection import Projection
    from tunelab.service.mirror.tracking import Tracking

# MLflow uses what its libraries have deprecated; the mirror's own process says nothing of it.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

START = 1_700_000_000.0
SPEC = StudySpec.from_mapping(
    {
        "name": "digits",
        "task": "classification",
        "data": {"source": "sklearn", "name": "digits"},
        "search": {"max_epochs": 30, "trials": 6},
    }
).resolve(1000)
FLAT = default_configuration(SPEC.search_space).to_flat()
END = {
    0: (EndReason.EARLY_STOPPED, 0.2),
    1: (EndReason.PRUNED, 0.5),
    2: (EndReason.DIVERGED, None),
    3: (EndReason.FAILED, None),
    4: (EndReason.COMPLETED, 0.1),
}
Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tracking") / "mlflow.db"
    Tracking(f"sqlite:///{path}")
    return path


@pytest.fixture
def place(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(template, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture
def database(place: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{place / 'tunelab.db'}")
    yield database
    database.close()


def new_study(database: Database, n_trials: int = 6) -> StudyRow:
    with database.write() as connection:
        study = create_study(
            connection,
            name="digits",
            spec=SPEC.to_mapping(),
            spec_hash="",
            data_digest="",
            data_path="",
            baseline_loss=2.3,
            n_trials=n_trials,
            timeout_seconds=None,
        )
        mark_started(connection, study.id)
        new = [
            NewTrial(number, {**FLAT, "l2": 0.0 if number else 1e-4}, {}, number, RungLimits())
            for number in range(n_trials)
        ]
        insert_trials(connection, study.id, new)
    return study


def train(
    database: Database, study: StudyRow, number: int, n_epochs: int, first: int = 1, **values: Any
) -> None:
    """Write epochs and a state as a worker would; trial 2 has losses that are no numbers."""
    begin = START + 100 * number
    with database.write() as connection:
        trial = (trials.c.study_id == study.id) & (trials.c.number == number)
        key = connection.scalar(trials.select().with_only_columns(trials.c.id).where(trial))
        rows = [
            {
                "trial_id": key,
                "epoch": epoch,
                "recorded_at": begin + epoch,
                "train_loss": None if number == 2 and epoch == 3 else 1 / epoch,
                "validation_loss": None if number == 2 and epoch == 3 else 1 / epoch + 0.25,
                "train_score": 0.9,
                "validation_score": 0.8,
                "learning_rate": 0.01,
                "gradient_norm": None if number == 2 and epoch == 3 else 1.5,
                "seconds": 0.5,
                "signal": "learning",
            }
            for epoch in range(first, n_epochs + 1)
        ]
        connection.execute(insert(epochs), rows)
        given = {"state": TrialState.RUNNING, "attempts": 1, "started_at": begin, **values}
        connection.execute(update(trials).where(trial).values(n_epochs=n_epochs, **given))


def finish(database: Database, study: StudyRow, number: int, n_epochs: int, first: int = 1) -> None:
    end_reason, value = END[number]
    train(
        database,
        study,
        number,
        n_epochs,
        first,
        state=TrialState.FINISHED,
        end_reason=end_reason,
        value=value,
        best_epoch=2,
        signal="overfitting",
        reason="it did not get better",
        ended_at=START + 100 * number + n_epochs + 0.5,
    )


def project(database: Database, study: StudyRow) -> Projection:
    projection = Projection(Destination(database, study.id, Tracking(tracking_uri())))
    while projection.run_pass():
        pass
    return projection


def asked(place: Path, query: str, *values: Any) -> Rows:
    with closing(sqlite3.connect(place / "mlflow.db")) as connection:
        return connection.execute(query, values).fetchall()


def statuses(place: Path) -> dict[str, str]:
    return dict(asked(place, "SELECT name, status FROM runs"))


def tags(place: Path, name: str) -> dict[str, str]:
    query = "SELECT t.key, t.value FROM tags t JOIN runs r USING (run_uuid) WHERE r.name = ?"
    return dict(asked(place, query, name))


def points(place: Path, name: str, key: str) -> Rows:
    query = (
        "SELECT m.step, m.value, m.timestamp FROM metrics m JOIN runs r USING (run_uuid) "
        "WHERE r.name = ? AND m.key = ? ORDER BY m.step"
    )
    return asked(place, query, name, key)


def counts(place: Path) -> Rows:
    tables = ("runs", "metrics", "params", "tags", "experiments")
    return [asked(place, f"SELECT count(*) FROM {table}")[0] for table in tables]


def test_every_kind_of_trial_stands_in_mlflow_as_it_stands_in_the_tables(
    database: Database, place: Path
) -> None:
    study = new_study(database, 7)
    for number in END:
        finish(database, study, number, 4)
    train(database, study, 5, 3)  # it runs; number 6 was never begun
    project(database, study)
    assert statuses(place) == {
        "digits #1": "RUNNING",
        "trial-000": "FINISHED",
        "trial-001": "KILLED",
        "trial-002": "KILLED",
        "trial-003": "FAILED",
        "trial-004": "FINISHED",
        "trial-005": "RUNNING",
    }
    began = 1_700_000_000_000
    assert points(place, "trial-000", "loss/train") == [
        (epoch, 1 / epoch, began + 1000 * epoch) for epoch in (1, 2, 3, 4)
    ]
    assert [gap for _, gap, _ in points(place, "trial-000", "overfit/gap")] == pytest.approx(
        [0.25] * 4
    )
    assert [step for step, *_ in points(place, "trial-002", "loss/validation")] == [1, 2, 4]
    assert [step for step, *_ in points(place, "trial-002", "optim/gradient_norm")] == [1, 2, 4]
    assert points(place, "trial-002", "objective") == []
    assert points(place, "trial-002", "summary/diverged_epoch")[0][1] == 4
    assert [step for step, *_ in points(place, "trial-005", "accuracy/validation")] == [1, 2, 3]
    assert points(place, "trial-001", "objective") == [(0, 0.5, began + 104_500)]
    # The best epoch is 2: 1/2 and 1/2 + 1/4, four epochs of half a second.
    summary = {"validation_loss": 0.75, "train_loss": 0.5, "gap": 0.25, "accuracy": 0.8}
    summary |= {"seconds": 2.0, "best_epoch": 2, "epochs": 4}
    for key, value in summary.items():
        assert points(place, "trial-000", f"summary/{key}") == [(0, value, began + 4_500)]
    ends = "SELECT start_time, end_time FROM runs WHERE name = 'trial-001'"
    assert asked(place, ends) == [(began + 100_000, began + 104_500)]


def test_hyperparameters_are_params_and_numbers_with_logarithms_where_the_scale_is_one(
    database: Database, place: Path
) -> None:
    study = new_study(database)
    finish(database, study, 0, 4)
    finish(database, study, 1, 4)
    project(database, study)
    query = "SELECT p.key, p.value FROM params p JOIN runs r USING (run_uuid) WHERE r.name = ?"
    params = dict(asked(place, query, "trial-000"))
    assert params["l2"] == "0.0001"
    assert params["trial_number"] == "0"
    assert set(params) == {*FLAT, "trial_number"}
    assert points(place, "trial-000", "hp/log10_l2")[0][1] == pytest.approx(-4)
    assert points(place, "trial-001", "hp/log10_l2") == []  # off
    assert points(place, "trial-000", "hp/l2")[0][1] == 1e-4
    rate = points(place, "trial-000", "hp/log10_learning_rate")[0][1]
    assert rate == pytest.approx(math.log10(float(FLAT["learning_rate"])))
    assert points(place, "trial-000", "hp/log10_dropout_rate") == []


def test_tags_tell_runs_apart_and_say_how_they_ended(database: Database, place: Path) -> None:
    study = new_study(database)
    finish(database, study, 0, 4)
    project(database, study)
    found = tags(place, "trial-000")
    parent = asked(place, "SELECT run_uuid FROM runs WHERE name = 'digits #1'")[0][0]
    assert found["mlflow.parentRunId"] == parent
    assert found["tunelab.trial_id"] == "digits#1/0"
    assert found["tunelab.verdict"] == "overfitting"
    assert found["tunelab.end_reason"] == "early_stopped"
    assert found["tunelab.reason"] == "it did not get better"
    assert found["mlflow.note.content"].startswith("**overfitting** (early_stopped): it did not")
    experiment = dict(asked(place, "SELECT key, value FROM experiment_tags"))
    assert experiment["mlflow.experimentKind"] == "custom_model_development"
    assert experiment["mlflow.experiment.primaryMetric.greaterIsBetter"] == "False"
    with database.read() as connection:
        run = latest_study_run(connection, tracking_uri())
    assert run is not None
    assert run.experiment_id == "1"


def test_a_second_mirror_changes_nothing(database: Database, place: Path) -> None:
    study = new_study(database)
    for number in END:
        finish(database, study, number, 4)
    project(database, study)
    before = counts(place)
    project(database, study)
    assert counts(place) == before


def test_what_was_created_and_not_remembered_is_found_again(
    database: Database, place: Path
) -> None:
    study = new_study(database)
    finish(database, study, 0, 4)
    train(database, study, 5, 3)
    project(database, study)
    before = counts(place)
    with database.write() as connection:  # as if it had been killed before it remembered
        forget_runs(connection, study.id, tracking_uri())
    project(database, study)
    assert counts(place) == before


def test_a_trial_that_goes_on_gets_only_its_new_epochs(database: Database, place: Path) -> None:
    study = new_study(database)
    train(database, study, 0, 3)
    projection = project(database, study)
    finish(database, study, 0, 5, first=4)
    assert projection.run_pass()
    assert [step for step, *_ in points(place, "trial-000", "loss/train")] == [1, 2, 3, 4, 5]
    assert statuses(place)["trial-000"] == "FINISHED"
    assert not projection.run_pass()


def test_epochs_of_a_running_trial_are_sent_together_and_its_end_at_once(
    database: Database, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(trial_sender, "time", SimpleNamespace(monotonic=lambda: now[0]))
    study = new_study(database)
    train(database, study, 0, 1)
    projection = project(database, study)
    for epoch in range(2, 12):
        train(database, study, 0, epoch, first=epoch)
        now[0] += 2.0
        sent = len(points(place, "trial-000", "loss/train"))
        news = projection.run_pass()
        # 10 and 20 seconds after the first time: with all epochs so far.
        assert news is (epoch in (6, 11))
        assert len(points(place, "trial-000", "loss/train")) == (epoch if news else sent)
    finish(database, study, 0, 12, first=12)
    assert projection.run_pass()
    assert len(points(place, "trial-000", "loss/train")) == 12
    assert statuses(place)["trial-000"] == "FINISHED"


def test_stopping_kills_open_runs_and_resuming_opens_them_again(
    database: Database, place: Path
) -> None:
    study = new_study(database)
    finish(database, study, 0, 4)
    train(database, study, 1, 3, state=TrialState.WAITING)  # interrupted
    project(database, study)
    assert statuses(place)["trial-001"] == "RUNNING"
    with database.write() as connection:
        mark_ended(
            connection, study.id, StudyState.STOPPED, end_reason="asked", running_seconds=1.0
        )
    project(database, study)
    expected = {"digits #1": "KILLED", "trial-000": "FINISHED", "trial-001": "KILLED"}
    assert statuses(place) == expected
    with database.write() as connection:
        mark_started(connection, study.id)
    project(database, study)
    expected |= {"digits #1": "RUNNING", "trial-001": "RUNNING"}
    assert statuses(place) == expected
    finish(database, study, 1, 4, first=4)
    with database.write() as connection:
        mark_ended(connection, study.id, StudyState.FINISHED, end_reason="", running_seconds=2.0)
    project(database, study)
    expected |= {"digits #1": "FINISHED", "trial-001": "KILLED"}  # it was pruned
    assert statuses(place) == expected


def test_a_study_that_is_stopped_twice_has_ended_the_second_time(
    database: Database, place: Path
) -> None:
    study = new_study(database)
    train(database, study, 0, 3, state=TrialState.WAITING)
    for seconds in (1.0, 2.0):
        with database.write() as connection:
            mark_started(connection, study.id)
            mark_ended(
                connection, study.id, StudyState.STOPPED, end_reason="", running_seconds=seconds
            )
        project(database, study)
    with database.read() as connection:
        ended = study_by_id(connection, study.id).ended_at
    ends = dict(asked(place, "SELECT name, end_time FROM runs"))
    assert ends == dict.fromkeys(("digits #1", "trial-000"), milliseconds(ended))


def test_a_mirror_that_was_overtaken_remembers_nothing(database: Database, place: Path) -> None:
    study = new_study(database)
    finish(database, study, 0, 3)
    overtaken = False

    def confirm(_connection: Connection) -> None:
        if overtaken:
            raise LostMirrorLeaseError

    tracking = Tracking(tracking_uri())
    projection = Projection(Destination(database, study.id, tracking, confirm=confirm))
    projection.run_pass()
    finish(database, study, 1, 3)
    overtaken = True
    with pytest.raises(LostMirrorLeaseError):
        projection.run_pass()
    with database.read() as connection:
        assert count_behind(connection, study, without_credentials(tracking_uri())) == 1
    project(database, study)  # it finds what the other had made
    assert asked(place, "SELECT count(*) FROM runs WHERE name = 'trial-001'") == [(1,)]
    with database.read() as connection:
        assert count_behind(connection, study, without_credentials(tracking_uri())) == 0


def test_the_study_run_shows_the_best_so_far_and_counts(database: Database, place: Path) -> None:
    study = new_study(database)
    for number in END:
        finish(database, study, number, 4)
    project(database, study)
    name = "digits #1"
    objective = points(place, name, "study/trial_objective")
    assert [(step, value) for step, value, _ in objective] == [(1, 0.2), (5, 0.1)]
    best = [value for _, value, _ in points(place, name, "study/best_objective")]
    assert best == [0.2, 0.2, 0.2, 0.2, 0.1]
    expected = {"complete": 2, "pruned": 1, "failed": 1, "diverged": 1, "overfitting": 5}
    for key, count in expected.items():
        assert [value for _, value, _ in points(place, name, f"trials/{key}")] == [count]
    assert tags(place, name)["mlflow.note.content"].startswith(
        "**Best so far: validation_loss 0.1** in [trial-004](#/"
    )
    (study_file,) = (place / "mlruns").rglob("study.yaml")
    assert "max_epochs: 30" in study_file.read_text()


def test_the_best_trial_is_green_and_has_a_picture(database: Database, place: Path) -> None:
    study = new_study(database)
    finish(database, study, 0, 4)
    projection = project(database, study)
    assert "mlflow.runColor" in tags(place, "trial-000")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert projection.complete()
    assert not projection.complete()
    (picture,) = (place / "mlruns").rglob("plots/learning_curve.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    finish(database, study, 4, 4)
    project(database, study)  # another process: it knows of no colours
    assert "mlflow.runColor" not in tags(place, "trial-000")
    assert "mlflow.runColor" in tags(place, "trial-004")


def test_a_study_that_was_deleted_and_made_again_gets_runs_of_its_own(
    database: Database, place: Path
) -> None:
    first = new_study(database)
    finish(database, first, 0, 4)
    project(database, first)
    with database.write() as connection:
        delete_study(connection, first.id)
    time.sleep(0.002)
    second = new_study(database)
    finish(database, second, 0, 4)
    project(database, second)
    assert asked(place, "SELECT name, count(*) FROM runs GROUP BY name ORDER BY name") == [
        ("digits #1", 2),
        ("trial-000", 2),
    ]


def test_an_emptied_tracking_database_is_filled_anew(
    database: Database, place: Path, template: Path
) -> None:
    study = new_study(database)
    finish(database, study, 0, 4)
    project(database, study)
    before = counts(place)
    present = sqlite3.connect(place / "mlflow.db")
    with closing(sqlite3.connect(template)) as empty, closing(present):
        empty.backup(present)
    project(database, study)
    assert counts(place) == before


def test_a_run_deleted_by_hand_stops_nothing(database: Database, place: Path) -> None:
    study = new_study(database)
    train(database, study, 0, 2)
    projection = project(database, study)
    with closing(sqlite3.connect(place / "mlflow.db")) as connection:
        connection.execute("UPDATE runs SET lifecycle_stage='deleted' WHERE name='trial-000'")
        connection.commit()
    finish(database, study, 0, 4, first=3)
    finish(database, study, 1, 4)
    while projection.run_pass():
        pass
    assert statuses(place)["trial-001"] == "KILLED"


def test_an_exchanged_tracking_database_gets_all_results_while_the_mirror_lives(
    database: Database, place: Path, template: Path
) -> None:
    study = new_study(database)
    for number in (0, 1, 2):
        finish(database, study, number, 4)
    projection = project(database, study)
    present = sqlite3.connect(place / "mlflow.db")
    with closing(sqlite3.connect(template)) as empty, closing(present):
        empty.backup(present)
    finish(database, study, 3, 4)
    with contextlib.suppress(Exception):  # the pass that notices it; the loop begins anew
        while projection.run_pass():
            pass
    while projection.run_pass():
        pass
    assert len(statuses(place)) == 5
    best = [step for step, *_ in points(place, "digits #1", "study/best_objective")]
    assert best == [1, 2, 3, 4]


def test_a_trial_whose_lost_attempt_came_further_shows_its_own_epochs_alone(
    database: Database, place: Path
) -> None:
    study = new_study(database)
    train(database, study, 0, 6)
    projection = project(database, study)
    with database.write() as connection:
        connection.execute(epochs.delete().where(epochs.c.epoch > 3))
    finish(database, study, 0, 4, first=4)
    with database.write() as connection:
        number = trials.c.number == 0
        connection.execute(update(trials).where(number).values(attempts=2))
    while projection.run_pass():
        pass
    active = "SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active' AND name = 'trial-000'"
    ((run,),) = asked(place, active)
    steps = "SELECT step FROM metrics WHERE run_uuid = ? AND key = 'loss/train' ORDER BY 1"
    assert asked(place, steps, run) == [(1,), (2,), (3,), (4,)]


def test_one_that_fails_now_and_then_is_told_of_once(
    database: Database, place: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    study = new_study(database)
    orders = Orders()
    passes = []

    def run_pass(_projection: Projection) -> bool:
        passes.append(1)
        if len(passes) == 9:
            orders.leave()
        if len(passes) % 3 == 0:
            raise ConnectionError("reset by peer")
        return False

    monkeypatch.setattr(Projection, "run_pass", run_pass)
    monkeypatch.setattr(Orders, "at_the_latest", lambda *_: None)
    monkeypatch.setattr(Orders, "pause", lambda *_: None)
    mirror(database, study.id, tracking_uri(), orders)
    (warning,) = capfd.readouterr().err.splitlines()
    assert "reset by peer" in warning


def test_an_absence_of_any_length_is_borne(database: Database) -> None:
    study = new_study(database)
    lease = HeldLease(database, Lease("", "", 1))
    orders = Orders()
    waiting = Passes(database, study.id, Client(tracking_uri(), orders), orders, lease)
    pauses = []
    for failures in (1, 2, 7, 100, 5000):
        waiting.n_failures = failures
        pauses.append(waiting.pause_seconds)
    assert pauses == [1.0, 2.0, 60.0, 60.0, 60.0]


def test_a_mistake_of_its_own_is_not_blamed_on_the_network(
    database: Database, place: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    study = new_study(database)
    train(database, study, 0, 2)
    monkeypatch.setattr(Projection, "run_pass", lambda _: {}["digits"])
    monkeypatch.setattr(Orders, "at_the_latest", lambda *_: None)  # this process has to go on
    orders = Orders()
    orders.leave()
    mirror(database, study.id, tracking_uri(), orders)
    warning, rest = capfd.readouterr().err.splitlines()
    assert warning.startswith(f"warning: sending to MLflow at sqlite:///{place}/mlflow.db failed")
    assert "KeyError: 'digits'" in warning
    assert "are not up to date" in rest or "is not up to date" in rest
