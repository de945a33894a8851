"""Studies by name and generation, and what their tables tell about trials."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import insert, select

from tests.storage.conftest import HERE, STUDY, Bench, completed, epoch, verdict
from tunelab.errors import NotFoundError
from tunelab.storage.recorder import Outcome, Recorder
from tunelab.storage.states import EndReason, StudyState, TrialState
from tunelab.storage.studies import (
    all_studies,
    create_study,
    data_in_use,
    delete_study,
    find_study,
    get_study,
    mark_ended,
    mark_started,
    study_by_id,
)
from tunelab.storage.tables import checkpoints, epochs, metadata, mirror_runs, workers
from tunelab.storage.trials import (
    best_trial,
    count_trials,
    count_trials_alike,
    study_curves,
    study_trials,
)
from tunelab.storage.workers import register_worker


def create(connection, name):
    return create_study(connection, name=name, **STUDY)


def test_generations_count_within_a_name(database):
    with database.write() as connection:
        made = [create(connection, name) for name in ("digits", "wine", "digits", "digits")]
        assert [study.generation for study in made] == [1, 1, 2, 3]
        assert made[2].title == "digits #2"
        # Numbers of deleted generations in the middle are not given out again.
        delete_study(connection, made[2].id)
        assert create(connection, "digits").generation == 4
        assert {study.title for study in all_studies(connection)} == {
            "digits #1",
            "digits #3",
            "digits #4",
            "wine #1",
        }


def test_a_name_means_its_latest_generation_and_a_number_that_one(database):
    with database.write() as connection:
        for name in ("digits", "wine", "digits", "digits"):
            create(connection, name)
        assert get_study(connection, "digits").generation == 3
        assert get_study(connection, "digits#2").generation == 2
        assert get_study(connection, "digits #2").generation == 2
        assert find_study(connection, "digits", 4) is None


@pytest.mark.parametrize(
    "name",
    ["digit", "digits#4", "digits#0", "digits#x", "digits#", "digits#-1", "digits#" + "9" * 30],
)
def test_a_study_that_is_not_there_is_refused_with_the_names_that_are(database, name):
    with database.write() as connection:
        for known in ("wine", "digits"):
            create(connection, known)
        with pytest.raises(NotFoundError) as missing:
            get_study(connection, name)
    assert missing.value.message == f"no study {name!r}; there are: digits, wine"
    assert missing.value.exit_code == 3


def test_a_misspelled_name_gets_the_nearest_one(database):
    with database.write() as connection:
        with pytest.raises(NotFoundError, match="there are none yet"):
            get_study(connection, "digist")
        create(connection, "digits")
        with pytest.raises(NotFoundError) as missing:
            get_study(connection, "digist")
        assert missing.value.hint == "did you mean 'digits'?"
        with pytest.raises(NotFoundError) as missing:
            get_study(connection, "something else")
        assert missing.value.hint is None


def test_a_study_is_started_stopped_and_started_again(bench):
    key = bench.study.id
    with bench.database.write() as connection:
        mark_started(connection, key)
        first = study_by_id(connection, key)
        mark_ended(connection, key, StudyState.STOPPED, end_reason="stopped", running_seconds=12.5)
        stopped = study_by_id(connection, key)
        assert (stopped.state, stopped.end_reason) == (StudyState.STOPPED, "stopped")
        assert stopped.running_seconds == 12.5
        assert stopped.ended_at >= first.started_at
        mark_started(connection, key)
        again = study_by_id(connection, key)
    assert (again.state, again.end_reason, again.ended_at) == (StudyState.RUNNING, None, None)
    assert (again.started_at, again.running_seconds) == (first.started_at, 12.5)


def fill(bench):
    """Two trials with epochs, a state to continue from and best weights; a worker, a run."""
    bench.insert(2)
    recorder = Recorder(bench.database, bench.claim(), maximize=False)
    recorder.record(epoch(1), verdict(1), None)
    claim = recorder.finish(completed(1, 0.5, weights={"w": np.zeros(2)}), HERE)
    recorder = Recorder(bench.database, claim, maximize=False)
    recorder.record(epoch(1), verdict(1), None)
    recorder.release(lambda: {"w": np.zeros(2)})
    with bench.database.write() as connection:
        register_worker(connection, HERE, bench.study.id)
        values = {"tracking_uri": "x", "experiment_id": "1", "last_epoch": 0, "sent": ""}
        connection.execute(
            insert(mirror_runs).values(
                study_id=bench.study.id, trial_id=claim.trial_id, run_id=str(claim), **values
            )
        )


def test_deleting_a_study_deletes_all_that_belongs_to_it_and_nothing_else(bench):
    fill(bench)
    with bench.database.write() as connection:
        other = create(connection, "other")
        delete_study(connection, bench.study.id)
    with bench.database.read() as connection:
        left = {
            table.name: connection.execute(select(table)).all()
            for table in metadata.sorted_tables
            if table.name != "studies"
        }
        assert left == {name: [] for name in left}
        assert [study.id for study in all_studies(connection)] == [other.id]
        with pytest.raises(NotFoundError, match="the study has been deleted"):
            study_by_id(connection, bench.study.id)


def test_the_fixture_of_the_deletion_fills_what_it_deletes(bench):
    fill(bench)
    kinds = bench.rows(select(checkpoints.c.kind).order_by(checkpoints.c.kind))
    assert kinds == [("best",), ("state",)]
    assert len(bench.rows(select(epochs.c.epoch))) == 2
    assert len(bench.rows(select(workers.c.id))) == 1


ENDS = [
    (EndReason.COMPLETED, 0.5),
    (EndReason.EARLY_STOPPED, 0.2),
    (EndReason.PRUNED, 0.1),
    (EndReason.COMPLETED, 0.2),
    (EndReason.DIVERGED, 0.05),
    (EndReason.COMPLETED, 0.7),
    (EndReason.DIVERGED, None),
    (EndReason.FAILED, 0.01),
    (EndReason.EARLY_STOPPED, 0.7),
]


def end_all(bench):
    bench.insert(len(ENDS) + 2)
    for number, (end, value) in enumerate(ENDS):
        recorder = Recorder(bench.database, bench.claim(), maximize=False)
        for k in range(1, number + 2):
            recorder.record(epoch(k), verdict(k, value), None)
        recorder.finish(Outcome(end, "a test", recorder.verdict, value), None)
    bench.claim()


def test_the_best_trial_is_the_first_among_the_complete_with_the_best_value(bench):
    with bench.database.read() as connection:
        assert best_trial(connection, bench.study.id, maximize=False) is None
    end_all(bench)
    with bench.database.read() as connection:
        least = best_trial(connection, bench.study.id, maximize=False)
        greatest = best_trial(connection, bench.study.id, maximize=True)
    assert (least.number, least.value) == (1, 0.2)
    assert (greatest.number, greatest.value) == (5, 0.7)


def test_counts_name_every_state_and_every_end(bench):
    end_all(bench)
    Bench(bench.database).insert(3)
    with bench.database.read() as connection:
        assert count_trials(connection, bench.study.id) == {
            "waiting": 1,
            "running": 1,
            "finished": 9,
            "completed": 3,
            "early_stopped": 2,
            "pruned": 1,
            "diverged": 2,
            "failed": 1,
        }
        groups = count_trials_alike(connection, bench.study.id)
    finished = [group for group in groups if group.end_reason is not None]
    assert {group.signal for group in finished} == {"learning"}
    assert sum(group.n_trials for group in finished) == 9
    assert sum(group.n_epochs for group in finished) == sum(range(1, 10))
    unfinished = {group.state: group.n_trials for group in groups if group.end_reason is None}
    assert unfinished == {TrialState.RUNNING: 1, TrialState.WAITING: 1}


def test_trials_are_read_in_order_and_as_restricted(bench):
    end_all(bench)

    def numbers(**restricted):
        with bench.database.read() as connection:
            return [row.number for row in study_trials(connection, bench.study.id, **restricted)]

    assert numbers() == list(range(11))
    assert numbers(from_number=8) == [8, 9, 10]
    assert numbers(states=[TrialState.RUNNING, TrialState.WAITING]) == [9, 10]
    assert numbers(numbers=[7, 2, 99]) == [2, 7]
    assert numbers(numbers=[]) == []


def test_curves_are_read_from_where_each_reader_stands(bench):
    end_all(bench)
    keys = [trial.id for trial in bench.trials()]
    with bench.database.read() as connection:
        curves = study_curves(connection, {keys[2]: 0, keys[4]: 3, keys[5]: 99})
        assert study_curves(connection, {}) == {}
    read = {key: [row.epoch for row in rows] for key, rows in curves.items()}
    assert read == {keys[2]: [1, 2, 3], keys[4]: [4, 5], keys[5]: []}


def test_the_folders_of_data_that_studies_refer_to_are_known(bench):
    Bench(bench.database)
    with bench.database.read() as connection:
        (used,) = data_in_use(connection)
    assert used == ("/data/digits", "")
