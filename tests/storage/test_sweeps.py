"""Sweeps are kept with what they were last right with; each slot is started once."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from sqlalchemy import func, select, update

from tests.storage.conftest import DEAD, ELSEWHERE, HERE, NEIGHBOUR, run_together
from tunelab.errors import NotFoundError, StudyConflictError
from tunelab.spec.study import StudySpec
from tunelab.storage.leases import GRACE_SECONDS
from tunelab.storage.states import SlotState, StudyState
from tunelab.storage.studies import create_study, delete_study, mark_ended
from tunelab.storage.sweep_slots import (
    LostSlotError,
    claim_queued,
    claim_slot,
    end_slot,
    give_up_slots,
    has_lost_slots,
    mark_launched,
    obstacle,
    queue_slot,
    record_late,
    renew_slot,
    sweep_history,
    take_up_slot,
)
from tunelab.storage.sweeps import (
    all_sweeps,
    get_sweep,
    pause_sweep,
    put_sweep,
    remove_sweep,
    report_problem,
    resume_sweep,
)
from tunelab.storage.tables import studies, sweep_slots

SLOT = 1_800_000_000.0
FILE = "/studies/digits.yaml"


def study(name="digits", trials=60, **sweep):
    return StudySpec.from_mapping(
        {
            "name": name,
            "task": "classification",
            "data": {"source": "sklearn", "name": "digits"},
            "search": {"trials": trials},
            "sweep": {"cron": "0 2 * * *", **sweep},
        }
    )


class Sweeps:
    """A database with the sweep ``digits``, which counts from the moment 1000."""

    def __init__(self, database):
        self.database = database
        self.row = self.put(study(), now=1000.0)

    def put(self, spec, file=FILE, **others):
        return self.write(put_sweep, spec, file, **others)

    def write(self, function, *arguments, **others):
        with self.database.write() as connection:
            return function(connection, *arguments, **others)

    def read(self, function, *arguments, **others):
        with self.database.read() as connection:
            return function(connection, *arguments, **others)

    def get(self, name="digits"):
        return self.read(get_sweep, name)

    def claim(self, slot_at=SLOT, owner=HERE):
        return self.write(claim_slot, self.row.id, slot_at, owner)

    def launch(self, claim):
        """Create the next generation, as a controller does."""
        with self.database.write() as connection:
            created = self.create(connection)
            mark_launched(connection, claim, created.id)
        return created

    def create(self, connection, name="digits"):
        values = dict.fromkeys(["spec_hash", "data_digest", "data_path"], "")
        return create_study(
            connection,
            name=name,
            spec={},
            baseline_loss=1.0,
            n_trials=1,
            timeout_seconds=None,
            **values,
        )

    def age(self, seconds):
        """Let the leases grow older."""
        with self.database.write() as connection:
            connection.execute(
                update(sweep_slots).values(expires_at=sweep_slots.c.expires_at - seconds)
            )

    def history(self):
        return self.read(sweep_history, self.row.id)

    def n_studies(self):
        return self.read(lambda connection: connection.scalar(select(func.count(studies.c.id))))


@pytest.fixture
def sweeps(database):
    return Sweeps(database)


# A sweep and its file


def test_a_sweep_is_kept_as_the_checked_study_which_is_read_back(sweeps):
    row = sweeps.get()
    assert row == sweeps.row
    assert row.study == study()
    assert row.sweep == study().sweep
    assert (row.name, row.study_file, row.problem, row.paused) == ("digits", FILE, None, False)
    assert (row.counts_from, row.created_at, row.changed_at) == (1000.0, 1000.0, 1000.0)
    assert (row.newest_slot, row.since, row.is_active) == (None, 1000.0, True)
    assert row.is_up_to_date(study(), FILE)
    assert not row.is_up_to_date(study(trials=61), FILE)
    assert not row.is_up_to_date(study(), "/studies/other.yaml")


def test_a_study_without_a_sweep_is_not_added(sweeps):
    mapping = study().to_mapping()
    del mapping["sweep"]
    with pytest.raises(ValueError, match="has no sweep"):
        sweeps.put(StudySpec.from_mapping(mapping), now=5.0)


def test_a_changed_file_replaces_what_was_said_and_what_was_missed_stays_missed(sweeps):
    row = sweeps.put(study(trials=90, grace="2h", catchup="all"), now=5000.0)
    assert (row.id, row.study.search.trials) == (sweeps.row.id, 90)
    assert (row.counts_from, row.created_at, row.changed_at) == (1000.0, 1000.0, 5000.0)
    assert sweeps.put(study(trials=90, grace="2h", catchup="all"), now=6000.0) == row


@pytest.mark.parametrize("change", [{"cron": "0 3 * * *"}, {"timezone": "Asia/Tokyo"}])
def test_other_instants_count_from_the_change(sweeps, change):
    assert sweeps.put(study(**change), now=5000.0).counts_from == 5000.0


def test_a_sweep_that_is_switched_on_in_its_file_counts_from_then(sweeps):
    row = sweeps.put(study(enabled=False), now=5000.0)
    assert (row.is_active, row.counts_from) == (False, 1000.0)
    row = sweeps.put(study(), now=6000.0)
    assert (row.is_active, row.counts_from) == (True, 6000.0)


def test_a_broken_file_is_reported_and_the_last_good_one_kept(sweeps):
    sweeps.write(report_problem, sweeps.row.id, "digits.yaml:3: must be ...")
    row = sweeps.get()
    assert row.problem == "digits.yaml:3: must be ..."
    assert (row.study, row.is_active) == (study(), True)
    assert not row.is_up_to_date(study(), FILE)
    assert sweeps.put(study(), now=5000.0) == sweeps.row


def test_two_files_do_not_take_a_name_from_each_other(sweeps):
    with pytest.raises(StudyConflictError, match=r"was added from /studies/digits.yaml, not from"):
        sweeps.put(study(trials=5), "/studies/copy.yaml", now=5000.0)
    assert sweeps.get() == sweeps.row
    moved = sweeps.put(study(trials=5), "/studies/copy.yaml", now=5000.0, moved=True)
    assert (moved.id, moved.study_file) == (sweeps.row.id, "/studies/copy.yaml")


def test_a_pause_outlasts_a_changed_file_and_is_not_caught_up(sweeps):
    sweeps.write(pause_sweep, sweeps.row.id)
    row = sweeps.put(study(trials=90), now=5000.0)
    assert (row.paused, row.is_active, row.counts_from) == (True, False, 1000.0)
    assert sweeps.claim() is None
    assert sweeps.write(record_late, row.id, SLOT, "missed") is False
    sweeps.write(resume_sweep, row.id, now=7000.0)
    assert (sweeps.get().is_active, sweeps.get().counts_from) == (True, 7000.0)
    sweeps.write(resume_sweep, row.id, now=8000.0)  # goes on already
    assert sweeps.get().counts_from == 7000.0
    assert sweeps.claim() is not None


def test_a_removed_sweep_is_gone_with_its_history_and_its_studies_stay(sweeps):
    claim = sweeps.claim()
    sweeps.launch(claim)
    open_claim = sweeps.claim(SLOT + 60)
    sweeps.write(remove_sweep, sweeps.row.id)
    assert sweeps.history() == []
    assert sweeps.n_studies() == 1
    assert sweeps.claim(SLOT + 120) is None
    assert not sweeps.write(renew_slot, open_claim)
    with pytest.raises(LostSlotError):
        sweeps.launch(open_claim)
    assert sweeps.n_studies() == 1
    with pytest.raises(NotFoundError, match="no sweep 'digits'; there are none yet"):
        sweeps.get()


def test_sweeps_are_listed_by_name_and_a_misspelt_one_is_guessed(sweeps):
    sweeps.put(study("apples"), "/studies/apples.yaml", now=1.0)
    assert [row.name for row in sweeps.read(all_sweeps)] == ["apples", "digits"]
    with pytest.raises(NotFoundError, match="no sweep 'digit'; there are: apples, digits") as error:
        sweeps.get("digit")
    assert error.value.hint == "did you mean 'digits'?"


# Slots


def test_a_slot_is_claimed_once_and_settles_what_came_before(sweeps):
    claim = sweeps.claim()
    assert (claim.sweep_id, claim.slot_at, claim.token) == (sweeps.row.id, SLOT, 1)
    assert sweeps.claim(owner=NEIGHBOUR) is None
    assert sweeps.claim(owner=ELSEWHERE) is None
    assert (sweeps.get().newest_slot, sweeps.get().since) == (SLOT, SLOT)
    assert sweeps.claim(SLOT + 60, NEIGHBOUR) is not None
    assert sweeps.get().since == SLOT + 60


def test_slots_of_two_sweeps_at_one_instant_are_two(sweeps):
    other = sweeps.put(study("apples"), "/studies/apples.yaml", now=1.0)
    assert sweeps.claim() is not None
    assert sweeps.write(claim_slot, other.id, SLOT, NEIGHBOUR) is not None


def test_a_claim_whose_answer_was_lost_is_made_again_and_the_first_is_void(sweeps):
    untold, told = sweeps.claim(), sweeps.claim()
    assert told.token == untold.token + 1
    assert not sweeps.write(renew_slot, untold)
    with pytest.raises(LostSlotError):
        sweeps.launch(untold)
    sweeps.launch(told)
    assert sweeps.n_studies() == 1
    assert sweeps.claim() is None


def test_a_launched_slot_names_its_study_also_after_that_is_deleted(sweeps):
    created = sweeps.launch(sweeps.claim())
    (slot,) = sweeps.history()
    assert (slot.state, slot.study_id, slot.generation) == (SlotState.LAUNCHED, created.id, 1)
    assert (slot.reason, slot.lost_claims) == (None, 0)
    assert slot.ended_at >= slot.created_at > 1.7e9
    sweeps.write(delete_study, created.id)
    (slot,) = sweeps.history()
    assert (slot.state, slot.study_id, slot.generation) == (SlotState.LAUNCHED, None, None)
    assert sweeps.claim(owner=NEIGHBOUR) is None


@pytest.mark.parametrize("state", [SlotState.SKIPPED, SlotState.FAILED, SlotState.LATE])
def test_a_slot_that_starts_nothing_says_why_and_is_over(sweeps, state):
    claim = sweeps.claim()
    sweeps.write(end_slot, claim, state, "a test")
    (slot,) = sweeps.history()
    assert (slot.state, slot.reason, slot.study_id) == (state, "a test", None)
    assert slot.ended_at is not None
    with pytest.raises(LostSlotError):
        sweeps.launch(claim)
    sweeps.age(2 * GRACE_SECONDS)
    assert not sweeps.read(has_lost_slots)
    assert sweeps.claim(owner=NEIGHBOUR) is None


def test_a_slot_ends_in_no_other_way(sweeps):
    with pytest.raises(ValueError, match="a slot cannot end as queued"):
        sweeps.write(end_slot, sweeps.claim(), SlotState.QUEUED, "a test")


def test_late_slots_leave_one_row_for_all(sweeps):
    assert sweeps.write(record_late, sweeps.row.id, SLOT, "25 slots were missed")
    assert not sweeps.write(record_late, sweeps.row.id, SLOT, "25 slots were missed")
    (slot,) = sweeps.history()
    assert (slot.state, slot.reason) == (SlotState.LATE, "25 slots were missed")
    assert sweeps.get().since == SLOT
    assert sweeps.claim() is None


def test_the_history_begins_with_the_newest_slot(sweeps):
    for minutes in (0, 2, 1):
        sweeps.claim(SLOT + 60 * minutes)
    assert [slot.slot_at - SLOT for slot in sweeps.history()] == [120, 60, 0]
    assert len(sweeps.read(sweep_history, sweeps.row.id, 2)) == 2


# Slots whose owner died


def test_a_live_owner_and_one_on_another_host_keep_their_slots(sweeps):
    sweeps.claim(SLOT, HERE)
    sweeps.claim(SLOT + 60, ELSEWHERE)
    assert not sweeps.read(has_lost_slots)
    assert sweeps.write(take_up_slot, NEIGHBOUR) is None


def test_the_slot_of_a_dead_owner_is_taken_up_once(sweeps):
    lost = sweeps.claim(owner=DEAD)
    assert sweeps.read(has_lost_slots)
    taken = sweeps.write(take_up_slot, HERE)
    assert (taken.slot_at, taken.token) == (SLOT, lost.token + 1)
    assert sweeps.write(take_up_slot, NEIGHBOUR) is None
    assert not sweeps.write(renew_slot, lost)
    with pytest.raises(LostSlotError):
        sweeps.launch(lost)
    sweeps.launch(taken)
    assert sweeps.n_studies() == 1
    (slot,) = sweeps.history()
    assert (slot.state, slot.lost_claims) == (SlotState.LAUNCHED, 1)


def test_a_silent_owner_loses_its_slot_when_the_lease_expires_unless_it_renews(sweeps):
    silent, beating = sweeps.claim(SLOT, ELSEWHERE), sweeps.claim(SLOT + 60, ELSEWHERE)
    sweeps.age(GRACE_SECONDS - 1)
    assert not sweeps.read(has_lost_slots)
    assert sweeps.write(renew_slot, beating)
    sweeps.age(2)
    assert sweeps.write(take_up_slot, HERE).slot_at == silent.slot_at
    assert sweeps.write(take_up_slot, HERE) is None
    assert not sweeps.write(renew_slot, silent)


def test_a_slot_that_kills_three_controllers_has_failed(sweeps):
    sweeps.claim(owner=DEAD)
    for _ in range(2):
        assert sweeps.write(give_up_slots) == []
        assert sweeps.write(take_up_slot, DEAD) is not None
    assert sweeps.write(take_up_slot, HERE) is None
    ended = sweeps.write(give_up_slots)
    (slot,) = ended
    assert ended == sweeps.history()
    assert (slot.state, slot.lost_claims) == (SlotState.FAILED, 3)
    assert slot.reason == "3 controllers died or fell silent while they started it"
    assert not sweeps.read(has_lost_slots)
    assert sweeps.write(give_up_slots) == []


# Overlap


def test_a_generation_that_runs_is_in_the_way_until_it_ends(sweeps):
    assert sweeps.read(obstacle, "digits", SLOT) is None
    created = sweeps.launch(sweeps.claim())
    assert sweeps.read(obstacle, "digits", SLOT + 60) == "digits #1 runs"
    assert sweeps.read(obstacle, "apples", SLOT + 60) is None
    sweeps.write(
        mark_ended, created.id, StudyState.FINISHED, end_reason="done", running_seconds=1.0
    )
    assert sweeps.read(obstacle, "digits", SLOT + 60) is None


def test_an_earlier_slot_is_in_the_way_of_a_later_one_and_not_the_other_way(sweeps):
    first, second = sweeps.claim(SLOT), sweeps.claim(SLOT + 60)
    assert sweeps.read(obstacle, "digits", first.slot_at) is None
    at = "2027-01-15T08:00Z"  # 1.8e9 s after 1970
    assert sweeps.read(obstacle, "digits", second.slot_at) == f"the slot of {at} is being started"
    sweeps.write(queue_slot, first, "digits #1 runs")
    assert sweeps.read(obstacle, "digits", second.slot_at) == f"the slot of {at} waits"
    sweeps.write(end_slot, sweeps.write(claim_queued, sweeps.row.id, HERE), SlotState.LATE, "x")
    assert sweeps.read(obstacle, "digits", second.slot_at) is None


def test_slots_that_wait_are_claimed_in_their_order_and_each_once(sweeps):
    for minutes in (2, 1):
        sweeps.write(queue_slot, sweeps.claim(SLOT + 60 * minutes), "digits #1 runs")
    assert {(slot.state, slot.reason) for slot in sweeps.history()} == {
        (SlotState.QUEUED, "digits #1 runs")
    }
    sweeps.age(2 * GRACE_SECONDS)
    assert not sweeps.read(has_lost_slots)  # nobody holds what waits
    first = sweeps.write(claim_queued, sweeps.row.id, HERE)
    second = sweeps.write(claim_queued, sweeps.row.id, NEIGHBOUR)
    assert (first.slot_at, second.slot_at) == (SLOT + 60, SLOT + 120)
    assert sweeps.write(claim_queued, sweeps.row.id, ELSEWHERE) is None
    sweeps.launch(first)
    assert sweeps.history()[1].state is SlotState.LAUNCHED


def test_a_paused_sweep_leaves_what_waits_waiting(sweeps):
    sweeps.write(queue_slot, sweeps.claim(), "digits #1 runs")
    sweeps.write(pause_sweep, sweeps.row.id)
    assert sweeps.write(claim_queued, sweeps.row.id, HERE) is None
    sweeps.write(resume_sweep, sweeps.row.id, now=5.0)
    assert sweeps.write(claim_queued, sweeps.row.id, HERE) is not None


# Many controllers

CONTROLLER = """
import time
from tunelab.storage.owners import Owner
from tunelab.storage.schema import open_database
from tunelab.storage.studies import create_study
from tunelab.storage.sweep_slots import claim_slot, mark_launched

VALUES = dict.fromkeys(["spec_hash", "data_digest", "data_path"], "")

def launch(database, claim):
    with database.write() as connection:
        study = create_study(connection, name="digits", spec={}, baseline_loss=1.0, n_trials=1,
                             timeout_seconds=None, **VALUES)
        mark_launched(connection, claim, study.id)
"""

CLAIM_EACH = (
    CONTROLLER
    + """
def work(url, sweep_id, first):
    database = open_database(url)
    mine = []
    for minute in range(40):
        slot_at = float(first) + 60 * minute
        with database.write() as connection:
            claim = claim_slot(connection, int(sweep_id), slot_at, Owner.this_process())
        if claim is not None:
            mine.append(minute)
            launch(database, claim)
    return mine
"""
)


def test_six_controllers_start_forty_slots_and_each_of_them_once(sweeps):
    url = sweeps.database.url.render_as_string(hide_password=False)
    shares = run_together(CLAIM_EACH, 6, url, str(sweeps.row.id), str(SLOT))
    assert sorted(minute for share in shares for minute in share) == list(range(40))
    slots = sweeps.history()
    assert {slot.state for slot in slots} == {SlotState.LAUNCHED}
    assert len({slot.study_id for slot in slots}) == sweeps.n_studies() == 40


TAKE_UP = (
    CONTROLLER
    + """
from tunelab.storage.sweep_slots import take_up_slot

def work(url):
    database = open_database(url)
    n_taken = 0
    while True:
        with database.write() as connection:
            claim = take_up_slot(connection, Owner.this_process())
        if claim is None:
            return n_taken
        n_taken += 1
        launch(database, claim)
"""
)

CLAIM_AND_WAIT = (
    CONTROLLER
    + """
import sys
url, sweep_id, first = sys.argv[1:]
database = open_database(url)
for minute in range(10):
    with database.write() as connection:
        claim_slot(connection, int(sweep_id), float(first) + 60 * minute, Owner.this_process())
print("claimed", flush=True)
time.sleep(60)
"""
)


def test_what_a_killed_controller_had_claimed_is_started_once_by_the_others(sweeps):
    url = sweeps.database.url.render_as_string(hide_password=False)
    words = [url, str(sweeps.row.id), str(SLOT)]
    with subprocess.Popen(
        [sys.executable, "-c", CLAIM_AND_WAIT, *words], stdout=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stdout.readline() == "claimed\n"
        assert not sweeps.read(has_lost_slots)
        killed.kill()
    assert sweeps.read(has_lost_slots)
    assert sum(run_together(TAKE_UP, 6, url)) == 10
    slots = sweeps.history()
    assert {(slot.state, slot.lost_claims) for slot in slots} == {(SlotState.LAUNCHED, 1)}
    assert len({slot.study_id for slot in slots}) == sweeps.n_studies() == 10


def test_eight_processes_add_one_sweep(database):
    script = """
import json
from tunelab.spec.study import StudySpec
from tunelab.storage.schema import open_database
from tunelab.storage.sweeps import put_sweep

def work(url, mapping):
    with open_database(url).write() as connection:
        return put_sweep(connection, StudySpec.from_mapping(json.loads(mapping)), "f", now=1.0).id
"""
    url = database.url.render_as_string(hide_password=False)
    assert len(set(run_together(script, 8, url, json.dumps(study().to_mapping())))) == 1
