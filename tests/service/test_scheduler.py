"""Each slot is started once, whatever dies, however many schedulers run; no test waits."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest

from tests.service.conftest import environment
from tests.storage.conftest import DEAD, HERE, NEIGHBOUR
from tunelab.errors import DataError
from tunelab.service.sweeps.folder import StudiesFolder
from tunelab.service.sweeps.scheduler import Scheduler
from tunelab.spec.study import StudySpec
from tunelab.storage.states import Executor, SlotState, StudyState
from tunelab.storage.studies import all_studies, create_study, mark_ended
from tunelab.storage.sweep_slots import claim_slot, sweep_history
from tunelab.storage.sweeps import all_sweeps, get_sweep, pause_sweep, put_sweep


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def study(cron="0 * * * *", name="flowers", **sweep):
    return StudySpec.from_mapping(
        {
            "name": name,
            "task": "classification",
            "data": {"source": "sklearn", "name": "iris"},
            "search": {"trials": 3, "max_epochs": 2},
            "sweep": {"cron": cron, **sweep},
        }
    )


def create(database, spec, settle):
    """Create the generation without its data, which take seconds to load."""
    with database.write() as connection:
        created = create_study(
            connection,
            executor=Executor.EXTERNAL,
            name=spec.name,
            spec=spec.to_mapping(),
            spec_hash="",
            data_digest="",
            data_path="",
            baseline_loss=1.0,
            n_trials=3,
            timeout_seconds=None,
        )
        settle(connection, created)
    return created


NINE = "2026-03-10T09:30"
TEN = "2026-03-10T10:00:05"


class Bench:
    """A database with the hourly sweep ``flowers``, which counts from 09:30."""

    def __init__(self, database):
        self.database = database

    def put(self, now=NINE, **sweep):
        with self.database.write() as connection:
            return put_sweep(connection, study(**sweep), "/studies/flowers.yaml", now=utc(now))

    def scheduler(self, owner=HERE, launch=create):
        return Scheduler(self.database, owner, launch)

    def tick(self, now=TEN, **others):
        return self.scheduler(**others).tick(utc(now))

    def history(self):
        """Slots and what became of them, the oldest first."""
        with self.database.read() as connection:
            rows = sweep_history(connection, get_sweep(connection, "flowers").id)
        at = [datetime.fromtimestamp(row.slot_at, UTC).strftime("%d %H:%M") for row in rows]
        return list(zip(at, [str(row.state) for row in rows], strict=True))[::-1]

    def last(self):
        with self.database.read() as connection:
            return sweep_history(connection, get_sweep(connection, "flowers").id)[0]

    def studies(self):
        with self.database.read() as connection:
            return all_studies(connection)[::-1]

    def finish(self):
        with self.database.write() as connection:
            for row in all_studies(connection):
                mark_ended(
                    connection, row.id, StudyState.FINISHED, end_reason="x", running_seconds=1.0
                )


@pytest.fixture
def bench(database):
    return Bench(database)


def test_a_slot_is_started_once_as_the_next_generation(bench):
    bench.put()
    assert bench.tick(NINE) == []
    assert bench.tick() == ["sweep flowers, slot 2026-03-10T10:00Z: flowers #1 was started"]
    assert bench.tick() == []
    bench.finish()
    bench.tick("2026-03-10T11:00:00")
    assert [(row.title, row.executor) for row in bench.studies()] == [
        ("flowers #1", "external"),
        ("flowers #2", "external"),
    ]
    assert bench.last().generation == 2


def test_two_schedulers_at_one_moment_start_each_slot_once(bench):
    bench.put(overlap="allow", catchup="all")
    together = threading.Barrier(2)
    failures = []

    def run(owner):
        try:
            scheduler = bench.scheduler(owner)
            for hour in range(10, 20):
                together.wait()
                scheduler.tick(utc(f"2026-03-10T{hour}:00:01"))
        except BaseException as error:
            failures.append(error)
            together.abort()

    threads = [threading.Thread(target=run, args=(owner,)) for owner in (HERE, NEIGHBOUR)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert bench.history() == [(f"10 {hour}:00", "launched") for hour in range(10, 20)]
    assert len(bench.studies()) == 10


def test_a_slot_that_was_claimed_by_the_dead_is_taken_up(bench):
    row = bench.put()
    with bench.database.write() as connection:
        assert claim_slot(connection, row.id, utc("2026-03-10T10:00"), DEAD)
    said = bench.tick("2026-03-10T10:05")
    assert said[0].endswith("taken up, its controller died")
    assert bench.history() == [("10 10:00", "launched")]
    assert len(bench.studies()) == 1


KILLED = """
import os, signal, sys
from tests.service.test_scheduler import HERE, Scheduler, TEN, utc
from tunelab.storage.schema import open_database

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

Scheduler(open_database(sys.argv[1]), HERE, die).tick(utc(TEN))
"""


def test_a_controller_killed_between_claim_and_launch_costs_nothing(bench):
    bench.put()
    url = bench.database.url.render_as_string(hide_password=False)
    killed = subprocess.run([sys.executable, "-c", KILLED, url], env=environment(), check=False)
    assert killed.returncode == -signal.SIGKILL
    assert bench.history() == [("10 10:00", "claimed")]
    assert bench.studies() == []
    bench.tick()
    assert bench.history() == [("10 10:00", "launched")]


def test_a_slot_that_kills_three_controllers_has_failed(bench):
    bench.put()
    url = bench.database.url.render_as_string(hide_password=False)
    for _ in range(3):
        subprocess.run([sys.executable, "-c", KILLED, url], env=environment(), check=False)
    bench.tick()
    assert bench.history() == [("10 10:00", "failed")]
    assert "3 controllers died" in bench.last().reason
    assert bench.studies() == []


def test_a_launch_that_dies_in_its_transaction_leaves_no_study(bench):
    bench.put()

    def die(database, spec, settle):
        def settle_and_die(connection, created):
            settle(connection, created)
            raise KeyboardInterrupt

        return create(database, spec, settle_and_die)

    with pytest.raises(KeyboardInterrupt):
        bench.tick(launch=die)
    assert (bench.studies(), bench.history()) == ([], [("10 10:00", "claimed")])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DataError("flowers.csv: no rows"), "flowers.csv: no rows"),
        (ZeroDivisionError("division"), "unexpected ZeroDivisionError: division"),
    ],
)
def test_a_launch_that_fails_leaves_its_reason_and_the_next_slot_is_tried(bench, error, reason):
    bench.put()

    def fail(*_):
        raise error

    assert bench.tick(launch=fail)[0].endswith(f"failed, {reason}")
    assert (bench.last().state, bench.last().reason) == (SlotState.FAILED, reason)
    bench.tick("2026-03-10T11:00")
    assert bench.history() == [("10 10:00", "failed"), ("10 11:00", "launched")]


# 25 hours down: from 09:30 to 10:30 of the next day
BACK = "2026-03-11T10:30"


def test_after_25_hours_none_is_caught_up(bench):
    bench.put(catchup="none")
    bench.tick(BACK)
    assert bench.history() == [("11 10:00", "late")]
    assert "25 slots were missed" in bench.last().reason
    assert bench.studies() == []


def test_after_25_hours_the_latest_is_caught_up(bench):
    bench.put(catchup="latest")
    bench.tick(BACK)
    bench.tick(BACK)
    assert bench.history() == [("11 09:00", "late"), ("11 10:00", "launched")]


def test_after_25_hours_all_within_the_grace_are_caught_up(bench):
    bench.put(catchup="all", grace="24h", overlap="allow")
    bench.tick(BACK)
    # 10:00 of the first day is 24.5 hours late
    assert bench.history()[0] == ("10 10:00", "late")
    assert [state for _, state in bench.history()[1:]] == 24 * ["launched"]
    assert len(bench.studies()) == 24


# Overlap


def test_skip_leaves_a_slot_out_while_an_earlier_generation_runs(bench):
    bench.put(overlap="skip")
    bench.tick()
    bench.tick("2026-03-10T11:00")
    assert bench.history() == [("10 10:00", "launched"), ("10 11:00", "skipped")]
    assert bench.last().reason == "flowers #1 runs"


def test_queue_waits_for_the_generation_before(bench):
    bench.put(overlap="queue")
    bench.tick()
    bench.tick("2026-03-10T11:00")
    bench.tick("2026-03-10T12:00")
    assert [state for _, state in bench.history()] == ["launched", "queued", "queued"]
    bench.finish()
    bench.tick("2026-03-10T12:10")
    assert [state for _, state in bench.history()] == ["launched", "launched", "queued"]
    bench.tick("2026-03-11T12:10")  # queued for more than a day
    assert ("10 12:00", "late") in bench.history()


def test_allow_starts_beside_it(bench):
    bench.put(overlap="allow")
    bench.tick()
    bench.tick("2026-03-10T11:00")
    assert len(bench.studies()) == 2


def test_a_paused_sweep_starts_nothing(bench):
    row = bench.put()
    with bench.database.write() as connection:
        pause_sweep(connection, row.id)
    assert bench.tick() == []
    assert bench.history() == []


# The folder

FILE = """\
name: {name}
task: classification
data: {{source: csv, path: flowers.csv, target: kind}}
sweep: {{cron: "{cron}", enabled: {enabled}}}
"""


@pytest.fixture
def files(database, tmp_path):
    folder = tmp_path / "studies"
    folder.mkdir()

    class Files:
        watched = StudiesFolder(database, folder)

        def write(self, name="a", cron="0 * * * *", enabled="true", file="a.yaml"):
            (folder / file).write_text(FILE.format(name=name, cron=cron, enabled=enabled))

        def scan(self, now=NINE):
            return self.watched.scan(utc(now))

        def sweeps(self):
            with database.read() as connection:
                return all_sweeps(connection)

    return Files(), folder


def test_enabled_sweeps_of_a_folder_are_taken_up_once(files):
    folder, path = files
    folder.write()
    folder.write("b", enabled="false", file="b.yaml")
    assert folder.scan() == ["sweep a was added: 0 * * * * UTC"]
    assert folder.scan() == []
    (sweep,) = folder.sweeps()
    assert sweep.spec["data"]["path"] == str(path / "flowers.csv")


def test_a_changed_file_counts_from_the_next_slot(files):
    folder, _ = files
    folder.write()
    folder.scan()
    folder.write(cron="*/5 * * * *")
    assert folder.scan(TEN) == ["sweep a was changed: */5 * * * * UTC"]
    (sweep,) = folder.sweeps()
    assert sweep.since == utc(TEN)


def test_a_broken_file_is_told_of_once_and_the_last_good_one_is_kept(files):
    folder, path = files
    folder.write()
    folder.scan()
    folder.write(cron="61 * * * *")
    (said,) = folder.scan()
    assert said.startswith(f"warning: {path / 'a.yaml'}: cannot be used")
    assert said.endswith("a goes on as it was")
    assert folder.scan() == []
    (sweep,) = folder.sweeps()
    assert (sweep.sweep.expression, "sweep.cron" in sweep.problem) == ("0 * * * *", True)
    folder.write()
    folder.scan()
    assert folder.sweeps()[0].problem is None


def test_two_files_of_one_name_are_told_of(files):
    folder, _ = files
    folder.write()
    folder.write(file="b.yaml")
    assert "the sweep a was added from" in folder.scan()[1]


def test_a_sweep_that_is_switched_off_in_its_file_starts_nothing(files):
    folder, _ = files
    folder.write()
    folder.scan()
    folder.write(enabled="false")
    folder.scan()
    assert not folder.sweeps()[0].is_active


def test_a_folder_that_is_missing_is_told_of_once(database, tmp_path):
    folder = StudiesFolder(database, tmp_path / "nowhere")
    assert "is missing" in folder.scan(0.0)[0]
    assert folder.scan(0.0) == []
