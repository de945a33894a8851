"""Who named a URL hears of a bad end once, whatever dies, however many controllers run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from tests.service.conftest import environment
from tests.service.receivers import answers, drips, receiver, silent
from tests.service.test_controller import Service
from tests.service.test_scheduler import NINE, TEN, Bench, study, utc
from tests.storage.conftest import HERE, NEIGHBOUR
from tunelab.errors import DataError
from tunelab.service.sweeps import notify
from tunelab.service.sweeps.notify import Notifier
from tunelab.storage.clock import database_time
from tunelab.storage.schema import open_database
from tunelab.storage.states import Executor, SlotState
from tunelab.storage.studies import create_study
from tunelab.storage.sweep_outcomes import TELL_SECONDS, untold_outcomes
from tunelab.storage.sweep_slots import record_late
from tunelab.storage.sweeps import put_sweep
from tunelab.storage.tables import sweep_slots


class Notified(Bench):
    def tell(self, owner=HERE, timeout_seconds=5.0):
        """What a controller has to say after one look."""
        lines = Notifier(self.database, owner, timeout_seconds).tick()
        return [line for line in lines if line is not None]

    def skip(self, n_slots, url):
        """The first slot is started, and runs while the next ones come."""
        self.put(notify=url)
        self.tick()
        for hour in range(11, 11 + n_slots):
            self.tick(f"2026-03-10T{hour}:00:05")


@pytest.fixture
def bench(database):
    return Notified(database)


def documents(server):
    return [json.loads(heard.partition(b"\r\n\r\n")[2]) for heard in server.heard]


def fail(*_):
    raise DataError("flowers.csv: no rows")


def test_a_skipped_slot_is_posted_once(bench):
    with receiver() as server:
        bench.skip(1, server.url)
        assert bench.tell() == []
        assert bench.tell() == []
        (document,) = documents(server)
    ended = datetime.fromtimestamp(bench.last().ended_at, UTC)
    assert document == {
        "schema": 1,
        "sweep": "flowers",
        "slot": "2026-03-10T11:00:00Z",
        "state": "skipped",
        "reason": "flowers #1 runs",
        "study_file": "/studies/flowers.yaml",
        "generation": None,
        "time": ended.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def test_failed_and_late_slots_are_posted(bench):
    with receiver() as server:
        bench.put(notify=server.url, catchup="none")
        bench.tick(launch=fail)
        bench.tick("2026-03-10T12:30")
        assert bench.tell() == []
        heard = [(doc["slot"][11:16], doc["state"], doc["reason"]) for doc in documents(server)]
    missed = "2 slots were missed, the first at 2026-03-10T11:00Z"
    assert heard == [
        ("10:00", "failed", "flowers.csv: no rows"),
        ("12:00", "late", f"{missed}; catchup: none starts no slot later"),
    ]


def test_a_study_that_ends_without_a_result_is_told_of_with_its_generation(bench):
    with receiver() as server:
        bench.put(notify=server.url)
        bench.tick()
        assert bench.tell() == []
        bench.finish()
        why = "flowers #1 finished without one completed trial"
        assert bench.tell() == [f"sweep flowers, slot 2026-03-10T10:00Z: failed, {why}"]
        assert bench.tell() == []
        (document,) = documents(server)
    assert (document["state"], document["reason"], document["generation"]) == ("failed", why, 1)


def test_a_slot_that_was_started_is_not_posted(bench):
    with receiver() as server:
        bench.put(notify=server.url)
        bench.tick()
        assert (bench.tell(), server.heard) == ([], [])


def test_a_url_that_is_named_later_hears_of_nothing_that_was_before(bench):
    bench.skip(3, None)
    assert bench.tell() == []
    with receiver() as server:
        bench.put(notify=server.url)
        assert (bench.tell(), server.heard) == ([], [])
        bench.tick("2026-03-10T14:00:05")
        bench.tell()
        assert [document["slot"] for document in documents(server)] == ["2026-03-10T14:00:00Z"]


def test_what_is_older_than_a_day_is_not_posted(bench):
    with receiver() as server:
        bench.skip(1, server.url)
        with bench.database.write() as connection:
            ended_at = database_time(connection) - TELL_SECONDS - 1
            connection.execute(update(sweep_slots).values(ended_at=ended_at))
        assert (bench.tell(), server.heard) == ([], [])


def test_two_controllers_at_one_moment_post_each_slot_once(bench):
    together = threading.Barrier(2)
    said, failures = [], []

    def run(owner):
        try:
            together.wait()
            said.extend(bench.tell(owner))
        except BaseException as error:
            failures.append(error)

    with receiver() as server:
        bench.skip(12, server.url)
        threads = [threading.Thread(target=run, args=(owner,)) for owner in (HERE, NEIGHBOUR)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        slots = sorted(document["slot"][11:13] for document in documents(server))
    assert (said, failures) == ([], [])
    assert slots == [str(hour) for hour in range(11, 23)]


KILLED = """
import os, signal, sys
from tests.storage.conftest import HERE
from tunelab.service.sweeps import notify
from tunelab.storage.schema import open_database

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

notify.post = die
list(notify.Notifier(open_database(sys.argv[1]), HERE).tick())
"""


def test_a_kill_between_the_row_and_the_post_lets_nobody_hear_twice(bench):
    with receiver() as server:
        bench.skip(2, server.url)
        url = bench.database.url.render_as_string(hide_password=False)
        command = [sys.executable, "-c", KILLED, url]
        killed = subprocess.run(command, env=environment(), check=False)
        assert killed.returncode == -signal.SIGKILL
        assert bench.tell() == []  # the next one takes up what the dead had not begun
        assert [document["slot"][11:13] for document in documents(server)] == ["12"]


@pytest.mark.parametrize(
    ("talk", "cause"),
    [
        (answers(500), "it answered 500"),
        (
            answers(302, "Location: http://localhost/"),
            "it answered 302; redirects are not followed",
        ),
        (silent, "no answer within 0.5 s"),
        (drips(b"HTTP/1.1 200 OK\r\nX: "), "no answer within 0.5 s"),
    ],
    ids=["500", "redirect", "silent", "dripping"],
)
def test_a_post_that_fails_leaves_one_line_without_the_secret_and_is_not_repeated(
    bench, talk, cause
):
    with receiver(talk) as server:
        bench.skip(1, server.url)
        (line,) = bench.tell(timeout_seconds=0.5)
        assert line == (
            "warning: sweep flowers, slot 2026-03-10T11:00Z: the notification of "
            f"http://127.0.0.1:{server.port} failed: {cause}"
        )
        assert bench.tell() == []
        assert len(server.heard) == 1


def test_one_url_that_fails_keeps_none_from_another(bench):
    with receiver(answers(500)) as bad, receiver() as good:
        bench.skip(1, bad.url)
        row = study(name="trees", notify=good.url)
        with bench.database.write() as connection:
            other = put_sweep(connection, row, "/studies/trees.yaml", now=utc(NINE))
            record_late(connection, other.id, utc(TEN), "missed")
        assert len(bench.tell()) == 1
        assert (len(bad.heard), len(good.heard)) == (1, 1)


def test_leaving_between_two_posts_loses_none(bench):
    with receiver() as server:
        bench.skip(3, server.url)
        first = Notifier(bench.database, HERE).tick()
        next(first)
        first.close()
        with bench.database.read() as connection:
            assert len(untold_outcomes(connection)) == 2
        bench.tell(NEIGHBOUR)
        assert len(server.heard) == 3


def test_leaving_at_the_line_of_a_study_without_result_loses_no_post(bench):
    with receiver() as server:
        bench.put(notify=server.url)
        bench.tick()
        bench.finish()
        ticking = Notifier(bench.database, HERE).tick()
        assert "without one completed trial" in next(ticking)
        ticking.close()
        assert len(server.heard) == 1


def test_a_very_long_reason_is_cut():
    class Outcome:
        name, study_file, generation = "flowers", "/studies/flowers.yaml", None
        slot_at = ended_at = 0.0
        state, reason = SlotState.FAILED, 5000 * "x"

    assert len(notify.message(Outcome())) < 1300


# A real controller


@pytest.fixture
def service(folder):
    service = Service(folder)
    yield service
    for process in service.processes:
        process.kill()
        process.communicate()


def overdue(folder, url):
    """A database with a sweep that was missed for an hour and is not caught up."""
    database = open_database(f"sqlite:///{folder.path / 'tunelab.db'}")
    with database.write() as connection:
        now = database_time(connection)
        # 20 to 40 minutes past: whatever the time is now, there is a slot in the hour before.
        minute = (datetime.fromtimestamp(now, UTC).minute + 30) % 60
        spec = study(f"{minute} * * * *", notify=url, catchup="none")
        put_sweep(connection, spec, "/studies/flowers.yaml", now=now - 3600)
    database.close()


def test_a_controller_leaves_at_once_while_a_receiver_hangs(service):
    with receiver(silent) as server:
        overdue(service.folder, server.url)
        controller = service.controller()
        until = time.monotonic() + 30
        while not server.heard and time.monotonic() < until:
            time.sleep(0.02)
        assert [document["state"] for document in documents(server)] == ["late"]
        began = time.monotonic()
        controller.send_signal(signal.SIGTERM)
        output, _ = controller.communicate(timeout=10)
        assert time.monotonic() - began < 4  # the POST has five
    assert controller.returncode == 128 + signal.SIGTERM
    assert "late, " in output
    assert "Traceback" not in output


def test_a_hanging_receiver_keeps_no_study_from_its_coordinator(service):
    folder = service.folder
    with receiver(silent) as server:
        overdue(folder, server.url)
        controller = service.controller()
        until = time.monotonic() + 30
        while not server.heard and time.monotonic() < until:
            time.sleep(0.02)
        database = open_database(f"sqlite:///{folder.path / 'tunelab.db'}")
        values = dict.fromkeys(["spec_hash", "data_digest", "data_path"], "")
        with database.write() as connection:
            create_study(connection, executor=Executor.EXTERNAL, name="trees", spec={},
                         baseline_loss=1.0, n_trials=1, timeout_seconds=None, **values)  # fmt: skip
        database.close()
        began = time.monotonic()
        lines = iter(controller.stdout.readline, "")
        assert any("trees #1: a coordinator was started" in line for line in lines)
        assert time.monotonic() - began < 3
